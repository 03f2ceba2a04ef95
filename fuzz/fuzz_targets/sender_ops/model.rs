//! What the channel holds, and who holds how much room in it.

use std::{collections::VecDeque, future::Future, pin::Pin};

use lanemesh::{
    Builder, OwnedPermit, Receiver, SendError, Sender, SharedOwnedPermit, SharedSender,
    TrySendError, WeakSender, WeakSharedSender,
};

use crate::Plan;

/// `(source, number)`: a source is one lane, and numbers its messages consecutively.
pub(crate) type Item = (usize, u64);

/// One lane: of a sender of its own, or of all clones of a shared one.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) queue: VecDeque<u64>,
    /// Permits that hold room.
    pub(crate) permits: usize,
    pub(crate) next: u64,
    /// A wait that was granted room may not have been polled yet, or the receiver may hold room back for one.
    pub(crate) unsure: bool,
}

pub(crate) enum Permit {
    Own(usize, OwnedPermit<Item>),
    Shared(usize, SharedOwnedPermit<Item>),
}

/// A send or a reservation that waits for room, and what its error gives back.
type Waiting<T, Returned> = Pin<Box<dyn Future<Output = Result<T, SendError<Returned>>>>>;

pub(crate) enum Wait {
    Send(usize, u64, Waiting<(), Item>),
    Reserve(usize, Waiting<OwnedPermit<Item>, ()>),
}

impl Wait {
    pub(crate) fn source(&self) -> usize {
        let (Self::Send(source, ..) | Self::Reserve(source, _)) = self;
        *source
    }
}

pub(crate) struct Model {
    pub(crate) rx: Receiver<Item>,
    pub(crate) own: Vec<(usize, Sender<Item>)>,
    pub(crate) shared: Vec<(usize, SharedSender<Item>)>,
    pub(crate) weak: Vec<WeakSender<Item>>,
    pub(crate) weak_shared: Vec<(usize, WeakSharedSender<Item>)>,
    pub(crate) permits: Vec<Permit>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) sources: Vec<Source>,
    pub(crate) capacity: usize,
    pub(crate) total: bool,
    pub(crate) closed: bool,
}

impl Model {
    pub(crate) fn new(plan: &Plan) -> Self {
        let capacity = 1 + usize::from(plan.capacity) % 12;
        let mut builder = Builder::new(capacity)
            .first_ring(1 + usize::from(plan.first_ring) % 5)
            .shared_slots(usize::from(plan.shared_slots) % 4)
            .burst(1 + usize::from(plan.burst) % 5)
            // The budget is for another target.
            .budget(usize::MAX);
        if plan.total {
            builder = builder.total_capacity(capacity);
        }
        let (tx, rx) = builder.build();
        let mut model = Self {
            rx,
            own: Vec::new(),
            shared: Vec::new(),
            weak: Vec::new(),
            weak_shared: Vec::new(),
            permits: Vec::new(),
            waits: Vec::new(),
            sources: Vec::new(),
            capacity,
            total: plan.total,
            closed: false,
        };
        let source = model.new_source();
        model.own.push((source, tx));
        model
    }

    pub(crate) fn new_source(&mut self) -> usize {
        self.sources.push(Source::default());
        self.sources.len() - 1
    }

    pub(crate) fn queued(&self) -> usize {
        self.sources.iter().map(|source| source.queue.len()).sum()
    }

    /// The sources that share the room of this one.
    pub(crate) fn sharing(&self, source: usize) -> &[Source] {
        if self.total {
            &self.sources
        } else {
            std::slice::from_ref(&self.sources[source])
        }
    }

    /// Room for a message of this source.
    pub(crate) fn free(&self, source: usize) -> usize {
        let used = |source: &Source| source.queue.len() + source.permits;
        let used: usize = self.sharing(source).iter().map(used).sum();
        self.capacity
            .checked_sub(used)
            .expect("more was accepted than there is room for")
    }

    /// Whether the room is exactly what `free` says.
    pub(crate) fn is_sure(&self, source: usize) -> bool {
        !self.sharing(source).iter().any(|source| source.unsure)
    }

    /// What a send or a reservation of `wanted` that did not wait must have come to.
    pub(crate) fn check(&self, source: usize, wanted: usize, accepted: bool, closed: bool) {
        assert!(!closed || self.closed);
        let room = self.free(source) >= wanted;
        if accepted {
            assert!(room && !self.closed);
        } else if !closed {
            assert!(!self.closed);
            assert!(
                !room || !self.is_sure(source),
                "refused although there is room"
            );
        }
    }

    pub(crate) fn next(&mut self, source: usize) -> Item {
        self.sources[source].next += 1;
        (source, self.sources[source].next)
    }

    pub(crate) fn sent(&mut self, item: Item, result: Result<(), TrySendError<Item>>) {
        let (source, n) = item;
        let closed = matches!(result, Err(TrySendError::Closed(_)));
        self.check(source, 1, result.is_ok(), closed);
        match result {
            Ok(()) => self.sources[source].queue.push_back(n),
            Err(error) => assert_eq!(error.into_inner(), item, "another message came back"),
        }
    }

    pub(crate) fn batch_sent(
        &mut self,
        source: usize,
        first: u64,
        count: usize,
        sent: usize,
        closed: bool,
    ) {
        assert!(!closed || (self.closed && sent == 0));
        if !closed {
            assert!(!self.closed);
            let free = self.free(source);
            assert!(sent <= free.min(count));
            assert!(!self.is_sure(source) || sent == free.min(count));
        }
        self.sources[source].queue.extend((first..).take(sent));
    }

    pub(crate) fn received(&mut self, (source, n): Item) {
        let front = self.sources[source].queue.pop_front();
        assert_eq!(front, Some(n), "out of order");
    }

    pub(crate) fn nothing_received(&self, closed: bool) {
        assert_eq!(self.queued(), 0, "a message was lost");
        assert_eq!(closed, self.closed || self.rx.sender_count() == 0);
    }

    pub(crate) fn check_counts(&self) {
        assert_eq!(self.rx.len(), self.queued());
        for (source, tx) in &self.own {
            assert_eq!(tx.len(), self.sources[*source].queue.len());
            if self.is_sure(*source) && !self.closed {
                assert_eq!(tx.remaining_capacity(), self.free(*source));
            }
        }
        for (source, tx) in &self.shared {
            assert_eq!(tx.len(), self.sources[*source].queue.len());
            if self.is_sure(*source) && !self.closed {
                assert_eq!(tx.remaining_capacity(), self.free(*source));
            }
        }
    }
}
