//! One UDP socket, and the sessions that share it.
//!
//! A datagram is for the session whose fragment is in it, or for the one that has sent something to its source: with
//! ICE lite, a session sends to nobody who has not shown that he knows its password.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use str0m::IceCreds;
use tokio::{
    net::{ToSocketAddrs, UdpSocket},
    sync::{Notify, mpsc},
    time::sleep,
};

use super::{
    CHECKS, PENDING,
    wire::{Content, content, fragment},
};
use crate::task::Task;

/// The largest datagram that is read: a peer sends no larger ones, since they would not pass.
const DATAGRAM: usize = 2048;
/// The pause after the socket has failed.
const PAUSE: Duration = Duration::from_millis(10);

/// What has arrived for a session.
pub(super) struct Datagram {
    pub(super) source: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) at: Instant,
}

pub(super) struct Hub {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    table: Arc<Mutex<Table>>,
    _reader: Task,
}

#[derive(Default)]
struct Table {
    /// By their fragments.
    sessions: HashMap<String, Entry>,
    /// The fragments of sessions by the addresses of their peers.
    addresses: HashMap<SocketAddr, String>,
}

struct Entry {
    /// For each kind of content.
    inbox: [mpsc::Sender<Datagram>; 3],
    secret: String,
    end: Arc<Notify>,
}

/// A place for a session in a hub, until it is dropped.
pub(super) struct Place {
    hub: Arc<Hub>,
    fragment: String,
    pub(super) inbox: Inbox,
    /// Packets of media, after which nothing waits.
    pub(super) packets: mpsc::Receiver<Datagram>,
    /// Says that the session is to end.
    pub(super) end: Arc<Notify>,
    /// Addresses that it has sent to: the last ones count.
    peers: Vec<SocketAddr>,
}

/// What waits for a session besides media: STUN, and the rest.
pub(super) struct Inbox {
    checks: mpsc::Receiver<Datagram>,
    data: mpsc::Receiver<Datagram>,
}

/// Addresses of one peer that are known at once.
const MAX_PEERS: usize = 8;

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Random bytes as hexadecimal digits.
fn random<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Hub {
    pub(super) async fn bind(address: impl ToSocketAddrs) -> io::Result<Arc<Self>> {
        let socket = Arc::new(UdpSocket::bind(address).await?);
        let table = Arc::<Mutex<Table>>::default();
        Ok(Arc::new(Self {
            local: socket.local_addr()?,
            _reader: Task::spawn(read(socket.clone(), table.clone())),
            socket,
            table,
        }))
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// A place for one more session, unless there are as many as `limit`; with the credentials of its ICE, and the name
    /// of its resource, which nobody can guess.
    pub(super) fn place(
        self: &Arc<Self>,
        limit: usize,
    ) -> io::Result<Option<(Place, IceCreds, String)>> {
        let (fragment, pass, secret) = (random::<8>()?, random::<16>()?, random::<16>()?);
        let [(checks_tx, checks), (tx, data), (packets_tx, packets)] =
            [CHECKS, PENDING, PENDING].map(mpsc::channel);
        let end = Arc::new(Notify::new());
        let resource = format!("{fragment}{secret}");
        let entry = Entry {
            inbox: [checks_tx, tx, packets_tx],
            secret,
            end: end.clone(),
        };
        {
            let mut table = lock(&self.table);
            if table.sessions.len() >= limit || table.sessions.contains_key(&fragment) {
                return Ok(None);
            }
            table.sessions.insert(fragment.clone(), entry);
        }
        let credentials = IceCreds {
            ufrag: fragment.clone(),
            pass,
        };
        let place = Place {
            hub: self.clone(),
            fragment,
            inbox: Inbox { checks, data },
            packets,
            end,
            peers: Vec::new(),
        };
        Ok(Some((place, credentials, resource)))
    }

    pub(super) fn sessions(&self) -> usize {
        lock(&self.table).sessions.len()
    }

    /// Ends the session of a resource. Returns whether there is one.
    pub(super) fn end(&self, resource: &str) -> bool {
        let Some((fragment, secret)) = resource.split_at_checked(16) else {
            return false;
        };
        let table = lock(&self.table);
        let entry = table.sessions.get(fragment);
        let found = entry.filter(|entry| is_same(&entry.secret, secret));
        found.map(|entry| entry.end.notify_one()).is_some()
    }
}

/// Whether two texts are equal; how long it takes says nothing of where they differ.
fn is_same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).map(|(a, b)| a ^ b);
    a.len() == b.len() && differences.fold(0, |all, one| all | one) == 0
}

async fn read(socket: Arc<UdpSocket>, table: Arc<Mutex<Table>>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((count, source)) => lock(&table).give(source, &buffer[..count]),
            Err(error) => {
                // An earlier datagram was refused, or the system is short of memory: no session is at fault.
                tracing::debug!(%error, "a UDP socket has failed");
                sleep(PAUSE).await;
            }
        }
    }
}

impl Table {
    /// Hands a datagram to the session that it is for.
    fn give(&self, source: SocketAddr, bytes: &[u8]) {
        let named = fragment(bytes).and_then(|fragment| self.sessions.get(fragment));
        let known = || self.sessions.get(self.addresses.get(&source)?);
        let Some(entry) = named.or_else(known) else {
            return;
        };
        // A flood of data costs no check of ICE, without which the session would be given up, and one of media costs neither.
        let inbox = match content(bytes) {
            Content::Check => &entry.inbox[0],
            Content::Data => &entry.inbox[1],
            Content::Media => &entry.inbox[2],
        };
        // The permit comes first: what has no room is not copied.
        if let Ok(permit) = inbox.try_reserve() {
            permit.send(Datagram {
                source,
                bytes: bytes.to_vec(),
                at: Instant::now(),
            });
        }
    }
}

impl Inbox {
    /// Waits for a datagram; STUN goes ahead of the rest, which is taken if it `takes_data`.
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub(super) async fn receive(&mut self, takes_data: bool) -> Option<Datagram> {
        tokio::select! {
            biased;
            datagram = self.checks.recv() => datagram,
            datagram = self.data.recv(), if takes_data => datagram,
        }
    }
}

impl Place {
    /// Sends a datagram. One that the system refuses is lost, as on the way.
    pub(super) async fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if !self.peers.contains(&to) {
            self.learn(to);
        }
        if let Err(error) = self.hub.socket.send_to(bytes, to).await {
            tracing::debug!(%to, %error, "a datagram was not sent");
        }
    }

    /// What comes from this address is for this session from now on.
    fn learn(&mut self, peer: SocketAddr) {
        let mut table = lock(&self.hub.table);
        if self.peers.len() == MAX_PEERS {
            let oldest = self.peers.remove(0);
            table.forget(oldest, &self.fragment);
        }
        table.addresses.insert(peer, self.fragment.clone());
        self.peers.push(peer);
    }
}

impl Table {
    /// Forgets the address of a session, unless it has become that of another one.
    fn forget(&mut self, address: SocketAddr, fragment: &str) {
        if self
            .addresses
            .get(&address)
            .is_some_and(|of| of == fragment)
        {
            self.addresses.remove(&address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = lock(&self.hub.table);
        table.sessions.remove(&self.fragment);
        for peer in &self.peers {
            table.forget(*peer, &self.fragment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::wire::tests::request, *};

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let hub = Hub::bind("127.0.0.1:0").await.unwrap();
        let place = || hub.place(2).unwrap();
        let (first, credentials, resource) = place().unwrap();
        let (_second, ..) = place().unwrap();
        assert!(place().is_none());
        assert_eq!(first.fragment, credentials.ufrag);
        for wrong in [
            "",
            "x",
            &resource[1..],
            &resource[..resource.len() - 1],
            &credentials.ufrag,
        ] {
            assert!(!hub.end(wrong), "{wrong}");
        }
        assert!(hub.end(&resource));
        first.end.notified().await;
        drop(first);
        assert!(!hub.end(&resource));
        assert!(place().is_some());
    }

    #[tokio::test]
    async fn datagrams_find_their_session_and_do_not_pile_up() {
        let hub = Hub::bind("127.0.0.1:0").await.unwrap();
        let (mut one, ..) = hub.place(9).unwrap().unwrap();
        let (mut other, ..) = hub.place(9).unwrap().unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = peer.local_addr().unwrap();
        one.send(address, b"from one").await;
        let mut buffer = [0; 64];
        let (count, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..count], from), (&b"from one"[..], hub.local()));
        peer.send_to(b"to one", hub.local()).await.unwrap();
        let arrived = one.inbox.receive(true).await.unwrap();
        assert_eq!(
            (&arrived.bytes[..], arrived.source),
            (&b"to one"[..], address)
        );
        // The last one that has sent to an address has it.
        other.send(address, b"from other").await;
        for number in 0..2 * PENDING {
            lock(&hub.table).give(address, &number.to_le_bytes());
        }
        let waiting = |place: &Place| [place.inbox.checks.len(), place.inbox.data.len()];
        assert_eq!((waiting(&one), waiting(&other)), ([0, 0], [0, PENDING]));
        // What ICE has to say finds room, also without a name, and goes ahead; it does not pile up either.
        let check = request(&[]);
        for _ in 0..2 * CHECKS {
            lock(&hub.table).give(address, &check);
        }
        assert_eq!(waiting(&other), [CHECKS, PENDING]);
        for _ in 0..CHECKS {
            assert_eq!(other.inbox.receive(true).await.unwrap().bytes, check);
        }
        let first = other.inbox.receive(true).await.unwrap();
        assert_eq!(first.bytes, 0_usize.to_le_bytes());
        lock(&hub.table).give(address, &check);
        assert_eq!(other.inbox.receive(false).await.unwrap().bytes, check);
        drop(one);
        assert_eq!(lock(&hub.table).addresses.len(), 1);
        for port in 1..=2 * MAX_PEERS as u16 {
            other.learn(SocketAddr::from(([127, 0, 0, 2], port)));
        }
        assert_eq!(lock(&hub.table).addresses.len(), MAX_PEERS);
        drop(other);
        assert_eq!(lock(&hub.table).addresses.len(), 0);
    }
}
