//! Foreign code that runs inside an operation of a mesh, and turns to the same mesh: wakers that are woken and dropped,
//! messages that are dropped, and functions that say the key of a message.

use std::{
    cell::Cell,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use lanemesh::mesh::{MeshBuilder, MeshReceiver, WeakMeshSender};

use crate::common::poll;

thread_local! {
    /// Foreign code runs.
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// Times that it has run.
    static RUNS: Cell<usize> = const { Cell::new(0) };
    /// Messages that were made and not dropped.
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

struct Message(u64, WeakMeshSender<Message>);

impl Message {
    fn new(n: u64, mesh: &WeakMeshSender<Self>) -> Self {
        LIVE.set(LIVE.get() + 1);
        Self(n, mesh.clone())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
        meddle(&self.1);
    }
}

struct Meddler(WeakMeshSender<Message>);

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        meddle(&self.0);
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        meddle(&self.0);
    }
}

/// Calls all that a mesh has, unless it is called from there.
fn meddle(mesh: &WeakMeshSender<Message>) {
    if BUSY.replace(true) {
        return;
    }
    RUNS.set(RUNS.get() + 1);
    if let Some(mut tx) = mesh.upgrade() {
        drop(tx.try_send(Message::new(1, mesh)));
        drop(poll(pin!(tx.send(Message::new(2, mesh))), Waker::noop()));
        if let Ok(mut rx) = tx.add_receiver() {
            drop(tx.try_send(Message::new(3, mesh)));
            drop(rx.try_recv());
            if RUNS.get().is_multiple_of(2) {
                rx.close();
                drop(rx.leave());
            }
        }
        let _ = tx.try_send_vec(&mut vec![Message::new(4, mesh), Message::new(5, mesh)]);
        let _ = poll(pin!(tx.closed()), Waker::noop());
        let _ = (tx.len(), tx.receivers(), tx.is_closed());
        drop((tx.clone(), tx.downgrade()));
    }
    BUSY.set(false);
}

fn receive(rx: &mut MeshReceiver<Message>, cx: &mut Context<'_>) {
    drop(rx.try_recv());
    drop(rx.poll_recv(cx));
}

#[test]
fn wakers_messages_and_keys_that_use_the_mesh_they_are_used_by() {
    for keyed in [false, true] {
        for capacity in [1, 3] {
            let by_key = MeshBuilder::new(capacity).by_key(move |message: &Message| {
                meddle(&message.1);
                keyed.then_some(message.0)
            });
            let (tx, mut rx) = by_key.build();
            let mesh = tx.downgrade();
            let waker = Waker::from(Arc::new(Meddler(mesh.clone())));
            let mut cx = Context::from_waker(&waker);
            for round in 0..10 {
                let mut senders: Vec<_> = (0..6).map(|_| tx.clone()).collect();
                let mut waits: Vec<_> = (round..)
                    .zip(&mut senders)
                    .map(|(n, tx)| Box::pin(tx.send(Message::new(n, &mesh))))
                    .collect();
                let mut closed = pin!(tx.closed());
                assert!(poll(closed.as_mut(), &waker).is_pending());
                waits.retain_mut(|wait| poll(wait.as_mut(), &waker).is_pending());
                let mut joined = tx.add_receiver().unwrap();
                waits.retain_mut(|wait| poll(wait.as_mut(), &waker).is_pending());
                receive(&mut joined, &mut cx);
                receive(&mut rx, &mut cx);
                // It leaves, and hands on what it has.
                drop(joined);
                waits.retain_mut(|wait| poll(wait.as_mut(), &waker).is_pending());
                receive(&mut rx, &mut cx);
            }
            let mut last = tx.clone();
            let mut waits = [
                Box::pin(last.send(Message::new(0, &mesh)))
                    as std::pin::Pin<Box<dyn Future<Output = _>>>,
                Box::pin(async {
                    tx.closed().await;
                    Ok(())
                }),
            ];
            for wait in &mut waits {
                let _ = poll(wait.as_mut(), &waker);
            }
            drop(rx);
            drop(waits);
            drop((tx, last, waker));
        }
    }
    assert!(RUNS.get() > 100);
    assert_eq!(LIVE.get(), 0);
}
