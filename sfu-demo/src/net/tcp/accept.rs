//! Who connects by TCP: a connection has to say in its first frame whose it is, soon, and there may
//! be only so many, in all and from one address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use str0m::ice::StunMessage;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Arrived, Inbox};
use crate::control::admission::LobbyMessage;
use crate::mailbox::{Mailbox, Sender};
use crate::shard::LobbySender;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// In all.
    pub all: usize,
    /// From one address.
    pub address: usize,
    /// How long a connection may take to say whose it is.
    pub first_frame: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            all: 2048,
            address: 64,
            first_frame: Duration::from_secs(5),
        }
    }
}

/// What has become of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AcceptCounters {
    /// Connections that came in.
    pub connections: u64,
    /// Those that were too many.
    pub too_many: u64,
    /// Those that did not say in time, or not in a way that is understood, whose they are.
    pub nameless: u64,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    too_many: AtomicU64,
    nameless: AtomicU64,
}

/// Who is connected.
#[derive(Debug)]
pub struct Gate {
    limits: TcpLimits,
    by_address: Mutex<(usize, HashMap<IpAddr, usize>)>,
    counts: Counts,
}

/// A connection's share; it is given back when this is dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// Nobody yet.
    #[must_use]
    pub fn new(limits: TcpLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            by_address: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// What has become of connections.
    #[must_use]
    pub fn counters(&self) -> AcceptCounters {
        // ORDERING: figures that nothing follows from.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AcceptCounters {
            connections: read(&self.counts.connections),
            too_many: read(&self.counts.too_many),
            nameless: read(&self.counts.nameless),
        }
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let address = address.to_canonical();
        let mut table = self.lock();
        let (all, by_address) = &mut *table;
        let here = by_address.get(&address).copied().unwrap_or(0);
        if *all >= self.limits.all || here >= self.limits.address {
            return None;
        }
        *all += 1;
        by_address.insert(address, here + 1);
        Some(Permit {
            gate: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, HashMap<IpAddr, usize>)> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut table = self.gate.lock();
        let (all, by_address) = &mut *table;
        *all -= 1;
        if let Some(here) = by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts connections until it is dropped, and brings each to the lobby.
pub async fn serve<M: Mailbox>(listener: TcpListener, gate: Arc<Gate>, lobby: LobbySender<M>) {
    let Ok(local) = listener.local_addr() else {
        return;
    };
    let mut greetings = JoinSet::new();
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: others have to go first.
                tracing::warn!(%error, "cannot accept a TCP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while greetings.try_join_next().is_some() {}
        count(&gate.counts.connections);
        let Some(permit) = gate.enter(remote.ip()) else {
            count(&gate.counts.too_many);
            continue;
        };
        let (gate, mut lobby) = (Arc::clone(&gate), lobby.clone());
        greetings.spawn(async move {
            let greeting = greet(stream, remote, local, permit);
            match tokio::time::timeout(gate.limits.first_frame, greeting).await {
                Ok(Ok((ufrag, connection))) => {
                    let connection = Box::new(connection);
                    // Whoever floods the lobby loses the connection; a peer tries again.
                    let _ = lobby.try_send_high(LobbyMessage::Connect { ufrag, connection });
                }
                _ => count(&gate.counts.nameless),
            }
        });
    }
}

/// Reads until the first frame is whole, and says whom it names.
async fn greet(
    mut stream: TcpStream,
    remote: SocketAddr,
    local: SocketAddr,
    permit: Permit,
) -> io::Result<(String, Arrived)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new();
    loop {
        if let Some(frame) = inbox.peek().map_err(|_| invalid())? {
            let message = StunMessage::parse(frame).map_err(|_| invalid())?;
            let (ufrag, _) = message.split_username().ok_or_else(invalid)?;
            let ufrag = ufrag.to_owned();
            let stream = stream.into_std()?;
            let arrived = Arrived {
                stream,
                remote,
                local,
                inbox,
                permit,
            };
            return Ok((ufrag, arrived));
        }
        let read = stream.read(inbox.room()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inbox.filled(read);
    }
}

fn count(counter: &AtomicU64) {
    // ORDERING: a figure that nothing follows from.
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_and_by_address_and_given_back() {
        let gate = Gate::new(TcpLimits {
            all: 3,
            address: 2,
            ..TcpLimits::default()
        });
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let one = gate.enter(a).unwrap();
        let _two = gate.enter(a).unwrap();
        assert!(gate.enter(a).is_none(), "too many of one address");
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(gate.enter(mapped).is_none(), "the same address");
        let _three = gate.enter(b).unwrap();
        assert!(gate.enter(b).is_none(), "too many in all");
        drop(one);
        let four = gate.enter(a).unwrap();
        drop((four, _two, _three));
        let table = gate.lock();
        assert!(table.0 == 0 && table.1.is_empty());
    }
}
