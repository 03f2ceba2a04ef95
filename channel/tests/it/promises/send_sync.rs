//! Promise 10: everything is `Send` and `Sync` for messages that are `Send`. The crate's
//! `compile_fail` examples show that nothing is for other messages.

use std::cell::Cell;

use lanemesh::{
    ClassIter, ClassTryIter, IntoIter, Iter, MailboxIntoIter, MailboxIter, MailboxReceiver,
    MailboxSender, MailboxTryIter, Message, OwnedPermit, Permit, Permits, Receiver, SendError,
    SendManyError, SendTimeoutError, Sender, SharedMailboxSender, SharedOwnedPermit, SharedPermit,
    SharedPermits, SharedSender, TryIter, TrySendError, WeakMailboxSender, WeakSender,
    WeakSharedSender, Weighed, WeightLimit, WeightPermit,
    mesh::{
        MailboxMembership, MailboxMeshReceiver, MailboxMeshSender, MeshReceiver, MeshSender,
        WeakMeshSender,
    },
};

/// `Send` and not `Sync`: the minimum for a message.
type Least = Cell<u8>;

const fn send_and_sync<T: Send + Sync>() {}
const fn send<T: Send>() {}

#[test]
fn all_handles_are_send_and_sync_for_send_messages() {
    send_and_sync::<Sender<Least>>();
    send_and_sync::<WeightLimit<Least>>();
    send_and_sync::<WeightPermit<Least>>();
    send::<Weighed<Least>>();
    send_and_sync::<SharedSender<Least>>();
    send_and_sync::<WeakSharedSender<Least>>();
    send_and_sync::<SharedPermit<'_, Least>>();
    send_and_sync::<SharedPermits<'_, Least>>();
    send_and_sync::<SharedOwnedPermit<Least>>();
    #[cfg(feature = "sink")]
    send_and_sync::<lanemesh::SharedSink<Least>>();
    send_and_sync::<WeakSender<Least>>();
    send_and_sync::<Permit<'_, Least>>();
    send_and_sync::<Permits<'_, Least>>();
    send_and_sync::<OwnedPermit<Least>>();
    send_and_sync::<Receiver<Least>>();
    send_and_sync::<Iter<'_, Least>>();
    send_and_sync::<TryIter<'_, Least>>();
    send_and_sync::<IntoIter<Least>>();
    send_and_sync::<MailboxSender<Least, Least>>();
    send_and_sync::<SharedMailboxSender<Least, Least>>();
    send_and_sync::<WeakMailboxSender<Least, Least>>();
    send_and_sync::<MailboxReceiver<Least, Least>>();
    send_and_sync::<MailboxIter<'_, Least, Least>>();
    send_and_sync::<MailboxTryIter<'_, Least, Least>>();
    send_and_sync::<MailboxIntoIter<Least, Least>>();
    send_and_sync::<ClassIter<'_, Least>>();
    send_and_sync::<ClassTryIter<'_, Least>>();
    send_and_sync::<MeshSender<Least>>();
    send_and_sync::<WeakMeshSender<Least>>();
    send_and_sync::<MeshReceiver<Least>>();
    send_and_sync::<MailboxMeshSender<Least, Least>>();
    send_and_sync::<MailboxMeshReceiver<Least, Least>>();
    send_and_sync::<MailboxMembership<Least, Least>>();
    send::<Message<Least, Least>>();
    send::<SendError<Least>>();
    send::<TrySendError<Least>>();
    send::<SendTimeoutError<Least>>();
    send::<SendManyError<Least>>();
}

#[test]
fn all_futures_are_send_for_send_messages() {
    fn is_send<T: Send>(_: &T) {}

    let (mut tx, mut rx) = lanemesh::mailbox::<Least, Least>(1, 1);
    is_send(&tx.send_high(Cell::new(0)));
    is_send(&tx.send_low(Cell::new(0)));
    is_send(&tx.low().reserve());
    is_send(&tx.low().reserve_many(1));
    is_send(&tx.low().clone().reserve_owned());
    is_send(&tx.low().send_or(Cell::new(0), std::future::ready(0)));
    is_send(&tx.low().feed(Cell::new(0)));
    let shared = tx.clone().shared();
    is_send(&shared.send_high(Cell::new(0)));
    is_send(&shared.send_low(Cell::new(0)));
    is_send(&shared.low().reserve_many(1));
    is_send(&shared.low().clone().reserve_owned());
    is_send(&shared.low().send_or(Cell::new(0), std::future::ready(0)));
    is_send(&shared.low().send_many([Cell::new(0)]));
    is_send(&shared.low().send_vec(&mut Vec::new()));
    is_send(&tx.low().send_many([Cell::new(0)]));
    is_send(&tx.low().send_vec(&mut Vec::new()));
    is_send(&tx.closed());
    is_send(&rx.recv());
    is_send(&rx.high().recv());
    is_send(&rx.recv_many(&mut Vec::new(), 1));
    is_send(&rx.low().recv_many(&mut Vec::new(), 1));
    is_send(&rx.recv_or(std::future::ready(0)));
    is_send(&rx.high().recv_or(std::future::ready(0)));
    is_send(&rx.readable());
    let shared = tx.shared();
    is_send(&shared.send_low(Cell::new(0)));
    let (mut tx, mut rx) = lanemesh::channel::<Least>(1);
    is_send(&tx.send(Cell::new(0)));
    is_send(&tx.send_many([Cell::new(0)]));
    is_send(&rx.recv());
    is_send(&rx.recv_many(&mut Vec::new(), 1));
}

#[test]
fn all_futures_of_a_mesh_are_send_for_send_messages() {
    fn is_send<T: Send>(_: &T) {}

    let (mut tx, mut rx) = lanemesh::mesh::mesh::<Least>(1);
    is_send(&tx.send(Cell::new(0)));
    is_send(&tx.send_vec(&mut Vec::new()));
    is_send(&tx.closed());
    is_send(&rx.recv());
    is_send(&rx.recv_many(&mut Vec::new(), 1));
}
