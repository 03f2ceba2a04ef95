//! Mailboxes alone: publishers send to actors that, in the place of shards, copy every packet for each of their
//! subscribers, as a shard would into the batch of a socket. Control messages are sent at the same time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quanta::Instant;

use super::affinity::{Affinity, Cores};
use super::copier::{self, Handle, Packet};
use super::load::{Load, Run};
use super::schedule::{Schedule, wait_until};
use crate::mailbox::{Mailbox, Sender};
use crate::shard::MAILBOX_BURST;

/// Media messages that a shard's mailbox holds, from all senders together. A mailbox with capacities per sender gets an
/// equal part for each.
const SLOTS: usize = 4096;
/// Control messages per second to each shard.
const CONTROL_RATE: u64 = 1000;

pub(super) fn run<M: Mailbox>(load: Load) -> io::Result<Run> {
    let stop = Arc::new(AtomicBool::new(false));
    let senders = load.rooms * load.publishers;
    let low = if M::PER_SENDER {
        (SLOTS / (senders + 1)).max(16)
    } else {
        SLOTS
    };
    let affinity = Affinity::current();
    affinity.restrict(Cores::Forwarding);
    let copiers = (0..load.shards).map(|_| copier::start::<M>(low));
    let copiers: Vec<_> = copiers.collect::<io::Result<_>>()?;
    let (txs, forwarding): (Vec<_>, Vec<_>) = copiers.into_iter().unzip();

    affinity.restrict(Cores::Load);
    let start = Instant::now() + Duration::from_millis(20);
    let publishing = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || publish::<M>(load, start, txs, &stop))
    };
    drop(affinity);
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
            .map_err(|_| io::Error::other("a copier panicked"))??;
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

/// The number of a room's subscribers in a shard.
fn share(load: &Load, shard: usize) -> usize {
    (shard..load.subscribers).step_by(load.shards).count()
}

/// A publisher, with a sender to each shard.
struct Publisher<S> {
    lanes: Vec<S>,
    /// In a flood: a packet that a shard had no room for, to be sent again.
    held: Vec<Option<Packet>>,
    schedule: Schedule,
}

/// Payloads to publish: as many as can be in flight, so that no two packets share a reference count, as with packets from
/// a network.
struct Payloads {
    all: Vec<Arc<[u8]>>,
    next: usize,
}

impl Payloads {
    fn new(size: usize, count: usize) -> Self {
        let all = (0..count).map(|_| vec![7; size].into()).collect();
        Self { all, next: 0 }
    }

    fn next(&mut self) -> Arc<[u8]> {
        self.next = (self.next + 1) % self.all.len();
        Arc::clone(&self.all[self.next])
    }
}

/// Sends for all publishers, each with its own senders, and control with another, all on one thread: more threads than
/// cores would measure the scheduler. Returns the packets offered and the packets refused, for each subscriber.
fn publish<M: Mailbox>(
    load: Load,
    start: Instant,
    mut control: Vec<Handle<M>>,
    stop: &AtomicBool,
) -> (u64, u64) {
    let shares: Vec<_> = (0..load.shards).map(|shard| share(&load, shard)).collect();
    let mut publishers: Vec<_> = (0..load.rooms * load.publishers)
        .map(|_| Publisher {
            lanes: control.clone(),
            held: shares.iter().map(|_| None).collect(),
            schedule: Schedule::new(start, load.rate),
        })
        .collect();
    let mut payloads = Payloads::new(load.size, SLOTS + 2 * MAILBOX_BURST);
    let mut controls = Schedule::new(start, CONTROL_RATE);
    let (mut offered, mut full) = (0, 0);
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
            let mut refused = false;
            for publisher in &mut publishers {
                let taken = publisher.flood(&shares, &mut payloads);
                offered += taken;
                refused |= taken < load.subscribers as u64;
            }
            if refused {
                thread::yield_now();
            }
            continue;
        }
        let mut next = controls.due();
        for publisher in &mut publishers {
            while publisher.schedule.due() <= now {
                offered += load.subscribers as u64;
                full += publisher.send(&shares, &mut payloads);
                publisher.schedule.next();
            }
            next = next.min(publisher.schedule.due());
        }
        wait_until(next);
    }
    (offered, full)
}

impl<S: Sender<Instant, Packet>> Publisher<S> {
    /// Sends a packet that is due. Returns the number of subscribers in shards that had no room.
    fn send(&mut self, shares: &[usize], payloads: &mut Payloads) -> u64 {
        let (due, payload) = (self.schedule.due(), payloads.next());
        let mut refused = 0;
        for (lane, &subscribers) in self.lanes.iter_mut().zip(shares) {
            let packet = Packet {
                due,
                subscribers,
                payload: Arc::clone(&payload),
            };
            if subscribers > 0 && lane.try_send_low(packet).is_err() {
                refused += subscribers as u64;
            }
        }
        refused
    }

    /// Sends a packet to each shard that has room. Returns the number of subscribers in these shards.
    fn flood(&mut self, shares: &[usize], payloads: &mut Payloads) -> u64 {
        let mut taken = 0;
        let lanes = self.lanes.iter_mut().zip(&mut self.held).zip(shares);
        for ((lane, held), &subscribers) in lanes {
            if subscribers == 0 {
                continue;
            }
            let due = Instant::now();
            let packet = match held.take() {
                Some(packet) => Packet { due, ..packet },
                None => Packet {
                    due,
                    subscribers,
                    payload: payloads.next(),
                },
            };
            match lane.try_send_low(packet) {
                Ok(()) => taken += subscribers as u64,
                Err(refused) => *held = Some(refused.into_inner()),
            }
        }
        taken
    }
}
