//! A rate limit by IP address: a token bucket for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses that are kept. Beyond it, those with a full bucket are dropped.
const MAX_ADDRESSES: usize = 10_000;

/// A rate limit by IP address.
#[derive(Debug)]
pub(crate) struct RateLimit {
    burst: f64,
    per_second: f64,
    buckets: HashMap<IpAddr, (f64, Instant)>,
}

impl RateLimit {
    /// Allows each address `burst` requests at once, and `per_second` requests per second after that.
    #[must_use]
    pub(crate) fn new(burst: u32, per_second: f64) -> Self {
        Self {
            burst: f64::from(burst),
            per_second,
            buckets: HashMap::new(),
        }
    }

    /// Uses up one request of an address.
    ///
    /// # Errors
    ///
    /// How long to wait for the next request, if none is left.
    pub(crate) fn try_acquire(&mut self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        if self.buckets.len() >= MAX_ADDRESSES {
            let full = Duration::from_secs_f64(self.burst / self.per_second);
            self.buckets
                .retain(|_, bucket| now.saturating_duration_since(bucket.1) < full);
        }
        let key = subscriber(address);
        if self.buckets.len() >= MAX_ADDRESSES && !self.buckets.contains_key(&key) {
            return Err(Duration::from_secs(1));
        }
        let (level, at) = self.buckets.entry(key).or_insert((self.burst, now));
        let since = now.saturating_duration_since(*at).as_secs_f64();
        *level = (*level + since * self.per_second).min(self.burst);
        *at = now;
        if *level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - *level) / self.per_second));
        }
        *level -= 1.0;
        Ok(())
    }
}

/// The address or network that counts as one client: a client with IPv6 has a whole /64.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    // A socket on `[::]` shows clients with IPv4 as `::ffff:192.0.2.1`.
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_is_refused_and_others_are_not() {
        let mut limit = RateLimit::new(5, 2.0);
        let now = Instant::now();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let allowed = (0..100)
            .filter(|_| limit.try_acquire(now, a).is_ok())
            .count();
        assert_eq!(allowed, 5);
        assert_eq!(limit.try_acquire(now, b), Ok(()));
        assert_eq!(limit.try_acquire(now, a), Err(Duration::from_millis(500)));
        assert_eq!(
            limit.try_acquire(now + Duration::from_millis(501), a),
            Ok(())
        );
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let mut limit = RateLimit::new(1, 1.0);
        let now = Instant::now();
        assert!(
            limit
                .try_acquire(now, "2001:db8::1".parse().unwrap())
                .is_ok()
        );
        assert!(
            limit
                .try_acquire(now, "2001:db8::ffff:2".parse().unwrap())
                .is_err()
        );
        assert!(
            limit
                .try_acquire(now, "2001:db8:0:1::1".parse().unwrap())
                .is_ok()
        );
    }

    #[test]
    fn ipv4_clients_of_an_ipv6_socket_have_buckets_of_their_own() {
        let mut limit = RateLimit::new(1, 1.0);
        let now = Instant::now();
        let mut acquire = |address: &str| limit.try_acquire(now, address.parse().unwrap());
        assert!(acquire("::ffff:192.0.2.1").is_ok());
        assert!(acquire("::ffff:192.0.2.2").is_ok());
        assert!(acquire("192.0.2.1").is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let mut limit = RateLimit::new(1, 1.0);
        let now = Instant::now();
        for n in 0..2 * MAX_ADDRESSES as u32 {
            let _ = limit.try_acquire(now, IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(limit.buckets.len(), MAX_ADDRESSES);
        assert!(
            limit
                .try_acquire(now + Duration::from_secs(2), IpAddr::from([255; 4]))
                .is_ok()
        );
        assert_eq!(limit.buckets.len(), 1);
    }
}
