//! Statistics: plain values that their owner counts and copies out on request. Nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Why a packet was not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It came from an address that has not authenticated.
    Stranger,
    /// It is no STUN, DTLS, RTP or RTCP.
    Malformed,
    /// It is longer than the largest datagram that is received.
    Oversized,
    /// Its source (SSRC) is one more than a peer may have at a time.
    Sources,
    /// It waited too long in a mailbox.
    Aged,
    /// The lane to another shard was full.
    Lane,
    /// The socket's buffer was full.
    Socket,
    /// The kernel refused to send it.
    Refused,
    /// Its sequence number had been sent from the same source (SSRC). It was not encrypted.
    Repeated,
    /// The way to the viewer is too slow: the video skips to a keyframe, or is paused.
    Congested,
    /// The viewer lacks the codec.
    Codec,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::Stranger,
        Self::Malformed,
        Self::Oversized,
        Self::Sources,
        Self::Aged,
        Self::Lane,
        Self::Socket,
        Self::Refused,
        Self::Repeated,
        Self::Congested,
        Self::Codec,
    ];

    /// The name in metrics and JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Sources => "too_many_sources",
            Self::Aged => "aged",
            Self::Lane => "lane_full",
            Self::Socket => "socket_full",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
            Self::Congested => "congested",
            Self::Codec => "codec_missing",
        }
    }
}

/// Counts by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Adds `n` to a reason's count.
    pub fn add(&mut self, reason: DropReason, n: usize) {
        self.0[reason as usize] += n as u64;
    }

    /// The count of a reason.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.of(reason)))
    }
}

impl Serialize for Drops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, count)| (reason.label(), count)))
    }
}

/// Latencies of the last 10 to 20 seconds, in microseconds.
#[derive(Debug)]
pub struct Latency {
    current: Histogram<u64>,
    previous: Histogram<u64>,
    since: Option<Instant>,
}

/// A summary of a [`Latency`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LatencySummary {
    /// The number of measurements.
    pub count: u64,
    /// The median, in microseconds.
    pub p50: u64,
    /// The 99th percentile, in microseconds.
    pub p99: u64,
    /// The 99.9th percentile, in microseconds.
    pub p999: u64,
    /// The maximum, in microseconds.
    pub max: u64,
}

impl Latency {
    const WINDOW: Duration = Duration::from_secs(10);

    /// No measurements.
    #[must_use]
    pub fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, 60_000_000, 2).expect("valid bounds");
        Self {
            current: empty.clone(),
            previous: empty,
            since: None,
        }
    }

    /// Records the time between `from` and `to`.
    pub fn record(&mut self, from: Instant, to: Instant) {
        let since = *self.since.get_or_insert(to);
        if to.saturating_duration_since(since) >= Self::WINDOW {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.reset();
            self.since = Some(to);
        }
        let took = to.saturating_duration_since(from).as_micros();
        self.current
            .saturating_record(u64::try_from(took).unwrap_or(u64::MAX).max(1));
    }

    /// Summarizes both windows.
    #[must_use]
    pub fn summary(&self) -> LatencySummary {
        let mut both = self.current.clone();
        both += &self.previous;
        LatencySummary {
            count: both.len(),
            p50: both.value_at_quantile(0.5),
            p99: both.value_at_quantile(0.99),
            p999: both.value_at_quantile(0.999),
            max: both.max(),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// The counters of a shard, since its start.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// System calls that received.
    pub recv_calls: u64,
    /// Media packets received from publishers of this shard.
    pub media_in: u64,
    /// Media packets forwarded to subscribers of this shard.
    pub media_out: u64,
    /// Media packets passed on to other shards.
    pub media_crossed: u64,
    /// Datagrams received for a peer of another shard and passed on.
    pub redirected: u64,
    /// Keyframe requests sent to publishers.
    pub keyframes_asked: u64,
    /// Messages of pages that were not handled: malformed, too many, or without the right to them.
    pub messages_refused: u64,
    /// Sessions ended by a panic in their code.
    pub panics: u64,
    /// Messages that a room had no room for; the shard has announced its members again.
    pub room_drops: u64,
    /// News of rooms that came from an earlier incarnation, and were not believed.
    pub stale_news: u64,
    /// Packets not forwarded, by reason.
    pub drops: Drops,
}

/// The statistics of a shard.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ShardStats {
    /// The shard's number.
    pub shard: usize,
    /// Its incarnation, from 1: one more for each restart. Counters begin anew.
    pub incarnation: u32,
    /// Whether its thread hangs; then nothing else is known of it.
    pub hangs: bool,
    /// Peers with a session.
    pub peers: usize,
    /// Tracks with a subscriber here or in another shard.
    pub tracks: usize,
    /// Counters since the start.
    pub counters: Counters,
    /// Counters of its TCP connections.
    pub tcp: TcpCounters,
    /// From a packet's arrival to the system call that sends it.
    pub latency: LatencySummary,
    /// Control messages in the mailbox.
    pub high_depth: usize,
    /// Media messages in the mailbox.
    pub low_depth: usize,
    /// How often the mailbox's receiver went to sleep.
    pub sleeps: u64,
    /// CPU time of the shard's thread.
    pub cpu: Duration,
}

/// The counters of a shard's TCP connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TcpCounters {
    /// Connections open now.
    pub open: u64,
    /// Connections that a peer of this shard had signed.
    pub accepted: u64,
    /// Connections closed because no peer of this shard had signed their first frame.
    pub strangers: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Frames dropped because the reader was too slow.
    pub dropped: u64,
    /// Connections closed because nothing could be written for too long.
    pub stalled: u64,
    /// Connections closed because of a malformed frame.
    pub malformed: u64,
}

/// The counters of TCP connections before they reach a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AcceptCounters {
    /// Connections accepted from the listener.
    pub connections: u64,
    /// Connections refused by a limit.
    pub too_many: u64,
    /// Connections closed because no valid first frame came in time.
    pub nameless: u64,
}

/// The counters of HTTP connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HttpCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed while they waited for a request, because another took their place within a limit.
    pub displaced: u64,
    /// Connections refused by a limit.
    pub refused: u64,
}

/// The statistics of a room.
#[derive(Debug, Clone, Serialize)]
pub struct RoomStats {
    /// The room's name.
    pub room: Arc<str>,
    /// Participants in it.
    pub participants: usize,
    /// Tracks that they publish.
    pub tracks: usize,
}

/// The statistics of the server.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    /// The name of the mailbox that it runs on.
    pub mailbox: &'static str,
    /// TCP connections before they reach a shard.
    pub tcp: AcceptCounters,
    /// HTTP connections.
    pub http: HttpCounters,
    /// STUN messages for no shard: they name nobody who is waited for, or are not signed by that peer.
    pub claims_refused: u64,
    /// All shards, by their numbers.
    pub shards: Vec<ShardStats>,
    /// All rooms, by their names.
    pub rooms: Vec<RoomStats>,
}
