//! Which layer of a simulcast a peer gets.

use std::time::{Duration, Instant};

use super::{Layer, MediaPacket, Session, SessionEvent, codec};

/// How long a layer counts as being sent after its last packet.
const LAYER_ALIVE: Duration = Duration::from_secs(2);
/// What a layer takes, in bits a second, small to large.
pub(super) const LAYER_RATES: [u64; 3] = [150_000, 500_000, 1_500_000];

impl Session {
    pub(super) fn note_layer(&mut self, packet: &MediaPacket) {
        if packet.codec.name == codec::Name::Opus {
            return;
        }
        let index = usize::from(packet.layer.0.min(2));
        let now = packet.arrived;
        match self
            .layers_seen
            .iter_mut()
            .find(|seen| seen.0 == packet.track)
        {
            Some((_, seen)) => {
                let alive = |at: Option<Instant>| {
                    at.is_some_and(|at| now.saturating_duration_since(at) < LAYER_ALIVE)
                };
                let mut changed = !alive(seen[index]);
                seen[index] = Some(now);
                for at in seen.iter_mut() {
                    if at.is_some() && !alive(*at) {
                        *at = None;
                        changed = true;
                    }
                }
                if changed {
                    self.choose_layers(now);
                }
            }
            None => {
                let mut seen = [None; 3];
                seen[index] = Some(now);
                self.layers_seen.push((packet.track, seen));
                self.choose_layers(now);
            }
        }
    }

    /// Chooses each video's layer: as large as the way to the peer carries when all are treated
    /// alike, not above what the page asked for, and among those that are being sent.
    pub(super) fn choose_layers(&mut self, now: Instant) {
        let videos = self
            .downstreams
            .iter()
            .filter(|down| down.video)
            .count()
            .max(1) as u64;
        let share = self
            .estimate
            .map_or(u64::MAX, |rate| rate.saturating_sub(50_000) / videos);
        let affordable = if share >= LAYER_RATES[2] * 4 / 5 {
            Layer(2)
        } else if share >= LAYER_RATES[1] * 4 / 5 {
            Layer(1)
        } else {
            Layer(0)
        };
        for down in self.downstreams.iter_mut().filter(|down| down.video) {
            let Some((_, seen)) = self.layers_seen.iter().find(|seen| seen.0 == down.track) else {
                continue;
            };
            let cap = self.layer_caps.iter().find(|cap| cap.0 == down.track);
            let most = cap.map_or(affordable, |cap| cap.1.min(affordable));
            let sent = |layer: &u8| seen[usize::from(*layer)].is_some();
            let layer = (0..=most.0)
                .rev()
                .find(sent)
                .or_else(|| (most.0..3).find(sent));
            let Some(layer) = layer.map(Layer) else {
                continue;
            };
            let changed = down.want(layer);
            if changed {
                let (participant, track) = (self.id.0, down.track.0);
                tracing::debug!(participant, track, layer = layer.0, share, "layer chosen");
            }
            if changed && down.needs_keyframe(now) {
                self.events
                    .push(SessionEvent::NeedKeyframe(down.track, layer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use str0m::Event;
    use str0m::bwe::{Bitrate, BweKind};
    use str0m::media::MediaKind;

    use super::*;
    use crate::client::Client;
    use crate::session::build::{Setup, Who};
    use crate::session::codec::{Codec, Name};
    use crate::session::downstream::Downstream;
    use crate::session::signal::FromPage;
    use crate::session::{ParticipantId, Role, TrackId};

    const TRACKS: [TrackId; 2] = [TrackId(1), TrackId(2)];

    /// A session that is sent two videos.
    fn session(now: Instant) -> Session {
        let setup = Setup {
            udp: vec!["127.0.0.1:4000".parse().unwrap()],
            tcp: Vec::new(),
            estimate: true,
        };
        let who = Who {
            id: ParticipantId(9),
            room: "room".into(),
            name: "name".into(),
            role: Role::Page,
        };
        let here = "127.0.0.1".parse().unwrap();
        let (_, offer) = Client::new(here, false, &[MediaKind::Video; 2]).unwrap();
        let (mut session, _) = Session::answer_to(&setup, who, &offer, Vec::new(), now).unwrap();
        for (track, mid) in TRACKS.into_iter().zip(["0", "1"]) {
            let down = Downstream::new(track, mid.into(), true);
            session.downstreams.push(down);
        }
        session
    }

    fn packet(track: TrackId, layer: u8, at: Instant) -> MediaPacket {
        MediaPacket {
            track,
            layer: Layer(layer),
            codec: Codec {
                name: Name::Vp8,
                profile: 0,
            },
            sequence: 1,
            time: 1,
            marker: true,
            keyframe: false,
            audio_level: None,
            voice: None,
            arrived: at,
            payload: Arc::from([0u8; 4]),
        }
    }

    fn estimate(session: &mut Session, now: Instant, bits: u64) {
        let estimate = BweKind::Twcc {
            estimate: Bitrate::from(bits),
            can_probe: true,
        };
        session.event(now, Event::EgressBitrateEstimate(estimate));
    }

    fn wanted(session: &Session) -> [u8; 2] {
        [0, 1].map(|index: usize| session.downstreams[index].wanted().0)
    }

    #[test]
    fn layer_follows_the_estimate_and_the_pages_request() {
        let now = Instant::now();
        let mut session = session(now);
        for track in TRACKS {
            for layer in 0..3 {
                session.note_layer(&packet(track, layer, now));
            }
        }
        assert_eq!(wanted(&session), [2, 2], "nothing is known of the way yet");
        for (bits, layers) in [
            (5_000_000, [2, 2]),
            (2_000_000, [1, 1]),
            (600_000, [0, 0]),
            (0, [0, 0]),
            (2_000_000, [1, 1]),
            (5_000_000, [2, 2]),
        ] {
            session.events.clear();
            estimate(&mut session, now, bits);
            assert_eq!(wanted(&session), layers, "{bits} bits a second for both");
        }
        // What the page asks for is a limit, and one way is shared by all.
        let ask = |layer| FromPage::Layer {
            track: TRACKS[0].to_string(),
            layer,
        };
        session.message(now, ask(Some(0)));
        assert_eq!(wanted(&session), [0, 2]);
        estimate(&mut session, now, 2_000_000);
        assert_eq!(wanted(&session), [0, 1]);
        session.message(now, ask(Some(2)));
        assert_eq!(wanted(&session), [1, 1], "asking makes the way no wider");
        session.message(now, ask(None));
        session.downstreams.pop();
        estimate(&mut session, now, 1_300_000);
        assert_eq!(session.downstreams[0].wanted().0, 2, "and now it is alone");
    }

    #[test]
    fn layer_that_is_no_longer_sent_is_not_waited_for() {
        let now = Instant::now();
        let mut session = session(now);
        for layer in 0..3 {
            session.note_layer(&packet(TRACKS[0], layer, now));
        }
        assert_eq!(wanted(&session)[0], 2);
        let later = now + LAYER_ALIVE + Duration::from_millis(1);
        session.note_layer(&packet(TRACKS[0], 0, later));
        assert_eq!(wanted(&session)[0], 0, "the sender has given up the others");
        session.events.clear();
        session.note_layer(&packet(TRACKS[0], 1, later));
        assert_eq!(wanted(&session)[0], 1);
        let asked = |event: &SessionEvent| matches!(event, SessionEvent::NeedKeyframe(track, layer) if (*track, layer.0) == (TRACKS[0], 1));
        assert!(
            session.events.iter().any(asked),
            "a switch needs a keyframe"
        );
    }
}
