//! Server configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::control::admission::Limits;
use crate::http::token::Keys;
use crate::net::gate::TcpLimits;

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Addresses of this host for media; empty means loopback and the address that others use.
    pub media: Vec<IpAddr>,
    /// The port for media, 0 for any.
    pub media_port: u16,
    /// Whether media may go by UDP.
    pub udp: bool,
    /// Whether media may go by TCP, on the same port.
    pub tcp: bool,
    /// How many TCP connections there may be.
    pub tcp_limits: TcpLimits,
    /// How many shards.
    pub shards: usize,
    /// The secret of room tokens.
    pub secret: Option<Vec<u8>>,
    /// How many may come.
    pub limits: Limits,
    /// How many joins one address may make at once, and a second after that.
    pub join_rate: (u32, f64),
    /// Whether to estimate bandwidth and pace.
    pub estimate: bool,
}

impl ServerConfig {
    /// What can be refused before anything is opened.
    pub(super) fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        match &self.secret {
            None if !self.http.ip().is_loopback() => {
                return refuse(format!(
                    "{} can be reached from other machines: set a secret for room tokens",
                    self.http
                ));
            }
            Some(secret) if secret.len() < Keys::MIN_SECRET => {
                return refuse(format!(
                    "the secret must have at least {} bytes",
                    Keys::MIN_SECRET
                ));
            }
            _ => {}
        }
        if !self.udp && !self.tcp {
            return refuse("media needs UDP or TCP".to_owned());
        }
        Ok(())
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            media: Vec::new(),
            media_port: 0,
            udp: true,
            tcp: true,
            tcp_limits: TcpLimits::default(),
            shards: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            secret: None,
            limits: Limits {
                room: 64,
                server: 1024,
            },
            join_rate: (30, 3.0),
            estimate: true,
        }
    }
}
