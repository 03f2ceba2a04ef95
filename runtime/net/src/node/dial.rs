//! Connections that this node makes, and makes again when they are lost.

use std::{sync::Arc, time::Duration};

use lanemesh_runtime::actor::Priority;
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

/// What has become of an attempt to make a link.
pub(crate) enum Dialled {
    /// Who is there, and the task that runs the link until it is down.
    New(PeerInfo, JoinHandle<()>),
    /// There is a link to that node already.
    Linked(PeerInfo),
}

/// Makes a link, even if it is a second one.
pub(super) async fn dial_always(
    shared: &Arc<Shared>,
    address: &str,
) -> Result<(PeerInfo, JoinHandle<()>), ConnectError> {
    match dial(shared, address, false).await? {
        Dialled::New(peer, running) => Ok((peer, running)),
        Dialled::Linked(_) => Err(ConnectError::Refused("there is a link to it")),
    }
}

/// Makes a link. With `unless_linked`, only to a node to which there is none.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    address: &str,
    unless_linked: bool,
) -> Result<Dialled, ConnectError> {
    let is_linked = |peer: &PeerInfo| {
        let links = shared.links_to(Some(&peer.name));
        unless_linked && links.iter().any(|link| link.peer() == peer)
    };
    let connect = async {
        let (_, transport, rest) = shared.transport(address, shared.has_proof())?;
        let link = shared.random().u64(..);
        let mut high = transport.connect_for(rest, Priority::High).await?;
        let class = Class::High;
        let peer = greet(&mut high, shared.identity(), Purpose { class, link }).await?;
        if is_linked(&peer) {
            return Ok((peer, None));
        }
        let mut low = match high.take_sibling() {
            Some(low) => low,
            None => transport.connect_for(rest, Priority::Low).await?,
        };
        let class = Class::Low;
        let same = greet(&mut low, shared.identity(), Purpose { class, link }).await?;
        if same != peer {
            let text = "the two connections lead to different nodes";
            return Err(ConnectError::Protocol(text));
        }
        Ok((peer, Some((high, low))))
    };
    let limit = shared.config.handshake_timeout;
    let connected = tokio::select! {
        biased;
        () = shared.closed() => return Err(ConnectError::Closed),
        connected = timeout(limit, connect) => connected,
    };
    let (peer, connections) = connected.map_err(|_| ConnectError::Timeout)??;
    let Some((high, low)) = connections.filter(|_| !is_linked(&peer)) else {
        return Ok(Dialled::Linked(peer));
    };
    let link = shared.admit(peer.clone(), None).map_err(|verdict| {
        tracing::warn!(%peer, ?verdict, "a link was refused");
        ConnectError::Refused("this node knows a later incarnation of it, or has its name")
    })?;
    Ok(Dialled::New(peer, tokio::spawn(link.run(high, low))))
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
            match dial_always(&shared, &address).await {
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
pub(super) fn pause(shared: &Shared, failures: u32) -> Duration {
    let config = &shared.config;
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let whole = config
        .backoff
        .saturating_mul(factor)
        .min(config.max_backoff);
    whole.mul_f64(0.5 + shared.random().f64() / 2.0)
}
