//! The server's actors: shards, each on a worker thread of its own, the rooms and admission.
//!
//! Each receives from a mailbox of the kind that `--mailbox` names, in an extra arm of its loop beside sockets and timers.
//! The runtime adds placement, stopping, supervision and the tree of actors. None is restarted: a shard that fails has
//! lost its peers' keys, so they have to join again.

use std::convert::Infallible;
use std::io;
use std::net::UdpSocket;
use std::sync::Mutex;

use lanemesh_runtime::{Actor, Builder, Child, Restart, System, WorkerThread, builder};

use crate::control::admission::Admission;
use crate::control::rooms::Rooms;
use crate::control::{ControlActor, Tables};
use crate::http::Mailboxes;
use crate::mailbox::Mailbox;
use crate::messages::ShardSender;
use crate::shard::{ShardActor, Wiring};

/// Control messages that a mailbox holds.
const HIGH: usize = 1024;
/// Media messages that a mailbox holds.
const LOW: usize = 2048;

/// Spawns a shard for each element of `sockets`, the rooms and admission. Returns senders to all, and the shards.
pub(super) fn spawn<M: Mailbox>(
    system: &System,
    sockets: Vec<Vec<UdpSocket>>,
    admission: Admission,
) -> io::Result<(Mailboxes<M>, Vec<Child>)> {
    let (room_tx, room_rx) = M::mailbox(HIGH, 1);
    let (admission_tx, admission_rx) = M::mailbox(HIGH, 1);
    let (shard_txs, shard_rxs): (Vec<_>, Vec<_>) =
        sockets.iter().map(|_| M::mailbox(HIGH, LOW)).unzip();
    let count = sockets.len();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut shards = Vec::new();
    for (here, (mailbox, sockets)) in shard_rxs.into_iter().zip(sockets).enumerate() {
        let wiring = Wiring::<M> {
            here,
            mailbox,
            shards: shard_txs.clone(),
            room: room_tx.clone(),
            admission: admission_tx.clone(),
        };
        // If there are more shards than cores, the system schedules them.
        let name = format!("shard-{here}");
        let thread = if count <= cores {
            WorkerThread::pinned(name, here)?
        } else {
            WorkerThread::new(name)?
        };
        shards.push(start(system, shard(&thread, wiring, sockets))?);
    }
    let room = control::<M, _>("room", Rooms::default(), room_rx, shard_txs.clone());
    start(system, room)?.detach();
    let admission = control::<M, _>("admission", admission, admission_rx, shard_txs.clone());
    start(system, admission)?.detach();
    let mailboxes = Mailboxes {
        admission: admission_tx,
        room: room_tx,
        shards: shard_txs,
    };
    Ok((mailboxes, shards))
}

fn start<A: Actor>(system: &System, actor: Builder<A>) -> io::Result<Child> {
    // Messages arrive in the mailbox that was created above, so nobody needs the actor's handle, and it keeps running
    // without one.
    let (_, child) = system
        .try_spawn(actor.keep_running())
        .map_err(io::Error::other)?;
    Ok(child)
}

/// A shard, to be started on `thread`.
fn shard<M: Mailbox>(
    thread: &WorkerThread,
    wiring: Wiring<M>,
    sockets: Vec<UdpSocket>,
) -> Builder<impl Actor + use<M>> {
    let name = format!("shard-{}", wiring.here);
    once(name, move || ShardActor::new(wiring, sockets)).on(thread)
}

/// The control actor `name` for `tables`.
fn control<M: Mailbox, T: Tables>(
    name: &str,
    tables: T,
    mailbox: M::Receiver<T::Message, Infallible>,
    shards: Vec<ShardSender<M>>,
) -> Builder<impl Actor + use<M, T>> {
    once(name.to_owned(), move || {
        ControlActor::<M, T>::new(tables, mailbox, shards)
    })
}

/// An actor that is created once: its mailbox and sockets cannot be created again.
fn once<A: Actor>(name: String, make: impl FnOnce() -> A + Send + 'static) -> Builder<A> {
    let make = Mutex::new(Some(make));
    let factory = move || {
        let make = make.lock().ok().and_then(|mut make| make.take());
        make.map(|make| make()).expect("it is not restarted")
    };
    builder(factory).name(name).restart(Restart::Temporary)
}
