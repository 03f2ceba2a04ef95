//! What the processes that serve have in common.

use std::io::Write;

use crate::failure::Failure;

/// Says where it serves, and waits for the end of the standard input.
pub(super) async fn until_end(address: &str) -> Result<(), Failure> {
    println!("ready {address}");
    std::io::stdout().flush()?;
    let end = || std::io::stdin().lines().next();
    tokio::task::spawn_blocking(end).await?;
    Ok(())
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}
