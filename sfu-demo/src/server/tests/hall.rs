//! A hall: a hundred publishers of sound and pictures, and five hundred viewers that see four of them each.
//!
//! What it prints is the figure; what it asserts is that everybody sees. `SFU_HALL=30,100` makes it smaller, `SFU_HALL_JOINS=40` lets
//! so many viewers join in a second, and with `SFU_HALL_ESTIMATE=1` the server estimates and paces as `serve` does.

use std::collections::HashSet;
use std::sync::Arc;

use super::peer::{VP8, picture, shown};
use super::*;
use crate::cpu_time;
use crate::mailbox::mesh::Mesh;

/// Publishers and viewers.
const HALL: (u16, u16) = (100, 500);
/// Viewers that join in a second.
const JOINS: u16 = 20;
/// Pictures that each viewer sees.
const SEEN: usize = 4;
/// Between two pictures, and between two packets of sound.
const PICTURE: Duration = Duration::from_micros(33_333);
const SOUND: Duration = Duration::from_millis(20);
/// The bytes of a packet of a picture, and of one of sound.
const BYTES: (usize, usize) = (1000, 80);
/// How often who connects is looked after, and who is connected: if it says when packets have come, it has to see them come.
const CONNECTS: Duration = Duration::from_millis(2);
const CONNECTED: Duration = Duration::from_millis(20);
const PUNCTUAL: Duration = Duration::from_millis(5);
/// How long one speaks.
const SPEECH: Duration = Duration::from_secs(5);
/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// Somebody in the hall.
struct Seat {
    number: u16,
    role: Role,
    client: Client,
    /// When it is due, and what else of a publisher is.
    due: Instant,
    picture: Instant,
    sound: Instant,
    sequences: (u64, u64),
    /// Requests for a keyframe that were answered.
    answered: usize,
    /// When a viewer has joined, and how long its first picture took.
    joined: Instant,
    first: Option<Duration>,
    seen: HashSet<u16>,
    /// Packets since they were counted last.
    packets: u64,
}

/// Who speaks, and whether viewers who have seen enough count what comes without decrypting it. An estimate
/// needs their feedback.
#[derive(Clone, Copy)]
struct Turn {
    speaker: u16,
    deaf: bool,
}

impl Seat {
    fn offer(role: Role) -> (Client, String) {
        let publishes = role == Role::Publish;
        let videos = if publishes { 1 } else { SEEN };
        let mut kinds = vec![MediaKind::Audio];
        kinds.resize(1 + videos, MediaKind::Video);
        Client::plain(HERE, publishes, &kinds).unwrap()
    }

    fn new(number: u16, role: Role, client: Client, joined: Instant) -> Self {
        // Publishers do not send all at once.
        let later = |interval: Duration| joined + interval * u32::from(number % 100) / 100;
        Self {
            number,
            role,
            client,
            due: joined,
            picture: later(PICTURE),
            sound: later(SOUND),
            sequences: (0, 0),
            answered: 0,
            joined,
            first: None,
            seen: HashSet::new(),
            packets: 0,
        }
    }

    fn visit(&mut self, now: Instant, turn: Turn, batch: &mut RecvBatch) {
        let sends = self.role == Role::Publish && self.client.connected;
        if sends {
            self.send(now, turn);
        }
        let done = turn.deaf && self.seen.len() >= SEEN;
        let driven = if self.role == Role::Subscribe && done {
            self.client
                .drive_deaf(batch)
                .map(|media| self.packets += media)
        } else {
            let (seen, packets) = (&mut self.seen, &mut self.packets);
            self.client.drive(batch, |packet| {
                *packets += 1;
                seen.extend(shown(&packet.payload).map(|(publisher, _)| publisher));
            })
        };
        driven.unwrap();
        if !self.seen.is_empty() && self.first.is_none() {
            self.first = Some(self.joined.elapsed());
        }
        self.due = match self.role {
            _ if !self.client.connected => now + CONNECTS,
            Role::Publish => self.picture.min(self.sound),
            _ if self.first.is_none() => now + CONNECTS,
            _ if turn.deaf => now + CONNECTED,
            _ => now + PUNCTUAL,
        };
    }

    fn send(&mut self, now: Instant, turn: Turn) {
        if self.sound <= now {
            let level = if turn.speaker == self.number {
                -20
            } else {
                -100
            };
            let sound = vec![0; BYTES.1].into();
            self.client.write_sound(0, self.sequences.1, level, sound);
            self.sequences.1 += 1;
            self.sound = (self.sound + SOUND).max(now);
        }
        if self.picture <= now {
            let mut payload = picture(self.number, 0, 16);
            let asked = self.client.keyframe_requests;
            if self.sequences.0 > 0 && asked == self.answered {
                // It builds on the last.
                payload[1] |= 1;
            }
            self.answered = asked;
            let (at, padding) = (payload.len() - 5, BYTES.0 - payload.len());
            payload.splice(at..at, std::iter::repeat_n(0, padding));
            let time = (self.sequences.0 * 3000) as u32;
            let payload = Arc::from(payload);
            let sent = self
                .client
                .write(1, VP8, self.sequences.0, time, true, payload);
            self.sequences.0 += u64::from(sent);
            self.picture = (self.picture + PICTURE).max(now);
        }
    }
}

struct Hall {
    world: World<Mesh>,
    seats: Vec<Seat>,
    batch: RecvBatch,
    began: Instant,
    publishers: u16,
    deaf: bool,
}

impl Hall {
    fn join(&mut self, number: u16, role: Role, (mut client, offer): (Client, String)) {
        let joined = Instant::now();
        self.world.admit("hall", number, role, &mut client, offer);
        self.seats.push(Seat::new(number, role, client, joined));
    }

    /// Visits those who are due, and waits for the next.
    fn round(&mut self) {
        let now = Instant::now();
        let speeches = now.duration_since(self.began).as_secs() / SPEECH.as_secs();
        let turn = Turn {
            speaker: 1 + (speeches % u64::from(self.publishers)) as u16,
            deaf: self.deaf,
        };
        let mut next = now + CONNECTS;
        for seat in &mut self.seats {
            if seat.due <= now {
                seat.visit(now, turn, &mut self.batch);
            }
            next = next.min(seat.due);
        }
        let out = self.seats.iter().find(|seat| seat.client.closed);
        if let Some(Seat { role, number, .. }) = out {
            let stats = self.world.stats();
            let panics = stats.shards.iter().map(|shard| shard.counters.panics);
            panic!("{role:?} {number} is out; {} panics", panics.sum::<u64>());
        }
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let mut said = Instant::now();
        let start = said;
        while !done(self) {
            self.round();
            assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
            if said.elapsed() >= Duration::from_secs(5) {
                said = Instant::now();
                println!("{:.0?}: {}", self.began.elapsed(), self.state());
            }
        }
    }

    fn viewers(&self) -> impl Iterator<Item = &Seat> {
        self.seats
            .iter()
            .filter(|seat| seat.role == Role::Subscribe)
    }

    fn state(&self) -> String {
        let connected = self.seats.iter().filter(|seat| seat.client.connected);
        let first = self.viewers().filter(|seat| seat.first.is_some());
        let all = self.viewers().filter(|seat| seat.seen.len() >= SEEN);
        format!(
            "{} have joined, {} are connected, {} have a picture, {} have {SEEN}",
            self.seats.len(),
            connected.count(),
            first.count(),
            all.count()
        )
    }

    /// CPU time of each part.
    fn costs(&self) -> (Duration, Vec<crate::stats::ShardStats>, Instant) {
        (
            cpu_time::of_thread(),
            self.world.stats().shards,
            Instant::now(),
        )
    }

    /// Says what the shards and the clients have cost since.
    fn report(&self, since: &(Duration, Vec<crate::stats::ShardStats>, Instant)) {
        let (cpu, shards, at) = self.costs();
        let took = (at - since.2).as_secs_f64();
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / took;
        for (before, after) in since.1.iter().zip(&shards) {
            let sent = after.counters.datagrams_out - before.counters.datagrams_out;
            println!(
                "shard {}: {:.0} datagrams/s out, {:.0} % of a core, {:.1} us each, dropped {:?}",
                after.shard,
                sent as f64 / took,
                share(after.cpu - before.cpu),
                (after.cpu - before.cpu).as_micros() as f64 / sent as f64,
                after
                    .counters
                    .drops
                    .iter()
                    .map(|(reason, count)| (reason, count - before.counters.drops.of(reason)))
                    .filter(|drop| drop.1 > 0)
                    .collect::<Vec<_>>(),
            );
        }
        println!("clients: {:.0} % of a core", share(cpu - since.0));
    }
}

#[test]
#[ignore = "it needs a release build and two idle cores: cargo test --release -p sfu-demo --lib -- --ignored --nocapture hall"]
fn hall_of_a_hundred_publishers_shows_five_hundred_viewers_four_pictures_each() {
    let set = |name: &str| std::env::var(name).ok();
    let number = |text: &str| text.trim().parse::<u16>().expect("a number");
    let size = set("SFU_HALL").map(|text| {
        let pair = text.split_once(',').map(|(a, b)| (number(a), number(b)));
        pair.expect("PUBLISHERS,VIEWERS")
    });
    let (publishers, viewers) = size.unwrap_or(HALL);
    let joins = set("SFU_HALL_JOINS").map_or(JOINS, |text| number(&text));
    let estimate = set("SFU_HALL_ESTIMATE").is_some();
    let world = World::<Mesh>::with((HERE, 0).into(), 2, SEEN, estimate);
    let mut hall = Hall {
        world,
        seats: Vec::new(),
        batch: RecvBatch::new(64),
        began: Instant::now(),
        publishers,
        deaf: !estimate,
    };
    // Making a client takes time that is not the server's.
    let all = |role, count| (1..=count).map(move |it| (it, Seat::offer(role)));
    let mut clients: Vec<_> = all(Role::Publish, publishers).collect();
    let mut audience: Vec<_> = all(Role::Subscribe, viewers).rev().collect();
    println!("{:.1?}: the clients are made", hall.began.elapsed());
    for (number, client) in clients.drain(..) {
        hall.join(number, Role::Publish, client);
        hall.until("few connect at a time", |hall| {
            let waiting = hall.seats.iter().filter(|seat| !seat.client.connected);
            waiting.count() < 8
        });
    }
    hall.until("the publishers are connected", |hall| {
        hall.seats.iter().all(|seat| seat.client.connected)
    });
    println!("{:.1?}: the publishers are there", hall.began.elapsed());
    let (start, since) = (Instant::now(), hall.costs());
    for count in 0..u32::from(viewers) {
        let due = start + Duration::from_secs(1) * count / u32::from(joins);
        hall.until("the next joins", |_| Instant::now() >= due);
        let (number, client) = audience.pop().unwrap();
        hall.join(number, Role::Subscribe, client);
    }
    println!("{:.1?}: all have joined", hall.began.elapsed());
    hall.until("all see four", |hall| {
        hall.viewers().all(|seat| seat.seen.len() >= SEEN)
    });
    println!(
        "{:.1?}: all see four; since the first viewer",
        hall.began.elapsed()
    );
    hall.report(&since);
    let mut firsts: Vec<_> = hall.viewers().filter_map(|seat| seat.first).collect();
    firsts.sort_unstable();
    let at = |percent: usize| firsts[(firsts.len() * percent / 100).min(firsts.len() - 1)];
    let soon = firsts
        .iter()
        .filter(|first| **first <= Duration::from_secs(5));
    println!(
        "first picture: {} of {viewers} within 5 s; p50 {:.0?}, p99 {:.0?}, longest {:.0?}",
        soon.count(),
        at(50),
        at(99),
        at(100)
    );
    for seat in &mut hall.seats {
        seat.packets = 0;
    }
    let (start, since) = (Instant::now(), hall.costs());
    hall.until("it is measured", |_| start.elapsed() >= MEASURED);
    hall.report(&since);
    let mut rates: Vec<_> = hall.viewers().map(|seat| seat.packets).collect();
    rates.sort_unstable();
    let rate = |at: usize| rates[at] as f64 / start.elapsed().as_secs_f64();
    println!(
        "packets a viewer gets in a second: median {:.0}, least {:.0}",
        rate(rates.len() / 2),
        rate(0)
    );
    assert!(rates[0] > 0, "everybody goes on receiving");
    hall.world.stop();
}
