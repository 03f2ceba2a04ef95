//! Limits of TCP connections: in total, from one address, and in the time until the first frame.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::stats::AcceptCounters;

/// The limits of TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections in total.
    pub all: usize,
    /// Connections from one IP address.
    pub address: usize,
    /// How long a connection may take to send its first frame.
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

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    too_many: AtomicU64,
    nameless: AtomicU64,
}

/// The connections that are open, by IP address.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: TcpLimits,
    by_address: Mutex<(usize, HashMap<IpAddr, usize>)>,
    counts: Counts,
}

/// A connection's place within the limits. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// No connections yet.
    #[must_use]
    pub(crate) fn new(limits: TcpLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            by_address: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// The counters.
    #[must_use]
    pub(crate) fn counters(&self) -> AcceptCounters {
        // ORDERING: statistics; nothing depends on their order.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AcceptCounters {
            connections: read(&self.counts.connections),
            too_many: read(&self.counts.too_many),
            nameless: read(&self.counts.nameless),
        }
    }

    /// How long a connection may take to send its first frame.
    pub(crate) fn first_frame(&self) -> Duration {
        self.limits.first_frame
    }

    /// Counts a connection. Returns its permit, or `None` if it is beyond a limit.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        count(&self.counts.connections);
        let permit = self.permit(address);
        if permit.is_none() {
            count(&self.counts.too_many);
        }
        permit
    }

    /// Counts a connection that sent no valid first frame in time.
    pub(crate) fn nameless(&self) {
        count(&self.counts.nameless);
    }

    fn permit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
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

fn count(counter: &AtomicU64) {
    // ORDERING: statistics; nothing depends on its order.
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
