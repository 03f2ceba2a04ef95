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

#[cfg(unix)]
pub(crate) async fn wait_for_signal() -> io::Result<Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(Signal::Terminate),
        _ = interrupt.recv() => Ok(Signal::Interrupt),
    }
}

#[cfg(not(unix))]
pub(crate) async fn wait_for_signal() -> io::Result<Signal> {
    tokio::signal::ctrl_c().await?;
    Ok(Signal::Interrupt)
}
