//! Where one answer passes from one task to another.
//!
//! A oneshot is used again for the next question once the other side has let it go, so that a stream
//! of questions does not allocate. It holds one answer and one waker, and knows nothing of time.

use std::{
    any::Any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::util::lock::lock;

/// Nothing has happened yet.
const OPEN: u8 = 0;
/// The answer is there, or there will be none.
const CLOSED: u8 = 1;
/// Nobody waits for the answer.
const ABANDONED: u8 = 2;

pub(crate) struct Oneshot<R> {
    /// Written under the lock, so that it is what is inside that counts.
    state: AtomicU8,
    inside: Mutex<Inside<R>>,
}

struct Inside<R> {
    answer: Option<R>,
    waker: Option<Waker>,
}

impl<R> Default for Oneshot<R> {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(OPEN),
            inside: Mutex::new(Inside {
                answer: None,
                waker: None,
            }),
        }
    }
}

impl<R> Oneshot<R> {
    fn state(&self) -> u8 {
        // ORDERING: Acquire pairs with the Release in `close`; what is inside is read under the
        // lock in any case.
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state() == ABANDONED
    }

    /// Puts the answer in, or says that there is none; gives it back when nobody waits for it.
    ///
    /// It takes the oneshot itself, so that the asker, once woken, has the oneshot alone.
    pub(crate) fn put(self: Arc<Self>, answer: Option<R>) -> Option<R> {
        let waker = {
            let mut inside = lock(&self.inside);
            if self.state() == ABANDONED {
                return answer;
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

    /// The answer, or that there will be none.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let mut inside = lock(&self.inside);
        if self.state() != OPEN {
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

    /// Nobody waits any more. An answer that has come meanwhile is dropped.
    pub(crate) fn abandon(&self) {
        if self.state() == CLOSED {
            // The answer was taken, or is dropped with the oneshot.
            return;
        }
        let waker = {
            let mut inside = lock(&self.inside);
            if self.state() == OPEN {
                // ORDERING: as in `put`.
                self.state.store(ABANDONED, Ordering::Release);
            }
            inside.waker.take()
        };
        drop(waker);
    }
}

/// The oneshot of the last question, for the next one of the same type.
#[derive(Default)]
pub(crate) struct SpareOneshot(Option<Arc<dyn Any + Send + Sync>>);

impl SpareOneshot {
    /// A oneshot that nobody else has.
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
            None => Arc::default(), // the other side still has it
        }
    }

    /// Keeps a oneshot whose question is over.
    pub(crate) fn keep<R: Send + 'static>(&mut self, oneshot: Arc<Oneshot<R>>) {
        self.0 = Some(oneshot);
    }
}
