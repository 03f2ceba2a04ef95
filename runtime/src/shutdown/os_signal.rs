//! Signals of the operating system that ask the program to end.

use std::io;

/// The signal that ended [`System::run_until_signal`](crate::System::run_until_signal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// Ctrl-c, SIGINT.
    Interrupt,
    /// SIGTERM, on Unix.
    Terminate,
}

/// The signals that ask the program to end, for programs that drain in steps of their own;
/// [`System::run_until_signal`](crate::System::run_until_signal) waits for one of them.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use lanemesh_runtime::{System, shutdown::Signals};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let system = System::new("server");
/// let mut signals = Signals::new()?;
/// signals.received().await?;
/// tokio::select! {
///     _ = tokio::time::sleep(Duration::from_secs(30)) => {} // until the users have left
///     again = signals.received() => println!("at once: {:?}", again?),
/// }
/// let report = system.shutdown(Duration::from_secs(5)).await;
/// # drop(report);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Handles the signals from now on: they no longer end the process by themselves, and one that
    /// comes while nobody waits is kept.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a handler.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O enabled.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a handler.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn received(&mut self) -> io::Result<Signal> {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.terminate.recv() => Ok(Signal::Terminate),
                _ = self.interrupt.recv() => Ok(Signal::Interrupt),
            }
        }
        #[cfg(not(unix))]
        {
            tokio::signal::ctrl_c().await?;
            Ok(Signal::Interrupt)
        }
    }
}

pub(crate) async fn wait_for_signal() -> io::Result<Signal> {
    Signals::new()?.received().await
}
