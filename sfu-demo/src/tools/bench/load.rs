//! A load, and the measurements of a run.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

/// What packets travel through.
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

/// The load of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// What packets travel through.
    pub transport: Transport,
    /// The number of rooms.
    pub rooms: usize,
    /// Publishers in each room.
    pub publishers: usize,
    /// Subscribers in each room.
    pub subscribers: usize,
    /// Packets per second of each publisher; 0 is as fast as possible.
    pub rate: u64,
    /// The payload of a packet in bytes.
    pub size: usize,
    /// The duration of a run.
    pub duration: Duration,
    /// The number of shards.
    pub shards: usize,
    /// Whether the server estimates each peer's bandwidth and paces what it sends.
    pub paced: bool,
}

impl Load {
    /// The highest rate of a publisher in packets per second.
    pub const MAX_RATE: u64 = 10_000_000;

    /// Payload sizes in bytes: room for a sequence number and a time, within a datagram.
    const SIZES: std::ops::RangeInclusive<usize> = 32..=1400;

    pub(super) fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !Self::SIZES.contains(&self.size) {
            let (least, most) = (Self::SIZES.start(), Self::SIZES.end());
            return refuse(format!("the payload must have {least} to {most} bytes"));
        }
        if self.rate > Self::MAX_RATE {
            return refuse(format!("at most {} packets a second", Self::MAX_RATE));
        }
        if self.paced && self.transport != Transport::Webrtc {
            return refuse("only webrtc is paced".to_owned());
        }
        if self.rate == 0 && self.transport != Transport::Inproc {
            let why = "a flood is for inproc only; sockets need a rate";
            return refuse(why.to_owned());
        }
        Ok(())
    }
}

/// The measurements of a run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Packets offered: packets sent times subscribers.
    pub offered: u64,
    /// Packets that arrived.
    pub delivered: u64,
    /// The duration.
    pub took: Duration,
    /// CPU time of the forwarding threads.
    pub cpu: Duration,
    /// The number of forwarding threads.
    pub threads: usize,
    /// Latency of media in nanoseconds, from the intended time of sending.
    pub media: Histogram<u64>,
    /// The same for control messages, if there are any.
    pub control: Histogram<u64>,
    /// Packets not forwarded, by reason.
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

    /// The fraction of the time that a forwarding thread was busy.
    pub(super) fn busy(&self) -> f64 {
        let time = self.took.as_secs_f64() * self.threads.max(1) as f64;
        self.cpu.as_secs_f64() / time.max(1e-9)
    }

    /// Counts packets that are missing without a reason: lost in full buffers of the load's own sockets.
    pub(super) fn count_unseen(&mut self) {
        let known: u64 = self.drops.iter().map(|drop| drop.1).sum();
        let missing = self.offered.saturating_sub(self.delivered + known);
        self.drop("not_seen", missing);
    }
}

/// A histogram of nanoseconds up to a minute, with three significant digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}
