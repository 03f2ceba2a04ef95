//! The handle of a timer, a stream or a future that brings an actor messages.

use std::{fmt, sync::Arc};

use crate::sources::ready::Ticket;

/// Cancels a timer, a stream or a future that brings an actor messages.
///
/// Dropping it cancels nothing. It does not keep the actor alive.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{Actor, ActorResult, Context, actor::SourceHandle, spawn};
///
/// /// Closes a session after a minute without a packet.
/// struct Session { timeout: Option<SourceHandle> }
///
/// impl Actor for Session {
///     type HighPriorityMsg = &'static str;
///     type LowPriorityMsg = u64;
///
///     async fn on_low(&mut self, _packet: u64, ctx: &mut Context<Self>) -> ActorResult {
///         let timeout = ctx.send_high_after(Duration::from_secs(60), "idle");
///         if let Some(last) = self.timeout.replace(timeout) {
///             last.cancel();
///         }
///         Ok(())
///     }
///
///     async fn on_high(&mut self, _idle: &'static str, ctx: &mut Context<Self>) -> ActorResult {
///         ctx.stop();
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let start = tokio::time::Instant::now();
/// let (mut session, child) = spawn(Session { timeout: None });
/// session.send_low(1).await?;
/// tokio::time::sleep(Duration::from_secs(59)).await;
/// session.send_low(2).await?;
/// child.await;
/// assert_eq!(start.elapsed().as_secs(), 59 + 60);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SourceHandle(Arc<Ticket>);

impl SourceHandle {
    pub(super) fn new(ticket: Arc<Ticket>) -> Self {
        Self(ticket)
    }

    /// Cancels the source. Nothing more arrives from it, except a message that the actor has
    /// begun to handle. The actor drops the source when it looks at it next, which is soon.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether nothing more will arrive: the timer has fired, the future has completed, the stream
    /// has ended, the source was cancelled, or the incarnation that it belongs to has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_cancelled() || self.0.is_over()
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}
