//! One shard with peers on sockets, driven by hand: panics in a session, and peers that go silent.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use lanemesh_runtime::{spawn, testing::Sink};
use str0m::media::MediaKind;

use super::*;
use crate::control::rooms::state::Room;
use crate::ids::{PersonId, TrackId};
use crate::mailbox::mesh::{Mesh, NoFeed};
use crate::media::codec::{Codec, Name};
use crate::messages::{Guest, News, RoomLink, RoomMessage, RoomTag, RoomUpdate, Rooms};
use crate::net::udp::Bind;
use crate::session::Role;
use crate::session::build::{Identity, Setup};
use crate::stats::RoomStats;
use crate::tools::client::Client;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard, and what it is connected to.
struct Rig {
    shard: Shard<Mesh>,
    to_room: lanemesh::Receiver<RoomMessage>,
    admission: lanemesh::Receiver<AdmissionMessage>,
    tag: RoomTag,
    room: Room,
    setup: Setup,
    ended: usize,
    batch: RecvBatch,
    clients: Vec<Client>,
    heard: Vec<u64>,
    sequence: u64,
}

/// One room, played by the test.
struct OneRoom(RoomTag, Mutex<lanemesh::Sender<RoomMessage>>);

impl Rooms for OneRoom {
    fn open(&self, _: &Arc<str>) -> Option<RoomLink> {
        let to = self.1.lock().unwrap().clone();
        Some(RoomLink {
            tag: self.0,
            to: Box::new(to),
        })
    }

    fn find(&self, name: &Arc<str>) -> Option<RoomLink> {
        self.open(name)
    }

    fn all(&self) -> Vec<RoomLink> {
        Vec::new()
    }
}

impl Rig {
    fn new() -> Self {
        let socket = Bind::new((HERE, 0).into()).open().unwrap();
        let setup = Setup {
            udp: vec![socket.local_addr().unwrap()],
            tcp: Vec::new(),
            estimate: true,
        };
        let (room_tx, to_room) = lanemesh::channel(1024);
        let (admission_tx, admission) = lanemesh::channel(1024);
        let (claims, _) = lanemesh::channel(1024);
        let (handle, child) = spawn(Sink::<(), ()>::new());
        child.detach();
        let tag = RoomTag {
            actor: handle.id(),
            incarnation: 1,
        };
        let wiring = Wiring {
            shards: Vec::new(),
            admission: Box::new(admission_tx),
            claims: Box::new(claims),
            rooms: Arc::new(OneRoom(tag, Mutex::new(room_tx))),
        };
        let parts = Parts {
            here: 0,
            sockets: Vec::new(),
            feed: Mutex::new(Some(NoFeed)),
            connect: tokio::sync::watch::channel(None).1,
        };
        let mut shard = Shard::new(Arc::new(parts));
        shard.sockets = Sockets::new(vec![socket]).unwrap();
        shard.begin(1, wiring);
        Self {
            shard,
            to_room,
            admission,
            tag,
            room: Room::new(tag, 1),
            setup,
            ended: 0,
            batch: RecvBatch::new(64),
            clients: Vec::new(),
            heard: Vec::new(),
            sequence: 0,
        }
    }

    /// Adds a peer; the first one publishes.
    fn join(&mut self) -> ParticipantId {
        let id = ParticipantId(self.clients.len() as u64 + 1);
        let sends = self.clients.is_empty();
        let (mut client, offer) = Client::new(HERE, sends, &[MediaKind::Audio]).unwrap();
        let role = if sends {
            Role::Publish
        } else {
            Role::Subscribe
        };
        let identity = Identity {
            id,
            person: PersonId(id.0),
            room: "room".into(),
            name: "name".into(),
            role,
        };
        let now = self.shard.now();
        let (session, answer) =
            Session::answer_to(&self.setup, identity, &offer, Vec::new(), now).unwrap();
        client.accept(&answer).unwrap();
        let guest = Guest {
            id,
            ufrag: session.ufrag().to_owned(),
            room: "room".into(),
            address: None,
            principal: None,
            role,
            resource: String::new(),
        };
        let adoption = Adoption {
            session,
            guest: Arc::new(guest),
            page: None,
            to: 1,
            by: 1,
        };
        self.shard.control(now, Control::Adopt(Box::new(adoption)));
        self.clients.push(client);
        self.heard.push(0);
        id
    }

    /// The shard gets news of the room.
    fn tell(&mut self, news: News) {
        let update = RoomUpdate {
            room: "room".into(),
            from: self.tag,
            news,
        };
        let now = self.shard.now();
        self.shard.control(now, Control::Room(update));
    }

    fn session(&mut self, id: ParticipantId) -> &mut Session {
        let key = self.shard.peers.key_of(id).unwrap();
        self.shard.peers.session(key).unwrap()
    }

    /// Drives the clients if `clients_speak`, then the shard and the rooms.
    async fn round(&mut self, clients_speak: bool) {
        if clients_speak {
            if self.clients[0].connected {
                let opus = Codec {
                    name: Name::Opus,
                    profile: 0,
                };
                let time = self.sequence as u32 * 960;
                let sound = b"sound".as_slice().into();
                self.clients[0].write(0, opus, self.sequence, time, false, sound);
                self.sequence += 1;
            }
            for (client, heard) in self.clients.iter_mut().zip(&mut self.heard) {
                // A client whose session was closed may fail.
                let _ = client.drive(&mut self.batch, |_| *heard += 1);
            }
        }
        let shard = &self.shard;
        let ready = actor::ready(&shard.sockets, &shard.streams, shard.wake_at);
        let _ = tokio::time::timeout(Duration::from_millis(2), ready).await;
        self.shard.turn().unwrap();
        let mut out = Vec::new();
        while let Ok(message) = self.to_room.try_recv() {
            if let RoomMessage::Shard(from, to, change) = message {
                let now = self.shard.now();
                self.room.handle(now, from, to, change, &mut out);
            }
        }
        for (_, news) in out {
            self.tell(news);
        }
        while let Ok(message) = self.admission.try_recv() {
            self.ended += usize::from(matches!(message, AdmissionMessage::Ended { .. }));
        }
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
            self.round(true).await;
        }
    }

    fn room(&self) -> RoomStats {
        self.room.stats(&"room".into())
    }
}

#[tokio::test]
async fn fault_in_the_code_of_one_peer_ends_that_peer_alone() {
    for (count, place) in ["receive", "deliver", "poll", "tick", "add_track"]
        .into_iter()
        .enumerate()
    {
        let mut rig = Rig::new();
        rig.join();
        let victim = rig.join();
        let other = rig.join();
        rig.until("both hear", |rig| rig.heard[1] > 10 && rig.heard[2] > 10)
            .await;
        rig.session(victim).fault = Some(place);
        if place == "add_track" {
            let track = crate::media::TrackInfo {
                id: TrackId(77),
                participant: ParticipantId(9),
                person: PersonId(9),
                name: "name".into(),
                video: false,
                source: crate::media::Source::Microphone,
            };
            rig.tell(News::Added(track, 0));
        }
        let gone = |rig: &Rig| rig.shard.peers.key_of(victim).is_none();
        rig.until("the peer with the fault is gone", gone).await;
        assert_eq!(rig.shard.meter.counters.panics, 1, "{place} ({count})");
        let before = rig.heard[2];
        rig.until("the other goes on hearing", |rig| {
            rig.heard[2] > before + 200
        })
        .await;
        assert_eq!(rig.shard.meter.counters.panics, 1);
        assert!(rig.shard.peers.key_of(other).is_some());
        assert_eq!(rig.ended, 1, "admission has been told");
        assert_eq!(rig.room().participants, 2, "and the room");
    }
}

#[tokio::test]
async fn fault_in_the_code_of_a_publisher_leaves_its_players() {
    let mut rig = Rig::new();
    let publisher = rig.join();
    rig.join();
    rig.until("it hears", |rig| rig.heard[1] > 10).await;
    rig.session(publisher).fault = Some("receive");
    rig.until("the publisher is gone", |rig| rig.ended == 1)
        .await;
    for _ in 0..50 {
        rig.round(true).await;
    }
    let room = rig.room();
    assert_eq!((room.participants, room.tracks), (1, 0));
    assert_eq!(rig.shard.peers.len(), 1);
    assert!(rig.shard.peers.tracks().next().is_none() && rig.shard.router.is_empty());
}

#[tokio::test]
async fn peers_who_go_silent_are_removed_and_leave_nothing_behind() {
    let mut rig = Rig::new();
    rig.join();
    rig.join();
    rig.join();
    rig.until("they hear", |rig| rig.heard[1] > 10 && rig.heard[2] > 10)
        .await;
    // STUN comes only every few seconds: none may be removed too early.
    rig.shard.ahead = Duration::from_secs(10);
    for _ in 0..20 {
        rig.round(false).await;
    }
    assert_eq!(rig.shard.peers.len(), 3);
    rig.shard.ahead = Duration::from_secs(21);
    let start = Instant::now();
    while rig.ended < 3 {
        assert!(start.elapsed() < PATIENCE, "they are never given up");
        rig.round(false).await;
    }
    let shard = &rig.shard;
    assert!(shard.peers.has_forgotten_all());
    assert!(shard.directory.is_empty(), "{:?}", shard.directory);
    assert!(shard.router.is_empty());
    assert_eq!(shard.meter.counters.panics, 0);
    assert_eq!(rig.room().participants, 0);
}

#[tokio::test]
async fn media_that_waited_too_long_is_dropped_and_counted() {
    let mut rig = Rig::new();
    rig.join();
    rig.join();
    rig.until("it hears", |rig| rig.heard[1] > 10).await;
    let track = rig.shard.peers.tracks().next().unwrap();
    let now = rig.shard.now();
    let waited = |age: Duration| {
        let packet = crate::media::MediaPacket {
            track,
            layer: crate::media::Layer(0),
            measure: Default::default(),
            ssrc: 1,
            codec: Codec {
                name: Name::Opus,
                profile: 0,
            },
            sequence: 1_000_000,
            time: 0,
            marker: false,
            keyframe: false,
            audio_level: None,
            voice: None,
            orientation: None,
            possible: Default::default(),
            captured: None,
            arrived: now - age,
            payload: b"sound".as_slice().into(),
        };
        Media::Packet(packet)
    };
    let counted = |rig: &Rig| {
        let counters = &rig.shard.meter.counters;
        (counters.drops.of(DropReason::Aged), counters.media_out)
    };
    let before = counted(&rig);
    rig.shard
        .media(now, waited(MAX_AGE + Duration::from_millis(1)));
    assert_eq!(counted(&rig), (before.0 + 1, before.1));
    rig.shard.media(now, waited(MAX_AGE));
    assert_eq!(counted(&rig), (before.0 + 1, before.1 + 1));
}
