//! The actor of a conversation: which participant gets a request, and what follows when it has none.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as PollContext, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep_until};

use crate::{
    actor::{Actor, Context},
    actor_loop,
    crash::Lease,
    error::{ActorError, ActorResult},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    id::ActorId,
    patterns::conversation::{
        book::{Book, Pending},
        error::ConversationError,
        messages::{ConversationMessage, ConversationState, NewRequest},
        mode::ConversationMode,
        participant::{Inert, Participant},
        request::{Feedback, Request, Ticket},
    },
    util::timer::from_now,
};

pub(super) type Compensation<Q, R> = Arc<dyn Fn(&Q, ActorId) -> Option<R> + Send + Sync>;

/// The actor of a conversation. See [`ConversationHandle`](crate::patterns::ConversationHandle) for its use.
pub struct Conversation<Q, R> {
    pub(super) copy: fn(&Q) -> Q,
    pub(super) participants: Vec<Participant<Q, R>>,
    pub(super) inert: Vec<Inert>,
    pub(super) compensation: Option<Compensation<Q, R>>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_pending: usize,
    pub(super) mode: ConversationMode,
    pub(super) book: Lease<Book<Q, R>>,
    /// For the first deadline.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

/// What a conversation waits for besides its messages.
enum Wake<R> {
    Feedback(Feedback<R>),
    /// There is room for the first request that waits for it at this participant.
    Room(usize),
    /// The time of this request is up.
    Overdue(u64),
}

impl<Q: Send + 'static, R: Send + 'static> Conversation<Q, R> {
    /// Forwards a request to the first participant that takes it, from the one it is at. At one that
    /// is full it waits, unless its policy is to route to the next and the next has room.
    fn forward(&mut self, number: u64, is_first: bool) {
        let Some(from) = self.book.pending.get(&number).map(|pending| pending.at) else {
            return;
        };
        let mut is_full = false;
        for at in from..self.participants.len() {
            match self.poll_room(at) {
                Poll::Ready(true) if self.hand_over(number, at) => return,
                Poll::Ready(_) => continue,
                Poll::Pending => is_full = true,
            }
            if self.participants[at].policy != CrashPolicy::RouteToNext {
                break;
            }
        }
        if is_full {
            self.book.wait_for_room(number, from, is_first);
        } else if let Some(pending) = self.book.remove(number) {
            let nobody = Err(ConversationError::NoParticipant);
            self.book.deliver(nobody, pending.reply);
        }
    }

    /// Looks whether a participant has room, without waiting for it.
    fn poll_room(&mut self, at: usize) -> Poll<bool> {
        let mut cx = PollContext::from_waker(std::task::Waker::noop());
        self.participants[at].lane.poll_room(&mut cx)
    }

    /// Sends a request to a participant. Returns whether it took it.
    fn hand_over(&mut self, number: u64, at: usize) -> bool {
        let attempt = self.book.number();
        let ticket = Ticket {
            request: number,
            attempt,
            back: Some(self.book.back.clone()),
        };
        let Some(pending) = self.book.pending.get(&number) else {
            return true;
        };
        let body = (self.copy)(&pending.body);
        let is_taken = self.participants[at].lane.forward(Request { body, ticket });
        if is_taken && let Some(pending) = self.book.pending.get_mut(&number) {
            (pending.at, pending.attempt) = (at, attempt);
        }
        // If it was refused, the ticket reports an attempt that does not count.
        is_taken
    }

    fn on_feedback(&mut self, feedback: Feedback<R>) -> ActorResult {
        match feedback {
            Feedback::Returned(outcome) => self.book.take_back(outcome),
            Feedback::Answered {
                request,
                attempt,
                reply,
            } => {
                let is_current = |pending: &Pending<Q, R>| pending.attempt == attempt;
                if !self.book.pending.get(&request).is_some_and(is_current) {
                    return Ok(());
                }
                match reply {
                    Some(answer) => self.finish(request, Ok(answer)),
                    None => return self.on_crash(request),
                }
            }
        }
        Ok(())
    }

    /// Processes all feedback that has arrived.
    fn drain_feedback(&mut self) -> ActorResult {
        while let Ok(feedback) = self.book.feedback.try_recv() {
            self.on_feedback(feedback)?;
        }
        Ok(())
    }

    fn finish(&mut self, number: u64, outcome: Result<R, ConversationError>) {
        if let Some(pending) = self.book.remove(number) {
            self.book.deliver(outcome, pending.reply);
        }
    }

    /// A request was dropped by its participant without an answer.
    fn on_crash(&mut self, number: u64) -> ActorResult {
        let Some(pending) = self.book.pending.get_mut(&number) else {
            return Ok(());
        };
        pending.attempt = 0;
        let participant = &self.participants[pending.at];
        let id = participant.lane.cell().id();
        let error = ConversationError::ParticipantCrashed(id);
        match participant.policy {
            CrashPolicy::RouteToNext if pending.at + 1 < self.participants.len() => {
                pending.at += 1;
                self.forward(number, false);
            }
            CrashPolicy::RouteToNext => self.finish(number, Err(error)),
            CrashPolicy::Compensate => {
                let answer = self
                    .compensation
                    .as_ref()
                    .and_then(|make| make(&pending.body, id));
                self.finish(number, answer.ok_or(error));
            }
            CrashPolicy::Fail => {
                self.finish(number, Err(error));
                return self.fail(error);
            }
        }
        Ok(())
    }

    /// Fails the conversation with a participant.
    fn fail(&mut self, error: ConversationError) -> ActorResult {
        if self.mode == ConversationMode::Ephemeral {
            self.book.release(error);
        }
        Err(ActorError::from(error))
    }

    /// Whether no participant is left.
    fn is_deserted(&self) -> bool {
        !self.participants.iter().any(|p| p.lane.cell().is_alive())
    }

    /// Releases the waiting receives if no reply can come: no participant is left, and no request
    /// is pending that one of them may have passed on.
    fn release_if_deserted(&mut self) {
        if !self.book.waiting.is_empty() && self.book.pending.is_empty() && self.is_deserted() {
            self.book.release(ConversationError::NoParticipant);
        }
    }

    /// Takes new requests only while it may hold more.
    fn regulate(&self, ctx: &mut Context<Self>) {
        if self.book.held() < self.max_pending {
            ctx.resume_low();
        } else {
            ctx.pause_low();
        }
    }

    // --- waiting ------------------------------------------------------------------------------

    fn poll_wake(&mut self, cx: &mut PollContext<'_>) -> Poll<Wake<R>> {
        if let Poll::Ready(Some(feedback)) = self.book.feedback.poll_recv(cx) {
            return Poll::Ready(Wake::Feedback(feedback));
        }
        for at in 0..self.participants.len() {
            if self.book.first_waiting(at).is_some() && self.poll_room_from(at, cx).is_ready() {
                return Poll::Ready(Wake::Room(at));
            }
        }
        let Some((deadline, number)) = self.book.first_deadline() else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Wake::Overdue(number))
    }

    /// Ready when a request that waits there can go on: there is room, or nobody is left.
    fn poll_room_from(&mut self, from: usize, cx: &mut PollContext<'_>) -> Poll<()> {
        let mut is_full = false;
        for participant in &mut self.participants[from..] {
            match participant.lane.poll_room(cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => continue,
                Poll::Pending => is_full = true,
            }
            if participant.policy != CrashPolicy::RouteToNext {
                break;
            }
        }
        if is_full {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn on_wake(&mut self, wake: Wake<R>) -> ActorResult {
        match wake {
            Wake::Feedback(feedback) => self.on_feedback(feedback)?,
            Wake::Room(at) => {
                if let Some(number) = self.book.pop_waiting(at) {
                    self.forward(number, true);
                }
            }
            Wake::Overdue(number) => {
                // An answer that has arrived by now is in time.
                self.drain_feedback()?;
                self.finish(number, Err(ConversationError::Timeout));
            }
        }
        self.release_if_deserted();
        Ok(())
    }
}

impl<Q: Send + 'static, R: Send + 'static> Actor for Conversation<Q, R> {
    type HighPriorityMsg = ConversationMessage<R>;
    type LowPriorityMsg = NewRequest<Q, R>;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let participants = self.participants.iter();
        let participants = participants.map(|participant| participant.lane.cell());
        for cell in participants.chain(self.inert.iter().map(|inert| &inert.cell)) {
            // `on_peer_exit` applies the policy, after it has released the waiting receives.
            ctx.watch_cell(cell, CrashPolicy::Compensate);
        }
        // The last incarnation panicked in a function of the program that had them.
        for number in self.book.orphans() {
            let at = self.book.pending[&number].at;
            let id = self.participants.get(at).map(|it| it.lane.cell().id());
            let error = id.map_or(
                ConversationError::NoParticipant,
                ConversationError::ParticipantCrashed,
            );
            self.finish(number, Err(error));
        }
        self.regulate(ctx);
        Ok(())
    }

    async fn on_high(
        &mut self,
        msg: ConversationMessage<R>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        match msg {
            ConversationMessage::Receive(reply) => {
                self.drain_feedback()?;
                if self.book.receive(reply) {
                    self.release_if_deserted();
                }
            }
            ConversationMessage::State(reply) => {
                let alive = |participant: &&Participant<Q, R>| participant.lane.cell().is_alive();
                let book = &*self.book;
                let _ = reply.send(ConversationState {
                    participants: self.participants.iter().filter(alive).count(),
                    inert: self.inert.iter().filter(|it| it.cell.is_alive()).count(),
                    pending: book.pending.len(),
                    replies: book.replies(),
                    waiting: book
                        .waiting
                        .iter()
                        .filter(|waiting| !waiting.is_closed())
                        .count(),
                });
            }
        }
        self.regulate(ctx);
        Ok(())
    }

    async fn on_low(&mut self, new: NewRequest<Q, R>, ctx: &mut Context<Self>) -> ActorResult {
        let own = self.timeout.map(from_now);
        let (reply, callers) = new.caller.unzip();
        let deadline = [own, callers].into_iter().flatten().min();
        let number = self.book.add(Pending {
            body: new.body,
            at: 0,
            attempt: 0,
            deadline,
            reply,
        });
        self.forward(number, false);
        self.regulate(ctx);
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, ctx: &mut Context<Self>) -> ActorResult {
        // What it answered or dropped before its end is processed first.
        self.drain_feedback()?;
        let participants = self.participants.iter();
        let participants = participants.map(|it| (it.lane.cell().id(), it.policy));
        let inert = self.inert.iter().map(|it| (it.cell.id(), it.policy));
        let fails = (participants.chain(inert))
            .any(|(id, policy)| id == notice.id && policy == CrashPolicy::Fail);
        let error = ConversationError::ParticipantCrashed(notice.id);
        if notice.reason.is_failure() && fails {
            return self.fail(error);
        }
        if notice.reason.is_failure() && self.is_deserted() {
            self.book.release(error);
        }
        self.release_if_deserted();
        self.regulate(ctx);
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        // There may be another incarnation. If not, the book ends with the actor.
        let may_return = reason.is_failure() || matches!(reason, ExitReason::Restarted);
        if self.mode == ConversationMode::Ephemeral || !may_return {
            self.book.release(ConversationError::Closed);
        }
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            wake = poll_fn(|cx| self.poll_wake(cx)) => {
                self.on_wake(wake)?;
                self.regulate(ctx);
            },
        )
    }
}

impl<Q, R> fmt::Debug for Conversation<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("participants", &self.participants.len())
            .field("pending", &self.book.pending.len())
            .finish_non_exhaustive()
    }
}
