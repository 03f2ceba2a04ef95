//! Faults in a running server: actors that are made to panic or hang, and peers that come back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use str0m::media::MediaKind;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite;

use super::{Limits, Server, ServerConfig, start_with_app};
use crate::http::App;
use crate::mailbox::Mailbox;
use crate::media::codec::{Codec, Name};
use crate::messages::{Join, Principal};
use crate::net::udp::RecvBatch;
use crate::session::Role;
use crate::stats::Stats;
use crate::tools::client::Client;

mod crowd;
mod faults;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a condition may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const VP8: Codec = Codec {
    name: Name::Vp8,
    profile: 0,
};

/// A server with peers in one room, all driven by the test's thread.
struct World<M: Mailbox> {
    runtime: Runtime,
    server: Server,
    app: Arc<App<M>>,
    peers: Vec<Peer>,
    /// Sections for the video of others that a viewer offers.
    sections: usize,
    batch: RecvBatch,
    last_write: Instant,
}

/// A publisher or a viewer, with the WebSocket that a page would have.
struct Peer {
    number: u8,
    role: Role,
    client: Client,
    resource: String,
    lost: Arc<AtomicBool>,
    sequence: u64,
    /// How many packets of each publisher have come.
    seen: HashMap<u8, u64>,
}

impl<M: Mailbox> World<M> {
    fn new(shards: usize, sections: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = ServerConfig {
            http: (HERE, 0).into(),
            media: vec![HERE],
            shards,
            estimate: false,
            limits: Limits {
                room: 256,
                ..Limits::default()
            },
            ..ServerConfig::default()
        };
        let (server, app) = runtime.block_on(start_with_app::<M>(config)).unwrap();
        Self {
            runtime,
            server,
            app,
            peers: Vec::new(),
            sections,
            batch: RecvBatch::new(64),
            last_write: Instant::now(),
        }
    }

    /// Joins a publisher (with one camera) or a viewer.
    fn peer(&self, number: u8, role: Role) -> Peer {
        let count = if role == Role::Publish {
            1
        } else {
            self.sections
        };
        let kinds = vec![MediaKind::Video; count];
        let (mut client, offer) = Client::plain(HERE, role == Role::Publish, &kinds).unwrap();
        let join = Join {
            room: "room".into(),
            name: format!("n{number}").into(),
            role,
            offer,
            sources: Vec::new(),
            address: None,
            principal: Some(Principal::Secret(format!("{role:?} {number}"))),
        };
        let joined = self.runtime.block_on(self.app.join(join)).unwrap();
        client.accept(&joined.answer).unwrap();
        Peer {
            number,
            role,
            client,
            lost: self.listen(&joined.resource),
            resource: joined.resource,
            sequence: 0,
            seen: HashMap::new(),
        }
    }

    fn join(&mut self, number: u8, role: Role) {
        let peer = self.peer(number, role);
        self.peers.push(peer);
    }

    /// Opens the WebSocket of a session. The flag is set when the server says that the session is lost.
    fn listen(&self, resource: &str) -> Arc<AtomicBool> {
        use futures_util::StreamExt as _;
        let url = format!("ws://{}/api/socket/{resource}", self.server.http);
        let lost = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lost);
        let connected = tokio_tungstenite::connect_async(url);
        let (mut socket, _) = self.runtime.block_on(connected).unwrap();
        self.runtime.spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if let tungstenite::Message::Text(text) = message
                    && text.contains("\"gone\"")
                {
                    // ORDERING: a flag alone.
                    flag.store(true, Ordering::Relaxed);
                }
            }
        });
        lost
    }

    /// Makes a peer join again, under a new session.
    fn rejoin(&mut self, at: usize) {
        let (number, role) = (self.peers[at].number, self.peers[at].role);
        self.peers[at] = self.peer(number, role);
    }

    /// Publishers send, and everybody receives, for a moment. Peers whose session is lost join again.
    fn round(&mut self) {
        let send = self.last_write.elapsed() >= Duration::from_millis(100);
        if send {
            self.last_write = Instant::now();
        }
        for at in 0..self.peers.len() {
            // ORDERING: a flag alone.
            if self.peers[at].lost.load(Ordering::Relaxed) {
                self.rejoin(at);
            }
        }
        for peer in &mut self.peers {
            if send && peer.role == Role::Publish && peer.client.connected {
                peer.publish();
            }
            let seen = &mut peer.seen;
            // One that the server has closed may fail.
            let _ = peer.client.drive(&mut self.batch, |packet| {
                if let Some(number) = packet.payload.last() {
                    *seen.entry(*number).or_default() += 1;
                }
            });
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "timed out waiting until {what}; who does not see whom: {:?}",
                self.unseen()
            );
            self.round();
        }
        start.elapsed()
    }

    fn forget_seen(&mut self) {
        for peer in &mut self.peers {
            peer.seen.clear();
        }
    }

    /// Whether every viewer has seen every publisher since they forgot.
    fn all_see_all(&self) -> bool {
        let of = |role| self.peers.iter().filter(move |peer| peer.role == role);
        of(Role::Subscribe).all(|viewer| {
            of(Role::Publish).all(|publisher| viewer.seen.contains_key(&publisher.number))
        })
    }

    fn until_all_see_all(&mut self, when: &str) -> Duration {
        self.forget_seen();
        self.until(&format!("all see all {when}"), |world| world.all_see_all())
    }

    /// Which viewers have not seen which publishers.
    fn unseen(&self) -> Vec<(u8, u8)> {
        let of = |role| self.peers.iter().filter(move |peer| peer.role == role);
        let pairs = of(Role::Subscribe)
            .flat_map(|viewer| of(Role::Publish).map(move |publisher| (viewer, publisher.number)));
        let unseen = pairs.filter(|(viewer, number)| !viewer.seen.contains_key(number));
        unseen
            .map(|(viewer, number)| (viewer.number, number))
            .collect()
    }

    fn stats(&self) -> Stats {
        self.runtime.block_on(self.server.observe())
    }

    fn stop(self) {
        let Self {
            runtime, server, ..
        } = self;
        assert!(runtime.block_on(server.stop(Duration::from_secs(20))));
    }
}

impl Peer {
    /// Sends a packet of VP8 that is a keyframe, with the publisher's number at its end.
    fn publish(&mut self) {
        let head = [0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
        let payload: Vec<u8> = head.into_iter().chain([self.number]).collect();
        let time = (self.sequence * 9000) as u32;
        let sent = self
            .client
            .write(0, VP8, self.sequence, time, true, payload.into());
        self.sequence += u64::from(sent);
    }
}
