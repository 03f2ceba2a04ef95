//! Answers that actors of this node owe to the peer.
//!
//! The waker of a reply's oneshot is the answer itself: it is encoded and appended by whoever sends it,
//! and no task waits for it.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
};

use lanemesh_runtime::edge::PendingAnswer;

use super::Link;
use crate::wire::{Class, Codec, Frame, begin, encode_answer, end};

pub(super) struct Owing {
    link: Weak<Link>,
    class: Class,
    codec: Codec,
    /// Its place in the register.
    key: usize,
    state: Mutex<State>,
}

enum State {
    Waiting(PendingAnswer),
    /// It is being looked at.
    Busy {
        is_woken: bool,
    },
    Done,
}

impl Owing {
    fn new(
        link: &Arc<Link>,
        (class, codec): (Class, Codec),
        key: usize,
        pending: PendingAnswer,
    ) -> Self {
        Self {
            link: Arc::downgrade(link),
            class,
            codec,
            key,
            state: Mutex::new(State::Waiting(pending)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame with the answer, or one that says that there is none, once that is known. An answer has up
    /// to `limit` bytes. Afterwards the answer is gone.
    fn look(self: &Arc<Self>, limit: usize) -> Option<Vec<u8>> {
        let mut pending = {
            let mut state = self.lock();
            match mem::replace(&mut *state, State::Busy { is_woken: false }) {
                State::Waiting(pending) => pending,
                State::Busy { .. } => {
                    *state = State::Busy { is_woken: true };
                    return None;
                }
                State::Done => {
                    *state = State::Done;
                    return None;
                }
            }
        };
        let waker = Waker::from(self.clone());
        loop {
            // Answers are serialized by foreign code: without the lock.
            let looked = poll(
                &mut pending,
                &mut Context::from_waker(&waker),
                self.codec,
                limit,
            );
            let mut state = self.lock();
            match (looked, &mut *state) {
                (Poll::Ready(frame), _) => {
                    *state = State::Done;
                    return Some(frame);
                }
                (Poll::Pending, State::Busy { is_woken: true }) => {
                    *state = State::Busy { is_woken: false };
                }
                (Poll::Pending, State::Done) => return None, // the link is down
                (Poll::Pending, _) => {
                    *state = State::Waiting(pending);
                    return None;
                }
            }
        }
    }

    /// The link is down: tells the actor that the asker is gone.
    pub(super) fn give_up(&self) {
        let state = mem::replace(&mut *self.lock(), State::Done);
        drop(state);
    }
}

impl Link {
    /// Takes over the answers to a message's asks, which are given in its codec. Those beyond the limit are
    /// refused at once.
    pub(crate) fn owe(self: &Arc<Self>, class: Class, codec: Codec, answers: Vec<PendingAnswer>) {
        for pending in answers {
            let slot = pending.slot();
            let outbox = self.outbox(class);
            let owing = outbox.owe(|key| Arc::new(Owing::new(self, (class, codec), key, pending)));
            match owing {
                Some(owing) => self.look_at(&owing),
                None => self.push(Class::High, &Frame::NoAnswer { slot }),
            }
        }
    }

    /// Looks whether an answer is there, as far as there is room.
    pub(super) fn settle_answer(&self, owing: &Arc<Owing>) {
        if self.outbox(owing.class).has_room_for(owing) {
            self.look_at(owing);
        }
    }

    fn look_at(&self, owing: &Arc<Owing>) {
        let Some(frame) = owing.look(self.config.max_frame - 16) else {
            return;
        };
        let outbox = self.outbox(owing.class);
        match outbox.answer(owing.key, &frame) {
            // The only one that was owed: no other one is about to follow it.
            true => self.flush(owing.class),
            false => outbox.rouse(),
        }
    }
}

impl Wake for Owing {
    fn wake(self: Arc<Self>) {
        if let Some(link) = self.link.upgrade() {
            link.settle_answer(&self);
        }
    }
}

fn poll(
    pending: &mut PendingAnswer,
    cx: &mut Context<'_>,
    codec: Codec,
    limit: usize,
) -> Poll<Vec<u8>> {
    let slot = pending.slot();
    let mut frame = Vec::new();
    let mut is_encoded = false;
    let encode = &mut |answer: &dyn erased_serde::Serialize| {
        let at = begin(slot, &mut frame);
        match encode_answer(codec, answer, limit, &mut frame) {
            Ok(()) => is_encoded = true,
            Err(error) => tracing::warn!(%error, "an answer cannot be sent"),
        }
        end(&mut frame, at);
    };
    if pending.poll(cx, encode).is_pending() {
        return Poll::Pending;
    }
    if !is_encoded {
        frame.clear();
        Frame::NoAnswer { slot }.write(&mut frame);
    }
    Poll::Ready(frame)
}

/// The answers that are owed on one connection.
#[derive(Default)]
pub(super) struct Register {
    places: Vec<Option<Arc<Owing>>>,
    free: Vec<usize>,
}

impl Register {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, owing: impl FnOnce(usize) -> Arc<Owing>) -> Arc<Owing> {
        let key = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[key].insert(owing(key)).clone()
    }

    /// Nothing is there if the register was taken meanwhile.
    pub(super) fn remove(&mut self, key: usize) -> Option<Arc<Owing>> {
        let removed = self.places.get_mut(key)?.take();
        if removed.is_some() {
            self.free.push(key);
        }
        if self.len() == 0 {
            // What a burst has needed is not kept.
            self.places.clear();
            self.places.shrink_to(64);
            self.free.clear();
            self.free.shrink_to(64);
        }
        removed
    }

    pub(super) fn take(&mut self) -> Vec<Arc<Owing>> {
        self.free.clear();
        mem::take(&mut self.places).into_iter().flatten().collect()
    }
}
