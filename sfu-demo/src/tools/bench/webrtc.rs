//! WebRTC through the server, with clients in the same process. ICE, DTLS and SRTP are real; payloads are not decoded.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quanta::Instant;
use str0m::media::MediaKind;

use super::affinity::{Affinity, Cores};
use super::load::{Load, Run};
use super::schedule::{Schedule, age, stamp};
use crate::mailbox::Mailbox;
use crate::net::udp::RecvBatch;
use crate::session::Role;
use crate::tools::client::Client;
use crate::tools::loopback::{Loopback, SOUND, connect_all};

pub(super) fn run<M: Mailbox>(load: Load) -> io::Result<Run> {
    let affinity = Affinity::current();
    affinity.restrict(Cores::Forwarding);
    let people = load.publishers + load.subscribers;
    let loopback = Loopback::open::<M>(load.shards, load.rooms, people, load.paced)?;
    affinity.restrict(Cores::Load);
    let outcome = drive(&load, &loopback);
    loopback.close()?;
    outcome
}

fn drive(load: &Load, loopback: &Loopback) -> io::Result<Run> {
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    for room in 0..load.rooms {
        for _ in 0..load.publishers {
            publishers.push(loopback.join(room, Role::Publish, &[MediaKind::Audio])?);
        }
        for _ in 0..load.subscribers {
            let kinds = vec![MediaKind::Audio; load.publishers];
            subscribers.push(loopback.join(room, Role::Subscribe, &kinds)?);
        }
    }
    let mut batch = RecvBatch::new(64);
    let sequence = connect_all(&mut publishers, &mut subscribers, &mut batch)?;

    let before = loopback.observe();
    let mut payload = vec![0; load.size];
    let mut run = Run::new();
    let epoch = Instant::now();
    let mut publishers: Vec<_> = publishers
        .into_iter()
        .map(|client| Publisher {
            client,
            schedule: Schedule::new(epoch, load.rate),
            sequence,
        })
        .collect();
    let end = epoch + load.duration;
    let late = end + Duration::from_millis(100);
    loop {
        let now = Instant::now();
        if now >= late {
            break;
        }
        for publisher in &mut publishers {
            while publisher.schedule.due() <= now && publisher.schedule.due() < end {
                stamp(&mut payload, epoch, publisher.schedule.due());
                publisher.send(&payload);
                publisher.schedule.next();
                run.offered += load.subscribers as u64;
            }
            publisher.client.drive(&mut batch, |_| {})?;
        }
        for client in &mut subscribers {
            client.drive(&mut batch, |packet| {
                // Packets from connecting carry no time.
                if let Some(nanos) = age(&packet.payload, epoch, Instant::now()) {
                    run.delivered += 1;
                    run.media.saturating_record(nanos);
                }
            })?;
        }
        let next = publishers
            .iter()
            .map(|publisher| publisher.schedule.due())
            .min();
        let ahead = next.map(|next| next.saturating_duration_since(Instant::now()));
        let ahead = ahead.unwrap_or_default().min(Duration::from_micros(500));
        if ahead > Duration::from_micros(50) {
            thread::sleep(ahead);
        }
    }
    run.took = load.duration;
    run.threads = load.shards;
    let after = loopback.observe();
    for (before, after) in before.shards.iter().zip(&after.shards) {
        run.cpu += after.cpu.saturating_sub(before.cpu);
        for (reason, count) in after.counters.drops.iter() {
            run.drop(reason.label(), count - before.counters.drops.of(reason));
        }
    }
    let senders = publishers.iter_mut().map(|publisher| &mut publisher.client);
    for client in senders.chain(&mut subscribers) {
        client.close();
        client.drive(&mut batch, |_| {})?;
    }
    Ok(run)
}

struct Publisher {
    client: Client,
    schedule: Schedule,
    sequence: u64,
}

impl Publisher {
    fn send(&mut self, payload: &[u8]) {
        let time = (self.sequence * 960) as u32;
        let payload = Arc::from(payload);
        if self
            .client
            .write(0, SOUND, self.sequence, time, false, payload)
        {
            self.sequence += 1;
        }
    }
}
