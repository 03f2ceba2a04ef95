//! Mailboxes alone: publishers' threads send to shards, and each shard copies every packet for each
//! of its subscribers, as it would into a batch for the socket. Control goes beside it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use quanta::Instant;

use super::place::{Part, Placed};
use super::schedule::{Schedule, wait_until};
use super::{Load, Run, histogram};
use crate::cpu;
use crate::mailbox::{Mailbox, Message, Receiver, Refused, Sender};

/// How many media messages a shard's mailbox holds, of all senders together. A mesh, which counts by
/// sender, gets its share for each.
const SLOTS: usize = 4096;
/// Control messages a second to each shard.
const CONTROL_RATE: u64 = 1000;

struct Packet {
    due: Instant,
    subscribers: usize,
    payload: Arc<[u8]>,
}

struct Outcome {
    delivered: u64,
    cpu: Duration,
    media: Histogram<u64>,
    control: Histogram<u64>,
}

pub(super) fn run<M: Mailbox>(load: Load) -> io::Result<Run> {
    let stop = Arc::new(AtomicBool::new(false));
    let senders = load.rooms * load.publishers;
    let low = if M::PER_SENDER {
        (SLOTS / (senders + 1)).max(16)
    } else {
        SLOTS
    };
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..load.shards)
        .map(|_| M::mailbox::<Instant, Packet>(256, low))
        .unzip();
    let placed = Placed::here();
    placed.go(Part::Forwarding);
    let forwarding: Vec<_> = rxs
        .into_iter()
        .map(|rx| thread::spawn(move || shard::<M>(rx)))
        .collect();

    placed.go(Part::Load);
    let start = Instant::now() + Duration::from_millis(20);
    let publishing = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || publish::<M>(load, start, txs, &stop))
    };
    drop(placed);
    thread::sleep(load.duration + Duration::from_millis(20));
    // ORDERING: a flag alone; the threads' results come by joining them.
    stop.store(true, Ordering::Relaxed);
    let (offered, full) = publishing
        .join()
        .map_err(|_| io::Error::other("a publisher panicked"))?;
    let mut run = Run::new();
    for shard in forwarding {
        let outcome = shard
            .join()
            .map_err(|_| io::Error::other("a shard panicked"))?;
        run.delivered += outcome.delivered;
        run.cpu += outcome.cpu;
        run.media += &outcome.media;
        run.control += &outcome.control;
    }
    run.offered = offered;
    run.took = load.duration;
    run.threads = load.shards;
    run.drop("lane_full", full);
    Ok(run)
}

/// How many of a room's subscribers a shard has.
fn share(load: &Load, shard: usize) -> usize {
    (shard..load.subscribers).step_by(load.shards).count()
}

/// Sends for all publishers, each with a sender of its own, and control with another: more threads than
/// cores would measure the scheduler. Says what was offered, and what of it was refused.
fn publish<M: Mailbox>(
    load: Load,
    start: Instant,
    mut control: Vec<M::Sender<Instant, Packet>>,
    stop: &AtomicBool,
) -> (u64, u64) {
    let payload: Arc<[u8]> = vec![7; load.size].into();
    let publishers = load.rooms * load.publishers;
    let mut media: Vec<_> = (0..publishers)
        .map(|_| (control.clone(), Schedule::new(start, load.rate)))
        .collect();
    let mut controls = Schedule::new(start, CONTROL_RATE);
    let shares: Vec<_> = (0..load.shards).map(|shard| share(&load, shard)).collect();
    let (mut offered, mut full) = (0, 0);
    let mut send = |lanes: &mut Vec<M::Sender<Instant, Packet>>, due: Instant| {
        let mut refused = 0;
        for (lane, &subscribers) in lanes.iter_mut().zip(&shares) {
            if subscribers == 0 {
                continue;
            }
            offered += subscribers as u64;
            let packet = Packet {
                due,
                subscribers,
                payload: Arc::clone(&payload),
            };
            if let Err(Refused::Full(_) | Refused::Closed(_)) = lane.try_send_low(packet) {
                refused += subscribers as u64;
            }
        }
        full += refused;
        refused
    };
    // ORDERING: a flag alone.
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while controls.due() <= now {
            for lane in &mut control {
                let _ = lane.try_send_high(controls.due());
            }
            controls.next();
        }
        if load.rate == 0 {
            let mut refused = 0;
            for (lanes, _) in &mut media {
                refused += send(lanes, Instant::now());
            }
            if refused > 0 {
                thread::yield_now();
            }
            continue;
        }
        let mut next = controls.due();
        for (lanes, schedule) in &mut media {
            while schedule.due() <= now {
                send(lanes, schedule.due());
                schedule.next();
            }
            next = next.min(schedule.due());
        }
        wait_until(next);
    }
    // What is refused under a flood was never offered: the publisher tries again.
    if load.rate == 0 {
        (offered - full, 0)
    } else {
        (offered, full)
    }
}

fn shard<M: Mailbox>(mut mailbox: M::Receiver<Instant, Packet>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("an executor");
    runtime.block_on(async {
        let mut outcome = Outcome {
            delivered: 0,
            cpu: Duration::ZERO,
            media: histogram(),
            control: histogram(),
        };
        let mut messages = Vec::with_capacity(256);
        let mut out = Vec::with_capacity(1 << 20);
        while mailbox.recv_many(&mut messages, 256).await > 0 {
            for message in messages.drain(..) {
                match message {
                    Message::High(due) => record(&mut outcome.control, due),
                    Message::Low(packet) => {
                        if out.len() + packet.subscribers * packet.payload.len() > out.capacity() {
                            out.clear();
                        }
                        for _ in 0..packet.subscribers {
                            out.extend_from_slice(&packet.payload);
                        }
                        std::hint::black_box(&out);
                        outcome.delivered += packet.subscribers as u64;
                        record(&mut outcome.media, packet.due);
                    }
                }
            }
        }
        outcome.cpu = cpu::of_thread();
        outcome
    })
}

fn record(histogram: &mut Histogram<u64>, due: Instant) {
    let nanos = Instant::now().saturating_duration_since(due).as_nanos() as u64;
    histogram.saturating_record(nanos.max(1));
}
