//! Offers and answers: the tracks that a peer is sent, the media sections that carry them, and codecs that the peer lacks.

use std::sync::Arc;
use std::time::Instant;

use str0m::bwe::Bitrate;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};

use super::ice::ranked;
use super::signal::{Carried, SourceOf, ToPage};
use super::subscriptions::Pin;
use super::{Role, Session, SessionEvent};
use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::{MediaPacket, TrackInfo, codec};
use crate::stats::DropReason;

impl Session {
    /// Offers the peer a track of another participant. `owner` is the shard of its publisher.
    pub fn add_track(&mut self, info: TrackInfo, owner: ShardId) {
        self.fault_point("add_track");
        self.add_tracks([(info, owner)]);
    }

    /// Offers the peer tracks of other participants, each with the shard of its publisher. Sections are given out once all are
    /// known.
    pub(crate) fn add_tracks(&mut self, tracks: impl IntoIterator<Item = (TrackInfo, ShardId)>) {
        if self.role == Role::Publish {
            return;
        }
        let mut added = false;
        for (info, owner) in tracks {
            added |= info.participant != self.id && self.subscriptions.add(info, owner);
        }
        if added {
            self.assign();
        }
    }

    /// Ends a track of another participant.
    pub fn remove_track(&mut self, track: TrackId) {
        self.subscriptions.remove(track, &mut self.events);
        self.assign();
    }

    /// Records who was heard last, the latest first: if there are more tracks than sections, theirs are sent.
    pub fn set_heard(&mut self, heard: Arc<[ParticipantId]>) {
        self.subscriptions.set_heard(heard);
        self.assign();
    }

    /// The page wants these in any case, and no others.
    pub(super) fn pin(&mut self, pins: impl Iterator<Item = Pin>) {
        self.subscriptions.pin(pins.collect());
        self.assign();
    }

    /// The page offers a change of what it sends.
    pub(super) fn offer(&mut self, sdp: &str, sources: Vec<SourceOf>) {
        let hints = sources.into_iter().map(|of| (of.mid, of.source));
        self.publications.hint(hints);
        match self.answer_again(sdp) {
            Ok(sdp) => self.send_to_page(&ToPage::Answer { sdp }),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// The session has answered an offer of the page.
    pub(super) fn answered(&mut self, answer: &str) {
        // An offer of ours that crossed the page's is void, and is made again later.
        self.page.pending = None;
        self.subscriptions.withdrawn();
        self.types.learn(answer);
    }

    /// Tells the page that its offer changes nothing, so that it does not wait for an answer.
    fn refuse(&mut self, why: &str) {
        tracing::debug!(participant = self.id.0, why, "offer refused");
        self.send_to_page(&ToPage::Refused { error: why });
    }

    /// The page answers the last offer. What cannot be used is no answer: the offer is made again later.
    pub(super) fn answer(&mut self, sdp: &str) {
        let Ok(answer) = SdpAnswer::from_sdp_string(sdp) else {
            tracing::debug!(participant = self.id.0, "malformed answer");
            return;
        };
        let Some(pending) = self.page.pending.take() else {
            return;
        };
        if let Err(error) = self.rtc.sdp_api().accept_answer(pending, answer) {
            tracing::debug!(participant = self.id.0, %error, "answer refused");
            self.close_for("negotiation failed");
            return;
        }
        self.types.learn(sdp);
        self.subscriptions.agreed();
        self.assign();
    }

    /// Offers the sections that are missing, if the page has a channel and has answered the last offer.
    pub(super) fn negotiate(&mut self, now: Instant) {
        if self.role != Role::Page || !self.page.listens() {
            return;
        }
        if self.page.offer_again_if_late(now) {
            let participant = self.id.0;
            tracing::debug!(participant, "no answer: the offer is made again");
        }
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let missing = kinds.map(|kind| (kind, self.subscriptions.missing(kind)));
        if self.page.pending.is_some() || missing.iter().all(|(_, missing)| *missing == 0) {
            return;
        }
        let mut change = self.rtc.sdp_api();
        for (kind, missing) in missing {
            for _ in 0..missing {
                let mid = change.add_media(kind, Direction::SendOnly, None, None, None);
                self.subscriptions.offered(mid, kind);
            }
        }
        let Some((offer, pending)) = change.apply() else {
            return;
        };
        let offer = ranked(&offer.to_sdp_string(), self.ice.restarts);
        self.page.offer(now, pending, offer);
    }

    /// Adds the sections of a player (WHEP) or of an offer that has all: it cannot be offered more.
    pub(super) fn add_sections(&mut self) {
        if self.role != Role::Subscribe {
            return;
        }
        let mut mids: Vec<_> = self.types.mids().map(Mid::from).collect();
        mids.sort_unstable();
        for mid in mids {
            let media = self.rtc.media(mid);
            if let Some(media) = media.filter(|media| media.direction().is_sending()) {
                let kind = media.kind();
                self.subscriptions.add_section(mid, kind);
            }
        }
        self.assign();
    }

    /// Gives the sections to the most important tracks, and tells the page, or a player that listens, which they carry.
    fn assign(&mut self) {
        self.subscriptions.assign(&mut self.events);
        let hears = self.role == Role::Page || self.page.listens();
        if hears && self.subscriptions.take_changed() {
            self.say_tracks();
        }
    }

    /// Tells the page which tracks the sections carry.
    pub(super) fn say_tracks(&mut self) {
        let tracks = self.subscriptions.carried();
        let tracks = tracks.map(|(mid, info)| Carried::new(mid.to_string(), info));
        let tracks = tracks.collect();
        self.page.say(&ToPage::Tracks { tracks });
    }

    /// Tells the estimator how much there is to send. It looks for that much, but sends no padding in the place of media.
    pub(super) fn set_desired_rate(&mut self) {
        let desired = Bitrate::bps(self.subscriptions.desired_rate());
        self.rtc.bwe().set_bitrate(Bitrate::ZERO, desired);
    }

    /// The peer cannot decode a track: the page is told, unless it was.
    pub(super) fn codec_missing(&mut self, mid: Mid, packet: &MediaPacket, was_missing: bool) {
        let dropped = SessionEvent::Dropped(DropReason::Codec);
        self.events.push(dropped);
        if was_missing {
            return;
        }
        self.subscriptions.set_missing(packet.track, true);
        let missing = packet.codec.name.label();
        let instead = packet.possible.common(self.types.codecs(&mid)).iter();
        let instead: Vec<_> = instead.map(codec::Name::label).collect();
        let (participant, track) = (self.id.0, packet.track.0);
        tracing::info!(participant, track, missing, ?instead, "codec missing");
        self.send_to_page(&ToPage::Codec {
            track: packet.track.to_string(),
            missing: Some(missing),
            instead,
        });
    }

    /// The publisher of a track sends it with a codec that the peer has, from now on.
    pub(super) fn codec_found(&mut self, track: TrackId) {
        self.subscriptions.set_missing(track, false);
        self.send_to_page(&ToPage::Codec {
            track: track.to_string(),
            missing: None,
            instead: Vec::new(),
        });
    }
}
