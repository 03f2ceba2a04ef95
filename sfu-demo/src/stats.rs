//! What a shard counts: plain values of its own, copied out on request. Nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Why a packet was not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It came from an address that has not authenticated itself.
    Stranger,
    /// It is not a packet of any kind that is known.
    Malformed,
    /// It is longer than a datagram may be.
    Oversized,
    /// It is of one source (SSRC) more than a peer may have.
    Sources,
    /// It waited too long.
    Aged,
    /// The lane to another shard was full.
    Lane,
    /// The socket's buffer was full.
    Socket,
    /// The system would not send it.
    Refused,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Stranger,
        Self::Malformed,
        Self::Oversized,
        Self::Sources,
        Self::Aged,
        Self::Lane,
        Self::Socket,
        Self::Refused,
    ];

    /// The reason as a label.
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
        }
    }
}

/// Counts by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Counts `n` more.
    pub fn add(&mut self, reason: DropReason, n: usize) {
        self.0[reason as usize] += n as u64;
    }

    /// The count of one reason.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// The count of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Reasons and counts.
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

/// The latency of the last ten to twenty seconds, in microseconds.
#[derive(Debug)]
pub struct Latency {
    current: Histogram<u64>,
    previous: Histogram<u64>,
    since: Option<Instant>,
}

/// A summary of a [`Latency`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LatencySummary {
    /// How many were measured.
    pub count: u64,
    /// The median in microseconds.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    const WINDOW: Duration = Duration::from_secs(10);

    /// Nothing measured.
    #[must_use]
    pub fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, 60_000_000, 2).expect("valid bounds");
        Self {
            current: empty.clone(),
            previous: empty,
            since: None,
        }
    }

    /// Notes what took from `from` to `to`.
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

    /// A summary.
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

/// What a shard counts.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counters {
    /// Datagrams that came in.
    pub datagrams_in: u64,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Datagrams that went out.
    pub datagrams_out: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// Calls that sent.
    pub send_calls: u64,
    /// Calls that received.
    pub recv_calls: u64,
    /// Media packets that publishers of this shard sent.
    pub media_in: u64,
    /// Media packets that went to subscribers of this shard.
    pub media_out: u64,
    /// Media packets that went to other shards.
    pub media_crossed: u64,
    /// Datagrams that came in at the wrong shard and were passed on.
    pub redirected: u64,
    /// Keyframes that publishers were asked for.
    pub keyframes_asked: u64,
    /// Sessions that ended by a fault in their own code.
    pub panics: u64,
    /// What was not forwarded.
    pub drops: Drops,
}

/// A shard, as seen from outside.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ShardStats {
    /// Which.
    pub shard: usize,
    /// Its peers.
    pub peers: usize,
    /// Tracks that somebody wants.
    pub tracks: usize,
    /// Its counts.
    pub counters: Counters,
    /// What its TCP connections count.
    pub tcp: TcpCounters,
    /// From a packet's arrival to the call that sends it.
    pub latency: LatencySummary,
    /// Control messages that wait.
    pub high_depth: usize,
    /// Media messages that wait.
    pub low_depth: usize,
    /// How often the mailbox's reader went to sleep.
    pub sleeps: u64,
    /// CPU time of the shard's thread.
    pub cpu: Duration,
}

/// What the connections of a shard count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TcpCounters {
    /// Connections that are open.
    pub open: u64,
    /// Connections that became a peer's.
    pub accepted: u64,
    /// Connections that did not: what they said first was not signed by anybody here.
    pub strangers: u64,
    /// Frames that came in.
    pub frames_in: u64,
    /// Frames that went out.
    pub frames_out: u64,
    /// Frames that a slow reader did not get.
    pub dropped: u64,
    /// Connections that were ended since nothing went out any more.
    pub stalled: u64,
    /// Connections that were ended since they sent what is no frame.
    pub malformed: u64,
}

/// What has become of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AcceptCounters {
    /// Connections that came in.
    pub connections: u64,
    /// Those that were too many.
    pub too_many: u64,
    /// Those that did not say in time, or not in a way that is understood, whose they are.
    pub nameless: u64,
}

/// A room, as seen from outside.
#[derive(Debug, Clone, Serialize)]
pub struct RoomStats {
    /// Its name.
    pub room: Arc<str>,
    /// Its participants.
    pub participants: usize,
    /// The tracks that they send.
    pub tracks: usize,
}

/// The server, as seen from outside.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    /// Which mailbox it runs on.
    pub mailbox: &'static str,
    /// What has become of TCP connections before they came to a shard.
    pub tcp: AcceptCounters,
    /// Its shards.
    pub shards: Vec<ShardStats>,
    /// Its rooms.
    pub rooms: Vec<RoomStats>,
}
