//! Offers and answers: which tracks a peer is to get, and the media sections that carry them.

use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind, Mid};

use super::downstream::Downstream;
use super::layers::LAYER_RATES;
use super::signal::{self, Carried, ToPage};
use super::{MAX_SUBSCRIBED, OfferState, Offered, Role, Session, SessionEvent, build};
use crate::ids::{ShardId, TrackId};
use crate::media::TrackInfo;

impl Session {
    /// Offers a track of somebody else's, which shard `owner` has, to the peer.
    pub fn add_track(&mut self, info: TrackInfo, owner: ShardId) {
        self.passes("add_track");
        if self.role == Role::Publish
            || info.participant == self.id
            || self.offered.len() >= MAX_SUBSCRIBED
            || self
                .offered
                .iter()
                .any(|offered| offered.info.id == info.id)
        {
            return;
        }
        self.offered.push(Offered {
            info,
            owner,
            state: OfferState::Waiting,
        });
        self.assign();
    }

    /// Takes a track back.
    pub fn remove_track(&mut self, track: TrackId) {
        self.end_downstream(track);
        let page = self.role == Role::Page;
        self.offered.retain_mut(|offered| {
            if offered.info.id != track {
                return true;
            }
            match offered.state {
                OfferState::Open(mid) | OfferState::Negotiating(mid) if page => {
                    offered.state = OfferState::Leaving(mid);
                    true
                }
                _ => false,
            }
        });
        self.assign();
    }

    pub(super) fn offer(&mut self, sdp: &str, sources: Vec<signal::SourceOf>) {
        let offer = match build::check_offer(sdp)
            .and_then(|()| SdpOffer::from_sdp_string(sdp).map_err(|_| build::Refusal::Malformed))
        {
            Ok(offer) => offer,
            Err(error) => {
                tracing::debug!(participant = self.id.0, %error, "offer refused");
                return;
            }
        };
        for of in sources.into_iter().take(8) {
            self.sources.retain(|known| known.0 != of.mid);
            self.sources.push((of.mid, of.source));
        }
        self.sources.truncate(32);
        let Ok(answer) = self.rtc.sdp_api().accept_offer(offer) else {
            return;
        };
        // An offer of ours that crossed the peer's is void; it is made again after this.
        self.pending = None;
        for offered in &mut self.offered {
            match offered.state {
                OfferState::Negotiating(_) => offered.state = OfferState::Waiting,
                OfferState::NegotiatingEnd(mid) => offered.state = OfferState::Leaving(mid),
                _ => {}
            }
        }
        let sdp = answer.to_sdp_string();
        self.types.learn(&sdp);
        self.tell(&ToPage::Answer { sdp });
    }

    pub(super) fn answer(&mut self, sdp: &str) {
        let Some(pending) = self.pending.take() else {
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
        let mut opened = Vec::new();
        self.offered.retain_mut(|offered| match offered.state {
            OfferState::Negotiating(mid) => {
                offered.state = OfferState::Open(mid);
                opened.push((offered.info.id, offered.owner, mid, offered.info.video));
                true
            }
            OfferState::NegotiatingEnd(_) => false,
            _ => true,
        });
        for (track, owner, mid, video) in opened {
            self.start_downstream(track, owner, mid, video);
        }
    }

    /// Makes the offer that is due, if the page can be told and has answered the last one.
    pub(super) fn negotiate(&mut self) {
        let due = |state| matches!(state, OfferState::Waiting | OfferState::Leaving(_));
        if self.role != Role::Page
            || self.channel.is_none()
            || self.pending.is_some()
            || !self.offered.iter().any(|offered| due(offered.state))
        {
            return;
        }
        let mut change = self.rtc.sdp_api();
        for offered in &mut self.offered {
            match offered.state {
                OfferState::Waiting => {
                    let kind = if offered.info.video {
                        MediaKind::Video
                    } else {
                        MediaKind::Audio
                    };
                    let stream = Some(format!("p{}", offered.info.participant.0));
                    let track = Some(offered.info.id.to_string());
                    let mid = change.add_media(kind, Direction::SendOnly, stream, track, None);
                    offered.state = OfferState::Negotiating(mid);
                }
                OfferState::Leaving(mid) => {
                    change.stop_media(mid);
                    offered.state = OfferState::NegotiatingEnd(mid);
                }
                _ => {}
            }
        }
        let Some((offer, pending)) = change.apply() else {
            return;
        };
        self.pending = Some(pending);
        let tracks = self
            .offered
            .iter()
            .filter_map(|offered| match offered.state {
                OfferState::Negotiating(mid) | OfferState::Open(mid) => {
                    Some(Carried::new(mid.to_string(), &offered.info))
                }
                _ => None,
            });
        let message = ToPage::Offer {
            sdp: offer.to_sdp_string(),
            tracks: tracks.collect(),
        };
        let text = serde_json::to_string(&message).expect("plain data");
        self.send_text(&text);
    }

    /// A player (WHEP) has the sections it asked for and no way to be offered more: tracks take
    /// turns in them.
    pub(super) fn assign(&mut self) {
        if self.role != Role::Subscribe || !self.connected {
            return;
        }
        let mut opened = Vec::new();
        for at in 0..self.offered.len() {
            if self.offered[at].state != OfferState::Waiting {
                continue;
            }
            let video = self.offered[at].info.video;
            let kind = if video {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            let free = self.types_mids().into_iter().find(|mid| {
                let fits = self
                    .rtc
                    .media(*mid)
                    .is_some_and(|media| media.kind() == kind && media.direction().is_sending());
                fits && !self
                    .offered
                    .iter()
                    .any(|other| other.state == OfferState::Open(*mid))
            });
            if let Some(mid) = free {
                self.offered[at].state = OfferState::Open(mid);
                let offered = &self.offered[at];
                opened.push((offered.info.id, offered.owner, mid, video));
            }
        }
        for (track, owner, mid, video) in opened {
            self.start_downstream(track, owner, mid, video);
        }
    }

    pub(super) fn types_mids(&self) -> Vec<Mid> {
        let mut mids: Vec<_> = self.types.mids().collect();
        mids.sort_unstable();
        mids.into_iter().map(Mid::from).collect()
    }

    fn start_downstream(&mut self, track: TrackId, owner: ShardId, mid: Mid, video: bool) {
        self.end_downstream(track);
        // The section may have carried another track before: its numbers go on from there.
        let mut down = Downstream::new(track, mid, video);
        if let Some(at) = self.downstreams.iter().position(|old| old.mid == mid) {
            down = self.downstreams.swap_remove(at).continued_by(track);
        }
        let layer = down.wanted();
        self.downstreams.push(down);
        self.events.push(SessionEvent::Subscribed(track, owner));
        if video {
            self.events.push(SessionEvent::NeedKeyframe(track, layer));
        }
        let video = self.downstreams.iter().filter(|down| down.video).count() as u64;
        let desired = video * LAYER_RATES[2] + 100_000;
        self.rtc
            .bwe()
            .set_bitrate(Bitrate::bps(LAYER_RATES[0] * video), Bitrate::bps(desired));
    }

    pub(super) fn end_downstream(&mut self, track: TrackId) {
        let keep_numbers = self.role == Role::Subscribe;
        if let Some(down) = self.downstreams.iter_mut().find(|down| down.track == track) {
            if keep_numbers {
                down.track = TrackId(u64::MAX);
            } else {
                self.downstreams.retain(|down| down.track != track);
            }
            self.events.push(SessionEvent::Unsubscribed(track));
        }
        self.layers_seen.retain(|seen| seen.0 != track);
        self.layer_caps.retain(|cap| cap.0 != track);
    }
}
