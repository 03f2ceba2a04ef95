//! Where the messages of a lane arrive: decoded, and put into the actor's mailbox.
//!
//! The reader of the link calls in and never waits: what the mailbox has no room for stays in a queue,
//! which the lane's credit bounds, and a task of the lane puts it in when there is room. There is no task before there
//! is something for it to do.

use std::{
    collections::VecDeque,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
};

use lanemesh_runtime::{
    ActorError, ExitReason, Message, SendError,
    edge::{Outlet, Parcel},
    handle::Monitor,
};
use tokio::{runtime::Handle, time::Instant};

use super::left::Left;
use crate::{
    access::Access,
    config::Config,
    event::DownReason,
    link::{Count, Land, Limits, Link, Owed, violation},
    remote::Remote,
    wire::{
        Class, Codec, Frame, Order, decode, reason,
        trace::{self, TraceContext},
    },
};

pub(crate) struct Landing<A: Remote> {
    own: Weak<Self>,
    link: Weak<Link>,
    /// Where its task runs, if it gets one.
    runtime: Handle,
    lane: u32,
    codec: Codec,
    rights: Access,
    /// The opener understands that it is given more room.
    has_room: bool,
    left: Arc<Left<A>>,
    inside: Mutex<Inside<A>>,
}

struct Inside<A: Remote> {
    /// Gone when the lane is.
    outlet: Option<Outlet<A>>,
    high: Side<A::HighPriorityMsg>,
    low: Side<A::LowPriorityMsg>,
    is_closed: [bool; 2],
    /// All credit is to be reported when nothing is queued.
    is_confirm_wanted: bool,
    /// Why the lane is to end, if not by the end of the actor.
    failure: Option<String>,
    /// Of the actor, as long as there is no task.
    monitor: Option<Monitor>,
    task: Option<Waker>,
}

/// Starts the task of a landing when the actor has ended.
struct Rouse<A: Remote>(Weak<Landing<A>>);

impl<A: Remote> Wake for Rouse<A> {
    fn wake(self: Arc<Self>) {
        if let Some(landing) = self.0.upgrade() {
            landing.rouse();
        }
    }
}

struct Side<M> {
    owed: Owed,
    queue: VecDeque<(Parcel<M>, usize)>,
}

/// Puts a parcel into the mailbox, or gives it back.
type Put<A, M> = fn(&mut Outlet<A>, Parcel<M>) -> Result<(), SendError<Parcel<M>>>;
type PollRoom<A> = fn(&mut Outlet<A>, &mut Context<'_>) -> Poll<Result<(), SendError<()>>>;

impl<M> Side<M> {
    fn new(limits: Limits) -> Self {
        Self {
            owed: Owed::new(limits),
            queue: VecDeque::new(),
        }
    }

    /// Takes a message. Returns it if the actor has ended; `is_queued` is set if there is no room.
    fn take<A: Remote>(
        &mut self,
        outlet: &mut Outlet<A>,
        put: Put<A, M>,
        parcel: Parcel<M>,
        bytes: usize,
        is_queued: &mut bool,
    ) -> Option<Parcel<M>> {
        if !self.queue.is_empty() {
            self.queue.push_back((parcel, bytes));
            return None;
        }
        match put(outlet, parcel) {
            Ok(()) => self.owed.accept(bytes),
            Err(SendError::Closed(parcel)) => return Some(parcel),
            Err(error) => {
                self.queue.push_back((error.into_inner(), bytes));
                *is_queued = true;
            }
        }
        None
    }

    /// Puts in what is queued, as far as there is room.
    fn drain<A: Remote>(
        &mut self,
        outlet: &mut Outlet<A>,
        put: Put<A, M>,
        poll_room: PollRoom<A>,
        cx: &mut Context<'_>,
    ) {
        while let Some((parcel, bytes)) = self.queue.pop_front() {
            match put(outlet, parcel) {
                Ok(()) => self.owed.accept(bytes),
                Err(error) => {
                    let is_closed = error.is_closed();
                    self.queue.push_front((error.into_inner(), bytes));
                    // The end of the actor is noticed by the monitor.
                    if is_closed || poll_room(outlet, cx).is_pending() {
                        return;
                    }
                }
            }
        }
    }
}

impl<A: Remote> Landing<A> {
    /// Opens the lane `lane` of a link to an actor, of whose lanes `left` keeps what a broken link leaves.
    pub(crate) fn open(
        link: &Arc<Link>,
        lane: u32,
        codec: Codec,
        (outlet, left): (Outlet<A>, &Arc<Left<A>>),
        rights: Access,
        has_room: bool,
    ) -> Arc<Self> {
        let config = link.config();
        let mut monitor = outlet.handle().monitor();
        let landing = Arc::new_cyclic(|own| Self {
            own: own.clone(),
            link: Arc::downgrade(link),
            runtime: Handle::current(),
            lane,
            codec,
            rights,
            has_room,
            left: left.clone(),
            inside: Mutex::new(Inside {
                outlet: Some(outlet),
                high: Side::new(Limits::of(config, Class::High)),
                low: Side::new(Limits::of(config, Class::Low)),
                is_closed: [false; 2],
                is_confirm_wanted: false,
                failure: None,
                monitor: None,
                task: None,
            }),
        });
        let waker = Waker::from(Arc::new(Rouse(landing.own.clone())));
        // Whether it has ended is seen below.
        let _ = Pin::new(&mut monitor).poll(&mut Context::from_waker(&waker));
        let has_ended = {
            let mut inside = landing.lock();
            let monitor = inside.monitor.insert(monitor);
            // An end before this was there is seen here, and one after this wakes.
            monitor.try_reason().is_some()
        };
        if has_ended {
            landing.rouse();
        }
        landing
    }

    /// There is something to do for the task of the lane.
    fn rouse(&self) {
        let (monitor, task) = {
            let mut inside = self.lock();
            (inside.monitor.take(), inside.task.take())
        };
        if let Some(task) = task {
            task.wake();
        }
        let Some(monitor) = monitor else {
            return; // there is a task, or nothing is left to do
        };
        if let (Some(own), Some(link)) = (self.own.upgrade(), self.link.upgrade()) {
            self.runtime.spawn(own.run(link, monitor));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside<A>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, link: Arc<Link>, mut monitor: Monitor) {
        let end = poll_fn(|cx| self.poll(&link, &mut monitor, cx)).await;
        let left = {
            let mut inside = self.lock();
            let high = std::mem::take(&mut inside.high.queue);
            let low = std::mem::take(&mut inside.low.queue);
            (inside.outlet.take(), high, low)
        };
        discard(left); // outside of the lock
        if let Some((why, text)) = end {
            let (lane, text) = (self.lane, text.as_str());
            link.push(Class::High, &Frame::Ended { lane, why, text });
            link.disown(self.lane);
        }
    }

    /// Ready when the lane is over, with what the opener is told if it does not know.
    fn poll(
        &self,
        link: &Link,
        monitor: &mut Monitor,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(u8, String)>> {
        {
            let mut inside = self.lock();
            let inside = &mut *inside;
            if let Some(text) = inside.failure.take() {
                let failed = ExitReason::Failed(ActorError::msg(text));
                return Poll::Ready(Some(reason::to_wire(&failed)));
            }
            let Some(outlet) = &mut inside.outlet else {
                return Poll::Ready(None);
            };
            inside.task = Some(cx.waker().clone());
            inside
                .high
                .drain(outlet, Outlet::try_high, Outlet::poll_high_room, cx);
            inside
                .low
                .drain(outlet, Outlet::try_low, Outlet::poll_low_room, cx);
            if inside.is_closed == [true; 2] && !inside.has_queued() {
                return Poll::Ready(None);
            }
        }
        self.report(link, false);
        Pin::new(monitor).poll(cx).map(|reason| {
            let wire = reason::to_wire(&reason);
            Some(wire)
        })
    }

    fn send(&self, link: &Link, reports: [Option<Count>; 2]) {
        for (class, report) in [Class::High, Class::Low].into_iter().zip(reports) {
            if let Some(count) = report {
                let credit = Frame::Credit {
                    lane: self.lane,
                    class,
                    messages: count.messages,
                    bytes: count.bytes,
                };
                link.push(Class::High, &credit);
                self.give_room(link, class);
            }
        }
    }

    /// Gives the opener more room, if the actor accepts so much that it would wait for reports on their way.
    fn give_room(&self, link: &Link, class: Class) {
        let Some(round_trip) = link.round_trip_for(class).filter(|_| self.has_room) else {
            return;
        };
        let room = self.lock().owed(class).grow(
            Limits::of(link.config(), class),
            round_trip,
            Instant::now(),
        );
        if let Some(Count { messages, bytes }) = room {
            let room = Frame::Room {
                lane: self.lane,
                class,
                messages,
                bytes,
            };
            link.push(Class::High, &room);
        }
    }

    /// The lane ends, with this error.
    fn fail(&self, text: String) {
        self.lock().failure.get_or_insert(text);
        self.rouse();
    }
}

/// Drops messages, which are foreign code: a panic in it is not the link's.
fn discard<T>(left: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(left)));
    if dropped.is_err() {
        tracing::error!(
            kind = std::any::type_name::<T>(),
            "dropping a message panicked"
        );
    }
}

impl<A: Remote> Inside<A> {
    fn owed(&mut self, class: Class) -> &mut Owed {
        match class {
            Class::High => &mut self.high.owed,
            Class::Low => &mut self.low.owed,
        }
    }

    fn has_queued(&self) -> bool {
        !self.high.queue.is_empty() || !self.low.queue.is_empty()
    }

    /// The reports of the two classes: those that are due; all, if they are wanted or a confirmation
    /// of what is now in the mailbox is.
    fn reports(&mut self, config: &Config, is_wanted: bool) -> [Option<Count>; 2] {
        let is_settled = self.is_confirm_wanted && !self.has_queued();
        self.is_confirm_wanted &= !is_settled;
        let is_wanted = is_wanted || is_settled;
        [
            self.high
                .owed
                .report(Limits::of(config, Class::High), is_wanted),
            self.low
                .owed
                .report(Limits::of(config, Class::Low), is_wanted),
        ]
    }
}

impl<A: Remote> Land for Landing<A> {
    fn message(
        &self,
        link: &Arc<Link>,
        class: Class,
        expires: Option<Instant>,
        is_ask: bool,
        trace: Option<TraceContext>,
        payload: &[u8],
    ) -> Result<(), DownReason> {
        let bytes = payload.len();
        {
            let mut inside = self.lock();
            let received = inside.owed(class).receive(bytes);
            received.map_err(|()| violation("it sends without credit"))?;
            if inside.outlet.is_none() || inside.failure.is_some() {
                return Ok(()); // the lane is over, which the opener does not know yet
            }
        }
        let is_allowed = match class {
            Class::High => self.rights.high,
            Class::Low => self.rights.low,
        };
        if !is_allowed {
            self.fail(format!("the peer may not send messages of class {class:?}"));
            return Ok(());
        }
        let codec = self.codec;
        // Decoded without the lock: it is foreign code. There is one reader of each class.
        let decoded =
            trace::arriving(trace, || match class {
                Class::High => decode(codec, payload)
                    .map(|(message, answers)| (Message::High(message), answers)),
                Class::Low => decode(codec, payload)
                    .map(|(message, answers)| (Message::Low(message), answers)),
            });
        let (message, answers) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::warn!(peer = %link.peer(), kind = A::TYPE, %error, "a lane is closed");
                self.fail(error.0);
                return Ok(());
            }
        };
        // Before the message: its answer may be quick.
        link.owe(class, codec, answers);
        let mut is_queued = false;
        let (refused, reports) = {
            let mut inside = self.lock();
            let inside = &mut *inside;
            let refused = match (&mut inside.outlet, message) {
                (None, message) => Some(message),
                (Some(outlet), Message::High(message)) => {
                    let parcel = Parcel {
                        message,
                        expires,
                        is_ask,
                    };
                    let side = &mut inside.high;
                    side.take(outlet, Outlet::try_high, parcel, bytes, &mut is_queued)
                        .map(|parcel| Message::High(parcel.message))
                }
                (Some(outlet), Message::Low(message)) => {
                    let parcel = Parcel {
                        message,
                        expires,
                        is_ask,
                    };
                    let side = &mut inside.low;
                    side.take(outlet, Outlet::try_low, parcel, bytes, &mut is_queued)
                        .map(|parcel| Message::Low(parcel.message))
                }
            };
            (refused, inside.reports(link.config(), false))
        };
        discard(refused);
        if is_queued {
            self.rouse();
        }
        self.send(link, reports);
        Ok(())
    }

    fn report(&self, link: &Link, is_wanted: bool) {
        let reports = self.lock().reports(link.config(), is_wanted);
        self.send(link, reports);
    }

    fn confirm(&self, link: &Link) {
        self.lock().is_confirm_wanted = true;
        self.report(link, false);
    }

    fn close(&self, class: Class) -> bool {
        let is_last = {
            let mut inside = self.lock();
            inside.is_closed[class as usize] = true;
            inside.is_closed == [true; 2]
        };
        if is_last {
            self.rouse();
        }
        is_last
    }

    fn order(&self, order: Order) {
        if !self.rights.stop {
            self.fail("the peer may not stop this actor".into());
            return;
        }
        let inside = self.lock();
        if let Some(outlet) = &inside.outlet {
            match order {
                Order::Stop => outlet.handle().stop(),
                Order::Drain => outlet.handle().drain(),
                Order::Kill => outlet.handle().kill(),
            }
        }
    }

    fn end(&self, link: &Link) {
        let (outlet, left, task) = {
            let mut inside = self.lock();
            let high = std::mem::take(&mut inside.high.queue);
            let low = std::mem::take(&mut inside.low.queue);
            let left = (inside.monitor.take(), high, low);
            (inside.outlet.take(), left, inside.task.take())
        };
        discard(left);
        if let Some(outlet) = outlet {
            self.left.keep(link.peer(), self.lane, outlet);
        }
        if let Some(task) = task {
            task.wake();
        }
    }
}
