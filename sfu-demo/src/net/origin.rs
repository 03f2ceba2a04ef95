//! Where a datagram comes from.

use std::net::SocketAddr;

/// The transport of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// A UDP datagram.
    Udp,
    /// A frame in a TCP stream (RFC 4571).
    Tcp,
}

/// Where a datagram comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The transport.
    pub transport: Transport,
    /// The remote address.
    pub address: SocketAddr,
}

impl Origin {
    /// A remote UDP address.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            address,
        }
    }

    /// The remote end of a TCP connection.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Tcp,
            address,
        }
    }
}
