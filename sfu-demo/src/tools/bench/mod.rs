//! Load generation, to compare mailboxes and to measure the server.
//!
//! The load is open-loop: latency counts from the intended time of sending, so that a delayed sender does not hide
//! latency. Runs take turns on one machine; results of different machines are not comparable.

use std::io;
use std::time::Duration;

use crate::mailbox::{Mailbox, MailboxKind, OnMailbox};

mod affinity;
mod copier;
mod inproc;
mod load;
mod plot;
mod report;
mod schedule;
mod udp;
mod webrtc;

use load::Run;
pub use load::{Load, Transport};
pub use plot::svg;
pub use report::{Line, Report, Tail};

struct Once(Load);

impl OnMailbox for Once {
    type Output = io::Result<Run>;

    fn run<M: Mailbox>(self) -> io::Result<Run> {
        let mut run = match self.0.transport {
            Transport::Inproc => inproc::run::<M>(self.0),
            Transport::Udp => udp::run::<M>(self.0),
            Transport::Webrtc => webrtc::run::<M>(self.0),
        }?;
        run.count_unseen();
        Ok(run)
    }
}

/// Runs each of `kinds` `rounds` times, in turns; for UDP, also a bare loop. Each round starts with another kind.
///
/// # Errors
///
/// If sockets fail, or the load is invalid.
pub fn compare(
    load: Load,
    kinds: &[MailboxKind],
    rounds: usize,
    mut progress: impl FnMut(&str),
) -> io::Result<Report> {
    load.check()?;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); kinds.len()];
    let mut bare = Vec::new();
    for round in 0..rounds {
        for turn in 0..kinds.len() {
            let index = (turn + round) % kinds.len();
            let kind = kinds[index];
            progress(&format!("{kind}, round {} of {rounds}", round + 1));
            runs[index].push(kind.with(Once(load))?);
        }
        if load.transport == Transport::Udp {
            progress(&format!("bare loop, round {} of {rounds}", round + 1));
            let mut run = udp::bare(load)?;
            run.count_unseen();
            bare.push(run);
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

/// Searches for the rate at which the forwarding threads of `kind` are busy for the fraction `busy` of the time.
///
/// # Errors
///
/// As [`compare`]; also if packets are lost below that rate, because then the load generator is the bottleneck.
pub fn rate_for(
    load: Load,
    kind: MailboxKind,
    busy: f64,
    mut progress: impl FnMut(&str),
) -> io::Result<u64> {
    let load = Load {
        rate: load.rate.max(1),
        duration: load.duration.min(Duration::from_secs(1)),
        ..load
    };
    load.check()?;
    search(load.rate, busy, |rate| {
        let percent = busy * 100.0;
        progress(&format!(
            "searching for {percent:.0} % load: {rate} packets/s"
        ));
        let run = kind.with(Once(Load { rate, ..load }))?;
        Ok((run.busy(), run.delivered * 100 < run.offered * 99))
    })
}

/// Searches for the rate at which `measure` returns `busy`, starting with `rate`. `measure` also returns whether packets
/// were lost.
fn search(
    mut rate: u64,
    busy: f64,
    mut measure: impl FnMut(u64) -> io::Result<(f64, bool)>,
) -> io::Result<u64> {
    const TRIES: usize = 8;
    const NEAR: f64 = 0.05;
    let mut best = (f64::INFINITY, rate);
    for _ in 0..TRIES {
        let (was, lost) = measure(rate)?;
        let off = (was / busy - 1.0).abs();
        if off < NEAR {
            return Ok(rate);
        }
        if lost {
            let percent = was * 100.0;
            return Err(io::Error::other(format!(
                "packets are lost at {rate} packets/s, when the forwarding threads are only {percent:.0} % busy: the \
                 load generator is the bottleneck"
            )));
        }
        if off < best.0 {
            best = (off, rate);
        }
        let factor = (busy / was.max(1e-6)).clamp(0.1, 8.0);
        rate = ((rate as f64 * factor) as u64).clamp(1, Load::MAX_RATE);
    }
    // On a busy machine runs differ; the report shows the actual fraction.
    if best.0 < 4.0 * NEAR {
        return Ok(best.1);
    }
    Err(io::Error::other(format!(
        "no rate keeps the forwarding threads {:.0} % busy",
        busy * 100.0
    )))
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
            paced: false,
        }
    }

    #[test]
    fn every_transport_delivers_on_every_mailbox() {
        for transport in [Transport::Inproc, Transport::Udp, Transport::Webrtc] {
            let report = compare(load(transport), &MailboxKind::ALL, 1, |_| {}).unwrap();
            for line in &report.lines {
                assert!(line.delivered > 0.0, "{transport:?} {line:?}");
                assert!(
                    line.media.count > 0 && line.cpu_micros > 0.0 && line.busy > 0.0,
                    "{transport:?} {line:?}"
                );
            }
            assert!(report.table().lines().count() >= 2 + MailboxKind::ALL.len());
            let svg = svg(&report);
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        }
    }

    #[test]
    fn paced_load_is_delivered() {
        let load = Load {
            paced: true,
            ..load(Transport::Webrtc)
        };
        let report = compare(load, &[MailboxKind::Mesh], 1, |_| {}).unwrap();
        assert!(report.lines[0].delivered > 0.9, "{:?}", report.lines);
    }

    #[test]
    fn flood_is_for_mailboxes_alone() {
        let flood = Load {
            rate: 0,
            ..load(Transport::Inproc)
        };
        let report = compare(flood, &[MailboxKind::Tokio], 1, |_| {}).unwrap();
        assert!(report.lines[0].per_second > 0.0);
        assert!(report.lines[0].control.count > 0);
        let flood = Load {
            rate: 0,
            ..load(Transport::Udp)
        };
        assert!(compare(flood, &[MailboxKind::Tokio], 1, |_| {}).is_err());
    }

    #[test]
    fn senseless_loads_are_refused_with_a_reason() {
        for (load, why) in [
            (
                Load {
                    size: 1500,
                    ..load(Transport::Udp)
                },
                "32 to 1400 bytes",
            ),
            (
                Load {
                    size: 8,
                    ..load(Transport::Inproc)
                },
                "32 to 1400 bytes",
            ),
            (
                Load {
                    rate: 20_000_000,
                    ..load(Transport::Inproc)
                },
                "at most 10000000",
            ),
            (
                Load {
                    rate: 0,
                    ..load(Transport::Webrtc)
                },
                "need a rate",
            ),
            (
                Load {
                    paced: true,
                    ..load(Transport::Udp)
                },
                "only webrtc is paced",
            ),
        ] {
            let error = compare(load, &[MailboxKind::Tokio], 1, |_| {}).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn rate_is_found_for_a_part_of_the_time() {
        // 2 % at rest, and 1 % for each 1000 packets.
        let busy = |rate: u64| 0.02 + rate as f64 / 100_000.0;
        let mut tries = 0;
        let found = search(1000, 0.5, |rate| {
            tries += 1;
            Ok((busy(rate), false))
        });
        let found = busy(found.unwrap());
        assert!((found - 0.5).abs() < 0.03, "{found}");
        assert!(tries < 8);
    }

    #[test]
    fn rate_that_cannot_be_had_is_refused_with_a_reason() {
        let lost = search(1000, 0.5, |rate| Ok((0.1, rate > 2000))).unwrap_err();
        assert!(lost.to_string().contains("lost at 5000"), "{lost}");
        let never = search(1000, 0.5, |_| Ok((0.9, false))).unwrap_err();
        assert!(never.to_string().contains("no rate"), "{never}");
    }

    #[test]
    fn what_nobody_knows_of_is_said_too() {
        let mut run = Run::new();
        (run.offered, run.delivered) = (100, 80);
        run.drop("lane_full", 5);
        run.count_unseen();
        assert_eq!(run.drops, [("lane_full", 5), ("not_seen", 15)]);
    }
}
