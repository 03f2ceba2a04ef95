//! Request and reply among participants, with a supervised actor in between.
//!
//! The conversation forwards each request to a participant and collects the replies. It keeps a
//! copy of a request until it is answered, so that a crash can be answered by the participant's
//! [`CrashPolicy`]: the conversation fails, the request goes to the next participant, or a
//! compensation makes the reply. Whoever waits is released at once, not by a timeout.

pub(crate) mod handle;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use tokio::sync::mpsc;

use crate::{
    actor::{Actor, context::Context},
    actor_loop,
    cell::Shared,
    error::{ActorError, ActorResult, AskError, SendError},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    handle::{ActorHandle, child::Child, reply::Reply},
    id::ActorId,
    patterns::conversation::handle::ConversationHandle,
    spawn::{Builder, builder},
};

/// Why a conversation has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationError {
    /// No reply came in time.
    Timeout,
    /// A participant crashed with the request, or while the reply was waited for.
    ParticipantCrashed(ActorId),
    /// The lane of the participant is full, and no other takes the request.
    Busy,
    /// There is no participant left.
    NoParticipant,
    /// The conversation has ended.
    Closed,
}

impl fmt::Display for ConversationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no reply in time"),
            Self::ParticipantCrashed(id) => write!(f, "participant {id} crashed"),
            Self::Busy => f.write_str("the participants have no room for the request"),
            Self::NoParticipant => f.write_str("no participant is left"),
            Self::Closed => f.write_str("the conversation has ended"),
        }
    }
}

impl std::error::Error for ConversationError {}

impl From<AskError> for ConversationError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Timeout => Self::Timeout,
            AskError::Full => Self::Busy,
            AskError::Closed | AskError::Crashed => Self::Closed,
        }
    }
}

/// What the conversation can be asked about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationState {
    /// Participants that are alive.
    pub participants: usize,
    /// Requests that are not answered yet.
    pub pending: usize,
    /// Replies that nobody has received yet.
    pub replies: usize,
    /// Receives that wait.
    pub waiting: usize,
}

/// A request as a participant gets it. Its message type must be made of it by `From`.
///
/// Dropping it without an answer, by a crash above all, tells the conversation at once.
pub struct Request<Q, R> {
    body: Q,
    ticket: Ticket<R>,
}

impl<Q, R> Request<Q, R> {
    /// What is asked.
    pub fn body(&self) -> &Q {
        &self.body
    }

    /// Answers. If the conversation has ended, the answer is dropped.
    pub fn answer(mut self, reply: R) {
        self.ticket.settle(Some(reply));
    }
}

impl<Q: fmt::Debug, R> fmt::Debug for Request<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// Reports exactly once: an answer, or that there is none.
struct Ticket<R> {
    number: u64,
    back: Option<Back<R>>,
}

impl<R> Ticket<R> {
    fn settle(&mut self, reply: Option<R>) {
        if let Some(back) = self.back.take() {
            // The conversation may have ended meanwhile.
            let _ = back.send(News::Settled(self.number, reply));
        }
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

/// What comes back to a conversation.
enum News<R> {
    /// A request was answered, or let go without an answer.
    Settled(u64, Option<R>),
    /// Who was to receive this had given up by then.
    Returned(Outcome<R>),
}

type Back<R> = mpsc::UnboundedSender<News<R>>;

/// A reply on its way to a receive. It goes back when it is not opened: a receive may be cancelled
/// when the reply is there already.
#[doc(hidden)]
pub struct Parcel<R> {
    outcome: Option<Outcome<R>>,
    back: Option<Back<R>>,
}

impl<R> Parcel<R> {
    /// A word that concerns nobody else.
    fn error(error: ConversationError) -> Self {
        Self {
            outcome: Some(Err(error)),
            back: None,
        }
    }

    pub(crate) fn open(mut self) -> Outcome<R> {
        let outcome = self.outcome.take();
        outcome.unwrap_or(Err(ConversationError::Closed))
    }
}

impl<R> Drop for Parcel<R> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take()
            && let Some(back) = &self.back
        {
            // The conversation may have ended meanwhile.
            let _ = back.send(News::Returned(outcome));
        }
    }
}

impl<R> fmt::Debug for Parcel<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").finish_non_exhaustive()
    }
}

/// A participant whose type is not known.
trait Forward<Q, R>: Send {
    fn forward(&mut self, request: Request<Q, R>) -> Result<(), ConversationError>;
    fn shared(&self) -> &Arc<Shared>;
    fn boxed_clone(&self) -> Box<dyn Forward<Q, R>>;
}

impl<Q, R, A> Forward<Q, R> for ActorHandle<A>
where
    A: Actor,
    A::LowPriorityMsg: From<Request<Q, R>>,
{
    fn forward(&mut self, request: Request<Q, R>) -> Result<(), ConversationError> {
        let id = self.id();
        self.try_send_low(request.into())
            .map_err(|error| match error {
                SendError::Full(_) => ConversationError::Busy,
                _ => ConversationError::ParticipantCrashed(id),
            })
    }

    fn shared(&self) -> &Arc<Shared> {
        ActorHandle::shared(self)
    }

    fn boxed_clone(&self) -> Box<dyn Forward<Q, R>> {
        Box::new(self.clone())
    }
}

struct Participant<Q, R> {
    lane: Box<dyn Forward<Q, R>>,
    policy: CrashPolicy,
}

impl<Q, R> Clone for Participant<Q, R> {
    fn clone(&self) -> Self {
        Self {
            lane: self.lane.boxed_clone(),
            policy: self.policy,
        }
    }
}

type Compensation<Q, R> = Arc<dyn Fn(&Q, ActorId) -> Option<R> + Send + Sync>;
type Outcome<R> = Result<R, ConversationError>;

/// Describes a conversation.
#[must_use = "a conversation does nothing until it is spawned"]
pub struct ConversationBuilder<Q, R> {
    copy: fn(&Q) -> Q,
    participants: Vec<Participant<Q, R>>,
    compensation: Option<Compensation<Q, R>>,
}

impl<Q: Send + 'static, R: Send + 'static> ConversationBuilder<Q, R> {
    /// Adds a participant; requests go to the first that is alive. `policy` says what its crash
    /// means for the request that it had.
    pub fn participant<A>(mut self, handle: &ActorHandle<A>, policy: CrashPolicy) -> Self
    where
        A: Actor,
        A::LowPriorityMsg: From<Request<Q, R>>,
    {
        self.participants.push(Participant {
            lane: Box::new(handle.clone()),
            policy,
        });
        self
    }

    /// Makes the reply when a participant with [`CrashPolicy::Compensate`] crashes with a request;
    /// with none the request fails.
    pub fn compensate(
        mut self,
        compensation: impl Fn(&Q, ActorId) -> Option<R> + Send + Sync + 'static,
    ) -> Self {
        self.compensation = Some(Arc::new(compensation));
        self
    }

    /// The actor's description, to be spawned by a parent or a system, perhaps with restarts.
    pub fn actor(self) -> Builder<Conversation<Q, R>> {
        builder(move || {
            let (back, news) = mpsc::unbounded_channel();
            Conversation {
                copy: self.copy,
                participants: self.participants.clone(),
                compensation: self.compensation.clone(),
                back,
                news,
                pending: BTreeMap::new(),
                next: 0,
                ready: VecDeque::new(),
                waiting: VecDeque::new(),
            }
        })
    }

    /// Starts the conversation without a parent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(self) -> (ConversationHandle<Q, R>, Child) {
        let (handle, child) = self.actor().spawn();
        (ConversationHandle::new(handle), child)
    }
}

impl<Q, R> fmt::Debug for ConversationBuilder<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationBuilder")
            .field("participants", &self.participants.len())
            .finish_non_exhaustive()
    }
}

struct Pending<Q, R> {
    body: Q,
    at: usize,
    tries: usize,
    error: Option<ConversationError>,
    reply: Option<Reply<Outcome<R>>>,
}

/// The actor of a conversation. See [`ConversationHandle`] for its use.
pub struct Conversation<Q, R> {
    copy: fn(&Q) -> Q,
    participants: Vec<Participant<Q, R>>,
    compensation: Option<Compensation<Q, R>>,
    back: Back<R>,
    news: mpsc::UnboundedReceiver<News<R>>,
    pending: BTreeMap<u64, Pending<Q, R>>,
    next: u64,
    ready: VecDeque<Outcome<R>>,
    waiting: VecDeque<Reply<Parcel<R>>>,
}

/// What a conversation's handle sends to it.
#[derive(Debug)]
#[doc(hidden)]
pub enum Talk<Q, R> {
    Receive(Reply<Parcel<R>>),
    Request(Q, Reply<Outcome<R>>),
    State(Reply<ConversationState>),
}

impl<Q: Send + 'static, R: Send + 'static> Conversation<Q, R> {
    /// Describes a conversation without participants.
    pub fn builder() -> ConversationBuilder<Q, R>
    where
        Q: Clone,
    {
        ConversationBuilder {
            copy: Q::clone,
            participants: Vec::new(),
            compensation: None,
        }
    }

    /// Forwards to the participant `at`, or the next one that is alive.
    fn forward(&mut self, body: Q, reply: Option<Reply<Outcome<R>>>, at: usize, tries: usize) {
        let count = self.participants.len();
        let alive = (tries..count)
            .map(|step| (at + step - tries) % count)
            .find(|at| self.participants[*at].lane.shared().is_alive());
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
        // If it was refused, its ticket has been reported as unanswered already.
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
            // Whoever made this very request may have given up: then nobody wants the answer.
            let _ = reply.send(outcome);
            return;
        }
        if let Err(outcome) = self.hand_out(outcome) {
            self.ready.push_back(outcome);
        }
    }

    /// Hands a reply to the first receive that waits for one.
    fn hand_out(&mut self, mut outcome: Outcome<R>) -> Result<(), Outcome<R>> {
        while let Some(waiting) = self.waiting.pop_front() {
            outcome = match waiting.send(self.wrap(outcome)) {
                Ok(()) => return Ok(()),
                Err(back) => back.0.open(),
            };
        }
        Err(outcome)
    }

    fn wrap(&self, outcome: Outcome<R>) -> Parcel<R> {
        Parcel {
            outcome: Some(outcome),
            back: Some(self.back.clone()),
        }
    }

    fn hear(&mut self, news: News<R>) -> ActorResult {
        match news {
            News::Settled(number, reply) => self.settle(number, reply),
            News::Returned(outcome) => {
                if let Err(outcome) = self.hand_out(outcome) {
                    self.ready.push_front(outcome);
                }
                Ok(())
            }
        }
    }

    /// Hears all that has come back until now.
    fn catch_up(&mut self) -> ActorResult {
        while let Ok(news) = self.news.try_recv() {
            self.hear(news)?;
        }
        Ok(())
    }

    /// A request came back: answered, or not.
    fn settle(&mut self, number: u64, reply: Option<R>) -> ActorResult {
        let Some(pending) = self.pending.remove(&number) else {
            return Ok(());
        };
        if let Some(answer) = reply {
            self.deliver(Ok(answer), pending.reply);
            return Ok(());
        }
        let participant = &self.participants[pending.at];
        let id = participant.lane.shared().id();
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
        !self.participants.iter().any(|p| p.lane.shared().is_alive())
    }

    /// Releases those who wait for a reply if none can come: nobody is left, and nobody has passed
    /// a request on to something that outlives it.
    fn give_up(&mut self) {
        if !self.waiting.is_empty() && self.pending.is_empty() && self.is_deserted() {
            self.release(ConversationError::NoParticipant);
        }
    }

    /// Releases everybody who waits.
    fn release(&mut self, error: ConversationError) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(Parcel::error(error));
        }
        for pending in std::mem::take(&mut self.pending).into_values() {
            if let Some(reply) = pending.reply {
                let _ = reply.send(Err(error));
            }
        }
    }
}

impl<Q: Send + 'static, R: Send + 'static> Actor for Conversation<Q, R> {
    type HighPriorityMsg = Talk<Q, R>;
    type LowPriorityMsg = Q;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for participant in &self.participants {
            // The policy is applied by the hook below, which releases those who wait first.
            ctx.watch_shared(participant.lane.shared(), CrashPolicy::Compensate);
        }
        Ok(())
    }

    async fn on_high(&mut self, msg: Talk<Q, R>, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Talk::Receive(reply) => {
                self.catch_up()?;
                match self.ready.pop_front() {
                    Some(outcome) => {
                        if let Err(back) = reply.send(self.wrap(outcome)) {
                            self.ready.push_front(back.0.open());
                        }
                    }
                    None => {
                        self.waiting.retain(|waiting| !waiting.is_closed());
                        self.waiting.push_back(reply);
                        self.give_up();
                    }
                }
            }
            Talk::Request(body, reply) => self.forward(body, Some(reply), 0, 0),
            Talk::State(reply) => {
                let alive = |participant: &&Participant<Q, R>| participant.lane.shared().is_alive();
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
        // What it has answered, or dropped, comes before its end.
        self.catch_up()?;
        let fails = self.participants.iter().any(|participant| {
            participant.policy == CrashPolicy::Fail && participant.lane.shared().id() == notice.id
        });
        if notice.reason.is_failure() && (fails || self.is_deserted()) {
            let error = ConversationError::ParticipantCrashed(notice.id);
            self.release(error);
            if fails {
                return Err(ActorError::from(error));
            }
        }
        self.give_up();
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.release(ConversationError::Closed);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            Some(news) = self.news.recv() => {
                self.hear(news)?;
                self.give_up();
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
