//! What is about to be written on one connection: frames in order, up to a limit, and the connection
//! itself while nobody writes.
//!
//! Whoever has appended frames may take the connection and write them at once; the connection's own task
//! writes what is left over. So a message that finds an idle connection needs no other task to be woken.

use std::{
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{
    owing::{Owing, Register},
    sync::{AtomicUsize, Mutex, MutexGuard, Ordering},
};
use crate::{transport::BoxWriter, wire::Frame};

/// How far frames that no credit bounds may go beyond the limit: a peer that makes us answer and does
/// not read is cut off.
const SLACK: usize = 1 << 20;
/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 1 << 20;

/// The link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

pub(crate) struct Outbox {
    inside: Mutex<Inside>,
    /// Bytes from which on nothing is appended that can wait.
    limit: AtomicUsize,
    max_answers: usize,
}

#[derive(Default)]
struct Inside {
    buffer: Vec<u8>,
    /// What somebody has begun to write, and could not finish.
    rest: Option<Bytes>,
    /// There while nobody writes.
    connection: Option<BoxWriter>,
    /// Answers that actors owe to the peer.
    owed: Register,
    /// Those that are there, and for which there was no room.
    ready: Vec<Arc<Owing>>,
    /// The connection's own task.
    writer: Option<Waker>,
    /// The task has been woken and has not looked yet.
    is_writer_woken: bool,
    /// The connection must be flushed.
    is_flush_due: bool,
    waiting: Vec<Waker>,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Takes nothing more, and closes when everything is written.
    Finishing,
    Closed,
}

/// Bytes that are being written.
#[derive(Default)]
pub(super) struct Bytes {
    pub(super) buffer: Vec<u8>,
    /// How many of them are written.
    pub(super) written: usize,
    /// Up to where the window of the connection has room for them.
    pub(super) allowed: usize,
}

/// The connection, for whoever writes now.
pub(super) struct Turn {
    pub(super) connection: BoxWriter,
    pub(super) bytes: Bytes,
    /// Of the connection's own task.
    pub(super) writer: Waker,
}

/// What the connection's own task is to do.
pub(super) struct Work {
    pub(super) turn: Turn,
    /// Answers for which there is room now.
    pub(super) ready: Vec<Arc<Owing>>,
}

impl Inside {
    /// Whom to wake so that what is there is written.
    fn wake_writer(&mut self) -> Option<Waker> {
        if self.is_writer_woken {
            return None;
        }
        self.is_writer_woken = self.writer.is_some();
        self.writer.clone()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Outbox {
    pub(crate) fn new(limit: usize, max_answers: usize) -> Self {
        Self {
            inside: Mutex::default(),
            limit: AtomicUsize::new(limit),
            max_answers,
        }
    }

    /// Bytes from which on nothing is appended that can wait.
    pub(crate) fn limit(&self) -> usize {
        // ORDERING: Relaxed: nothing depends on who sees which of two limits.
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set_limit(&self, limit: usize) {
        // ORDERING: as above.
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what `write` writes, if the link is up. It runs under the lock: no foreign code.
    /// [`Link::flush`](super::Link::flush) is to follow.
    pub(crate) fn append<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, Closed> {
        let mut inside = self.lock();
        match inside.state {
            State::Open => Ok(write(&mut inside.buffer)),
            _ => Err(Closed),
        }
    }

    /// Appends a frame that no credit bounds. Returns whether the peer reads fast enough.
    pub(super) fn push(&self, frame: &Frame<'_>) -> bool {
        // When the link is down, nobody needs the frame.
        let pushed = self.append(|buffer| {
            let is_fast = buffer.len() <= self.limit() + SLACK;
            if is_fast {
                frame.write(buffer);
            }
            is_fast
        });
        pushed.unwrap_or(true)
    }

    /// Ready when another message may be appended.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut inside = self.lock();
        if inside.state != State::Open {
            return Poll::Ready(Err(Closed));
        }
        if inside.buffer.len() < self.limit() {
            return Poll::Ready(Ok(()));
        }
        let is_known = |known: &Waker| known.will_wake(cx.waker());
        if !inside.waiting.iter().any(is_known) {
            inside.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    // --- writing ------------------------------------------------------------------------------

    /// The link writes to `connection` from now on.
    pub(super) fn connect(&self, connection: BoxWriter) {
        self.lock().connection = Some(connection);
    }

    /// Lets the caller write what is there, if nobody else does and it can be written at once. `allow` says
    /// how many of so many bytes may be sent now.
    pub(super) fn take_turn(&self, allow: impl FnOnce(usize) -> usize) -> Option<Turn> {
        let (turn, waiting) = {
            let mut inside = self.lock();
            let is_turn = inside.state == State::Open
                && !inside.is_writer_woken
                && !inside.buffer.is_empty()
                && inside.rest.is_none();
            let writer = inside.writer.clone().filter(|_| is_turn)?;
            let connection = inside.connection.take()?;
            let allowed = allow(inside.buffer.len());
            if allowed == 0 {
                inside.connection = Some(connection);
                let writer = inside.wake_writer();
                drop(inside);
                wake(writer);
                return None;
            }
            let buffer = std::mem::take(&mut inside.buffer);
            let bytes = Bytes {
                buffer,
                written: 0,
                allowed,
            };
            let waiting = std::mem::take(&mut inside.waiting);
            let turn = Turn {
                connection,
                bytes,
                writer,
            };
            (turn, waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        Some(turn)
    }

    /// Takes the connection back from whoever had the turn. What is left over is for the connection's own
    /// task, and so is the flush of one that could not be flushed at once.
    pub(super) fn end_turn(&self, connection: BoxWriter, bytes: Bytes, is_flush_due: bool) {
        let writer = {
            let mut inside = self.lock();
            if inside.state == State::Closed && inside.writer.is_none() {
                drop(inside);
                return drop(connection); // the link has settled
            }
            inside.connection = Some(connection);
            inside.is_flush_due |= is_flush_due;
            inside.keep(bytes);
            let is_more = inside.rest.is_some()
                || inside.is_flush_due
                || !inside.buffer.is_empty()
                || !inside.ready.is_empty()
                || inside.state != State::Open;
            if is_more { inside.wake_writer() } else { None }
        };
        wake(writer);
    }

    /// As [`end_turn`](Self::end_turn), for the connection's own task, which looks again.
    pub(super) fn end_work(&self, connection: BoxWriter, bytes: Bytes) {
        let mut inside = self.lock();
        inside.connection = Some(connection);
        inside.keep(bytes);
    }

    /// Has what is there written by the connection's own task.
    pub(super) fn rouse(&self) {
        let writer = {
            let mut inside = self.lock();
            let is_idle = inside.buffer.is_empty() && inside.ready.is_empty();
            if is_idle { None } else { inside.wake_writer() }
        };
        wake(writer);
    }

    /// The connection, when there is something to write. If the outbox is closed, the error holds the connection to
    /// shut down, unless somebody is writing with it.
    pub(super) fn poll_work(&self, cx: &mut Context<'_>) -> Poll<Result<Work, Option<BoxWriter>>> {
        let (work, waiting) = {
            let mut inside = self.lock();
            inside.is_writer_woken = false;
            if inside.state == State::Closed {
                return Poll::Ready(Err(inside.connection.take()));
            }
            let writer = match &inside.writer {
                Some(known) if known.will_wake(cx.waker()) => known.clone(),
                _ => inside.writer.insert(cx.waker().clone()).clone(),
            };
            let Some(connection) = inside.connection.take() else {
                return Poll::Pending; // until the one who writes gives it back
            };
            let ready = std::mem::take(&mut inside.ready);
            let bytes = match inside.rest.take() {
                Some(rest) => rest,
                None => Bytes {
                    buffer: std::mem::take(&mut inside.buffer),
                    ..Bytes::default()
                },
            };
            let is_flush_due = std::mem::take(&mut inside.is_flush_due);
            if bytes.buffer.is_empty() && ready.is_empty() && !is_flush_due {
                if inside.state == State::Finishing {
                    return Poll::Ready(Err(Some(connection)));
                }
                inside.connection = Some(connection);
                inside.keep(bytes);
                return Poll::Pending;
            }
            let turn = Turn {
                connection,
                bytes,
                writer,
            };
            let waiting = std::mem::take(&mut inside.waiting);
            (Work { turn, ready }, waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(work))
    }

    // --- answers ------------------------------------------------------------------------------

    /// Registers an answer that an actor owes, unless there are too many.
    pub(super) fn owe(&self, owing: impl FnOnce(usize) -> Arc<Owing>) -> Option<Arc<Owing>> {
        let mut inside = self.lock();
        if inside.state == State::Closed || inside.owed.len() >= self.max_answers {
            return None;
        }
        Some(inside.owed.insert(owing))
    }

    /// Whether an answer may be appended; otherwise it is kept for when there is room.
    pub(super) fn has_room_for(&self, owing: &Arc<Owing>) -> bool {
        let writer = {
            let mut inside = self.lock();
            if inside.buffer.len() < self.limit() || inside.state == State::Closed {
                return true;
            }
            inside.ready.push(owing.clone());
            inside.wake_writer()
        };
        wake(writer);
        false
    }

    /// Appends the frame with an answer that was owed. Returns whether no other one is owed.
    pub(super) fn answer(&self, key: usize, frame: &[u8]) -> bool {
        let (owing, is_last) = {
            let mut inside = self.lock();
            let owing = inside.owed.remove(key);
            if inside.state == State::Open {
                inside.buffer.extend_from_slice(frame);
            }
            (owing, inside.owed.len() == 0)
        };
        drop(owing);
        is_last
    }

    // --- the end ------------------------------------------------------------------------------

    /// Takes nothing more; what is there is written.
    pub(super) fn finish(&self) {
        self.close_as(State::Finishing);
    }

    /// Takes nothing more and writes nothing more.
    pub(super) fn close(&self) {
        self.close_as(State::Closed);
    }

    /// Drops what is left when the connection's own task is gone.
    pub(super) fn clear(&self) {
        let left = {
            let mut inside = self.lock();
            inside.state = State::Closed;
            let buffer = std::mem::take(&mut inside.buffer);
            let left = (inside.connection.take(), inside.rest.take());
            (left, buffer, inside.writer.take())
        };
        drop(left);
    }

    fn close_as(&self, state: State) {
        let (waiting, writer, owed) = {
            let mut inside = self.lock();
            if inside.state == State::Closed {
                return;
            }
            inside.state = state;
            let owed = match state {
                State::Closed => (std::mem::take(&mut inside.ready), inside.owed.take()),
                _ => Default::default(),
            };
            let waiting = std::mem::take(&mut inside.waiting);
            (waiting, inside.wake_writer(), owed)
        };
        let (ready, owed) = owed;
        drop(ready);
        owed.iter().for_each(|owing| owing.give_up());
        waiting.into_iter().chain(writer).for_each(Waker::wake);
    }
}

impl Inside {
    /// Keeps what is left of written bytes, or their buffer for others.
    fn keep(&mut self, mut bytes: Bytes) {
        if bytes.written < bytes.buffer.len() {
            self.rest = Some(bytes);
        } else if self.buffer.capacity() == 0 && bytes.buffer.capacity() <= KEPT {
            bytes.buffer.clear();
            self.buffer = bytes.buffer;
        }
    }
}
