//! Actors that replace others in tests.

use std::{fmt, marker::PhantomData, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use crate::{
    actor::{Actor, Context},
    error::ActorResult,
    exit::ExitReason,
    handle::{ActorHandle, Child},
    spawn::spawn,
};

/// What the actor of a probe has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed<H, L> {
    /// A high-priority message.
    High(H),
    /// A low-priority message.
    Low(L),
    /// The actor was started.
    Started,
    /// The actor has stopped.
    Stopped,
}

/// Why a probe has not received a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeError {
    /// Nothing arrived in time.
    Timeout,
    /// The actor has ended, and all that it received has been returned.
    Closed,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "nothing arrived in time",
            Self::Closed => "the probe's actor has ended",
        })
    }
}

impl std::error::Error for ProbeError {}

/// Starts an actor that passes everything it receives to the test.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use lanemesh_runtime::testing::{Probed, probe};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, mut probe, _child) = probe::<&str, u64>();
/// handle.send_low(1).await?;
/// handle.send_high("first").await?;
/// let second = Duration::from_secs(1);
/// assert_eq!(probe.expect(second).await?, Probed::High("first"));
/// assert_eq!(probe.expect(second).await?, Probed::Low(1));
/// # Ok(()) }
/// ```
pub fn probe<H: Send + 'static, L: Send + 'static>() -> (ProbeHandle<H, L>, Probe<H, L>, Child) {
    let (tx, rx) = mpsc::unbounded_channel();
    let (handle, child) = spawn(ProbeActor { tx });
    (handle, Probe { rx }, child)
}

/// The test's end of a probe.
pub struct Probe<H, L> {
    rx: mpsc::UnboundedReceiver<Probed<H, L>>,
}

impl<H, L> Probe<H, L> {
    /// Waits for the next message, for `limit` at most. Skips the start of the actor.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Timeout`], or [`ProbeError::Closed`] when the actor has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn expect(&mut self, limit: Duration) -> Result<Probed<H, L>, ProbeError> {
        loop {
            match timeout(limit, self.rx.recv()).await {
                Ok(Some(Probed::Started)) => {}
                Ok(Some(Probed::Stopped) | None) => return Err(ProbeError::Closed),
                Ok(Some(message)) => return Ok(message),
                Err(_) => return Err(ProbeError::Timeout),
            }
        }
    }

    /// The next event, if there is one, including starts and stops.
    pub fn try_next(&mut self) -> Option<Probed<H, L>> {
        self.rx.try_recv().ok()
    }
}

impl<H, L> fmt::Debug for Probe<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("queued", &self.rx.len())
            .finish()
    }
}

/// The handle of a probe, for fields and signatures.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::testing::{Probe, ProbeHandle, probe};
///
/// struct Fixture {
///     to: ProbeHandle<&'static str, u64>,
///     probe: Probe<&'static str, u64>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (to, probe, _child) = probe();
/// let fixture = Fixture { to, probe };
/// # drop(fixture);
/// # }
/// ```
pub type ProbeHandle<H, L> = ActorHandle<ProbeActor<H, L>>;

/// The actor behind a [`Probe`].
pub struct ProbeActor<H, L> {
    tx: mpsc::UnboundedSender<Probed<H, L>>,
}

impl<H, L> ProbeActor<H, L> {
    fn show(&self, message: Probed<H, L>) {
        // The test may have dropped its end.
        let _ = self.tx.send(message);
    }
}

impl<H, L> fmt::Debug for ProbeActor<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeActor").finish_non_exhaustive()
    }
}

impl<H: Send + 'static, L: Send + 'static> Actor for ProbeActor<H, L> {
    type HighPriorityMsg = H;
    type LowPriorityMsg = L;

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        self.show(Probed::Started);
        Ok(())
    }

    async fn on_high(&mut self, msg: H, _: &mut Context<Self>) -> ActorResult {
        self.show(Probed::High(msg));
        Ok(())
    }

    async fn on_low(&mut self, msg: L, _: &mut Context<Self>) -> ActorResult {
        self.show(Probed::Low(msg));
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.show(Probed::Stopped);
        Ok(())
    }
}

/// An actor that accepts all messages and does nothing.
pub struct Sink<H, L>(PhantomData<fn(H, L)>);

impl<H, L> Sink<H, L> {
    /// Makes a sink.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H, L> Default for Sink<H, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H, L> fmt::Debug for Sink<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl<H: Send + 'static, L: Send + 'static> Actor for Sink<H, L> {
    type HighPriorityMsg = H;
    type LowPriorityMsg = L;

    async fn on_high(&mut self, _: H, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }

    async fn on_low(&mut self, _: L, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}
