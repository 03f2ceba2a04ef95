//! Logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging, as JSON or as text. `SFU_LOG` sets the filter.
pub(super) fn start(json: bool) {
    let filter = EnvFilter::try_from_env("SFU_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,str0m=error,is=error,dimpl=error"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        logs.json().init()
    } else {
        logs.init()
    }
}
