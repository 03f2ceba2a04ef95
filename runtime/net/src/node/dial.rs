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
    /// There is a link to that node already, or about to be.
    Linked(PeerInfo),
}

impl Dialled {
    pub(super) fn peer(&self) -> &PeerInfo {
        match self {
            Self::New(peer, _) | Self::Linked(peer) => peer,
        }
    }
}

/// Links this node to the one at an address, if there is no link to it.
pub(super) async fn dial(shared: &Arc<Shared>, address: &str) -> Result<Dialled, ConnectError> {
    let connect = async {
        let (_, transport, rest) = shared.transport(address, shared.has_proof())?;
        let link = shared.random().u64(..);
        let mut high = transport.connect_for(rest, Priority::High).await?;
        let class = Class::High;
        let met = greet(&mut high, shared.identity(), Purpose { class, link }).await?;
        let peer = met.peer;
        let claim = if met.is_linked {
            None
        } else {
            shared.pairing.claim_dialled(&peer)
        };
        let Some(claim) = claim else {
            return Ok((peer, None));
        };
        let mut low = match high.take_sibling() {
            Some(low) => low,
            None => transport.connect_for(rest, Priority::Low).await?,
        };
        let class = Class::Low;
        let met = greet(&mut low, shared.identity(), Purpose { class, link }).await?;
        if met.peer != peer {
            let text = "the two connections lead to different nodes";
            return Err(ConnectError::Protocol(text));
        }
        let pair = (!met.is_linked).then_some((high, low, claim));
        Ok((peer, pair))
    };
    let limit = shared.config.handshake_timeout;
    let connected = tokio::select! {
        biased;
        () = shared.closed() => return Err(ConnectError::Closed),
        connected = timeout(limit, connect) => connected,
    };
    let (peer, pair) = connected.map_err(|_| ConnectError::Timeout)??;
    let Some((high, low, claim)) = pair else {
        return Ok(Dialled::Linked(peer));
    };
    let admitted = shared.admit(peer.clone(), None, claim);
    let (link, replaced) = admitted.map_err(|verdict| {
        tracing::warn!(%peer, ?verdict, "a link was refused");
        ConnectError::Refused("this node knows a later incarnation of it, or has its name")
    })?;
    let run = link.run(high, low);
    let running = tokio::spawn(async move {
        replaced.settled().await;
        run.await;
    });
    Ok(Dialled::New(peer, running))
}

/// As [`dial`], until the link that somebody else is about to make is there.
pub(super) async fn dial_until_linked(
    shared: &Arc<Shared>,
    address: &str,
) -> Result<Dialled, ConnectError> {
    let dial = async {
        let mut attempts = 0;
        loop {
            let dialled = dial(shared, address).await?;
            if let Dialled::New(..) = dialled {
                return Ok(dialled);
            }
            // It may come to nothing.
            let linked = shared.linked(&dialled.peer().name);
            if timeout(pause(shared, attempts), linked).await.is_ok() {
                return Ok(dialled);
            }
            attempts += 1;
        }
    };
    let limit = shared.config.handshake_timeout;
    timeout(limit, dial)
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

/// Keeps a link up until the node is closed.
pub(super) async fn keep(shared: Arc<Shared>, address: String, mut dialled: Dialled) {
    loop {
        match dialled {
            // A panic in it is a link that is down.
            Dialled::New(_, running) => drop(running.await),
            Dialled::Linked(peer) => shared.unlinked(Some(&peer.name)).await,
        }
        let mut failures = 0;
        dialled = loop {
            let pause = pause(&shared, failures);
            tokio::select! {
                biased;
                () = shared.closed() => return,
                () = sleep(pause) => {}
            }
            match dial(&shared, &address).await {
                Ok(Dialled::Linked(peer)) if shared.links_to(Some(&peer.name)).is_empty() => {
                    failures += 1; // the other node is about to make it
                }
                Ok(dialled) => break dialled,
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
