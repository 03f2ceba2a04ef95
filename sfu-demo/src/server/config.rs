//! Server configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::control::admission::Limits;
use crate::http::client::Proxies;
use crate::http::connections::HttpLimits;
use crate::http::token::{Keys, OperatorToken};
use crate::net::gate::TcpLimits;

/// The configuration of a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address that HTTP listens on.
    pub http: SocketAddr,
    /// Addresses of this host for media. If empty, loopback and the address from which others are reached.
    pub media: Vec<IpAddr>,
    /// The port for media; 0 is any.
    pub media_port: u16,
    /// Whether to offer UDP for media.
    pub udp: bool,
    /// Whether to offer TCP for media, on the same port.
    pub tcp: bool,
    /// The limits of HTTP connections.
    pub http_limits: HttpLimits,
    /// The limits of TCP connections for media.
    pub tcp_limits: TcpLimits,
    /// The number of shards, at least 1.
    pub shards: usize,
    /// The secret that signs room tokens, at least 32 bytes; without it no token is needed.
    pub secret: Option<Vec<u8>>,
    /// The token that opens the statistics, at least 16 bytes. Without it, and without a secret, it is a random one:
    /// see [`Server::operator_token`](super::Server::operator_token).
    pub operator_token: Option<String>,
    /// The proxies that may name the client of a request.
    pub proxies: Proxies,
    /// The join limits.
    pub limits: Limits,
    /// Joins of one IP address: at once, and per second after that.
    pub join_rate: (u32, f64),
    /// Whether to estimate each peer's bandwidth, and to pace what is sent.
    pub estimate: bool,
}

impl ServerConfig {
    /// Checks what can be checked before any socket is opened.
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
        let operator = self.operator_token.as_ref();
        if operator.is_some_and(|token| token.len() < OperatorToken::MIN) {
            return refuse(format!(
                "the operator token must have at least {} bytes",
                OperatorToken::MIN
            ));
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
            http_limits: HttpLimits::default(),
            tcp_limits: TcpLimits::default(),
            shards: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            secret: None,
            operator_token: None,
            proxies: Proxies::default(),
            limits: Limits::default(),
            join_rate: (30, 3.0),
            estimate: true,
        }
    }
}
