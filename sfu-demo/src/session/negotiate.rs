//! Offers and answers: the tracks that a peer is sent, and the media sections that carry them.

use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind, Mid};

use super::build::{Refusal, check_offer};
use super::signal::{Carried, SourceOf, ToPage};
use super::subscriptions::SectionState;
use super::{Role, Session};
use crate::ids::{ShardId, TrackId};
use crate::media::TrackInfo;

impl Session {
    /// Offers the peer a track of another participant. `owner` is the shard of its publisher.
    pub fn add_track(&mut self, info: TrackInfo, owner: ShardId) {
        self.fault_point("add_track");
        let wanted = self.role != Role::Publish && info.participant != self.id;
        if wanted && self.subscriptions.add(info, owner) {
            self.assign();
        }
    }

    /// Ends a track of another participant.
    pub fn remove_track(&mut self, track: TrackId) {
        let page = self.role == Role::Page;
        self.subscriptions.remove(track, page, &mut self.events);
        self.assign();
    }

    /// The page offers a change of what it sends.
    pub(super) fn offer(&mut self, sdp: &str, sources: Vec<SourceOf>) {
        let offer = check_offer(sdp)
            .and_then(|()| SdpOffer::from_sdp_string(sdp).map_err(|_| Refusal::Malformed));
        let offer = match offer {
            Ok(offer) => offer,
            Err(error) => {
                tracing::debug!(participant = self.id.0, %error, "offer refused");
                return;
            }
        };
        let hints = sources.into_iter().map(|of| (of.mid, of.source));
        self.publications.hint(hints);
        let Ok(answer) = self.rtc.sdp_api().accept_offer(offer) else {
            return;
        };
        // An offer of ours that crossed the page's is void, and is made again later.
        self.page.pending = None;
        self.subscriptions.withdrawn();
        let sdp = answer.to_sdp_string();
        self.types.learn(&sdp);
        self.send_to_page(&ToPage::Answer { sdp });
    }

    /// The page answers the last offer.
    pub(super) fn answer(&mut self, sdp: &str) {
        let Some(pending) = self.page.pending.take() else {
            return;
        };
        let Ok(answer) = SdpAnswer::from_sdp_string(sdp) else {
            return;
        };
        if let Err(error) = self.rtc.sdp_api().accept_answer(pending, answer) {
            tracing::debug!(participant = self.id.0, %error, "answer refused");
            self.close_for("negotiation failed");
            return;
        }
        self.types.learn(sdp);
        if self.subscriptions.agreed(&mut self.events) {
            self.set_bitrates();
        }
    }

    /// Makes the offer that is due, if the page has a channel and has answered the last one.
    pub(super) fn negotiate(&mut self) {
        let due = self.subscriptions.iter().any(|known| known.is_due());
        if self.role != Role::Page
            || self.page.channel.is_none()
            || self.page.pending.is_some()
            || !due
        {
            return;
        }
        let mut change = self.rtc.sdp_api();
        for subscription in self.subscriptions.iter_mut() {
            match subscription.section {
                SectionState::Waiting => {
                    let stream = Some(format!("p{}", subscription.info.participant.0));
                    let track = Some(subscription.info.id.to_string());
                    let kind = subscription.kind();
                    let mid = change.add_media(kind, Direction::SendOnly, stream, track, None);
                    subscription.section = SectionState::Offered(mid);
                }
                SectionState::Leaving(mid) => {
                    change.stop_media(mid);
                    subscription.section = SectionState::Removing(mid);
                }
                _ => {}
            }
        }
        let Some((offer, pending)) = change.apply() else {
            return;
        };
        self.page.pending = Some(pending);
        let tracks = self.subscriptions.iter().filter_map(|subscription| {
            let mid = subscription.mid()?;
            Some(Carried::new(mid.to_string(), &subscription.info))
        });
        let message = ToPage::Offer {
            sdp: offer.to_sdp_string(),
            tracks: tracks.collect(),
        };
        let text = serde_json::to_string(&message).expect("plain data");
        self.send_text(&text);
    }

    /// Opens waiting tracks of a player (WHEP). It has the sections of its own offer and cannot be offered more, so
    /// tracks use them in turn.
    pub(super) fn assign(&mut self) {
        if self.role != Role::Subscribe || !self.liveness.is_connected() {
            return;
        }
        let mut mids: Vec<_> = self.types.mids().collect();
        mids.sort_unstable();
        let mids: Vec<Mid> = mids.into_iter().map(Mid::from).collect();
        let rtc = &self.rtc;
        let sections = |kind: MediaKind| {
            let fits = |mid: &Mid| {
                rtc.media(*mid)
                    .is_some_and(|media| media.kind() == kind && media.direction().is_sending())
            };
            mids.iter().copied().filter(fits).collect()
        };
        if self.subscriptions.assign(sections, &mut self.events) {
            self.set_bitrates();
        }
    }

    fn set_bitrates(&mut self) {
        let (current, desired) = self.subscriptions.bitrates();
        self.rtc
            .bwe()
            .set_bitrate(Bitrate::bps(current), Bitrate::bps(desired));
    }
}
