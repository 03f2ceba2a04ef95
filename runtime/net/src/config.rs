//! The settings of a node: times and limits.

use std::time::Duration;

/// Times and limits of a node and its links.
///
/// Both ends of a link should have the same times: a node is taken for dead after its peer's
/// [`dead_after`](Self::dead_after), and sends its heartbeats at its own interval.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_net::Config;
///
/// let config = Config { heartbeat: Duration::from_millis(100), ..Config::default() };
/// assert_eq!(config.max_frame, 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often a node tells its peers that it is there: several times in `dead_after`. Default 250 ms.
    pub heartbeat: Duration,
    /// After which silence [`Event::LinkSuspected`](crate::Event::LinkSuspected) is reported. Default 1 s.
    pub suspected_after: Duration,
    /// After which silence a link is down. Default 2 s.
    pub dead_after: Duration,
    /// How long setting up a connection may take, up to the end of the handshake. Default 5 s.
    pub handshake_timeout: Duration,
    /// How long a look-up waits for a peer's answer. Default 5 s.
    pub lookup_timeout: Duration,
    /// The first pause before a lost link is dialled again; it doubles with each failure. Half of each
    /// pause is random. Default 100 ms.
    pub backoff: Duration,
    /// The longest pause. Default 10 s.
    pub max_backoff: Duration,
    /// Bytes that a frame may have, and so about what a message may have: at least 4096, and the same on all nodes, because
    /// a larger frame than a node takes ends the link. Default 1 MiB.
    pub max_frame: usize,
    /// Lanes that a peer may open on one link. Default 65,536.
    pub max_lanes: usize,
    /// Asks on one link that may wait for their answers, in each direction and class. Default 65,536.
    pub max_asks: usize,
    /// Credit for high-priority messages of a lane: how many may be on their way. Default 64.
    pub high_messages: u32,
    /// Bytes of the same. Default 256 KiB.
    pub high_bytes: u64,
    /// Credit for low-priority messages of a lane. Default 1024.
    pub low_messages: u32,
    /// Bytes of the same. Default 4 MiB.
    pub low_bytes: u64,
    /// Up to how many times these credits grow while an actor accepts more in a round trip than they let through; bytes
    /// up to `max_window` at most. Default 16; 1 is for credits that stay as they are.
    pub max_credit_growth: u32,
    /// The most that may be on its way on the low connection of a link; below that the window follows
    /// the bandwidth-delay product. Default 16 MiB.
    pub max_window: u64,
    /// Connections whose handshake may be in progress at once; more wait. Default 64.
    pub max_handshakes: usize,
}

impl Config {
    /// What makes no node.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let is_frame = (4096..1 << 31).contains(&self.max_frame);
        if !is_frame {
            return Some("a frame has 4096 bytes at least, and less than 2 GiB");
        }
        if self.heartbeat.is_zero() || self.heartbeat > self.dead_after {
            return Some(
                "the time between heartbeats is not zero, and not longer than that after which a link is down",
            );
        }
        None
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            suspected_after: Duration::from_secs(1),
            dead_after: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(5),
            lookup_timeout: Duration::from_secs(5),
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            max_frame: 1 << 20,
            max_lanes: 1 << 16,
            max_asks: 1 << 16,
            high_messages: 64,
            high_bytes: 256 << 10,
            low_messages: 1024,
            low_bytes: 4 << 20,
            max_credit_growth: 16,
            max_window: 16 << 20,
            max_handshakes: 64,
        }
    }
}
