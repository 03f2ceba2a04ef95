//! The latest wins: what waits for credit is replaced by what comes later.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanemesh_runtime::{ActorHandle, Reply};
use tokio::sync::{Notify, Semaphore, watch};

use super::actor::{Parcel, Payload, Receiver};
use crate::{event::PeerInfo, task::Task};

/// Chunks that are on their way or at the callback. More would arrive late, fewer would leave the path idle.
const WINDOW: usize = 8;
/// After which time a chunk whose callback was not called counts no more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes chunks at any time, and sends the latest whenever fewer than eight are on their way.
pub(super) struct Latest<P> {
    slot: Arc<Slot<P>>,
    _task: Task,
}

struct Slot<P> {
    inside: Mutex<Inside<P>>,
    changed: Notify,
    window: Semaphore,
    /// Grows when a chunk was sent or taken, and at the end.
    progress: watch::Sender<u64>,
}

struct Inside<P> {
    waiting: Option<P>,
    /// Taken from `waiting`, and not yet in the lane.
    is_leaving: bool,
    passed_over: u64,
    is_closed: bool,
}

impl<P> Slot<P> {
    fn progressed(&self) {
        self.progress.send_modify(|number| *number += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inside<P>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Payload> Latest<P> {
    pub(super) fn new(me: PeerInfo, handle: ActorHandle<Receiver<P>>) -> Self {
        let slot = Arc::new(Slot {
            inside: Mutex::new(Inside {
                waiting: None,
                is_leaving: false,
                passed_over: 0,
                is_closed: false,
            }),
            changed: Notify::new(),
            window: Semaphore::new(WINDOW),
            progress: watch::Sender::new(0),
        });
        let task = Task::spawn(run(slot.clone(), me, handle));
        Self { slot, _task: task }
    }

    /// Gives the content back if the stream is closed.
    pub(super) fn put(&self, content: P) -> Result<(), P> {
        let mut inside = self.slot.lock();
        if inside.is_closed {
            return Err(content);
        }
        let replaced = inside.waiting.replace(content);
        inside.passed_over += u64::from(replaced.is_some());
        drop(inside);
        drop(replaced);
        self.slot.changed.notify_one();
        Ok(())
    }

    pub(super) fn passed_over(&self) -> u64 {
        self.slot.lock().passed_over
    }

    pub(super) fn is_closed(&self) -> bool {
        self.slot.lock().is_closed
    }

    /// Waits until the last chunk was taken by the callback, or the stream is closed.
    pub(super) async fn finish(&self) {
        let mut progress = self.slot.progress.subscribe();
        let is_done = |_: &u64| {
            let inside = self.slot.lock();
            let is_sent = inside.waiting.is_none() && !inside.is_leaving;
            // The task itself holds a permit while it waits for a chunk.
            let is_taken = self.slot.window.available_permits() >= WINDOW - 1;
            inside.is_closed || is_sent && is_taken
        };
        // The sender is in the slot.
        let _ = progress.wait_for(is_done).await;
    }
}

async fn run<P: Payload>(slot: Arc<Slot<P>>, me: PeerInfo, mut handle: ActorHandle<Receiver<P>>) {
    let _close = Close(slot.clone());
    let mut ended = handle.monitor();
    loop {
        let permit = tokio::select! {
            biased;
            _ = &mut ended => return,
            permit = slot.window.acquire() => permit,
        };
        let Ok(permit) = permit else { return };
        permit.forget(); // given back with the reply
        let content = loop {
            let next = {
                let mut inside = slot.lock();
                let next = inside.waiting.take();
                inside.is_leaving = next.is_some();
                next
            };
            if let Some(next) = next {
                break next;
            }
            tokio::select! {
                biased;
                _ = &mut ended => return,
                () = slot.changed.notified() => {}
            }
        };
        let (reply, taken) = Reply::pair();
        let sent = handle.tell(Parcel::new(&me, content, Some(reply))).await;
        slot.lock().is_leaving = false;
        slot.progressed();
        if sent.is_err() {
            return;
        }
        let back = slot.clone();
        tokio::spawn(async move {
            // Taken, lost, or too late: there is room for another one.
            let _ = taken.receive(PATIENCE).await;
            back.window.add_permits(1);
            back.progressed();
        });
    }
}

/// What waits is dropped, and no more is taken.
struct Close<P>(Arc<Slot<P>>);

impl<P> Drop for Close<P> {
    fn drop(&mut self) {
        let mut inside = self.0.lock();
        inside.is_closed = true;
        let waiting = inside.waiting.take();
        drop(inside);
        drop(waiting);
        self.0.progressed();
    }
}
