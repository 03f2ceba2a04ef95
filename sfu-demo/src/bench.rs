//! Load, to compare mailboxes and to see what the server carries.
//!
//! The schedule is open: a packet's latency counts from the time at which it should have been sent,
//! so that a sender held up by the system does not make the system look quick. It compares runs of
//! one machine taken in turns, and says nothing of others.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::mailbox::kind::OnMailbox;
use crate::mailbox::{Kind, Mailbox};

mod inproc;
mod plot;
mod udp;
mod webrtc;

pub use plot::svg;

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
}

/// What a run showed.
#[derive(Debug, Clone)]
pub struct Run {
    /// Packets that were to be forwarded: sent times subscribers.
    pub offered: u64,
    /// Packets that arrived.
    pub delivered: u64,
    /// How long it took.
    pub took: Duration,
    /// CPU time of those who forward.
    pub cpu: Duration,
    /// Microseconds from the intended sending to arrival.
    pub media: Histogram<u64>,
    /// The same of control messages, where there are any.
    pub control: Histogram<u64>,
    /// What was not forwarded, by reason.
    pub drops: Vec<(&'static str, u64)>,
}

impl Run {
    fn new() -> Self {
        Self {
            offered: 0,
            delivered: 0,
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            media: histogram(),
            control: histogram(),
            drops: Vec::new(),
        }
    }

    fn drop(&mut self, reason: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        match self.drops.iter_mut().find(|drop| drop.0 == reason) {
            Some(drop) => drop.1 += count,
            None => self.drops.push((reason, count)),
        }
    }
}

/// Nanoseconds, from 100 ns to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

/// Some latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tail {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Tail {
    fn of(histogram: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 10.0).round() / 100.0;
        Self {
            count: histogram.len(),
            p50: micros(histogram.value_at_quantile(0.5)),
            p99: micros(histogram.value_at_quantile(0.99)),
            p999: micros(histogram.value_at_quantile(0.999)),
            max: micros(histogram.max()),
        }
    }
}

/// A line of the table: a mailbox over all of its runs.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The mailbox, or what there is instead of one.
    pub name: &'static str,
    /// Packets delivered a second, the median of the runs.
    pub per_second: f64,
    /// The part of what was offered that was delivered.
    pub delivered: f64,
    /// CPU microseconds of those who forward, for each delivered packet.
    pub cpu_micros: f64,
    /// Media latency.
    pub media: Tail,
    /// Control latency.
    pub control: Tail,
    /// Drops by reason.
    pub drops: Vec<(&'static str, u64)>,
}

impl Line {
    fn of(name: &'static str, runs: &[Run]) -> Self {
        let mut all = Run::new();
        let mut rates: Vec<f64> = Vec::new();
        for run in runs {
            all.offered += run.offered;
            all.delivered += run.delivered;
            all.cpu += run.cpu;
            all.media += &run.media;
            all.control += &run.control;
            for &(reason, count) in &run.drops {
                all.drop(reason, count);
            }
            rates.push(run.delivered as f64 / run.took.as_secs_f64().max(1e-9));
        }
        rates.sort_by(f64::total_cmp);
        Self {
            name,
            per_second: rates.get(rates.len() / 2).copied().unwrap_or(0.0),
            delivered: all.delivered as f64 / (all.offered.max(1)) as f64,
            cpu_micros: all.cpu.as_secs_f64() * 1e6 / all.delivered.max(1) as f64,
            media: Tail::of(&all.media),
            control: Tail::of(&all.control),
            drops: all.drops,
        }
    }
}

/// All that a comparison showed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Under what load.
    pub load: Load,
    /// How many runs of each.
    pub rounds: usize,
    /// A line each.
    pub lines: Vec<Line>,
}

struct Once(Load);

impl OnMailbox for Once {
    type Output = io::Result<Run>;

    fn run<M: Mailbox>(self) -> io::Result<Run> {
        match self.0.transport {
            Transport::Inproc => inproc::run::<M>(self.0),
            Transport::Udp => udp::run::<M>(self.0),
            Transport::Webrtc => webrtc::run::<M>(self.0),
        }
    }
}

/// Runs each of `kinds` `rounds` times, in turns, and for UDP a bare loop beside them.
///
/// # Errors
///
/// If sockets fail, or the load makes no sense.
pub fn compare(
    load: Load,
    kinds: &[Kind],
    rounds: usize,
    mut progress: impl FnMut(&str),
) -> io::Result<Report> {
    if load.size < MIN_SIZE || load.size > MAX_SIZE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a packet has {MIN_SIZE} to {MAX_SIZE} bytes"),
        ));
    }
    if load.rate == 0 && load.transport != Transport::Inproc {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only inproc can go as fast as it goes; sockets need a rate",
        ));
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); kinds.len()];
    let mut bare = Vec::new();
    for round in 0..rounds {
        for (index, kind) in kinds.iter().enumerate() {
            progress(&format!("{kind}, round {} of {rounds}", round + 1));
            runs[index].push(kind.with(Once(load))?);
        }
        if load.transport == Transport::Udp {
            progress(&format!("bare loop, round {} of {rounds}", round + 1));
            bare.push(udp::bare(load)?);
        }
    }
    let mut lines: Vec<_> = kinds
        .iter()
        .zip(&runs)
        .map(|(kind, runs)| Line::of(kind.name(), runs))
        .collect();
    if !bare.is_empty() {
        lines.push(Line::of("bare loop", &bare));
    }
    Ok(Report {
        load,
        rounds,
        lines,
    })
}

/// Room for a header, a sequence number and a time.
const MIN_SIZE: usize = 32;
const MAX_SIZE: usize = 1400;

impl Report {
    /// The report as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let load = &self.load;
        let mut text = String::new();
        let rate = match load.rate {
            0 => "as many packets as go".to_owned(),
            rate => format!("{rate} packets a second"),
        };
        let _ = writeln!(
            text,
            "{} rooms of {} publishers, each {rate} of {} bytes, and {} subscribers; {} shards; \
             {} runs of {:.1?}, in turns; times in µs from the intended sending",
            load.rooms,
            load.publishers,
            load.size,
            load.subscribers,
            load.shards,
            self.rounds,
            load.duration,
        );
        let _ = writeln!(
            text,
            "{:<11} {:>11} {:>7} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  drops",
            "mailbox",
            "packets/s",
            "arrived",
            "CPU µs",
            "media p50",
            "p99",
            "p99.9",
            "max",
            "ctrl p50",
            "p99",
            "max"
        );
        for line in &self.lines {
            let drops: Vec<_> = line
                .drops
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            let control = |value: f64| {
                if line.control.count == 0 {
                    "-".to_owned()
                } else {
                    format!("{value:.1}")
                }
            };
            let _ = writeln!(
                text,
                "{:<11} {:>11.0} {:>6.1}% {:>8.3} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9} {:>9} {:>9}  {}",
                line.name,
                line.per_second,
                line.delivered * 100.0,
                line.cpu_micros,
                line.media.p50,
                line.media.p99,
                line.media.p999,
                line.media.max,
                control(line.control.p50),
                control(line.control.p99),
                control(line.control.max),
                drops.join(", "),
            );
        }
        text
    }
}

/// The times at which a sender should send.
#[derive(Debug, Clone)]
struct Schedule {
    start: quanta::Instant,
    interval: Duration,
    sent: u32,
}

impl Schedule {
    fn new(start: quanta::Instant, rate: u64) -> Self {
        Self {
            start,
            interval: Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX),
            sent: 0,
        }
    }

    /// When the next is due.
    fn due(&self) -> quanta::Instant {
        self.start + self.interval * self.sent
    }

    fn next(&mut self) {
        self.sent += 1;
    }

    /// Sleeps until shortly before the next is due, so that a core is left to those who forward.
    fn wait(&self) {
        let ahead = self.due().saturating_duration_since(quanta::Instant::now());
        if ahead > Duration::from_micros(50) {
            std::thread::sleep(ahead);
        }
    }
}

/// Writes the intended time into a payload, as nanoseconds since `epoch`.
fn stamp(payload: &mut [u8], epoch: quanta::Instant, due: quanta::Instant) {
    let nanos = due.saturating_duration_since(epoch).as_nanos() as u64;
    payload[..8].copy_from_slice(&nanos.to_be_bytes());
}

/// How long ago the time in a payload was, in nanoseconds.
fn age(payload: &[u8], epoch: quanta::Instant, now: quanta::Instant) -> Option<u64> {
    let nanos = u64::from_be_bytes(payload.get(..8)?.try_into().ok()?);
    let now = now.saturating_duration_since(epoch).as_nanos() as u64;
    Some(now.saturating_sub(nanos).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(transport: Transport) -> Load {
        Load {
            transport,
            rooms: 2,
            publishers: 1,
            subscribers: 3,
            rate: 300,
            size: 200,
            duration: Duration::from_millis(300),
            shards: 2,
        }
    }

    #[test]
    fn every_transport_delivers_on_every_mailbox() {
        for transport in [Transport::Inproc, Transport::Udp, Transport::Webrtc] {
            let report = compare(load(transport), &Kind::ALL, 1, |_| {}).unwrap();
            for line in &report.lines {
                assert!(line.delivered > 0.0, "{transport:?} {line:?}");
                assert!(
                    line.media.count > 0 && line.cpu_micros > 0.0,
                    "{transport:?} {line:?}"
                );
            }
            assert!(report.table().lines().count() >= 2 + Kind::ALL.len());
            let svg = svg(&report);
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        }
    }

    #[test]
    fn flood_is_for_mailboxes_alone() {
        let flood = Load {
            rate: 0,
            ..load(Transport::Inproc)
        };
        let report = compare(flood, &[Kind::Tokio], 1, |_| {}).unwrap();
        assert!(report.lines[0].per_second > 0.0);
        assert!(report.lines[0].control.count > 0);
        let flood = Load {
            rate: 0,
            ..load(Transport::Udp)
        };
        assert!(compare(flood, &[Kind::Tokio], 1, |_| {}).is_err());
        let large = Load {
            size: 1500,
            ..load(Transport::Udp)
        };
        assert!(compare(large, &[Kind::Tokio], 1, |_| {}).is_err());
    }

    #[test]
    fn age_counts_from_the_intended_time() {
        let epoch = quanta::Instant::now();
        let mut schedule = Schedule::new(epoch, 1000);
        schedule.next();
        let mut payload = [0; 16];
        stamp(&mut payload, epoch, schedule.due());
        let later = epoch + Duration::from_millis(3);
        assert_eq!(age(&payload, epoch, later), Some(2_000_000));
        assert_eq!(age(&payload[..7], epoch, later), None);
    }
}
