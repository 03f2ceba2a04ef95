//! The server's actors: shards, each on a worker thread of its own, admission, and the rooms, which are started when
//! somebody enters.
//!
//! All are actors of one system, which restarts those that fail. What outlives an incarnation is made here: sockets, the
//! feed of a mailbox that is not the runtime's own, the count of participants.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

use lanemesh_runtime::{Restart, SharedHandle, System, WorkerThread, builder};
use tokio::sync::watch;

use crate::control::admission::{Admission, Lasting, Limits};
use crate::control::rooms::RoomTable;
use crate::control::shards::Shards;
use crate::mailbox::Mailbox;
use crate::messages::Rooms;
use crate::shard::{Connect, Parts, Shard, Wiring};

/// Control messages that a mailbox holds.
const HIGH: usize = 1024;
/// Media messages that a mailbox holds.
const LOW: usize = 2048;
/// Claims of a shard that admission holds.
const CLAIMS: usize = 256;

/// How the actors are reached.
pub(super) struct Actors<M: Mailbox> {
    pub(super) shards: Arc<Shards<M>>,
    pub(super) rooms: Arc<RoomTable<M>>,
    pub(super) admission: SharedHandle<Admission<M>>,
    pub(super) lasting: Arc<Lasting>,
}

/// Spawns a shard for each element of `sockets`, and admission.
pub(super) fn spawn<M: Mailbox>(
    system: &System,
    sockets: Vec<Vec<UdpSocket>>,
    udp: bool,
    limits: Limits,
) -> io::Result<Actors<M>> {
    let count = sockets.len();
    let ports = sockets.first().map_or(&[][..], Vec::as_slice);
    let ports = ports.iter().map(UdpSocket::try_clone);
    let ports = ports.collect::<io::Result<_>>()?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (connect, connected) = watch::channel(None);
    let mut shards = Vec::new();
    for (here, sockets) in sockets.into_iter().enumerate() {
        let (inlet, feed) = M::feed::<Shard<M>>(HIGH, LOW);
        let parts = Arc::new(Parts::<M> {
            here,
            sockets,
            feed: Mutex::new(Some(feed)),
            connect: connected.clone(),
        });
        // If there are more shards than cores, the system schedules them.
        let name = format!("shard-{here}");
        let thread = if count <= cores {
            WorkerThread::pinned(name.clone(), here)?
        } else {
            WorkerThread::new(name.clone())?
        };
        let shard = builder(move || Shard::new(Arc::clone(&parts)))
            .name(name)
            .high_capacity(HIGH)
            .low_capacity(LOW)
            .restart(Restart::Transient)
            .keep_running()
            .on(&thread);
        let (actor, child) = system.try_spawn(shard).map_err(io::Error::other)?;
        child.detach();
        shards.push((M::handle(inlet, &actor), actor));
    }
    let shards = Shards::new(shards, ports);
    let rooms = RoomTable::new(system.spawner(), Arc::clone(&shards));
    let rooms = Arc::new(rooms);
    let lasting = Arc::new(Lasting::default());
    let admission = {
        let (shards, lasting) = (Arc::clone(&shards), Arc::clone(&lasting));
        builder(move || {
            let (lasting, shards) = (Arc::clone(&lasting), Arc::clone(&shards));
            Admission::new(udp, limits, lasting, shards)
        })
        .name("admission")
        .high_capacity(HIGH)
        .low_capacity(CLAIMS)
        .restart(Restart::Transient)
        .keep_running()
    };
    let (admission, child) = system.try_spawn(admission).map_err(io::Error::other)?;
    child.detach();
    let admission = admission.shared();
    connect.send_replace(Some(connection(&shards, &rooms, &admission)));
    Ok(Actors {
        shards,
        rooms,
        admission,
        lasting,
    })
}

/// What each incarnation of a shard connects to, by handles of its own.
fn connection<M: Mailbox>(
    shards: &Arc<Shards<M>>,
    rooms: &Arc<RoomTable<M>>,
    admission: &SharedHandle<Admission<M>>,
) -> Connect<M> {
    let (shards, rooms) = (Arc::clone(shards), Arc::clone(rooms));
    let admission = admission.clone();
    Arc::new(move || {
        let admission = admission.handle();
        let rooms: Arc<dyn Rooms> = Arc::clone(&rooms) as _;
        Wiring {
            shards: shards.handles(),
            claims: Box::new(admission.low_recipient()),
            admission: Box::new(admission.high_recipient()),
            rooms,
        }
    })
}
