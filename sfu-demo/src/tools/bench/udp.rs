//! Plain RTP through the relay on loopback, and the bare loop that it is measured against.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quanta::Instant;

use super::affinity::{Affinity, Cores};
use super::load::{Load, Run};
use super::schedule::{Schedule, age, stamp, wait_until};
use crate::cpu_time;
use crate::mailbox::Mailbox;
use crate::net::udp::{Bind, RecvBatch, SendBatch, recv_direct, send_direct};
use crate::tools::relay;

const HEADER: usize = 12;

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

pub(super) fn run<M: Mailbox>(load: Load) -> io::Result<Run> {
    let sinks = sinks(&load)?;
    let affinity = Affinity::current();
    affinity.restrict(Cores::Forwarding);
    let mut relays = Vec::new();
    for sinks in sinks.chunks(load.subscribers.max(1)) {
        let options = relay::RelayConfig {
            listen: any_port(),
            to: sinks
                .iter()
                .map(UdpSocket::local_addr)
                .collect::<io::Result<_>>()?,
            shards: load.shards,
            allow_remote: false,
            burst: SendBatch::BURST,
        };
        relays.push(relay::start::<M>(options)?);
    }
    let targets: Vec<_> = relays.iter().map(|relay| relay.listen).collect();
    affinity.restrict(Cores::Load);
    let mut run = drive(&load, sinks, &targets)?;
    run.threads = relays.len() * load.shards;
    for relay in relays {
        for stats in relay.stop()? {
            run.cpu += stats.cpu;
            for (reason, count) in stats.drops.iter() {
                run.drop(reason.label(), count);
            }
        }
    }
    Ok(run)
}

/// The minimal forwarder: receives a batch and sends it to all.
pub(super) fn bare(load: Load) -> io::Result<Run> {
    let sinks = sinks(&load)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut targets = Vec::new();
    let mut loops = Vec::new();
    let affinity = Affinity::current();
    affinity.restrict(Cores::Forwarding);
    for sinks in sinks.chunks(load.subscribers.max(1)) {
        let to: Vec<_> = sinks
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<io::Result<_>>()?;
        let ingress = Bind::new(any_port()).open()?;
        ingress.set_nonblocking(false)?;
        ingress.set_read_timeout(Some(Duration::from_millis(50)))?;
        targets.push(ingress.local_addr()?);
        let stop = Arc::clone(&stop);
        loops.push(thread::spawn(move || bare_loop(&ingress, &to, &stop)));
    }
    affinity.restrict(Cores::Load);
    let mut run = drive(&load, sinks, &targets)?;
    run.threads = loops.len();
    // ORDERING: a flag alone.
    stop.store(true, Ordering::Relaxed);
    for each in loops {
        run.cpu += each
            .join()
            .map_err(|_| io::Error::other("the loop panicked"))??;
    }
    Ok(run)
}

fn bare_loop(ingress: &UdpSocket, to: &[SocketAddr], stop: &AtomicBool) -> io::Result<Duration> {
    let egress = Bind::new(any_port()).open()?;
    let mut incoming = RecvBatch::new(64);
    let mut outgoing = SendBatch::new();
    let mut stored = Vec::new();
    // ORDERING: a flag alone.
    while !stop.load(Ordering::Relaxed) {
        match recv_direct(ingress, &mut incoming) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Sleeps until a datagram comes, as an idle relay does.
                let mut one = [0; 1];
                let _ = ingress.peek(&mut one);
                continue;
            }
            Err(error) => return Err(error),
        }
        stored.clear();
        stored.extend(
            incoming
                .iter()
                .map(|datagram| outgoing.store(datagram.bytes)),
        );
        for &to in to {
            for &bytes in &stored {
                outgoing.push(to, bytes);
            }
        }
        send_direct(&egress, &mut outgoing, true)?;
        outgoing.clear();
    }
    Ok(cpu_time::of_thread())
}

fn sinks(load: &Load) -> io::Result<Vec<UdpSocket>> {
    (0..load.rooms * load.subscribers)
        .map(|_| Bind::new(any_port()).open())
        .collect()
}

/// Sends on schedule, and counts what arrives.
fn drive(load: &Load, sinks: Vec<UdpSocket>, targets: &[SocketAddr]) -> io::Result<Run> {
    let epoch = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let counting = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || count(&sinks, epoch, &stop))
    };
    let sender = Bind::new(any_port()).open()?;
    let mut schedules = vec![
        (
            Schedule::new(epoch + Duration::from_millis(20), load.rate),
            0u16
        );
        targets.len()
    ];
    let end = epoch + Duration::from_millis(20) + load.duration;
    let mut packet = vec![0; HEADER + load.size];
    packet[..2].copy_from_slice(&[0x80, 96]);
    let mut outgoing = SendBatch::new();
    let mut offered = 0;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        for ((schedule, sequence), &target) in schedules.iter_mut().zip(targets) {
            while schedule.due() <= now && schedule.due() < end {
                for publisher in 0..load.publishers as u32 {
                    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                    packet[8..12].copy_from_slice(&publisher.to_be_bytes());
                    stamp(&mut packet[HEADER..], epoch, schedule.due());
                    outgoing.push_copy(target, &packet);
                    offered += load.subscribers as u64;
                }
                *sequence = sequence.wrapping_add(1);
                schedule.next();
            }
        }
        while !outgoing.is_empty() {
            if send_direct(&sender, &mut outgoing, true)?.blocked {
                thread::yield_now();
            }
        }
        if let Some(next) = schedules.iter().map(|(schedule, _)| schedule.due()).min() {
            wait_until(next);
        }
    }
    // Packets in flight get a moment to arrive.
    thread::sleep(Duration::from_millis(100));
    // ORDERING: a flag alone.
    stop.store(true, Ordering::Relaxed);
    let mut run = counting
        .join()
        .map_err(|_| io::Error::other("a receiver panicked"))??;
    run.offered = offered;
    run.took = load.duration;
    Ok(run)
}

fn count(sinks: &[UdpSocket], epoch: Instant, stop: &AtomicBool) -> io::Result<Run> {
    let mut run = Run::new();
    let mut batch = RecvBatch::new(64);
    // ORDERING: a flag alone.
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        for sink in sinks {
            match recv_direct(sink, &mut batch) {
                Ok(_) => idle = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            for datagram in batch.iter() {
                if let Some(nanos) = datagram
                    .bytes
                    .get(HEADER..)
                    .and_then(|payload| age(payload, epoch, now))
                {
                    run.delivered += 1;
                    run.media.saturating_record(nanos);
                }
            }
        }
        if idle {
            thread::sleep(Duration::from_micros(100));
        }
    }
    Ok(run)
}
