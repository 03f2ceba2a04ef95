//! Which sources were woken, in the order in which that happened.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use crate::util::lock::lock;

/// The queue of the sources that were woken.
pub(super) struct Ready {
    /// Whether the queue holds anything; written under the lock.
    any: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Places in the set. One whose source has gone is skipped, or is that of another source by
    /// then, which is polled once too often.
    queue: VecDeque<usize>,
    /// The actor's task; none when the set is gone, since a waker keeps the memory of its task.
    task: Option<Waker>,
}

impl Ready {
    pub(super) fn new(task: Waker) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            task: Some(task),
        };
        Self {
            any: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }
    }

    /// Whether a source was woken.
    #[inline]
    pub(super) fn any(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `push`. A read that misses a push is
        // repaired by the wake-up that follows the push: the task looks again.
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.inner).queue.len()
    }

    /// The place of the source that was woken first.
    pub(super) fn pop(&self) -> Option<usize> {
        let mut inner = lock(&self.inner);
        let place = inner.queue.pop_front();
        if inner.queue.is_empty() {
            // ORDERING: under the lock, so that no push comes in between.
            self.any.store(false, Ordering::Release);
        }
        place
    }

    /// Puts a place at the end. Returns the waker of the task.
    fn push(&self, place: usize) -> Option<Waker> {
        let mut inner = lock(&self.inner);
        inner.queue.push_back(place);
        // ORDERING: Release pairs with the Acquire in `any`.
        self.any.store(true, Ordering::Release);
        inner.task.clone()
    }

    /// The set is gone.
    pub(super) fn close(&self) {
        let task = lock(&self.inner).task.take();
        drop(task);
    }
}

/// What a source and its handle share: the waker of the source, and whether it still counts.
pub(super) struct Ticket {
    ready: Arc<Ready>,
    place: usize,
    /// Whether its place is in the queue.
    is_queued: AtomicBool,
    is_cancelled: AtomicBool,
    is_over: AtomicBool,
}

impl Ticket {
    /// The ticket of a new source, which is looked at once to begin with.
    pub(super) fn new(ready: Arc<Ready>, place: usize) -> Arc<Self> {
        let ticket = Arc::new(Self {
            ready,
            place,
            is_queued: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        ticket.requeue();
        ticket
    }

    /// Before the source is polled: from now on a wake-up queues it again.
    pub(super) fn taken(&self) {
        // ORDERING: AcqRel: what a waker wrote before it found the place queued is visible to the
        // poll that follows.
        self.is_queued.swap(false, Ordering::AcqRel);
    }

    /// Puts the source at the end of the queue. It does not wake the task, which is running.
    pub(super) fn requeue(&self) {
        self.enqueue();
    }

    fn enqueue(&self) -> Option<Waker> {
        // ORDERING: AcqRel, see `taken`.
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.ready.push(self.place)
    }

    pub(super) fn cancel(self: &Arc<Self>) {
        // ORDERING: Release pairs with the Acquire in `is_cancelled`.
        self.is_cancelled.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `cancel`.
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// The source has left the set.
    pub(super) fn end(&self) {
        // ORDERING: Release pairs with the Acquire in `is_over`: a reader that sees the end also
        // sees what the source did before.
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `end`.
        self.is_over.load(Ordering::Acquire)
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(task) = self.enqueue() {
            task.wake();
        }
    }
}
