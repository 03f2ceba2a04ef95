//! Where a datagram comes from.

use std::net::SocketAddr;

/// By what a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// A datagram of its own.
    Udp,
    /// A frame in a stream (RFC 4571).
    Tcp,
}

/// Where a datagram comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// By what it came.
    pub transport: Transport,
    /// Who sent it.
    pub address: SocketAddr,
}

impl Origin {
    /// A sender of UDP.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            address,
        }
    }

    /// The other end of a TCP connection.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Tcp,
            address,
        }
    }
}
