//! The sockets for media.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::config::ServerConfig;
use crate::net::udp::{self, Bind};

/// The sockets of all shards, and the TCP listeners.
pub(super) struct MediaSockets {
    /// For each shard, a socket for each address. All share one port; the kernel distributes flows among the shards.
    pub(super) sockets: Vec<Vec<std::net::UdpSocket>>,
    /// For each address, a listener on the same port.
    pub(super) listeners: Vec<TcpListener>,
}

impl MediaSockets {
    pub(super) fn bind(config: &ServerConfig, shards: usize) -> io::Result<Self> {
        /// How many ports to try when the one that UDP got is in use by TCP.
        const TRIES: usize = 16;
        let mut addresses = config.media.clone();
        if addresses.is_empty() {
            addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
            addresses.extend(udp::host_address());
        }
        for _ in 1..TRIES {
            match bind_media(config, &addresses, shards) {
                Err(error)
                    if config.media_port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                outcome => return outcome,
            }
        }
        bind_media(config, &addresses, shards)
    }

    /// The addresses for UDP and for TCP.
    pub(super) fn addresses(&self) -> io::Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        let udp = self.sockets[0].iter().map(std::net::UdpSocket::local_addr);
        let tcp = self.listeners.iter().map(TcpListener::local_addr);
        Ok((
            udp.collect::<io::Result<_>>()?,
            tcp.collect::<io::Result<_>>()?,
        ))
    }
}

fn bind_media(
    config: &ServerConfig,
    addresses: &[IpAddr],
    shards: usize,
) -> io::Result<MediaSockets> {
    let mut port = config.media_port;
    let named = |error: io::Error, what: &str, address: SocketAddr| {
        io::Error::new(
            error.kind(),
            format!("media by {what} at {address}: {error}"),
        )
    };
    let mut media = MediaSockets {
        sockets: (0..shards).map(|_| Vec::new()).collect(),
        listeners: Vec::new(),
    };
    for &address in addresses {
        for shard in media.sockets.iter_mut().filter(|_| config.udp) {
            let at = SocketAddr::new(address, port);
            let socket = Bind::new(at).shared().open();
            let socket = socket.map_err(|error| named(error, "UDP", at))?;
            port = socket.local_addr()?.port();
            shard.push(socket);
        }
        if config.tcp {
            let at = SocketAddr::new(address, port);
            let listener = std::net::TcpListener::bind(at);
            let listener = listener.map_err(|error| named(error, "TCP", at))?;
            listener.set_nonblocking(true)?;
            port = listener.local_addr()?.port();
            media.listeners.push(TcpListener::from_std(listener)?);
        }
    }
    Ok(media)
}
