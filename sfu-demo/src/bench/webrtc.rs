//! WebRTC through the server, with clients of this process: ICE, DTLS and SRTP are real, the codec
//! is not looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quanta::Instant;
use str0m::media::MediaKind;

use super::place::{Part, Placed};
use super::schedule::{Schedule, age, stamp};
use super::{Load, Run};
use crate::client::Client;
use crate::lobby::{Join, Limits};
use crate::mailbox::Mailbox;
use crate::serve::{self, Options, Server};
use crate::session::Role;
use crate::session::codec::{Codec, Name};
use crate::udp::RecvBatch;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OPUS: Codec = Codec {
    name: Name::Opus,
    profile: 0,
};
/// How long everybody may take to be connected and to hear something.
const PATIENCE: Duration = Duration::from_secs(30);

struct Publisher {
    client: Client,
    schedule: Schedule,
    sequence: u64,
}

pub(super) fn run<M: Mailbox>(load: Load) -> io::Result<Run> {
    let placed = Placed::here();
    placed.go(Part::Forwarding);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let people = load.publishers + load.subscribers;
    let server = runtime.block_on(serve::start::<M>(Options {
        http: SocketAddr::from((HERE, 0)),
        media: vec![HERE],
        shards: load.shards,
        limits: Limits {
            room: people,
            server: people * load.rooms,
        },
        estimate: false,
        ..Options::default()
    }))?;
    placed.go(Part::Load);
    let outcome = drive(&load, &runtime, &server);
    let clean = runtime.block_on(server.stop(Duration::from_secs(10)));
    if !clean {
        return Err(io::Error::other("the server did not end by itself"));
    }
    outcome
}

fn join(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    room: usize,
    role: Role,
    kinds: &[MediaKind],
) -> io::Result<Client> {
    let (mut client, offer) = Client::new(HERE, role == Role::Publish, kinds)?;
    let join = Join {
        room: format!("room-{room}").into(),
        name: "load".into(),
        role,
        offer,
        sources: Vec::new(),
    };
    let joined = runtime
        .block_on(server.join(join))
        .ok_or_else(|| io::Error::other("the server has no place"))?;
    client.accept(&joined.answer)?;
    Ok(client)
}

fn drive(load: &Load, runtime: &tokio::runtime::Runtime, server: &Server) -> io::Result<Run> {
    let epoch = Instant::now();
    let audio = [MediaKind::Audio];
    let mut publishers = Vec::new();
    let mut subscribers = Vec::new();
    for room in 0..load.rooms {
        for _ in 0..load.publishers {
            let client = join(runtime, server, room, Role::Publish, &audio)?;
            let schedule = Schedule::new(epoch, load.rate);
            publishers.push(Publisher {
                client,
                schedule,
                sequence: 0,
            });
        }
        for _ in 0..load.subscribers {
            let kinds = vec![MediaKind::Audio; load.publishers];
            subscribers.push((join(runtime, server, room, Role::Subscribe, &kinds)?, false));
        }
    }
    let mut batch = RecvBatch::new(64);
    let mut payload = vec![0; load.size];

    // Everybody is there when everybody has heard something.
    let patience = Instant::now() + PATIENCE;
    while !subscribers.iter().all(|(_, heard)| *heard) {
        if Instant::now() > patience {
            return Err(io::Error::other("not everybody could be connected"));
        }
        for publisher in &mut publishers {
            publisher.client.drive(&mut batch, |_| {})?;
            if publisher.client.connected {
                publisher.send(&payload);
            }
        }
        for (client, heard) in &mut subscribers {
            client.drive(&mut batch, |_| *heard = true)?;
        }
        thread::sleep(Duration::from_millis(10));
    }

    let before = runtime.block_on(server.observe());
    let mut run = Run::new();
    let start = Instant::now();
    for publisher in &mut publishers {
        publisher.schedule = Schedule::new(start, load.rate);
    }
    let end = start + load.duration;
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
        for (client, _) in &mut subscribers {
            client.drive(&mut batch, |packet| {
                // What was sent to find each other has no time in it.
                let since = Instant::now();
                if let Some(nanos) = age(&packet.payload, epoch, since)
                    && packet.payload[..8] != [0; 8]
                {
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
    let after = runtime.block_on(server.observe());
    for (before, after) in before.shards.iter().zip(&after.shards) {
        run.cpu += after.cpu.saturating_sub(before.cpu);
        for (reason, count) in after.counters.drops.iter() {
            run.drop(reason.label(), count - before.counters.drops.of(reason));
        }
    }
    for publisher in &mut publishers {
        publisher.client.close();
        publisher.client.drive(&mut batch, |_| {})?;
    }
    for (client, _) in &mut subscribers {
        client.close();
        client.drive(&mut batch, |_| {})?;
    }
    Ok(run)
}

impl Publisher {
    fn send(&mut self, payload: &[u8]) {
        let time = (self.sequence * 960) as u32;
        let payload = Arc::from(payload);
        if self
            .client
            .write(0, OPUS, self.sequence, time, false, payload)
        {
            self.sequence += 1;
        }
    }
}
