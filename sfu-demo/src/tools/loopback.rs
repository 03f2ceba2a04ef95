//! A server on loopback and clients of its own stack in the same process, for load and replay.
//!
//! Only starting, connecting and stopping are here; traffic is up to the callers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;

use crate::control::admission::Limits;
use crate::mailbox::Mailbox;
use crate::media::codec::{Codec, Name};
use crate::messages::Join;
use crate::net::udp::RecvBatch;
use crate::server::{self, Server, ServerConfig};
use crate::session::Role;
use crate::stats::Stats;
use crate::tools::client::Client;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long all clients may take to connect and to receive something.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long the server may take to stop.
const GOODBYE: Duration = Duration::from_secs(10);
/// The payload that publishers send until every player receives it.
pub(crate) const TICK: &[u8] = b"tick";
/// The codec of that payload.
pub(crate) const SOUND: Codec = Codec {
    name: Name::Opus,
    profile: 0,
};

/// A server on loopback, with its executor.
pub(crate) struct Loopback {
    runtime: tokio::runtime::Runtime,
    server: Server,
}

impl Loopback {
    /// Starts a server on mailbox `M` with limits for `people` in each of `rooms`. It estimates bandwidth and paces only
    /// if `paced`: on loopback nothing has to be held back.
    pub(crate) fn open<M: Mailbox>(
        shards: usize,
        rooms: usize,
        people: usize,
        paced: bool,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let server = runtime.block_on(server::start::<M>(ServerConfig {
            http: SocketAddr::from((HERE, 0)),
            media: vec![HERE],
            shards,
            limits: Limits {
                room: people,
                server: people * rooms,
                ..Limits::default()
            },
            estimate: paced,
            ..ServerConfig::default()
        }))?;
        Ok(Self { runtime, server })
    }

    /// Joins a client that sends (with [`Role::Publish`]) or receives a track of each of `kinds`.
    pub(crate) fn join(&self, room: usize, role: Role, kinds: &[MediaKind]) -> io::Result<Client> {
        let (mut client, offer) = Client::new(HERE, role == Role::Publish, kinds)?;
        let join = Join {
            room: format!("room-{room}").into(),
            name: "client".into(),
            role,
            offer,
            sources: Vec::new(),
            address: None,
            principal: None,
        };
        let joined = self
            .runtime
            .block_on(self.server.join(join))
            .ok_or_else(|| io::Error::other("the server refused the join"))?;
        client.accept(&joined.answer)?;
        Ok(client)
    }

    /// The server's statistics.
    pub(crate) fn observe(&self) -> Stats {
        self.runtime.block_on(self.server.observe())
    }

    /// Stops the server.
    pub(crate) fn close(self) -> io::Result<()> {
        if self.runtime.block_on(self.server.stop(GOODBYE)) {
            return Ok(());
        }
        Err(io::Error::other("the server did not stop in time"))
    }
}

/// Sends [`TICK`] on the first track of every publisher until every player has received something. Returns the next
/// sequence number of that track.
pub(crate) fn connect_all(
    publishers: &mut [Client],
    players: &mut [Client],
    batch: &mut RecvBatch,
) -> io::Result<u64> {
    let mut heard = vec![false; players.len()];
    let mut sequence = 0;
    let patience = Instant::now() + PATIENCE;
    while heard.contains(&false) {
        if Instant::now() > patience {
            return Err(io::Error::other("not every client connected"));
        }
        for publisher in publishers.iter_mut() {
            if publisher.connected {
                let time = sequence as u32 * 960;
                publisher.write(0, SOUND, sequence, time, false, TICK.into());
            }
            publisher.drive(batch, |_| {})?;
        }
        sequence += 1;
        for (player, heard) in players.iter_mut().zip(&mut heard) {
            player.drive(batch, |_| *heard = true)?;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    Ok(sequence)
}
