//! What is about to be written on one connection: frames in order, up to a limit, and the answers that
//! actors still owe.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::{Stream, stream::FuturesUnordered};
use lanemesh_runtime::edge::PendingAnswer;

use crate::wire::{Frame, begin, encode_answer, end};

/// How far frames that no credit bounds may go beyond the limit: a peer that makes us answer and does
/// not read is cut off.
const SLACK: usize = 1 << 20;

/// The link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

pub(crate) struct Outbox {
    inside: Mutex<Inside>,
    limit: usize,
    max_answers: usize,
}

#[derive(Default)]
struct Inside {
    buffer: Vec<u8>,
    /// Not yet taken over by the writer.
    answers: Vec<PendingAnswer>,
    /// Those of the writer too.
    owed: usize,
    writer: Option<Waker>,
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

impl Outbox {
    pub(crate) fn new(limit: usize, max_answers: usize) -> Self {
        Self {
            inside: Mutex::default(),
            limit,
            max_answers,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what `write` writes, if the link is up. It runs under the lock: no foreign code.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Closed> {
        let writer = {
            let mut inside = self.lock();
            if inside.state != State::Open {
                return Err(Closed);
            }
            write(&mut inside.buffer);
            inside.writer.take()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    /// Appends a frame that no credit bounds. Returns whether the peer reads fast enough.
    pub(crate) fn push(&self, frame: &Frame<'_>) -> bool {
        let mut is_fast = true;
        // When the link is down, nobody needs the frame.
        let _ = self.append(|buffer| {
            is_fast = buffer.len() <= self.limit + SLACK;
            if is_fast {
                frame.write(buffer);
            }
        });
        is_fast
    }

    /// Ready when another message may be appended.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut inside = self.lock();
        if inside.state != State::Open {
            return Poll::Ready(Err(Closed));
        }
        if inside.buffer.len() < self.limit {
            return Poll::Ready(Ok(()));
        }
        if !inside
            .waiting
            .iter()
            .any(|known| known.will_wake(cx.waker()))
        {
            inside.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes over the answers to a message's asks. Those beyond the limit are refused at once.
    pub(crate) fn owe(&self, answers: Vec<PendingAnswer>) {
        if answers.is_empty() {
            return;
        }
        let mut refused = Vec::new();
        let writer = {
            let mut inside = self.lock();
            for answer in answers {
                if inside.owed < self.max_answers {
                    inside.owed += 1;
                    inside.answers.push(answer);
                } else {
                    refused.push(answer);
                }
            }
            inside.writer.take()
        };
        for answer in refused {
            let slot = answer.slot();
            drop(answer);
            self.push(&Frame::NoAnswer { slot });
        }
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Moves what is to be written into `chunk`, which is empty.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        answers: &mut Answers,
        chunk: &mut Vec<u8>,
    ) -> Poll<Result<(), Closed>> {
        {
            let mut inside = self.lock();
            if inside.state == State::Closed {
                return Poll::Ready(Err(Closed));
            }
            inside.writer = Some(cx.waker().clone());
            answers.take(&mut inside.answers);
        }
        // Answers are serialized by foreign code: without the lock.
        let written = answers.write(cx, chunk, self.limit);
        let waiting = {
            let mut inside = self.lock();
            inside.owed -= written;
            if chunk.is_empty() {
                std::mem::swap(&mut inside.buffer, chunk);
            } else {
                chunk.append(&mut inside.buffer);
            }
            if chunk.is_empty() {
                return match inside.state {
                    State::Finishing => Poll::Ready(Err(Closed)),
                    _ => Poll::Pending,
                };
            }
            std::mem::take(&mut inside.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// Takes nothing more; what is there is written.
    pub(crate) fn finish(&self) {
        self.close_as(State::Finishing);
    }

    /// Takes nothing more and writes nothing more.
    pub(crate) fn close(&self) {
        self.close_as(State::Closed);
    }

    fn close_as(&self, state: State) {
        let (waiting, writer, answers) = {
            let mut inside = self.lock();
            if inside.state == State::Closed {
                return;
            }
            inside.state = state;
            let answers = std::mem::take(&mut inside.answers);
            let waiting = std::mem::take(&mut inside.waiting);
            (waiting, inside.writer.take(), answers)
        };
        drop(answers);
        waiting.into_iter().chain(writer).for_each(Waker::wake);
    }
}

/// The answers that the writer waits for.
pub(crate) struct Answers {
    pending: FuturesUnordered<Answer>,
    /// Bytes that one may have.
    limit: usize,
}

impl Answers {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            pending: FuturesUnordered::new(),
            limit,
        }
    }

    fn take(&mut self, new: &mut Vec<PendingAnswer>) {
        let limit = self.limit;
        let new = new.drain(..).map(|pending| Answer { pending, limit });
        self.pending.extend(new);
    }

    /// Appends those that are ready, up to about `limit` bytes in all. Returns how many.
    fn write(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>, limit: usize) -> usize {
        let mut count = 0;
        while into.len() < limit
            && let Poll::Ready(Some(frame)) = Pin::new(&mut self.pending).poll_next(cx)
        {
            into.extend_from_slice(&frame);
            count += 1;
        }
        if into.len() >= limit {
            cx.waker().wake_by_ref(); // for the rest
        }
        count
    }
}

struct Answer {
    pending: PendingAnswer,
    limit: usize,
}

impl Future for Answer {
    /// The frame.
    type Output = Vec<u8>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        let Self { pending, limit } = &mut *self;
        let slot = pending.slot();
        let mut frame = Vec::new();
        let mut is_encoded = false;
        let encode = &mut |answer: &dyn erased_serde::Serialize| {
            let at = begin(slot, &mut frame);
            match encode_answer(answer, *limit, &mut frame) {
                Ok(()) => is_encoded = true,
                Err(error) => tracing::warn!(%error, "an answer cannot be sent"),
            }
            end(&mut frame, at);
        };
        match pending.poll(cx, encode) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(_) if is_encoded => {}
            Poll::Ready(_) => {
                frame.clear();
                Frame::NoAnswer { slot }.write(&mut frame);
            }
        }
        Poll::Ready(frame)
    }
}
