//! Gathering batches from the mailbox, and waiting for a batch together with other conditions.

use std::{future::poll_fn, pin::pin, task::Poll};

use lanemesh::Message;

use crate::{
    actor::{Actor, Batch, Context, High, Low, Waited},
    cell::signal,
    crash::KEPT,
    envelope::AGAIN,
    error::ActorError,
    task::dispatch::is_past,
};

/// Urgent messages in a row before [`Context::wait_all_or`] looks whether it may proceed.
const BURST: u32 = 64;

enum Step<T> {
    All,
    Proceed(T),
    Event,
}

impl<A: Actor> Context<A> {
    /// Waits until `input` low messages are gathered *and* `others` has completed, for example room
    /// in an output and a tick. Urgent messages are handled in the meantime.
    ///
    /// Then [`take_batch`](Self::take_batch) has the input. Returns `false` when the loop should
    /// end; what is gathered when the mailbox closes goes to `on_low_batch`.
    ///
    /// # Errors
    ///
    /// As [`handle_event`](Self::handle_event).
    ///
    /// # Cancel safety
    ///
    /// Cancelling it may lose the message that a hook is handling. What has been gathered stays.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lanemesh_runtime::{*, testing::Sink};
    /// struct Worker {
    ///     output: ActorHandle<Sink<(), u64>>,
    /// }
    ///
    /// impl Actor for Worker {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = u64;
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
    ///         let mut beat = tokio::time::interval(Duration::from_millis(10));
    ///         let mut output = self.output.clone();
    ///         loop {
    ///             let others = async { tokio::join!(beat.tick(), output.low_room(256)) };
    ///             if !ctx.wait_all(self, 256, others).await? {
    ///                 return Ok(());
    ///             }
    ///             let mut batch = ctx.take_batch();
    ///             let mut numbers: Vec<u64> = batch.drain().collect();
    ///             ctx.put_batch(batch);
    ///             output.send_vec_low(&mut numbers).await?;
    ///         }
    ///     }
    /// }
    /// ```
    pub async fn wait_all(
        &mut self,
        actor: &mut A,
        input: usize,
        others: impl Future,
    ) -> Result<bool, ActorError> {
        let never = std::future::pending::<()>();
        let waited = self.wait_all_or(actor, input, others, never).await?;
        Ok(matches!(waited, Waited::All))
    }

    /// As [`wait_all`](Self::wait_all), or until `proceed` has completed, whatever the other
    /// conditions: for example a tick after which less input must do. When all conditions and
    /// `proceed` are ready, it is [`Waited::All`].
    ///
    /// [`take_batch`](Self::take_batch) has what is gathered in either case.
    ///
    /// # Errors
    ///
    /// As [`handle_event`](Self::handle_event).
    ///
    /// # Cancel safety
    ///
    /// Cancelling it may lose the message that a hook is handling. What has been gathered stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh_runtime::{Actor, ActorResult, Context, actor::Waited, spawn};
    ///
    /// /// Writes blocks of 100 records; after a second without one, what there is.
    /// struct Writer {
    ///     blocks: Vec<usize>,
    /// }
    ///
    /// impl Actor for Writer {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = u64;
    ///
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
    ///         loop {
    ///             let flush = tokio::time::sleep(Duration::from_secs(1));
    ///             match ctx.wait_all_or(self, 100, async {}, flush).await? {
    ///                 Waited::All | Waited::Proceed(()) => {
    ///                     let mut batch = ctx.take_batch();
    ///                     self.blocks.push(batch.drain().count());
    ///                     ctx.put_batch(batch);
    ///                 }
    ///                 Waited::Over => return Ok(()),
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut writer, _child) = spawn(Writer { blocks: Vec::new() });
    /// writer.send_vec_low(&mut (0..130).collect()).await?;
    /// tokio::time::sleep(Duration::from_millis(1_500)).await;
    /// let blocks = writer.inspect(|writer| writer.blocks.clone(), Duration::from_secs(1));
    /// assert_eq!(blocks.await?, [100, 30]);
    /// # Ok(()) }
    /// ```
    pub async fn wait_all_or<T>(
        &mut self,
        actor: &mut A,
        input: usize,
        others: impl Future,
        proceed: impl Future<Output = T>,
    ) -> Result<Waited<T>, ActorError> {
        let mut others = pin!(others);
        let mut proceed = pin!(proceed);
        let mut others_ready = false;
        // Urgent messages come first, but a flood of them must not hold up `proceed`.
        let mut events = 0;
        loop {
            let step = poll_fn(|cx| {
                if !others_ready {
                    others_ready = others.as_mut().poll(cx).is_ready();
                }
                match self.poll_gather(cx, input, others_ready) {
                    Poll::Ready(true) => Poll::Ready(Step::All),
                    Poll::Ready(false) if events < BURST => Poll::Ready(Step::Event),
                    gathered => match proceed.as_mut().poll(cx) {
                        Poll::Ready(output) => Poll::Ready(Step::Proceed(output)),
                        Poll::Pending => gathered.map(|_| Step::Event),
                    },
                }
            });
            match step.await {
                Step::All => return Ok(Waited::All),
                Step::Proceed(output) => return Ok(Waited::Proceed(output)),
                Step::Event => events += 1,
            }
            let event = self.next().await;
            if !self.handle_event(actor, event).await? {
                return Ok(Waited::Over);
            }
        }
    }

    /// Ready with `true` when the input is gathered and the others are ready; with `false` when
    /// something urgent came first, or the mailbox is closed.
    fn poll_gather(
        &mut self,
        cx: &mut std::task::Context<'_>,
        input: usize,
        others_ready: bool,
    ) -> Poll<bool> {
        let signals = self.cell.signals();
        let may_close = signals & signal::DRAIN != 0 && !self.mailbox.is_closed();
        if self.is_interrupted() || may_close || signals & signal::HANDLES != 0 {
            return Poll::Ready(false);
        }
        if let Some(envelope) = self.take_high_source() {
            return self.put_in_hand(envelope);
        }
        // Before the look at the lanes: what is sent after it has a later ticket.
        let ticket = self.ticket(signals);
        loop {
            let gathered = self.batched();
            if gathered >= input && others_ready {
                return Poll::Ready(true);
            }
            if gathered >= input && !others_ready {
                // Only high messages are received while the others are not ready.
                return match self.mailbox.high().poll_recv(cx) {
                    Poll::Ready(Some(envelope)) => self.put_in_hand(envelope),
                    Poll::Ready(None) => Poll::Ready(false),
                    Poll::Pending => {
                        self.on_gathering(signals, ticket);
                        Poll::Pending
                    }
                };
            }
            if let Some(envelope) = self.take_low_source().or_else(|| self.ahead.pop()) {
                self.gather(envelope, input - gathered);
                continue;
            }
            match self.mailbox.poll_recv(cx) {
                Poll::Ready(Some(Message::Low(envelope))) => {
                    self.gather(envelope, input - gathered);
                }
                Poll::Ready(Some(Message::High(envelope))) => return self.put_in_hand(envelope),
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => {
                    self.on_gathering(signals, ticket);
                    return Poll::Pending;
                }
            }
        }
    }

    /// There is nothing to do until more comes. Messages that are gathered are not queued any more:
    /// with them alone the actor is idle.
    fn on_gathering(&mut self, signals: u32, ticket: u64) {
        let queued = self.mailbox.len() + self.ahead.len() + self.unstashed();
        self.on_waiting(signals, ticket, queued);
    }

    /// Puts the message, and others that wait, into the batch: `limit` messages at most.
    pub(crate) fn gather(&mut self, first: Low<A>, limit: usize) {
        let mut scratch = self.optional_or_default().batches.take_scratch();
        scratch.push(first);
        while scratch.len() < limit
            && let Some(envelope) = self.ahead.pop()
        {
            scratch.push(envelope);
        }
        if scratch.len() < limit {
            let left = limit - scratch.len();
            let _ = self.mailbox.low().try_recv_many(&mut scratch, left);
        }
        let mut batch = self.start_batch();
        let mut expired = Vec::new();
        for envelope in scratch.drain(..) {
            if envelope.expires != 0 && is_past(envelope.expires, false) {
                expired.push(envelope.message);
                continue;
            }
            if envelope.sent != 0 && envelope.sent & (KEPT | AGAIN) == 0 {
                self.record_queueing(envelope.sent);
            }
            let attempts = envelope.attempts();
            batch.push(envelope.message, attempts);
        }
        let batches = &mut self.optional_or_default().batches;
        batches.put_scratch(scratch);
        batches.put(batch);
        // Last: dropping a message may panic.
        self.expire_all(expired);
    }

    /// Holds a high message that `wait_all` received, for the next event.
    fn put_in_hand(&mut self, envelope: High<A>) -> Poll<bool> {
        self.optional_or_default().custody.in_hand = Some(Message::High(envelope));
        Poll::Ready(false)
    }

    /// Takes the batch that [`wait_all`](Self::wait_all) has gathered. Return it with
    /// [`put_batch`](Self::put_batch), or drop it: what is left in it stays queued either way. What
    /// was taken out by [`Batch::drain`] counts as handled then, and as interrupted if the
    /// incarnation ends before.
    pub fn take_batch(&mut self) -> Batch<A::LowPriorityMsg> {
        self.start_batch()
    }

    /// Returns a batch, with what is left in it.
    pub fn put_batch(&mut self, mut batch: Batch<A::LowPriorityMsg>) {
        self.counters.events().batches += 1;
        self.count_batch(batch.take_count());
        self.optional_or_default().batches.put(batch);
        self.count_message();
    }
}
