//! Connections that this node makes, and makes again when they are lost.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    handshake::{Purpose, greet},
    shared::Shared,
};
use crate::{
    error::ConnectError,
    event::{Event, PeerInfo},
    link::Host,
    wire::Class,
};

/// Makes a link. Returns who is there, and the task that runs the link until it is down.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    address: &str,
) -> Result<(PeerInfo, JoinHandle<()>), ConnectError> {
    let connect = async {
        let (_, transport, rest) = shared.transport(address, shared.has_proof())?;
        let link = shared.random().u64(..);
        let mut high = transport.connect(rest).await?;
        let class = Class::High;
        let peer = greet(&mut high, shared.identity(), Purpose { class, link }).await?;
        let mut low = transport.connect(rest).await?;
        let class = Class::Low;
        let same = greet(&mut low, shared.identity(), Purpose { class, link }).await?;
        if same != peer {
            let text = "the two connections lead to different nodes";
            return Err(ConnectError::Protocol(text));
        }
        Ok((peer, high, low))
    };
    let limit = shared.config.handshake_timeout;
    let connected = tokio::select! {
        biased;
        () = shared.closed() => return Err(ConnectError::Closed),
        connected = timeout(limit, connect) => connected,
    };
    let (peer, high, low) = connected.map_err(|_| ConnectError::Timeout)??;
    let link = shared.admit(peer.clone(), None).map_err(|verdict| {
        tracing::warn!(%peer, ?verdict, "a link was refused");
        ConnectError::Refused("this node knows a later incarnation of it, or has its name")
    })?;
    Ok((peer, tokio::spawn(link.run(high, low))))
}

/// Keeps a link up until the node is closed.
pub(super) async fn keep(shared: Arc<Shared>, address: String, mut running: JoinHandle<()>) {
    loop {
        // A panic in it is a link that is down.
        let _ = running.await;
        let mut failures = 0;
        running = loop {
            let pause = pause(&shared, failures);
            tokio::select! {
                biased;
                () = shared.closed() => return,
                () = sleep(pause) => {}
            }
            match dial(&shared, &address).await {
                Ok((_, running)) => break running,
                Err(ConnectError::Closed) => return,
                Err(error) => {
                    failures += 1;
                    tracing::info!(%address, %error, failures, "a link is still down");
                    let address = address.as_str().into();
                    let error = error.to_string().into();
                    shared.event(Event::ConnectFailed {
                        address,
                        error,
                        failures,
                    });
                }
            }
        };
    }
}

/// The pause before the next attempt: doubled with each failure, half of it random.
fn pause(shared: &Shared, failures: u32) -> Duration {
    let config = &shared.config;
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let whole = config
        .backoff
        .saturating_mul(factor)
        .min(config.max_backoff);
    whole.mul_f64(0.5 + shared.random().f64() / 2.0)
}
