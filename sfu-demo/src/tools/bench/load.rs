//! What is run, and what a run shows.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

/// By what packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Mailboxes alone, without sockets
    Inproc,
    /// Plain RTP through the relay
    Udp,
    /// WebRTC through the server
    Webrtc,
}

/// How much of what.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// By what.
    pub transport: Transport,
    /// Rooms.
    pub rooms: usize,
    /// Publishers in each.
    pub publishers: usize,
    /// Subscribers in each.
    pub subscribers: usize,
    /// Packets a second of each publisher; 0 is as fast as it goes.
    pub rate: u64,
    /// Bytes of a packet's payload.
    pub size: usize,
    /// How long a run takes.
    pub duration: Duration,
    /// Shards.
    pub shards: usize,
    /// Whether a server estimates its peers' bandwidth and paces what it sends them.
    pub paced: bool,
}

impl Load {
    /// The most packets a second of a publisher: what comes faster is a flood.
    pub const MAX_RATE: u64 = 10_000_000;

    /// Room for a header, a sequence number and a time.
    const SIZES: std::ops::RangeInclusive<usize> = 32..=1400;

    pub(super) fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !Self::SIZES.contains(&self.size) {
            let (least, most) = (Self::SIZES.start(), Self::SIZES.end());
            return refuse(format!("a packet has {least} to {most} bytes"));
        }
        if self.rate > Self::MAX_RATE {
            return refuse(format!("at most {} packets a second", Self::MAX_RATE));
        }
        if self.paced && self.transport != Transport::Webrtc {
            return refuse("only webrtc is paced".to_owned());
        }
        if self.rate == 0 && self.transport != Transport::Inproc {
            let why = "only inproc can go as fast as it goes; sockets need a rate";
            return refuse(why.to_owned());
        }
        Ok(())
    }
}

/// What a run showed.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Packets that were to be forwarded: sent times subscribers.
    pub offered: u64,
    /// Packets that arrived.
    pub delivered: u64,
    /// How long it took.
    pub took: Duration,
    /// CPU time of those who forward.
    pub cpu: Duration,
    /// How many threads forward.
    pub threads: usize,
    /// Nanoseconds from the intended sending to arrival.
    pub media: Histogram<u64>,
    /// The same of control messages, where there are any.
    pub control: Histogram<u64>,
    /// What was not forwarded, by reason.
    pub drops: Vec<(&'static str, u64)>,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            offered: 0,
            delivered: 0,
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            threads: 0,
            media: histogram(),
            control: histogram(),
            drops: Vec::new(),
        }
    }

    pub(super) fn drop(&mut self, reason: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        match self.drops.iter_mut().find(|drop| drop.0 == reason) {
            Some(drop) => drop.1 += count,
            None => self.drops.push((reason, count)),
        }
    }

    /// How much of its time a forwarding thread worked.
    pub(super) fn busy(&self) -> f64 {
        let time = self.took.as_secs_f64() * self.threads.max(1) as f64;
        self.cpu.as_secs_f64() / time.max(1e-9)
    }

    /// What those who forward do not know of: full buffers of the sender's and receivers' sockets.
    pub(super) fn count_unseen(&mut self) {
        let known: u64 = self.drops.iter().map(|drop| drop.1).sum();
        let missing = self.offered.saturating_sub(self.delivered + known);
        self.drop("not_seen", missing);
    }
}

/// Nanoseconds, up to a minute, to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}
