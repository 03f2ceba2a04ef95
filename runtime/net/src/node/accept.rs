//! Connections that others make: each is greeted in a task of its own, and two of them become a link.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{
    handshake::{Greeting, Purpose, Verdict, answer, conclude},
    pairing::Claim,
    shared::{Shared, Waiting, lock},
};
use crate::{
    error::ConnectError,
    event::{DownReason, PeerInfo},
    media::Plane,
    task::Task,
    token::Token,
    transport::{Connection, Listener, is_served},
    wire::Class,
};

/// The pause after a connection could not be accepted, for instance because no file descriptor is free.
const PAUSE: Duration = Duration::from_millis(50);

/// Both connections of a link.
struct Pair {
    peer: PeerInfo,
    token: Option<Token>,
    claim: Claim,
    high: Connection,
    low: Connection,
}

/// Accepts connections until the node is closed.
pub(super) async fn listen(shared: Arc<Shared>, mut listener: Box<dyn Listener>, is_private: bool) {
    let handshakes = Arc::new(Semaphore::new(shared.config.max_handshakes.max(1)));
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            () = shared.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let limit = shared.config.handshake_timeout;
            let greeted = async {
                match accepted.await {
                    Err(error) if is_served(&error) => Ok(None),
                    accepted => greeted(&shared, accepted?, is_private, permit).await,
                }
            };
            let greeted = timeout(limit, greeted).await;
            let greeted = greeted.unwrap_or(Err(ConnectError::Timeout));
            match greeted {
                Ok(Some(pair)) => start(shared, pair).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection was refused");
                    shared.refusals.count(&error);
                }
            }
        });
    }
}

/// Greets a connection. With one for high, waits for that for low; with one for low, hands it on.
async fn greeted(
    shared: &Arc<Shared>,
    mut connection: Connection,
    is_private: bool,
    permit: OwnedSemaphorePermit,
) -> Result<Option<Pair>, ConnectError> {
    let identity = shared.identity();
    let Greeting {
        peer,
        purpose,
        token,
    } = answer(&mut connection, identity, is_private).await?;
    let verdict = if !connection.may_be(&peer.name) {
        Verdict::WrongName
    } else {
        match shared.judge(&peer) {
            Verdict::Welcome if shared.pairing.is_ours(shared.me(), &peer) => Verdict::Linked,
            verdict => verdict,
        }
    };
    if verdict != Verdict::Welcome {
        conclude(&mut connection, verdict).await?;
        return match verdict {
            Verdict::Linked => Ok(None),
            Verdict::WrongName => Err(ConnectError::WrongName(peer.name)),
            _ => Err(ConnectError::Refused("it is not welcome")),
        };
    }
    if purpose.class == Class::High
        && let Some(low) = connection.take_sibling()
    {
        conclude(&mut connection, Verdict::Welcome).await?;
        drop(permit);
        let class = Class::Low;
        let same = Greeting {
            peer,
            purpose: Purpose { class, ..purpose },
            token,
        };
        let low = greet_sibling(shared, low, is_private, &same).await?;
        return Ok(low.map(|(low, claim)| Pair {
            peer: same.peer,
            token: same.token,
            claim,
            high: connection,
            low,
        }));
    }
    let key = (peer.clone(), purpose.link);
    match purpose.class {
        Class::High => {
            let (tx, low) = oneshot::channel();
            let waiting = Waiting {
                token: token.clone(),
                low: tx,
            };
            lock(&shared.waiting).insert(key.clone(), waiting);
            let _forget = Forget(shared, key);
            conclude(&mut connection, Verdict::Welcome).await?;
            // Otherwise those that wait could keep out those that they wait for.
            drop(permit);
            let low = tokio::select! {
                biased;
                low = low => match low.map_err(|_| ConnectError::Closed)? {
                    Some(low) => low,
                    None => return Ok(None), // this node makes the link
                },
                // It has found that there is a link, or is gone.
                read = connection.reader.read_u8() => return match read {
                    Ok(_) => Err(ConnectError::Protocol("it speaks before it is welcome")),
                    Err(_) => Ok(None),
                },
            };
            let (mut low, claim) = low;
            conclude(&mut low, Verdict::Welcome).await?;
            Ok(Some(Pair {
                peer,
                token,
                claim,
                high: connection,
                low,
            }))
        }
        Class::Low => {
            let high = lock(&shared.waiting).remove(&key);
            let Some(high) = high.filter(|high| high.token == token) else {
                conclude(&mut connection, Verdict::Alone).await?;
                return Err(ConnectError::Refused("its other connection is gone"));
            };
            let Some(claim) = shared.pairing.claim_accepted(shared.me(), &peer) else {
                drop(high.low.send(None));
                conclude(&mut connection, Verdict::Linked).await?;
                return Ok(None);
            };
            // The other one may have timed out.
            drop(high.low.send(Some((connection, claim))));
            Ok(None)
        }
    }
}

/// Greets a connection for low that came with the one for high, and has to announce the `same`. None if this node makes
/// the link.
async fn greet_sibling(
    shared: &Arc<Shared>,
    mut low: Connection,
    is_private: bool,
    same: &Greeting,
) -> Result<Option<(Connection, Claim)>, ConnectError> {
    let greeting = answer(&mut low, shared.identity(), is_private).await?;
    if greeting != *same {
        conclude(&mut low, Verdict::Alone).await?;
        return Err(ConnectError::Refused(
            "its connections announce different things",
        ));
    }
    let Some(claim) = shared.pairing.claim_accepted(shared.me(), &same.peer) else {
        conclude(&mut low, Verdict::Linked).await?;
        return Ok(None);
    };
    conclude(&mut low, Verdict::Welcome).await?;
    Ok(Some((low, claim)))
}

async fn start(shared: Arc<Shared>, mut pair: Pair) {
    let left = pair.token.as_ref().map(Token::left);
    let media = pair.high.take_media();
    match shared.admit(pair.peer, pair.token, pair.claim) {
        Ok((link, replaced)) => {
            let expired = async {
                match left {
                    Some(left) => sleep(left).await,
                    None => pending().await,
                }
            };
            // It ends with the link.
            let _media = media.map(|media| {
                let (plane, ends) = Plane::new(media);
                shared.add_plane(&link, plane.clone());
                Task::spawn(plane.run(link.clone(), shared.clone(), ends))
            });
            let run = link.clone().run(pair.high, pair.low);
            let running = async {
                replaced.settled().await;
                run.await;
            };
            let mut running = pin!(running);
            tokio::select! {
                biased;
                () = &mut running => {}
                () = expired => {
                    link.close(DownReason::Expired);
                    running.await;
                }
            }
        }
        Err(verdict) => {
            tracing::warn!(?verdict, "a link was refused");
            let error = ConnectError::Refused("it is not welcome");
            shared.refusals.count(&error);
        }
    }
}

/// A connection no longer waits for its other half.
struct Forget<'a>(&'a Arc<Shared>, (PeerInfo, u64));

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.0.waiting).remove(&self.1);
    }
}
