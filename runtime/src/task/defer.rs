//! Putting messages off: the stash, and leaving the low lanes alone.

use std::task::{Context as PollContext, Poll};

use lanemesh::Message;

use crate::{
    actor::{Actor, Context, Handler, Handling, High, Low, Priority},
    cell::signal,
    envelope::Envelope,
    error::StashFull,
};

impl<A: Actor> Context<A> {
    /// Puts the message that the hook handles aside, until [`unstash`](Self::unstash): for a
    /// message that the actor cannot handle in its present state.
    ///
    /// It counts as queued again, not as handled, and its deadline stays. A failure loses no stashed
    /// message: the next incarnation begins with all of them released. What
    /// [`redeliver`](crate::Builder::redeliver) counts goes on: a message that is stashed between two
    /// crashes is a dead letter after as many as without. When the actor ends for good they are dead
    /// letters, as the messages in the lanes; a drain does not release them.
    ///
    /// An actor with one type of messages has [`stash`](Self::stash).
    ///
    /// # Errors
    ///
    /// [`StashFull`], with the message, if as many are stashed as
    /// [`Builder::stash_capacity`](crate::Builder::stash_capacity) allows: none if the actor has a
    /// [`keeper`](crate::Builder::keeper).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh_runtime::{Actor, ActorResult, Context, Reply, spawn};
    ///
    /// enum Door {
    ///     Closed,
    ///     Open { entered: u32 },
    /// }
    ///
    /// enum Msg {
    ///     Open,
    ///     Enter(Reply<u32>),
    /// }
    ///
    /// impl Actor for Door {
    ///     type HighPriorityMsg = Msg;
    ///     type LowPriorityMsg = ();
    ///
    ///     async fn on_high(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
    ///         match (&mut *self, msg) {
    ///             (Self::Closed, Msg::Open) => {
    ///                 *self = Self::Open { entered: 0 };
    ///                 ctx.unstash();
    ///             }
    ///             (Self::Closed, msg) => ctx.stash_high(msg)?,
    ///             (Self::Open { entered }, Msg::Enter(reply)) => {
    ///                 *entered += 1;
    ///                 drop(reply.send(*entered)); // the asker may be gone
    ///             }
    ///             (Self::Open { .. }, Msg::Open) => {}
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut door, _child) = spawn(Door::Closed);
    /// let mut guest = door.clone();
    /// let enters = tokio::spawn(async move { guest.ask(Msg::Enter, Duration::from_secs(1)).await });
    /// tokio::task::yield_now().await;
    /// door.send_high(Msg::Open).await?;
    /// assert_eq!(enters.await?, Ok(1));
    /// # Ok(()) }
    /// ```
    pub fn stash_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), StashFull<A::HighPriorityMsg>> {
        if self.is_stash_full() {
            return Err(StashFull(message));
        }
        let (expires, attempts) = self.take_from_handler();
        self.put_aside(Message::High(Envelope::set_aside(
            message, expires, attempts,
        )));
        Ok(())
    }

    /// As [`stash_high`](Self::stash_high), for a low-priority message.
    ///
    /// # Errors
    ///
    /// [`StashFull`], with the message.
    pub fn stash_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<(), StashFull<A::LowPriorityMsg>> {
        if self.is_stash_full() {
            return Err(StashFull(message));
        }
        let (expires, attempts) = self.take_from_handler();
        self.put_aside(Message::Low(Envelope::set_aside(
            message, expires, attempts,
        )));
        Ok(())
    }

    /// Releases all stashed messages: they come before the queued messages of their class, in the
    /// order in which they were stashed, after the hook that runs now.
    pub fn unstash(&mut self) {
        let Some(stash) = self
            .optional_mut()
            .and_then(|optional| optional.stash.as_mut())
        else {
            return;
        };
        let low = stash.release();
        self.ahead.prepend(low.into_iter());
    }

    /// How many messages are stashed.
    pub fn stashed(&self) -> usize {
        let stash = self.optional().and_then(|optional| optional.stash.as_ref());
        stash.map_or(0, |stash| stash.kept())
    }

    /// Leaves low-priority messages in their lanes, and those of timers and streams where they are,
    /// until [`resume_low`](Self::resume_low), so that their senders wait: for an actor that has all the work it can hold. Everything else goes on.
    ///
    /// It lasts until the end of the incarnation at most. A drain ends it, and so does the end of
    /// the last handle: then nobody can send what the actor waits for.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{Actor, ActorResult, Context, builder};
    ///
    /// /// Holds one job at a time.
    /// struct Desk(Vec<u32>);
    ///
    /// enum Control {
    ///     Done,
    /// }
    ///
    /// impl Actor for Desk {
    ///     type HighPriorityMsg = Control;
    ///     type LowPriorityMsg = u32;
    ///
    ///     async fn on_low(&mut self, job: u32, ctx: &mut Context<Self>) -> ActorResult {
    ///         self.0.push(job);
    ///         ctx.pause_low();
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_high(&mut self, _: Control, ctx: &mut Context<Self>) -> ActorResult {
    ///         ctx.resume_low();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut desk, _child) = builder(|| Desk(Vec::new())).low_capacity(2).spawn();
    /// desk.send_low(1).await?;
    /// tokio::task::yield_now().await;
    /// desk.try_send_low(2)?;
    /// desk.try_send_low(3)?;
    /// assert!(desk.try_send_low(4).is_err()); // the desk has one, and the lane is full
    /// desk.send_high(Control::Done).await?;
    /// desk.send_low(4).await?;
    /// # Ok(()) }
    /// ```
    pub fn pause_low(&mut self) {
        self.optional_or_default().is_low_paused = true;
    }

    /// Takes low-priority messages again.
    pub fn resume_low(&mut self) {
        if let Some(optional) = self.optional_mut() {
            optional.is_low_paused = false;
        }
    }

    // --- for the event loop -------------------------------------------------------------------

    fn is_stash_full(&mut self) -> bool {
        let optional = self.optional_or_default();
        optional.custody.has_keeper() || optional.stash.get_or_insert_default().is_full()
    }

    /// The message that its handler has does not count as handled. Returns when it expires, and how
    /// often it has been redelivered.
    fn take_from_handler(&mut self) -> (u64, u32) {
        let handling = std::mem::take(&mut self.state.handling);
        let optional = self.optional();
        let attempts = optional.map_or(0, |optional| optional.custody.attempts());
        match handling {
            Handling::Nothing => {
                self.state.put_aside += 1;
                return (0, 0);
            }
            // A handler has crashed with it: it does not expire any more.
            _ if attempts > 0 => {
                self.counters.events().redelivered -= 1;
                return (0, attempts);
            }
            Handling::High => self.counters.high -= 1,
            Handling::Low => self.counters.low -= 1,
        }
        (self.state.expires, 0)
    }

    /// The message is queued again, whatever becomes of its handler.
    fn put_aside(&mut self, message: Message<High<A>, Low<A>>) {
        let optional = self.optional_or_default();
        optional.stash.get_or_insert_default().keep(message);
        // Last: the drop of the copy may panic.
        self.release_held();
    }

    /// How many messages of the stash wait for their handler.
    pub(crate) fn unstashed(&self) -> usize {
        let stash = self.optional().and_then(|optional| optional.stash.as_ref());
        stash.map_or(0, |stash| stash.released())
    }

    /// The next high message that was released.
    pub(crate) fn take_unstashed(&mut self) -> Option<High<A>> {
        let stash = self.optional_mut()?.stash.as_mut()?;
        stash.pop_released()
    }

    pub(crate) fn is_low_paused(&self) -> bool {
        self.optional()
            .is_some_and(|optional| optional.is_low_paused)
            && self.cell.signals() & signal::DRAIN == 0
    }

    /// Receives a high message while low ones are left in their lanes. None if nobody can send one
    /// any more; then low messages are taken again.
    pub(crate) fn poll_high_only(
        &mut self,
        cx: &mut PollContext<'_>,
        signals: u32,
    ) -> Option<Poll<High<A>>> {
        let ticket = self.ticket(signals);
        match self.mailbox.high().poll_recv(cx) {
            Poll::Ready(Some(envelope)) => Some(Poll::Ready(envelope)),
            Poll::Ready(None) => {
                self.resume_low();
                None
            }
            Poll::Pending => {
                if self.state.since_publish != 0 {
                    self.state.since_publish = 0;
                    self.publish();
                }
                let queued = self.depth() - self.stashed();
                self.on_waiting(signals, ticket, queued);
                // Low messages that wait in their lanes may expire.
                self.state.was_idle = false;
                Some(Poll::Pending)
            }
        }
    }
}

/// The same for an actor with one type of messages.
impl<A: Handler> Context<A> {
    /// Puts the message that the hook handles aside, until [`unstash`](Self::unstash). Among the
    /// stashed messages it has the [priority](Handler::priority) that it says. See
    /// [`stash_high`](Self::stash_high).
    ///
    /// # Errors
    ///
    /// [`StashFull`], with the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh_runtime::{ActorResult, Context, Handler, Reply, spawn};
    ///
    /// /// Answers once it has its configuration.
    /// struct Service {
    ///     greeting: Option<&'static str>,
    /// }
    ///
    /// enum Msg {
    ///     Configure(&'static str),
    ///     Greet(Reply<&'static str>),
    /// }
    ///
    /// impl Handler for Service {
    ///     type Msg = Msg;
    ///
    ///     async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
    ///         match (self.greeting, msg) {
    ///             (_, Msg::Configure(greeting)) => {
    ///                 self.greeting = Some(greeting);
    ///                 ctx.unstash();
    ///             }
    ///             (Some(greeting), Msg::Greet(reply)) => drop(reply.send(greeting)),
    ///             (None, early) => ctx.stash(early)?,
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (service, _child) = spawn(Service { greeting: None });
    /// let service = service.shared();
    /// let early = service.ask(Msg::Greet, Duration::from_secs(1));
    /// let (answer, sent) = tokio::join!(early, service.tell(Msg::Configure("hello")));
    /// assert_eq!((answer?, sent.is_ok()), ("hello", true));
    /// # Ok(()) }
    /// ```
    pub fn stash(&mut self, message: A::Msg) -> Result<(), StashFull<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.stash_high(message),
            Priority::Low => self.stash_low(message),
        }
    }
}
