//! One class of one receiver as the senders of a mesh know it; and what becomes of its messages when it leaves.
//!
//! A receiver that leaves hands its messages on, each in a lane of its own to another receiver. The *hand-over* is
//! complete when those lanes have been received; until then senders hold back messages of keys that it had.
//!
//! Nobody is told when a lane has been received except a sender that waits for it. So whoever waits first has the
//! *turn*, takes the lanes, and waits for them in the place of all; if it is cancelled, the turn goes to the next.

use std::{future::poll_fn, mem, pin::pin, task::Poll};

use crate::{
    sender::{Sender, weak::WeakSender},
    sync::{
        Mutex, lock, mutant,
        semaphore::{Acquire, Acquired, Semaphore},
        wake_all::WakeAll,
    },
};

pub(super) struct Port<T> {
    receiver: WeakSender<T>,
    /// One permit, the turn, once the messages have been handed on; closed when they have been received.
    turn: Semaphore,
    /// Not received yet, unless who has the turn has taken them.
    lanes: Mutex<Vec<Sender<T>>>,
}

impl<T> Port<T> {
    pub(super) fn to(receiver: WeakSender<T>) -> Self {
        Self {
            receiver,
            turn: Semaphore::new(0, 0),
            lanes: Mutex::new(Vec::new()),
        }
    }

    /// A new lane to the receiver; `None` if it has no sender any more.
    pub(super) fn open(&self) -> Option<Sender<T>> {
        self.receiver.upgrade()
    }

    /// Whether all that the receiver had when it left has been received by others.
    pub(super) fn is_complete(&self) -> bool {
        self.turn.load().is_closed()
    }

    /// The messages of the receiver, which has left, are in these lanes.
    pub(super) fn hand_on(&self, lanes: Vec<Sender<T>>, all: &mut WakeAll) {
        if lanes.is_empty() {
            self.complete(all);
            return;
        }
        if mutant("hand_over") {
            self.complete(all);
        }
        *lock(&self.lanes) = lanes;
        all.run(|| self.turn.release(1));
    }

    /// Ends the hand-over, because nobody will wait for it.
    pub(super) fn forget(&self, all: &mut WakeAll) {
        let lanes = mem::take(&mut *lock(&self.lanes));
        for lane in lanes {
            all.run(|| drop(lane));
        }
        self.complete(all);
    }

    fn complete(&self, all: &mut WakeAll) {
        self.turn.close();
        all.run(|| self.turn.serve());
    }

    /// Whether the hand-over is complete, after a look at its lanes if nobody waits for them.
    pub(super) fn check(&self) -> bool {
        match self.turn.try_acquire(1, |owners| owners) {
            Ok(_) => Turn::take(self).look(),
            Err(word) => word.is_closed(),
        }
    }

    /// Waits until the hand-over is complete.
    pub(super) async fn wait(&self) {
        let mut turn = pin!(Acquire::new(&self.turn, 1));
        if poll_fn(|cx| turn.as_mut().poll(cx, |_| true)).await != Acquired::Permits {
            return;
        }
        let mut turn = Turn::take(self);
        poll_fn(|cx| {
            while let Some(lane) = turn.lanes.last_mut() {
                if lane.poll_drained(cx).is_pending() {
                    return Poll::Pending;
                }
                turn.lanes.pop();
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// The right to wait for the lanes of a hand-over. Dropped with none left, it completes the hand-over.
struct Turn<'a, T> {
    port: &'a Port<T>,
    lanes: Vec<Sender<T>>,
}

impl<'a, T> Turn<'a, T> {
    fn take(port: &'a Port<T>) -> Self {
        let lanes = mem::take(&mut *lock(&port.lanes));
        Self { port, lanes }
    }

    /// Whether all lanes have been received.
    fn look(mut self) -> bool {
        self.lanes
            .retain_mut(|lane| !lane.is_closed() && lane.backlog() > 0);
        self.lanes.is_empty()
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        if self.lanes.is_empty() {
            self.port.complete(&mut all);
        } else {
            for lane in &mut self.lanes {
                all.run(|| lane.stop_waiting());
            }
            self.port.hand_on(mem::take(&mut self.lanes), &mut all);
        }
        all.done();
    }
}
