//! Faults in a running server: actors that are made to panic or hang, and peers that come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;
use tokio::runtime::Runtime;

use super::{Limits, Server, ServerConfig, start_with_app};
use crate::http::App;
use crate::mailbox::Mailbox;
use crate::messages::{Join, Principal};
use crate::net::udp::RecvBatch;
use crate::session::Role;
use crate::stats::Stats;
use crate::tools::client::Client;

mod crowd;
mod faults;
mod hall;
mod layers;
mod pages;
mod peer;
/// The browser, and what it needs, from the integration tests.
#[path = "../../../tests/it/support/mod.rs"]
mod support;

use peer::{HERE, Peer, Socket};

/// How long a condition may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A server with peers in one room, all driven by the test's thread.
struct World<M: Mailbox> {
    runtime: Runtime,
    server: Server,
    app: Arc<App<M>>,
    peers: Vec<Peer>,
    /// Sections for the video of others that a viewer offers.
    sections: usize,
    batch: RecvBatch,
    /// How long publishers wait between two pictures, and how long at most if the machine is busy.
    interval: Duration,
    slowest: Duration,
    last_write: Instant,
    /// The longest round since then.
    longest: Duration,
}

impl<M: Mailbox> World<M> {
    fn new(shards: usize, sections: usize) -> Self {
        Self::at((HERE, 0).into(), shards, sections)
    }

    /// Serves HTTP at this address.
    fn at(http: SocketAddr, shards: usize, sections: usize) -> Self {
        Self::with(http, shards, sections, false)
    }

    /// Estimates the way to each peer, or does not.
    fn with(http: SocketAddr, shards: usize, sections: usize, estimate: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = ServerConfig {
            http,
            media: vec![HERE],
            shards,
            estimate,
            join_rate: (10_000, 10_000.0),
            limits: Limits {
                room: 1000,
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
            interval: Duration::from_millis(100),
            slowest: Duration::from_millis(600),
            last_write: Instant::now(),
            longest: Duration::ZERO,
        }
    }

    /// Lets a client join a room, under a name and a secret of its own. Returns the name of its session.
    fn admit(
        &self,
        room: &str,
        number: u16,
        role: Role,
        client: &mut Client,
        offer: String,
    ) -> String {
        let join = Join {
            room: room.into(),
            name: format!("n{number}").into(),
            role,
            offer,
            sources: Vec::new(),
            address: None,
            principal: Some(Principal::Secret(format!("{role:?} {number}"))),
        };
        let joined = self.runtime.block_on(self.app.join(join)).unwrap();
        client.accept(&joined.answer).unwrap();
        joined.resource
    }

    /// Joins a publisher (with one camera) or a viewer.
    fn peer(&self, number: u16, role: Role) -> Peer {
        let (mut client, offer) = Peer::client(number, role, self.sections);
        let since = Instant::now();
        let resource = self.admit("room", number, role, &mut client, offer);
        let socket = Socket::open(&self.runtime, self.server.http, &resource, since);
        Peer::new(number, role, client, resource, socket)
    }

    fn join(&mut self, number: u16, role: Role) {
        let peer = self.peer(number, role);
        self.peers.push(peer);
    }

    /// Makes a peer join again, under a new session.
    fn rejoin(&mut self, at: usize) {
        let (number, role) = (self.peers[at].number, self.peers[at].role);
        self.peers[at] = self.peer(number, role);
    }

    /// Publishers send, and everybody receives, for a moment. A peer whose session is lost joins again.
    fn round(&mut self) {
        let began = Instant::now();
        let send = began.duration_since(self.last_write) >= self.pace();
        if send {
            (self.last_write, self.longest) = (began, Duration::ZERO);
        }
        // One at a time: on a busy machine, the others would be late while they wait for those who join.
        let lost = self.peers.iter().position(|peer| peer.socket.is_lost());
        if let Some(at) = lost {
            self.rejoin(at);
        }
        for peer in &mut self.peers {
            if send && peer.role == Role::Publish && peer.client.connected {
                peer.publish();
            }
            peer.drive(&mut self.batch);
        }
        self.longest = self.longest.max(began.elapsed());
        std::thread::park_timeout(Duration::from_millis(2));
    }

    /// How long publishers wait between two pictures. Where all take long to arrive, those who connect need time between
    /// them, but layers must not come so seldom that they count as stopped.
    fn pace(&self) -> Duration {
        (4 * self.longest).clamp(self.interval, self.interval.max(self.slowest))
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
            peer.forget_seen();
        }
    }

    /// Whether every viewer has seen every publisher since they forgot, in the layer that it has asked for.
    fn all_see_all(&self) -> bool {
        let of = |role| self.peers.iter().filter(move |peer| peer.role == role);
        of(Role::Subscribe)
            .all(|viewer| of(Role::Publish).all(|publisher| viewer.sees(publisher.number)))
    }

    fn until_all_see_all(&mut self, when: &str) -> Duration {
        self.forget_seen();
        self.until(&format!("all see all {when}"), |world| world.all_see_all())
    }

    /// Which viewers have not seen which publishers.
    fn unseen(&self) -> Vec<(u16, u16)> {
        let of = |role| self.peers.iter().filter(move |peer| peer.role == role);
        let pairs = of(Role::Subscribe)
            .flat_map(|viewer| of(Role::Publish).map(move |publisher| (viewer, publisher.number)));
        let unseen = pairs.filter(|(viewer, number)| !viewer.sees(*number));
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
