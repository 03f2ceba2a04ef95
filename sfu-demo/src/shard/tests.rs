//! One shard with peers on sockets, driven by hand: panics in a session, and peers that go silent.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use str0m::media::MediaKind;

use super::*;
use crate::control::Tables as _;
use crate::control::rooms::Rooms;
use crate::ids::TrackId;
use crate::mailbox::mesh::Mesh;
use crate::media::codec::{Codec, Name};
use crate::messages::ShardSender;
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
    control: ShardSender<Mesh>,
    room: <Mesh as Mailbox>::Receiver<RoomMessage, Infallible>,
    admission: <Mesh as Mailbox>::Receiver<AdmissionMessage, Infallible>,
    rooms: Rooms,
    setup: Setup,
    ended: usize,
    batch: RecvBatch,
    clients: Vec<Client>,
    heard: Vec<u64>,
    sequence: u64,
}

impl Rig {
    fn new() -> Self {
        let socket = Bind::new((HERE, 0).into()).open().unwrap();
        let setup = Setup {
            udp: vec![socket.local_addr().unwrap()],
            tcp: Vec::new(),
            estimate: true,
        };
        let (control, mailbox) = Mesh::mailbox(64, 64);
        let (room_tx, room) = Mesh::mailbox(1024, 1);
        let (admission_tx, admission) = Mesh::mailbox(1024, 1);
        let wiring = Wiring {
            here: 0,
            mailbox,
            shards: vec![control.clone()],
            room: room_tx,
            admission: admission_tx,
        };
        Self {
            shard: Shard::new(wiring, vec![socket]).unwrap(),
            control,
            room,
            admission,
            rooms: Rooms::default(),
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
            room: "room".into(),
            name: "name".into(),
            role,
        };
        let now = self.shard.now();
        let (session, answer) =
            Session::answer_to(&self.setup, identity, &offer, Vec::new(), now).unwrap();
        client.accept(&answer).unwrap();
        self.control
            .try_send_high(Control::Adopt(Box::new(session)))
            .unwrap();
        self.clients.push(client);
        self.heard.push(0);
        id
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
        let _ = tokio::time::timeout(Duration::from_millis(2), self.shard.ready()).await;
        assert!(self.shard.turn().unwrap());
        let (mut messages, mut out) = (Vec::new(), Vec::new());
        let _ = self.room.try_recv_many(&mut messages, 1024);
        for Message::High(message) in messages {
            self.rooms.handle(self.shard.now(), message, &mut out);
        }
        for (_, control) in out {
            self.control.try_send_high(control).unwrap();
        }
        let mut messages = Vec::new();
        let _ = self.admission.try_recv_many(&mut messages, 1024);
        let ended = |message: &Message<_, _>| {
            matches!(message, Message::High(AdmissionMessage::Ended { .. }))
        };
        self.ended += messages.iter().filter(|message| ended(message)).count();
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
            self.round(true).await;
        }
    }

    fn rooms(&mut self) -> Vec<RoomStats> {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let now = self.shard.now();
        self.rooms
            .handle(now, RoomMessage::Observe(reply), &mut Vec::new());
        answer.try_recv().unwrap()
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
                name: "name".into(),
                video: false,
                source: crate::media::Source::Microphone,
            };
            let add = Control::AddTrack(victim, track, 0);
            rig.control.try_send_high(add).unwrap();
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
        assert_eq!(rig.rooms()[0].participants, 2, "and the room");
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
    let rooms = rig.rooms();
    assert_eq!((rooms[0].participants, rooms[0].tracks), (1, 0));
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
    assert!(rig.rooms().is_empty());
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
        Message::Low(Media::Packet(packet))
    };
    let counted = |rig: &Rig| {
        let counters = &rig.shard.meter.counters;
        (counters.drops.of(DropReason::Aged), counters.media_out)
    };
    let before = counted(&rig);
    rig.shard
        .message(now, waited(MAX_AGE + Duration::from_millis(1)));
    assert_eq!(counted(&rig), (before.0 + 1, before.1));
    rig.shard.message(now, waited(MAX_AGE));
    assert_eq!(counted(&rig), (before.0 + 1, before.1 + 1));
}
