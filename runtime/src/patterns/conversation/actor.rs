//! The actor of a conversation: which participant gets a request, and who gets its reply.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use tokio::sync::mpsc;

use crate::{
    actor::{Actor, Context},
    actor_loop,
    error::{ActorError, ActorResult},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    handle::Reply,
    id::ActorId,
    patterns::conversation::{
        error::ConversationError,
        messages::{ConversationMessage, ConversationState, ReplyDelivery},
        participant::Participant,
        request::{Feedback, FeedbackSender, Outcome, Request, Ticket},
    },
};

pub(super) type Compensation<Q, R> = Arc<dyn Fn(&Q, ActorId) -> Option<R> + Send + Sync>;
pub(super) struct Pending<Q, R> {
    pub(super) body: Q,
    pub(super) at: usize,
    pub(super) tries: usize,
    pub(super) error: Option<ConversationError>,
    pub(super) reply: Option<Reply<Outcome<R>>>,
}

/// The actor of a conversation. See [`ConversationHandle`](crate::patterns::ConversationHandle) for its use.
pub struct Conversation<Q, R> {
    pub(super) copy: fn(&Q) -> Q,
    pub(super) participants: Vec<Participant<Q, R>>,
    pub(super) compensation: Option<Compensation<Q, R>>,
    pub(super) back: FeedbackSender<R>,
    pub(super) feedback: mpsc::UnboundedReceiver<Feedback<R>>,
    pub(super) pending: BTreeMap<u64, Pending<Q, R>>,
    pub(super) next: u64,
    pub(super) ready: VecDeque<Outcome<R>>,
    pub(super) waiting: VecDeque<Reply<ReplyDelivery<R>>>,
}

impl<Q: Send + 'static, R: Send + 'static> Conversation<Q, R> {
    /// Forwards to the participant `at`, or the next one that is alive.
    fn forward(&mut self, body: Q, reply: Option<Reply<Outcome<R>>>, at: usize, tries: usize) {
        let count = self.participants.len();
        let alive = (tries..count)
            .map(|step| (at + step - tries) % count)
            .find(|at| self.participants[*at].lane.cell().is_alive());
        let Some(at) = alive else {
            return self.deliver(Err(ConversationError::NoParticipant), reply);
        };
        self.next += 1;
        let number = self.next;
        let ticket = Ticket {
            number,
            back: Some(self.back.clone()),
        };
        let request = Request {
            body: (self.copy)(&body),
            ticket,
        };
        let error = self.participants[at].lane.forward(request).err();
        // If it was refused, its ticket has already been reported as unanswered.
        self.pending.insert(
            number,
            Pending {
                body,
                at,
                tries,
                error,
                reply,
            },
        );
    }

    fn deliver(&mut self, outcome: Outcome<R>, reply: Option<Reply<Outcome<R>>>) {
        if let Some(reply) = reply {
            // The caller of this request may be gone.
            let _ = reply.send(outcome);
            return;
        }
        if let Err(outcome) = self.send_to_waiting(outcome) {
            self.ready.push_back(outcome);
        }
    }

    /// Sends a reply to the first receive that waits for one.
    fn send_to_waiting(&mut self, mut outcome: Outcome<R>) -> Result<(), Outcome<R>> {
        while let Some(waiting) = self.waiting.pop_front() {
            outcome = match waiting.send(self.wrap(outcome)) {
                Ok(()) => return Ok(()),
                Err(back) => back.0.open(),
            };
        }
        Err(outcome)
    }

    fn wrap(&self, outcome: Outcome<R>) -> ReplyDelivery<R> {
        ReplyDelivery {
            outcome: Some(outcome),
            back: Some(self.back.clone()),
        }
    }

    fn on_feedback(&mut self, feedback: Feedback<R>) -> ActorResult {
        match feedback {
            Feedback::Answered(number, reply) => self.on_answer(number, reply),
            Feedback::Returned(outcome) => {
                if let Err(outcome) = self.send_to_waiting(outcome) {
                    self.ready.push_front(outcome);
                }
                Ok(())
            }
        }
    }

    /// Processes all feedback that has arrived.
    fn drain_feedback(&mut self) -> ActorResult {
        while let Ok(feedback) = self.feedback.try_recv() {
            self.on_feedback(feedback)?;
        }
        Ok(())
    }

    /// A request was answered, or dropped without an answer.
    fn on_answer(&mut self, number: u64, reply: Option<R>) -> ActorResult {
        let Some(pending) = self.pending.remove(&number) else {
            return Ok(());
        };
        if let Some(answer) = reply {
            self.deliver(Ok(answer), pending.reply);
            return Ok(());
        }
        let participant = &self.participants[pending.at];
        let id = participant.lane.cell().id();
        let error = pending
            .error
            .unwrap_or(ConversationError::ParticipantCrashed(id));
        match participant.policy {
            CrashPolicy::RouteToNext if pending.tries + 1 < self.participants.len() => {
                let next = (pending.at + 1) % self.participants.len();
                self.forward(pending.body, pending.reply, next, pending.tries + 1);
            }
            CrashPolicy::Compensate => {
                let answer = self
                    .compensation
                    .as_ref()
                    .and_then(|make| make(&pending.body, id));
                self.deliver(answer.ok_or(error), pending.reply);
            }
            CrashPolicy::Fail if error != ConversationError::Busy => {
                self.deliver(Err(error), pending.reply);
                self.release(error);
                return Err(ActorError::from(error));
            }
            CrashPolicy::Fail | CrashPolicy::RouteToNext => {
                self.deliver(Err(error), pending.reply);
            }
        }
        Ok(())
    }

    /// Whether no participant is left.
    fn is_deserted(&self) -> bool {
        !self.participants.iter().any(|p| p.lane.cell().is_alive())
    }

    /// Releases the waiting receives if no reply can come: no participant is left, and no request
    /// is pending that one of them may have passed on.
    fn release_if_deserted(&mut self) {
        if !self.waiting.is_empty() && self.pending.is_empty() && self.is_deserted() {
            self.release(ConversationError::NoParticipant);
        }
    }

    /// Releases all waiting receives and requests.
    fn release(&mut self, error: ConversationError) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(ReplyDelivery::error(error));
        }
        for pending in std::mem::take(&mut self.pending).into_values() {
            if let Some(reply) = pending.reply {
                let _ = reply.send(Err(error));
            }
        }
    }
}

impl<Q: Send + 'static, R: Send + 'static> Actor for Conversation<Q, R> {
    type HighPriorityMsg = ConversationMessage<Q, R>;
    type LowPriorityMsg = Q;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for participant in &self.participants {
            // `on_peer_exit` applies the policy, after it has released the waiting receives.
            ctx.watch_cell(participant.lane.cell(), CrashPolicy::Compensate);
        }
        Ok(())
    }

    async fn on_high(
        &mut self,
        msg: ConversationMessage<Q, R>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        match msg {
            ConversationMessage::Receive(reply) => {
                self.drain_feedback()?;
                match self.ready.pop_front() {
                    Some(outcome) => {
                        if let Err(back) = reply.send(self.wrap(outcome)) {
                            self.ready.push_front(back.0.open());
                        }
                    }
                    None => {
                        self.waiting.retain(|waiting| !waiting.is_closed());
                        self.waiting.push_back(reply);
                        self.release_if_deserted();
                    }
                }
            }
            ConversationMessage::Request(body, reply) => self.forward(body, Some(reply), 0, 0),
            ConversationMessage::State(reply) => {
                let alive = |participant: &&Participant<Q, R>| participant.lane.cell().is_alive();
                let _ = reply.send(ConversationState {
                    participants: self.participants.iter().filter(alive).count(),
                    pending: self.pending.len(),
                    replies: self.ready.len(),
                    waiting: self
                        .waiting
                        .iter()
                        .filter(|waiting| !waiting.is_closed())
                        .count(),
                });
            }
        }
        Ok(())
    }

    async fn on_low(&mut self, body: Q, _: &mut Context<Self>) -> ActorResult {
        self.forward(body, None, 0, 0);
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        // What it answered or dropped before its end is processed first.
        self.drain_feedback()?;
        let fails = self.participants.iter().any(|participant| {
            participant.policy == CrashPolicy::Fail && participant.lane.cell().id() == notice.id
        });
        if notice.reason.is_failure() && (fails || self.is_deserted()) {
            let error = ConversationError::ParticipantCrashed(notice.id);
            self.release(error);
            if fails {
                return Err(ActorError::from(error));
            }
        }
        self.release_if_deserted();
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.release(ConversationError::Closed);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            Some(feedback) = self.feedback.recv() => {
                self.on_feedback(feedback)?;
                self.release_if_deserted();
            },
        )
    }
}

impl<Q, R> fmt::Debug for Conversation<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("participants", &self.participants.len())
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}
