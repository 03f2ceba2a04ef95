//! The receiving end behind a handle of an actor that is elsewhere.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use lanemesh::{MailboxBuilder, MailboxReceiver, Message, TryRecvError};
use tokio::time::Instant;

use crate::{
    actor::{Actor, High, Low, Policies},
    cell::{ActorCell, ActorKind, Counters, signal},
    edge::Parcel,
    envelope::{ASK, Envelope},
    exit::ExitReason,
    handle::ActorHandle,
    id::{ActorId, Phase},
    observe::Tree,
    util::timer::{stamp, unstamp},
};

/// Makes the handle of an actor that is elsewhere, and the end at which its messages are taken out.
///
/// Its lanes have room for `high_capacity` and `low_capacity` messages for each handle.
/// [`ActorHandle::inspect`], [`ActorHandle::state`] and [`ActorHandle::channels`] fail with
/// [`AskError::NotLocal`](crate::AskError::NotLocal).
///
/// # Panics
///
/// If a capacity is zero.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use lanemesh_runtime::{ExitReason, edge, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, mut inlet) = edge::remote::<Sink<(), u64>>("meter", 16, 64);
/// handle.send_low(7).await?;
/// let parcel = poll_fn(|cx| inlet.poll_low(cx)).await.expect("a handle exists");
/// assert_eq!(parcel.message, 7);
/// inlet.end(ExitReason::Unreachable, drop);
/// assert!(handle.send_low(8).await.is_err());
/// assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
/// # Ok(()) }
/// ```
pub fn remote<A: Actor>(
    name: impl Into<Arc<str>>,
    high_capacity: usize,
    low_capacity: usize,
) -> (ActorHandle<A>, Inlet<A>) {
    let cell = ActorCell::new(Some(name.into()), &Inlet::<A>::KIND, Default::default(), 0);
    let cell = Arc::new(cell);
    cell.begin_incarnation();
    cell.set_phase(Phase::Running);
    let (tx, rx) = MailboxBuilder::new(high_capacity, low_capacity)
        .high(|high| high.shared_slots(0))
        .low(|low| low.shared_slots(2))
        .build();
    let handle = ActorHandle::new(tx, cell.clone(), Policies::default());
    let inlet = Inlet {
        rx,
        cell,
        counters: Counters::default(),
        is_published: true,
    };
    (handle, inlet)
}

/// What the holder of a handle wants of the actor, besides that it handles messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// It called `stop`.
    Stop,
    /// It called `drain`.
    Drain,
    /// It called `kill`.
    Kill,
    /// It waits in `idle`: answer by [`Inlet::idle_since`] with this number.
    Idle(u64),
}

/// Shows an actor that is elsewhere, made by [`Inlet::view`].
#[derive(Clone)]
pub struct View(Arc<ActorCell>);

impl View {
    /// The actor as this process knows it: messages that were taken out, and those that wait.
    pub fn tree(&self) -> Tree {
        Tree::of(&self.0)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.0.name()).finish()
    }
}

/// Takes the messages out that are sent through the handles which [`remote`] made.
///
/// Dropping it without [`end`](Self::end) ends the actor as killed.
pub struct Inlet<A: Actor> {
    rx: MailboxReceiver<High<A>, Low<A>>,
    cell: Arc<ActorCell>,
    counters: Counters,
    is_published: bool,
}

impl<A: Actor> Inlet<A> {
    const KIND: ActorKind = ActorKind {
        type_name: std::any::type_name::<A>,
        task_bytes: || 0,
        message_bytes: if size_of::<High<A>>() > size_of::<Low<A>>() {
            size_of::<High<A>>()
        } else {
            size_of::<Low<A>>()
        },
        is_local: false,
    };

    /// The next high-priority message; none when there are no more handles.
    pub fn poll_high(&mut self, cx: &mut Context<'_>) -> Poll<Option<Parcel<A::HighPriorityMsg>>> {
        let polled = self.rx.high().poll_recv(cx);
        if let Poll::Ready(Some(_)) = polled {
            self.counters.high += 1;
        }
        self.note(polled)
    }

    /// The next low-priority message; none when there are no more handles.
    pub fn poll_low(&mut self, cx: &mut Context<'_>) -> Poll<Option<Parcel<A::LowPriorityMsg>>> {
        let polled = self.rx.low().poll_recv(cx);
        if let Poll::Ready(Some(_)) = polled {
            self.counters.low += 1;
            if self.cell.signals() & signal::ROOM != 0 {
                self.cell.wake_room_waiters();
            }
        }
        self.note(polled)
    }

    /// Ready when there is something to take out, a request, or no handle left. Takes nothing.
    pub fn poll_used(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before the signals are read: see `ActorCell::raise`.
        self.cell.register(cx.waker());
        if self.cell.signals() != 0 || self.rx.poll_readable(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// What the holders of handles request. Each request is reported once, except that a stop
    /// includes a drain, and a kill both.
    pub fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Request> {
        // Before the signals are read: see `ActorCell::raise`.
        self.cell.register(cx.waker());
        let signals = self.cell.signals();
        if signals & signal::HANDLES != 0 {
            self.cell.clear(signal::HANDLES);
            if self.cell.are_all_weak(|| self.rx.sender_count()) {
                self.rx.close();
            }
        }
        if signals & signal::ROOM != 0 {
            self.cell.wake_room_waiters();
        }
        let ends = signal::KILL | signal::ON_PURPOSE | signal::STOP | signal::DRAIN;
        let request = if signals & signal::KILL != 0 {
            Request::Kill
        } else if signals & signal::STOP != 0 {
            Request::Stop
        } else if signals & signal::DRAIN != 0 {
            Request::Drain
        } else if signals & signal::IDLE != 0 {
            self.cell.clear(signal::IDLE);
            return Poll::Ready(Request::Idle(self.cell.idle_ticket()));
        } else {
            return Poll::Pending;
        };
        self.cell.clear(ends);
        Poll::Ready(request)
    }

    /// Ends the calls of `idle` that waited at [`Request::Idle`] with this number, or before.
    pub fn idle_since(&mut self, number: u64) {
        self.publish();
        self.cell.wake_idle_waiters(number);
    }

    /// Shows the handles' actor in a [`Tree`], also while the inlet is elsewhere.
    pub fn view(&self) -> View {
        View(self.cell.clone())
    }

    /// How many messages wait to be taken out.
    pub fn len(&self) -> usize {
        self.rx.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.rx.is_empty()
    }

    /// The identity of the handles' actor in this process.
    pub fn id(&self) -> ActorId {
        self.cell.id()
    }

    /// Accepts no more messages. Those that wait can be taken out.
    pub fn close(&mut self) {
        self.rx.close();
    }

    /// Ends the actor for `reason`: no more messages are accepted, monitors and watchers are told, and
    /// the messages that wait go to `dead_letter`. So who asked by one of them learns the reason.
    pub fn end(
        mut self,
        reason: ExitReason,
        mut dead_letter: impl FnMut(Message<A::HighPriorityMsg, A::LowPriorityMsg>),
    ) {
        self.finish(reason, &mut dead_letter);
    }

    fn finish(
        &mut self,
        reason: ExitReason,
        dead_letter: &mut dyn FnMut(Message<A::HighPriorityMsg, A::LowPriorityMsg>),
    ) {
        self.rx.close();
        let mut left = Vec::new();
        loop {
            match self.rx.try_recv() {
                Ok(Message::High(envelope)) => left.push(Message::High(envelope.message)),
                Ok(Message::Low(envelope)) => left.push(Message::Low(envelope.message)),
                // A sender is about to put a message into the place that it has claimed.
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Closed) => break,
            }
            self.counters.events().dead_letters += 1;
        }
        self.publish();
        self.cell.finish(reason, None);
        left.into_iter().for_each(dead_letter);
    }

    fn note<M>(&mut self, polled: Poll<Option<Envelope<M>>>) -> Poll<Option<Parcel<M>>> {
        match polled {
            Poll::Ready(Some(envelope)) => {
                self.is_published = false;
                Poll::Ready(Some(open(envelope)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                if !self.is_published {
                    self.publish();
                }
                Poll::Pending
            }
        }
    }

    fn publish(&mut self) {
        self.counters.note_depth(self.rx.len());
        self.cell.publish(&self.counters);
        self.is_published = true;
    }
}

fn open<M>(envelope: Envelope<M>) -> Parcel<M> {
    let expires = envelope.expires & !ASK;
    Parcel {
        message: envelope.message,
        expires: (expires != 0).then(|| unstamp(expires)),
        is_ask: envelope.expires & ASK != 0,
    }
}

/// The envelope in which a parcel reaches a mailbox; `sent` is its place in the sample.
pub(super) fn wrap<M>(parcel: Parcel<M>, sent: u64) -> Envelope<M> {
    let expires = |at: Instant| stamp(at) | if parcel.is_ask { ASK } else { 0 };
    Envelope {
        expires: parcel.expires.map_or(0, expires),
        sent,
        message: parcel.message,
    }
}

impl<A: Actor> Drop for Inlet<A> {
    fn drop(&mut self) {
        if self.cell.is_alive() {
            self.finish(ExitReason::Killed, &mut drop);
        }
    }
}

impl<A: Actor> fmt::Debug for Inlet<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("name", &self.cell.name())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
