//! A limit on the RTP sources (SSRCs) that a peer sends from at a time.
//!
//! Headers are checked before any state is kept for their source, so that refused packets cost no memory. They are not
//! authenticated yet: whoever spoofs the peer's address can keep it from using new sources, but not from continuing with
//! known ones, and only until a second after the last spoofed packet.

use std::time::{Duration, Instant};

pub(super) mod sent;

/// Sources that a peer may have at a time: twice four tracks of three layers, each with one more for retransmissions,
/// and some to spare.
pub(super) const MAX_SSRCS: usize = 64;
/// How long a source counts after its last packet, if an authentic packet of a track came from it.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How long any other source counts: retransmissions, and packets that are not the peer's.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(1);

/// The sources that a peer has used lately.
#[derive(Debug, Default)]
pub(super) struct Ssrcs(Vec<Source>);

#[derive(Debug)]
struct Source {
    ssrc: u32,
    last: Instant,
    confirmed: bool,
}

impl Source {
    fn counts(&self, now: Instant) -> bool {
        let idle = if self.confirmed { IDLE } else { UNCONFIRMED };
        now.saturating_duration_since(self.last) < idle
    }
}

impl Ssrcs {
    /// Whether to accept a packet: its source is known, or there is room for another.
    pub(super) fn admit(&mut self, now: Instant, ssrc: u32) -> bool {
        if let Some(source) = self.0.iter_mut().find(|source| source.ssrc == ssrc) {
            source.last = now;
            return true;
        }
        if self.0.len() >= MAX_SSRCS {
            self.0.retain(|source| source.counts(now));
        }
        let room = self.0.len() < MAX_SSRCS;
        if room {
            self.0.push(Source {
                ssrc,
                last: now,
                confirmed: false,
            });
        }
        room
    }

    /// Records that an authentic packet of a track came from a source.
    pub(super) fn confirm(&mut self, ssrc: u32) {
        if let Some(source) = self.0.iter_mut().find(|source| source.ssrc == ssrc) {
            source.confirmed = true;
        }
    }
}

/// The SSRC of an RTP packet.
pub(super) fn of(bytes: &[u8]) -> Option<u32> {
    let ssrc = bytes.get(8..12)?;
    Some(u32::from_be_bytes(ssrc.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_bounded_until_they_fall_silent() {
        let start = Instant::now();
        let mut ssrcs = Ssrcs::default();
        let most = MAX_SSRCS as u32;
        for ssrc in 0..most {
            assert!(ssrcs.admit(start, ssrc));
            ssrcs.confirm(ssrc);
        }
        assert!((most..1_000_000).all(|ssrc| !ssrcs.admit(start, ssrc)));
        assert_eq!(ssrcs.0.len(), MAX_SSRCS);
        let later = start + IDLE;
        assert!(ssrcs.admit(later - Duration::from_millis(1), 7));
        assert!(!ssrcs.admit(later - Duration::from_millis(1), most));
        // All but one have been silent for long enough.
        assert!((most..2 * most - 1).all(|ssrc| ssrcs.admit(later, ssrc)));
        assert!(!ssrcs.admit(later, 2 * most));
        assert!(ssrcs.admit(later, 7));
    }

    #[test]
    fn what_may_not_be_the_peers_keeps_it_out_for_a_moment_only() {
        let start = Instant::now();
        let mut ssrcs = Ssrcs::default();
        assert!(ssrcs.admit(start, 7));
        ssrcs.confirm(7);
        let junk = 100..100 + MAX_SSRCS as u32;
        assert!(!junk.clone().all(|ssrc| ssrcs.admit(start, ssrc)));
        assert!(ssrcs.admit(start, 7), "it goes on");
        assert!(!ssrcs.admit(start, 8));
        assert!(ssrcs.admit(start + UNCONFIRMED, 8));
        assert_eq!(ssrcs.0.len(), 2);
    }

    #[test]
    fn source_is_read_from_whole_headers_alone() {
        let mut packet = [0x80, 96, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4];
        assert_eq!(of(&packet), Some(0x0102_0304));
        packet[0] = 0x90;
        assert_eq!(of(&packet[..11]), None);
        assert_eq!(of(&[]), None);
    }
}
