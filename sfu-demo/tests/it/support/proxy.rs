//! A network between a client and the server that loses datagrams, or gives the client many
//! addresses.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

/// The direction of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// A proxy of one client, driven by the test.
pub struct Proxy {
    near: UdpSocket,
    far: Vec<UdpSocket>,
    next: usize,
    server: SocketAddr,
    client: Option<SocketAddr>,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Whether a datagram is RTP, and not RTCP.
pub fn is_rtp(bytes: &[u8]) -> bool {
    sfu_demo::net::classify::classify(bytes) == Some(sfu_demo::net::classify::PacketKind::Rtp)
}

impl Proxy {
    /// A proxy that sends to the server from `addresses` addresses.
    pub fn new(server: SocketAddr, addresses: usize) -> Self {
        Self {
            near: socket(),
            far: (0..addresses).map(|_| socket()).collect(),
            next: 0,
            server,
            client: None,
        }
    }

    /// Forgets its addresses and sends from others, as a NAT does that has lost its table.
    pub fn rebind(&mut self) {
        for far in &mut self.far {
            *far = socket();
        }
    }

    /// The port for the client.
    pub fn port(&self) -> u16 {
        self.near.local_addr().unwrap().port()
    }

    /// The server's answer, with the proxy's address instead of the server's.
    pub fn rewrite(&self, answer: &str) -> String {
        let old = format!(" 127.0.0.1 {} typ", self.server.port());
        let port = self.near.local_addr().unwrap().port();
        assert!(answer.contains(&old), "{answer}");
        answer.replace(&old, &format!(" 127.0.0.1 {port} typ"))
    }

    /// Forwards the datagrams that `passes` accepts. STUN is sent from all addresses, so that the server learns them;
    /// everything else from one address after the other.
    pub fn drive(&mut self, mut passes: impl FnMut(Way, &[u8]) -> bool) {
        let mut bytes = [0; 2000];
        loop {
            match self.near.recv_from(&mut bytes) {
                Ok((len, client)) => {
                    self.client = Some(client);
                    let datagram = &bytes[..len];
                    if !passes(Way::ToServer, datagram) {
                        continue;
                    }
                    if datagram[0] <= 3 {
                        for far in &self.far {
                            far.send_to(datagram, self.server).unwrap();
                        }
                    } else {
                        self.next = (self.next + 1) % self.far.len();
                        self.far[self.next].send_to(datagram, self.server).unwrap();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        for far in &self.far {
            while let Ok((len, _)) = far.recv_from(&mut bytes) {
                if let Some(client) = self.client
                    && passes(Way::ToClient, &bytes[..len])
                {
                    self.near.send_to(&bytes[..len], client).unwrap();
                }
            }
        }
    }
}
