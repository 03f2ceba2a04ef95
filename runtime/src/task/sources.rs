//! Messages from timers, streams and futures: how they are set up, and when they have their turn.
//!
//! A source has the rank of the class of its messages. Within a class, sources and mailbox take
//! turns, message by message, so neither can starve the other; bursts are limited as for messages
//! from the mailbox.

use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::{
    actor::{Actor, Context, Handler, High, Low, Priority},
    envelope::Envelope,
    sources::{Source, SourceHandle, Sources},
    util::timer::{from_now, later},
};

/// The shortest period: the resolution of tokio's timers.
const MIN_PERIOD: Duration = Duration::from_millis(1);

/// Timers, streams and futures whose messages arrive at the hooks.
///
/// They belong to the incarnation and are polled by the actor's own task between two messages. So
/// no task outlives the actor, nothing of an old incarnation reaches a new one, and while a hook
/// runs nothing is taken from a stream. A message that arrives is handled like one from the
/// mailbox: it takes its turn with those of its class, counts in the statistics, is redelivered if
/// the actor is built so, and a panic while it is made fails the incarnation. It does not count as
/// queued, and never expires.
///
/// | when | timers, streams | futures |
/// |---|---|---|
/// | the incarnation fails or is restarted | dropped; `started` sets up new ones | dropped |
/// | [`stop`](Self::stop), [`shutdown`](crate::System::shutdown) | dropped after the hook that runs, before `stopped` | dropped |
/// | [`drain`](crate::ActorHandle::drain) | dropped; what a stream has not given stays in it | waited for, until the deadline of the drain |
/// | all handles are gone | dropped with the actor, unless [`keep_running`](crate::Builder::keep_running) | waited for |
///
/// An actor that is not `Send` can attach only what is.
impl<A: Actor> Context<A> {
    /// Sends this actor a high-priority message after `delay`.
    ///
    /// The timer has a resolution of 1 ms and never fires early.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{Actor, ActorResult, Context, spawn};
    ///
    /// struct Fuse;
    ///
    /// impl Actor for Fuse {
    ///     type HighPriorityMsg = &'static str;
    ///     type LowPriorityMsg = ();
    ///
    ///     async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
    ///         ctx.send_high_after(Duration::from_secs(3), "bang");
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_high(&mut self, _bang: &'static str, ctx: &mut Context<Self>) -> ActorResult {
    ///         ctx.stop();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// # let start = tokio::time::Instant::now();
    /// let (_handle, child) = spawn(Fuse);
    /// child.await;
    /// assert_eq!(start.elapsed().as_secs(), 3);
    /// # }
    /// ```
    pub fn send_high_after(
        &mut self,
        delay: Duration,
        message: A::HighPriorityMsg,
    ) -> SourceHandle {
        self.sources().high.add(after(delay, message))
    }

    /// Sends this actor a low-priority message after `delay`; otherwise like
    /// [`send_high_after`](Self::send_high_after).
    pub fn send_low_after(&mut self, delay: Duration, message: A::LowPriorityMsg) -> SourceHandle {
        self.sources().low.add(after(delay, message))
    }

    /// Sends this actor a high-priority message every `period`, the first one after a period.
    ///
    /// Ticks do not pile up: those that an actor was too busy for become one, and the next follows
    /// at the next multiple of the period
    /// ([`Skip`](tokio::time::MissedTickBehavior::Skip)). `make` makes the message when it is its
    /// turn. A period below 1 ms, zero included, is taken as 1 ms.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{Actor, ActorResult, Context, spawn};
    ///
    /// struct Meter { packets: u64, rates: Vec<u64> }
    ///
    /// enum Control { Tick }
    ///
    /// impl Actor for Meter {
    ///     type HighPriorityMsg = Control;
    ///     type LowPriorityMsg = u64;
    ///
    ///     async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
    ///         ctx.send_high_interval(Duration::from_secs(1), || Control::Tick);
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_high(&mut self, _: Control, ctx: &mut Context<Self>) -> ActorResult {
    ///         self.rates.push(std::mem::take(&mut self.packets));
    ///         if self.rates.len() == 3 {
    ///             assert_eq!(self.rates, [2, 0, 0]);
    ///             ctx.stop();
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_low(&mut self, packets: u64, _: &mut Context<Self>) -> ActorResult {
    ///         self.packets += packets;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut meter, child) = spawn(Meter { packets: 0, rates: Vec::new() });
    /// meter.send_low(2).await?;
    /// assert!(!child.await.is_failure());
    /// # Ok(()) }
    /// ```
    pub fn send_high_interval(
        &mut self,
        period: Duration,
        make: impl FnMut() -> A::HighPriorityMsg + Send + 'static,
    ) -> SourceHandle {
        self.sources().high.add(every(period, make))
    }

    /// Sends this actor a low-priority message every `period`; otherwise like
    /// [`send_high_interval`](Self::send_high_interval).
    pub fn send_low_interval(
        &mut self,
        period: Duration,
        make: impl FnMut() -> A::LowPriorityMsg + Send + 'static,
    ) -> SourceHandle {
        self.sources().low.add(every(period, make))
    }

    /// Attaches a stream whose items arrive as high-priority messages.
    ///
    /// To learn of its end, chain a last item to it. An item that is not a message itself is mapped
    /// to one.
    pub fn attach_high(
        &mut self,
        stream: impl Stream<Item = A::HighPriorityMsg> + Send + 'static,
    ) -> SourceHandle {
        self.sources().high.add(Source::Stream(Box::pin(stream)))
    }

    /// Attaches a stream whose items arrive as low-priority messages.
    ///
    /// To learn of its end, chain a last item to it. An item that is not a message itself is mapped
    /// to one.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use lanemesh_runtime::{Actor, ActorResult, Context, spawn};
    ///
    /// struct Reader { bytes: usize }
    ///
    /// enum Input { Line(&'static str), End }
    ///
    /// impl Actor for Reader {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = Input;
    ///
    ///     async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
    ///         let lines = stream::iter(["a line", "another"]); // of a socket, for example
    ///         ctx.attach_low(lines.map(Input::Line).chain(stream::iter([Input::End])));
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_low(&mut self, input: Input, ctx: &mut Context<Self>) -> ActorResult {
    ///         match input {
    ///             Input::Line(line) => self.bytes += line.len(),
    ///             Input::End => {
    ///                 assert_eq!(self.bytes, 13);
    ///                 ctx.stop();
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (_handle, child) = spawn(Reader { bytes: 0 });
    /// assert!(!child.await.is_failure());
    /// # }
    /// ```
    pub fn attach_low(
        &mut self,
        stream: impl Stream<Item = A::LowPriorityMsg> + Send + 'static,
    ) -> SourceHandle {
        self.sources().low.add(Source::Stream(Box::pin(stream)))
    }

    /// Runs a future beside the messages; its output arrives as a high-priority message.
    ///
    /// It is polled by the actor's task, so it should not compute for long. A drain waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{Actor, ActorResult, Context, Reply, spawn};
    ///
    /// async fn look_up(key: u32) -> String { format!("row {key}") } // in a database
    ///
    /// struct Store;
    ///
    /// enum Control {
    ///     Get(u32, Reply<String>),
    ///     Found(String, Reply<String>),
    /// }
    ///
    /// impl Actor for Store {
    ///     type HighPriorityMsg = Control;
    ///     type LowPriorityMsg = ();
    ///
    ///     async fn on_high(&mut self, msg: Control, ctx: &mut Context<Self>) -> ActorResult {
    ///         match msg {
    ///             // The next message does not wait for the database.
    ///             Control::Get(key, reply) => {
    ///                 ctx.pipe_high(async move { Control::Found(look_up(key).await, reply) });
    ///             }
    ///             Control::Found(row, reply) => drop(reply.send(row)),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut store, _child) = spawn(Store);
    /// let row = store.ask(|reply| Control::Get(7, reply), Duration::from_secs(1)).await?;
    /// assert_eq!(row, "row 7");
    /// # Ok(()) }
    /// ```
    pub fn pipe_high(
        &mut self,
        future: impl Future<Output = A::HighPriorityMsg> + Send + 'static,
    ) -> SourceHandle {
        self.sources().high.add(Source::Future(Box::pin(future)))
    }

    /// Runs a future beside the messages; its output arrives as a low-priority message. Otherwise
    /// like [`pipe_high`](Self::pipe_high).
    pub fn pipe_low(
        &mut self,
        future: impl Future<Output = A::LowPriorityMsg> + Send + 'static,
    ) -> SourceHandle {
        self.sources().low.add(Source::Future(Box::pin(future)))
    }

    // --- their turns --------------------------------------------------------------------------

    fn sources(&mut self) -> &mut Sources<A::HighPriorityMsg, A::LowPriorityMsg> {
        let cell = self.cell.clone();
        let sources = &mut self.optional_or_default().sources;
        sources.get_or_insert_with(|| Box::new(Sources::new(&cell.waker())))
    }

    /// The sources, if one of either class was woken.
    #[inline]
    fn woken_sources(&mut self) -> Option<&mut Sources<A::HighPriorityMsg, A::LowPriorityMsg>> {
        let sources = self.optional_mut()?.sources.as_deref_mut()?;
        (sources.high.is_woken() || sources.low.is_woken()).then_some(sources)
    }

    /// Whether a source of high messages was woken.
    pub(super) fn has_high_source(&self) -> bool {
        let sources = self
            .optional()
            .and_then(|optional| optional.sources.as_ref());
        sources.is_some_and(|sources| sources.high.is_woken())
    }

    /// Whether a source of low messages was woken.
    pub(super) fn has_low_source(&mut self) -> bool {
        self.woken_sources()
            .is_some_and(|sources| sources.low.is_woken())
    }

    /// A high message of a source, if it is the turn of the sources.
    pub(super) fn take_high_source(&mut self) -> Option<High<A>> {
        let mailbox_waits = self.mailbox.has_high();
        let high = &mut self.woken_sources()?.high;
        if !high.is_first() && mailbox_waits {
            return None;
        }
        high.take().map(Envelope::plain)
    }

    /// A low message of a source, if it is the turn of the sources.
    pub(super) fn take_first_low_source(&mut self) -> Option<Low<A>> {
        let low = &mut self.woken_sources()?.low;
        if !low.is_first() {
            return None;
        }
        low.take().map(Envelope::plain)
    }

    /// A low message of a source.
    pub(super) fn take_low_source(&mut self) -> Option<Low<A>> {
        self.woken_sources()?.low.take().map(Envelope::plain)
    }

    /// Whether a future has to complete before an actor whose mailbox is closed ends.
    #[cold]
    pub(super) fn has_futures(&self) -> bool {
        let sources = self
            .optional()
            .and_then(|optional| optional.sources.as_ref());
        sources.is_some_and(|sources| sources.has_futures())
    }

    /// At a drain: timers and streams end.
    pub(super) fn keep_futures(&mut self) {
        let sources = self
            .optional_mut()
            .and_then(|optional| optional.sources.as_mut());
        if let Some(sources) = sources {
            sources.keep_futures();
        }
    }
}

/// The same for an actor with one type of messages.
impl<A: Handler> Context<A> {
    /// Sends this actor a message after `delay`, with the priority that the message says.
    ///
    /// See [`send_high_after`](Self::send_high_after).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{ActorResult, Context, Handler, spawn};
    ///
    /// struct Countdown;
    ///
    /// impl Handler for Countdown {
    ///     type Msg = u32;
    ///
    ///     async fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> ActorResult {
    ///         if n == 0 {
    ///             ctx.stop();
    ///         } else {
    ///             ctx.send_after(Duration::from_secs(1), n - 1);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let start = tokio::time::Instant::now();
    /// let (mut countdown, child) = spawn(Countdown);
    /// countdown.tell(3).await?;
    /// child.await;
    /// assert_eq!(start.elapsed().as_secs(), 3);
    /// # Ok(()) }
    /// ```
    pub fn send_after(&mut self, delay: Duration, message: A::Msg) -> SourceHandle {
        match A::priority(&message) {
            Priority::High => self.send_high_after(delay, message),
            Priority::Low => self.send_low_after(delay, message),
        }
    }

    /// Sends this actor a message every `period`. It takes its turn with the low-priority ones.
    ///
    /// See [`send_high_interval`](Self::send_high_interval).
    pub fn send_interval(
        &mut self,
        period: Duration,
        make: impl FnMut() -> A::Msg + Send + 'static,
    ) -> SourceHandle {
        self.send_low_interval(period, make)
    }

    /// Attaches a stream whose items arrive as messages. They take their turn with the low-priority
    /// ones.
    ///
    /// See [`attach_low`](Self::attach_low).
    pub fn attach(&mut self, stream: impl Stream<Item = A::Msg> + Send + 'static) -> SourceHandle {
        self.attach_low(stream)
    }

    /// Runs a future beside the messages; its output arrives as a message and takes its turn with
    /// the low-priority ones.
    ///
    /// See [`pipe_high`](Self::pipe_high).
    pub fn pipe(&mut self, future: impl Future<Output = A::Msg> + Send + 'static) -> SourceHandle {
        self.pipe_low(future)
    }
}

fn after<M>(delay: Duration, message: M) -> Source<M> {
    Source::After(Box::pin(sleep_until(from_now(delay))), Some(message))
}

fn every<M>(period: Duration, make: impl FnMut() -> M + Send + 'static) -> Source<M> {
    let period = period.max(MIN_PERIOD);
    let mut interval = interval_at(later(Instant::now(), period), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    Source::Every(interval, Box::new(make))
}
