//! The way to the peer: where it was heard last, if that is not where the stack sends.
//!
//! The stack keeps a path until no check has come along it for a while. A peer behind a NAT that has forgotten it, or whose network
//! has changed, is heard at another address at once, and only there. What is sent follows its next signed check.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Transmit};

use crate::net::origin::{Origin, Transport};

/// How long a path has to be silent before the peer is followed to where it nominates another. A check that somebody repeats from
/// elsewhere moves nobody who goes on sending.
const NOMINATED: Duration = Duration::from_millis(200);
/// The same for a check that nominates nothing: some stacks nominate once only.
const CHECKED: Duration = Duration::from_secs(1);

/// Both ends of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    protocol: Protocol,
    local: SocketAddr,
    remote: SocketAddr,
}

/// The path that is sent along.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// Where the stack sends.
    stack: Option<Route>,
    /// Where the peer is instead.
    moved: Option<Route>,
    /// When something came along the path.
    heard: Option<Instant>,
}

impl Path {
    fn current(&self) -> Option<Route> {
        self.moved.or(self.stack)
    }

    /// Records that a datagram has come.
    pub(super) fn heard(&mut self, now: Instant, origin: Origin) {
        if self.current().is_some_and(|route| route.is(origin)) {
            self.heard = Some(now);
        }
    }

    /// Records a signed check that came from `origin` to the address `local`. Returns whether the peer has moved.
    pub(super) fn checked(
        &mut self,
        now: Instant,
        origin: Origin,
        local: SocketAddr,
        nominates: bool,
    ) -> bool {
        let Some(current) = self.current().filter(|route| !route.is(origin)) else {
            return false;
        };
        let patience = if nominates { NOMINATED } else { CHECKED };
        let silent = self
            .heard
            .is_none_or(|heard| now.saturating_duration_since(heard) >= patience);
        if silent {
            tracing::debug!(from = %current.remote, to = %origin.address, "the peer has moved");
            let protocol = protocol(origin.transport);
            let remote = origin.address;
            self.moved = Some(Route {
                protocol,
                local,
                remote,
            });
            self.heard = Some(now);
        }
        silent
    }

    /// Sends a datagram that is no check to where the peer is.
    pub(super) fn follow(&mut self, transmit: &mut Transmit) {
        let route = Route {
            protocol: transmit.proto,
            local: transmit.source,
            remote: transmit.destination,
        };
        // Where the peer has moved once, it is followed from then on: the stack goes by priorities.
        self.stack = Some(route);
        if let Some(moved) = self.moved {
            transmit.proto = moved.protocol;
            transmit.source = moved.local;
            transmit.destination = moved.remote;
        }
    }
}

impl Route {
    fn is(&self, origin: Origin) -> bool {
        self.remote == origin.address && self.protocol == protocol(origin.transport)
    }
}

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: SocketAddr = address(4000);

    const fn address(port: u16) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
    }

    fn sent(path: &mut Path) -> (Protocol, u16) {
        let mut transmit = Transmit {
            proto: Protocol::Udp,
            source: LOCAL,
            destination: address(1),
            contents: vec![0x80, 0].into(),
        };
        path.follow(&mut transmit);
        (transmit.proto, transmit.destination.port())
    }

    #[test]
    fn silent_peer_is_followed_to_its_next_check_and_back() {
        let (start, mut path) = (Instant::now(), Path::default());
        let at = |millis| start + Duration::from_millis(millis);
        let udp = |port| Origin::udp(address(port));
        assert!(
            !path.checked(at(0), udp(2), LOCAL, true),
            "nothing was sent yet"
        );
        assert_eq!(sent(&mut path), (Protocol::Udp, 1));
        path.heard(at(100), udp(1));
        assert!(
            !path.checked(at(299), udp(2), LOCAL, true),
            "it is heard there"
        );
        assert!(
            !path.checked(at(400), udp(2), LOCAL, false),
            "not nominated"
        );
        path.heard(at(400), udp(2));
        assert_eq!(sent(&mut path), (Protocol::Udp, 1));
        assert!(path.checked(at(400), udp(2), LOCAL, true));
        assert_eq!(sent(&mut path), (Protocol::Udp, 2));
        assert!(path.checked(at(1400), Origin::tcp(address(1)), LOCAL, false));
        assert_eq!(sent(&mut path), (Protocol::Tcp, 1));
        assert!(path.checked(at(1600), udp(1), LOCAL, true));
        assert_eq!(sent(&mut path), (Protocol::Udp, 1));
        assert!(!path.checked(at(3000), udp(1), LOCAL, true), "it is there");
    }
}
