//! The sources whose messages are of one class, and their turns.
//!
//! A source is polled only after it was woken. One that has had its turn goes to the end of the
//! queue, so that a stream that always has an item does not starve the others.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;
use slab::Slab;
use tokio::time::{Interval, Sleep};

use crate::{
    cell::poll_as,
    sources::{
        handle::SourceHandle,
        ready::{Ready, Ticket},
    },
};

/// What messages come from.
pub(crate) enum Source<M> {
    /// One message, when the timer fires.
    After(Pin<Box<Sleep>>, Option<M>),
    /// A message for each tick.
    Every(Interval, Box<dyn FnMut() -> M + Send>),
    Stream(Pin<Box<dyn Stream<Item = M> + Send>>),
    Future(Pin<Box<dyn Future<Output = M> + Send>>),
}

impl<M> Source<M> {
    /// The next message, and whether there may be another one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Option<M>, bool)> {
        Poll::Ready(match self {
            Self::After(sleep, message) => {
                ready!(sleep.as_mut().poll(cx));
                (message.take(), false)
            }
            Self::Every(interval, make) => {
                ready!(interval.poll_tick(cx));
                (Some(make()), true)
            }
            Self::Stream(stream) => {
                let item = ready!(stream.as_mut().poll_next(cx));
                let is_open = item.is_some();
                (item, is_open)
            }
            Self::Future(future) => (Some(ready!(future.as_mut().poll(cx))), false),
        })
    }

    fn is_future(&self) -> bool {
        matches!(self, Self::Future(_))
    }
}

/// A source in its set. Dropping it tells its handle.
struct Entry<M> {
    source: Source<M>,
    ticket: Arc<Ticket>,
    /// The ticket as a waker.
    waker: Waker,
}

impl<M> Drop for Entry<M> {
    fn drop(&mut self) {
        self.ticket.end();
    }
}

pub(crate) struct Set<M> {
    entries: Slab<Entry<M>>,
    /// How many of the entries are futures.
    futures: usize,
    ready: Arc<Ready>,
    /// Whether the last message of the class came from here: then the mailbox comes first.
    had_turn: bool,
}

impl<M> Set<M> {
    pub(super) fn new(task: Waker) -> Self {
        Self {
            entries: Slab::new(),
            futures: 0,
            ready: Arc::new(Ready::new(task)),
            had_turn: false,
        }
    }

    pub(crate) fn add(&mut self, source: Source<M>) -> SourceHandle {
        self.futures += usize::from(source.is_future());
        let vacant = self.entries.vacant_entry();
        let ticket = Ticket::new(self.ready.clone(), vacant.key());
        let waker = Waker::from(ticket.clone());
        let handle = SourceHandle::new(ticket.clone());
        vacant.insert(Entry {
            source,
            ticket,
            waker,
        });
        handle
    }

    /// Whether a source was woken, so that there may be a message.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.ready.any()
    }

    /// Whether the messages here come before those in the mailbox. The two take turns.
    pub(crate) fn is_first(&mut self) -> bool {
        !std::mem::take(&mut self.had_turn)
    }

    /// The next message, if there is one. It looks at each source that was woken once at most: one
    /// that wakes itself has woken the task too.
    pub(crate) fn take(&mut self) -> Option<M> {
        if !self.is_woken() {
            return None;
        }
        for _ in 0..self.ready.len() {
            let place = self.ready.pop()?;
            let Some(entry) = self.entries.get_mut(place) else {
                continue;
            };
            entry.ticket.taken();
            if entry.ticket.is_cancelled() {
                self.remove(place);
                continue;
            }
            let mut cx = Context::from_waker(&entry.waker);
            // Not in the name of the actor: a future that waits for room in another actor's lane
            // does not keep this actor from handling messages.
            let polled = poll_as(&mut None, &mut cx, |cx| entry.source.poll(cx));
            let Poll::Ready((message, is_open)) = polled else {
                continue;
            };
            if is_open {
                entry.ticket.requeue();
            } else {
                self.remove(place);
            }
            if message.is_some() {
                self.had_turn = true;
                return message;
            }
        }
        None
    }

    fn remove(&mut self, place: usize) {
        let entry = self.entries.remove(place);
        self.futures -= usize::from(entry.source.is_future());
    }

    /// Drops everything but the futures.
    pub(super) fn keep_futures(&mut self) {
        if self.entries.len() > self.futures {
            self.entries.retain(|_, entry| entry.source.is_future());
        }
    }

    /// Whether there is a future that has not completed and was not cancelled.
    pub(super) fn has_futures(&self) -> bool {
        self.futures > 0
            && self
                .entries
                .iter()
                .any(|(_, entry)| entry.source.is_future() && !entry.ticket.is_cancelled())
    }
}

impl<M> Drop for Set<M> {
    fn drop(&mut self) {
        self.ready.close();
    }
}
