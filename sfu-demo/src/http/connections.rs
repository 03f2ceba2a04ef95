//! The HTTP connections that are open: bounded in all and by address, so that none locks the others out.
//!
//! A connection beyond a limit takes the place of the one that has waited longest for its request. From one address the
//! limit falls on its own connections; in all, on those of the address that has most.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::limit::subscriber;
use crate::stats::HttpCounters;

/// The limits of HTTP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections in total.
    pub all: usize,
    /// Connections from one IPv4 address, or from one /64 of IPv6.
    pub address: usize,
    /// How long a client may take to send the header of a request, and how long a connection may stay idle.
    pub header: Duration,
    /// How long a client may take to send the body of a request.
    pub body: Duration,
    /// How long a connection is used; it is closed after the request of that time.
    pub age: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            all: 1024,
            address: 128,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            age: Duration::from_secs(120),
        }
    }
}

/// A connection, as its task and its requests see it.
#[derive(Debug)]
pub(super) struct Connection {
    address: IpAddr,
    /// A request of it is complete and being answered, so it is not closed for another.
    answering: AtomicBool,
    /// Notified when it has to close.
    closed: Notify,
}

/// A connection's place within the limits. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: HttpLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By their numbers, which rise.
    open: BTreeMap<u64, Arc<Connection>>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
    counters: HttpCounters,
}

impl Connection {
    /// Says whether a complete request is being answered.
    pub(super) fn set_answering(&self, answering: bool) {
        // ORDERING: a hint; whoever reads it too early closes a connection that has just become busy.
        self.answering.store(answering, Ordering::Relaxed);
    }

    /// Waits until the connection has to close.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }
}

impl Connections {
    pub(crate) fn new(limits: HttpLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
        })
    }

    pub(super) fn counters(&self) -> HttpCounters {
        self.lock().counters
    }

    /// Adds a connection, if necessary in the place of one that waits. `None` if all that could give way are being
    /// answered. A trusted proxy connects for many clients: only the limit in total is for it.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Option<Place> {
        let address = subscriber(address);
        let mut table = self.lock();
        table.counters.connections += 1;
        let here = table.by_address.get(&address).copied().unwrap_or(0);
        let room = if here >= self.limits.address && !is_proxy {
            table.close_oldest(|connection| connection.address == address)
        } else if table.open.len() >= self.limits.all {
            let most = table.by_address.iter().max_by_key(|(_, count)| **count);
            let most = most.map(|(address, _)| *address);
            table.close_oldest(|connection| Some(connection.address) == most)
                || table.close_oldest(|_| true)
        } else {
            true
        };
        if !room {
            table.counters.refused += 1;
            return None;
        }
        let connection = Arc::new(Connection {
            address,
            answering: AtomicBool::new(false),
            closed: Notify::new(),
        });
        let number = table.next;
        table.next += 1;
        table.open.insert(number, Arc::clone(&connection));
        *table.by_address.entry(address).or_default() += 1;
        drop(table);
        Some(Place {
            connections: Arc::clone(self),
            number,
            connection,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Closes the oldest connection that waits for a request, among some. Returns whether there was one.
    fn close_oldest(&mut self, among: impl Fn(&Connection) -> bool) -> bool {
        let waits = |connection: &Connection| {
            // ORDERING: see `Connection::set_answering`.
            !connection.answering.load(Ordering::Relaxed)
        };
        let oldest = self
            .open
            .iter()
            .find(|(_, open)| among(open) && waits(open));
        let Some((&number, oldest)) = oldest else {
            return false;
        };
        oldest.closed.notify_one();
        self.remove(number);
        self.counters.displaced += 1;
        true
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.open.remove(&number) else {
            return;
        };
        if let Some(here) = self.by_address.get_mut(&connection.address) {
            *here -= 1;
            if *here == 0 {
                self.by_address.remove(&connection.address);
            }
        }
    }
}

impl Place {
    pub(super) fn limits(&self) -> &HttpLimits {
        &self.connections.limits
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all: usize, address: usize) -> Arc<Connections> {
        Connections::new(HttpLimits {
            all,
            address,
            ..HttpLimits::default()
        })
    }

    fn open(places: &[&Place]) -> Vec<bool> {
        let table = places[0].connections.lock();
        let is_open = |place: &&Place| table.open.contains_key(&place.number);
        places.iter().map(is_open).collect()
    }

    #[test]
    fn address_at_its_limit_gives_up_its_own_oldest() {
        let connections = connections(100, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let other = connections.enter(b, false).unwrap();
        let first = connections.enter(a, false).unwrap();
        let second = connections.enter(a, false).unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let third = connections.enter(mapped, false).unwrap();
        assert_eq!(
            open(&[&other, &first, &second, &third]),
            [true, false, true, true]
        );
        // What is being answered stays.
        second.connection.set_answering(true);
        let fourth = connections.enter(a, false).unwrap();
        assert_eq!(open(&[&second, &third, &fourth]), [true, false, true]);
        fourth.connection.set_answering(true);
        assert!(connections.enter(a, false).is_none());
        let counters = connections.counters();
        assert_eq!((counters.displaced, counters.refused), (2, 1));
        drop((other, first, second, third, fourth));
        let table = connections.lock();
        assert!(table.open.is_empty() && table.by_address.is_empty());
    }

    #[test]
    fn address_with_most_gives_way_when_all_are_taken() {
        let connections = connections(4, 3);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let quiet = connections.enter(b, false).unwrap();
        let many = [(); 3].map(|()| connections.enter(a, false).unwrap());
        let new = connections
            .enter(IpAddr::from([10, 0, 0, 3]), false)
            .unwrap();
        assert_eq!(
            open(&[&quiet, &many[0], &many[1], &many[2], &new]),
            [true, false, true, true, true]
        );
    }
}
