//! A reusable oneshot: passes one answer from one task to another.
//!
//! It is reused for the next ask once the replier has released it, so that consecutive asks do
//! not allocate. It holds one answer and one waker, and has no timeout of its own.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::{error::AskError, util::lock::lock};

/// No answer yet.
const OPEN: u8 = 0;
/// The answer is there, or the replier has dropped its end.
const CLOSED: u8 = 1;
/// The asker has dropped its end.
const ABANDONED: u8 = 2;
/// Set while the message with the reply is being sent to another process: the reply has a second end, and
/// the first one, which is dropped with the message, completes nothing.
const FORWARDED: u8 = 4;

pub(crate) struct Oneshot<R> {
    /// Written under the lock.
    state: AtomicU8,
    inside: Mutex<Inside<R>>,
}

struct Inside<R> {
    answer: Option<R>,
    waker: Option<Waker>,
    /// Why there is no answer, if another process knows.
    why: Option<AskError>,
}

impl<R> Default for Oneshot<R> {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(OPEN),
            inside: Mutex::new(Inside {
                answer: None,
                waker: None,
                why: None,
            }),
        }
    }
}

impl<R> Oneshot<R> {
    fn state(&self) -> u8 {
        // ORDERING: Acquire pairs with the Release in `put`; what is inside is read under the lock
        // in any case.
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state() & ABANDONED != 0
    }

    /// Completes with an answer, or with none. Returns the answer if the asker is gone.
    ///
    /// It consumes the reference, so that the asker, once woken, has the only one.
    pub(crate) fn put(self: Arc<Self>, answer: Option<R>) -> Option<R> {
        let waker = {
            let mut inside = lock(&self.inside);
            let state = self.state();
            if state >= ABANDONED {
                return self.put_late(inside, state, answer);
            }
            inside.answer = answer;
            // ORDERING: Release pairs with the Acquire in `state`.
            self.state.store(CLOSED, Ordering::Release);
            inside.waker.take()
        };
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Completes a reply whose asker is gone, or which is being sent to another process.
    #[cold]
    fn put_late(
        &self,
        mut inside: MutexGuard<'_, Inside<R>>,
        state: u8,
        answer: Option<R>,
    ) -> Option<R> {
        if state & (ABANDONED | CLOSED) != 0 {
            return answer;
        }
        if answer.is_none() {
            // ORDERING: as in `put`. The message was dropped: only the second end is left.
            self.state.store(OPEN, Ordering::Release);
            return None;
        }
        inside.answer = answer;
        // ORDERING: as in `put`.
        self.state.store(CLOSED | FORWARDED, Ordering::Release);
        let waker = inside.waker.take();
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Ready with the answer, or with none if there will be none.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let mut inside = lock(&self.inside);
        if self.state() & (CLOSED | ABANDONED) != 0 {
            return Poll::Ready(inside.answer.take());
        }
        let known = inside.waker.as_ref();
        if known.is_none_or(|known| !known.will_wake(cx.waker())) {
            let replaced = inside.waker.replace(cx.waker().clone());
            drop(inside);
            drop(replaced);
        }
        Poll::Pending
    }

    /// Why there is no answer, if another process knows.
    pub(crate) fn why(&self) -> Option<AskError> {
        lock(&self.inside).why
    }

    /// The asker stops waiting. An answer that has arrived is dropped with the oneshot.
    pub(crate) fn abandon(&self) {
        if self.state() == CLOSED {
            // The answer was taken, or is dropped with the oneshot.
            return;
        }
        let waker = {
            let mut inside = lock(&self.inside);
            let state = self.state();
            if state & CLOSED == 0 {
                // ORDERING: as in `put`.
                self.state.store(state | ABANDONED, Ordering::Release);
            }
            inside.waker.take()
        };
        drop(waker);
    }
}

#[cfg(feature = "serde")]
impl<R> Oneshot<R> {
    /// The message with the reply is about to be sent to another process: there will be a second end.
    /// Returns whether that is possible: once, and before it is completed.
    pub(crate) fn forward(&self) -> bool {
        let _inside = lock(&self.inside);
        let state = self.state();
        let is_possible = state & (FORWARDED | CLOSED) == 0;
        if is_possible {
            // ORDERING: as in `put`.
            self.state.store(state | FORWARDED, Ordering::Release);
        }
        is_possible
    }

    /// The message is not sent after all: there is no second end.
    pub(crate) fn call_back(&self) {
        let _inside = lock(&self.inside);
        // ORDERING: as in `put`.
        self.state
            .store(self.state() & !FORWARDED, Ordering::Release);
    }

    /// Completes from the second end, with an answer or with why there is none.
    pub(crate) fn put_from_afar(self: Arc<Self>, answer: Option<R>, why: Option<AskError>) {
        let waker = {
            let mut inside = lock(&self.inside);
            let state = self.state();
            if state & (CLOSED | ABANDONED) != 0 {
                drop(inside);
                drop(answer);
                return;
            }
            inside.answer = answer;
            inside.why = why;
            // ORDERING: as in `put`.
            self.state.store(state | CLOSED, Ordering::Release);
            inside.waker.take()
        };
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The oneshot of the last ask, for the next one with the same type of answer.
#[derive(Default)]
pub(crate) struct SpareOneshot(Option<Arc<dyn Any + Send + Sync>>);

impl SpareOneshot {
    /// A oneshot without other references.
    pub(crate) fn take<R: Send + 'static>(&mut self) -> Arc<Oneshot<R>> {
        let mut oneshot = match self.0.take().map(Arc::downcast::<Oneshot<R>>) {
            Some(Ok(oneshot)) => oneshot,
            _ => return Arc::default(),
        };
        match Arc::get_mut(&mut oneshot) {
            Some(alone) => {
                *alone.state.get_mut() = OPEN;
                oneshot
            }
            None => Arc::default(), // the replier still has a reference
        }
    }

    /// Stores the oneshot of a completed ask.
    pub(crate) fn keep<R: Send + 'static>(&mut self, oneshot: Arc<Oneshot<R>>) {
        self.0 = Some(oneshot);
    }
}
