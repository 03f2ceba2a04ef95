//! What a conversation keeps: requests, replies, and those who wait for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    handle::Reply,
    patterns::conversation::{
        error::ConversationError,
        messages::ReplyDelivery,
        request::{Feedback, FeedbackSender, Outcome},
    },
};

/// A request without an answer.
pub(super) struct Pending<Q, R> {
    pub(super) body: Q,
    /// The participant that has it, or the first that may get it.
    pub(super) at: usize,
    /// The number of the ticket that its participant has; 0 if none has it.
    pub(super) attempt: u64,
    pub(super) deadline: Option<Instant>,
    /// Where the answer goes; otherwise to those who receive.
    pub(super) reply: Option<Reply<Outcome<R>>>,
}

pub(super) struct Book<Q, R> {
    pub(super) back: FeedbackSender<R>,
    pub(super) feedback: mpsc::UnboundedReceiver<Feedback<R>>,
    /// By the number of the request.
    pub(super) pending: BTreeMap<u64, Pending<Q, R>>,
    /// The requests that wait for room, by the first participant that may get them, oldest first;
    /// some may not be pending any more.
    outboxes: Vec<VecDeque<u64>>,
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
    ready: VecDeque<Outcome<R>>,
    pub(super) waiting: VecDeque<Reply<ReplyDelivery<R>>>,
}

impl<Q, R> Book<Q, R> {
    pub(super) fn new(participants: usize) -> Self {
        let (back, feedback) = mpsc::unbounded_channel();
        Self {
            back,
            feedback,
            pending: BTreeMap::new(),
            outboxes: (0..participants).map(|_| VecDeque::new()).collect(),
            deadlines: BTreeSet::new(),
            next: 0,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A number for a request or a ticket, never 0.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// How many requests have no answer, and how many replies nobody has received.
    pub(super) fn held(&self) -> usize {
        self.pending.len() + self.ready.len()
    }

    pub(super) fn replies(&self) -> usize {
        self.ready.len()
    }

    // --- requests -----------------------------------------------------------------------------

    pub(super) fn add(&mut self, pending: Pending<Q, R>) -> u64 {
        let number = self.number();
        if let Some(deadline) = pending.deadline {
            self.deadlines.insert((deadline, number));
        }
        self.pending.insert(number, pending);
        number
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Pending<Q, R>> {
        let pending = self.pending.remove(&number)?;
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        Some(pending)
    }

    /// The request whose time is up first.
    pub(super) fn first_deadline(&self) -> Option<(Instant, u64)> {
        self.deadlines.first().copied()
    }

    /// The requests that no participant has and that do not wait for one: the handler that had
    /// them in hand has crashed.
    pub(super) fn orphans(&self) -> Vec<u64> {
        let waits = |number: &u64| self.outboxes.iter().any(|outbox| outbox.contains(number));
        let orphans = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.attempt == 0);
        orphans
            .map(|(number, _)| *number)
            .filter(|number| !waits(number))
            .collect()
    }

    /// The request waits for room, behind those that wait already, or before them.
    pub(super) fn wait_for_room(&mut self, number: u64, at: usize, is_first: bool) {
        match is_first {
            true => self.outboxes[at].push_front(number),
            false => self.outboxes[at].push_back(number),
        }
    }

    /// The first request that waits for room at this participant or one after it.
    pub(super) fn first_waiting(&mut self, at: usize) -> Option<u64> {
        let outbox = &mut self.outboxes[at];
        while let Some(number) = outbox.front() {
            if self.pending.contains_key(number) {
                return Some(*number);
            }
            outbox.pop_front();
        }
        None
    }

    pub(super) fn pop_waiting(&mut self, at: usize) -> Option<u64> {
        let first = self.first_waiting(at)?;
        self.outboxes[at].pop_front();
        Some(first)
    }

    // --- replies ------------------------------------------------------------------------------

    /// Sends an outcome to the caller of its request, or to those who receive.
    pub(super) fn deliver(&mut self, outcome: Outcome<R>, reply: Option<Reply<Outcome<R>>>) {
        if let Some(reply) = reply {
            // The caller of this request may be gone.
            let _ = reply.send(outcome);
            return;
        }
        if let Err(outcome) = self.send_to_waiting(outcome) {
            self.ready.push_back(outcome);
        }
    }

    /// A reply has come back whose receive was cancelled.
    pub(super) fn take_back(&mut self, outcome: Outcome<R>) {
        if let Err(outcome) = self.send_to_waiting(outcome) {
            self.ready.push_front(outcome);
        }
    }

    /// Gives the next reply to a receive, or lets it wait. Returns whether it waits.
    pub(super) fn receive(&mut self, reply: Reply<ReplyDelivery<R>>) -> bool {
        let Some(outcome) = self.ready.pop_front() else {
            self.waiting.retain(|waiting| !waiting.is_closed());
            self.waiting.push_back(reply);
            return true;
        };
        if let Err(back) = reply.send(self.wrap(outcome)) {
            self.ready.push_front(back.0.open());
        }
        false
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

    /// Releases all waiting receives and requests.
    pub(super) fn release(&mut self, error: ConversationError) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(ReplyDelivery::error(error));
        }
        self.deadlines.clear();
        for pending in std::mem::take(&mut self.pending).into_values() {
            if let Some(reply) = pending.reply {
                let _ = reply.send(Err(error));
            }
        }
    }
}
