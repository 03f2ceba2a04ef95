//! WebRTC data channels: for pages, and for nodes that reach each other by UDP alone.
//!
//! A session is one peer connection (ICE, DTLS, SCTP) with a channel for each priority, and so carries both
//! connections of a link. Where a message ends means nothing, as in a WebSocket. It begins with an HTTP request:
//! an SDP offer is posted, the answer comes back with a `Location`, and a `DELETE` of that ends the session.
//!
//! Limits hold before anything is allocated: for the request, the offer, the sessions and each message. What a
//! session may hold before its peer has proven who it is, is bounded by `PENDING` and `CHECKS` datagrams and by what SCTP
//! keeps for one association.

// One thing: mod, *: the transport makes sessions, and they look at its settings and limits.

mod check;
mod drive;
mod http;
mod hub;
mod listener;
mod offer;
mod order;
mod rtp;
#[cfg(test)]
mod rtp_tests;
mod session;
mod wire;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use str0m::config::{CryptoProvider, DtlsCert};
use tokio::net::{TcpListener, TcpStream};

pub(crate) use self::check::check_signalling;
pub(super) use self::{http::read_head, listener::serve};
use self::{hub::Hub, listener::Listening};
use super::{BoxFuture, Connection, Listener, Transport};

/// Bytes of a message on a channel, with what we put before them.
const MESSAGE: usize = 16 << 10;
/// Bytes that may be on their way on the channels for high, for low, and for what may be lost: all that SCTP holds until it
/// is acknowledged. What is sent on high overtakes what waits on low, but not the little that may be lost.
const BUFFERED: [usize; 3] = [128 << 10, 256 << 10, 32 << 10];
/// Datagrams that wait beside the connections, each way: two of the longest messages.
const LOOSE: usize = 32;
/// Datagrams that wait for a session. More are dropped, as a network would.
const PENDING: usize = 128;
/// The same for STUN, which goes ahead of them: a check for each pair of addresses that a peer tries, and some again.
const CHECKS: usize = 16;
/// Bytes of messages about sections that may be on their way.
const SPOKEN: usize = 32 << 10;
/// The default of [`WebRtc::max_sessions`].
const MAX_SESSIONS: usize = 1024;

/// Connections over the data channels of WebRTC.
///
/// To accept them, bind it to a UDP address, which all sessions share, and give it to a
/// [`WebSocket`](super::WebSocket), whose listener then answers offers too (`WebSocket::data_channels`); or use it for a
/// scheme of its own, usually `rtc`: `rtc://host:port/path` is the HTTP address at which offers are answered, and at
/// which other nodes post theirs.
///
/// Sessions are encrypted by DTLS, with certificates whose fingerprints are in the offer and the answer: who can change
/// those on the way can be in the middle. So pages should post to `https` (a [`WebSocket::secure`](super::WebSocket)
/// listener); `rtc://` is plain HTTP, for this machine, or behind a proxy that adds TLS.
///
/// A clone is the same.
///
/// # Examples
///
/// ```no_run
/// use lanemesh_net::{Node, transport::{WebRtc, WebSocket}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let udp = WebRtc::bind("0.0.0.0:7000").await?.announce("203.0.113.7:7000".parse()?);
/// let web = WebSocket::secure().data_channels(&udp);
/// web.set_certificate(&std::fs::read("chat.example.pem")?, &std::fs::read("chat.example.key")?)?;
/// let node = Node::builder("gateway").transport("wss", web).token_key(*b"32 random bytes, known to issuers");
/// node.build().bind("wss://0.0.0.0:443/lanes").await?; // and pages connect to https://chat.example/lanes
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct WebRtc {
    hub: Option<Arc<Hub>>,
    settings: Arc<Settings>,
    keys: Arc<Keys>,
}

/// What may be set.
#[derive(Clone, Default)]
struct Settings {
    announced: Vec<SocketAddr>,
    ice_servers: Vec<IceServer>,
    max_sessions: Option<usize>,
}

/// A server that helps pages to reach a node through their own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// Its address, such as `stun:stun.example:3478` or `turns:turn.example:5349?transport=tcp`.
    pub url: String,
    /// The name and the password for it.
    pub credentials: Option<(String, String)>,
}

/// What all sessions of a transport have in common: a certificate is a new key, which costs more than all the rest of
/// an answer.
struct Keys {
    crypto: Arc<CryptoProvider>,
    certificate: Option<DtlsCert>,
}

impl Keys {
    fn new() -> Arc<Self> {
        let crypto = str0m::crypto::from_feature_flags();
        let certificate = crypto.dtls_provider.generate_certificate();
        Arc::new(Self {
            crypto: Arc::new(crypto),
            certificate,
        })
    }
}

impl WebRtc {
    /// For a node that connects only. Each session has a UDP socket of its own.
    pub fn new() -> Self {
        Self {
            hub: None,
            settings: Arc::default(),
            keys: Keys::new(),
        }
    }

    /// Binds the UDP socket that the sessions of all listeners share.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn bind(address: impl tokio::net::ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            hub: Some(Hub::bind(address).await?),
            ..Self::new()
        })
    }

    /// The address of the UDP socket, if there is one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.hub.as_ref().map(|hub| hub.local())
    }

    /// Tells peers this address of the UDP socket, and no other one: that of a host behind a NAT, or several, one for
    /// each call. By default it is the address that is bound; if that is unspecified, the host is the one at which the
    /// HTTP request has arrived.
    pub fn announce(mut self, address: SocketAddr) -> Self {
        Arc::make_mut(&mut self.settings).announced.push(address);
        self
    }

    /// Tells pages of a STUN or TURN server, in a `Link` header of the answer. The node itself needs none: it has to be
    /// reachable at one of its addresses.
    pub fn ice_server(mut self, server: IceServer) -> Self {
        Arc::make_mut(&mut self.settings).ice_servers.push(server);
        self
    }

    /// How many sessions there may be at once, 1024 by default. More are refused with status 503. How many of them may
    /// be in their handshake is bounded by [`Config::max_handshakes`](crate::Config::max_handshakes), for each listener.
    pub fn max_sessions(mut self, count: usize) -> Self {
        Arc::make_mut(&mut self.settings).max_sessions = Some(count);
        self
    }

    fn hub(&self) -> io::Result<&Arc<Hub>> {
        let unbound = || {
            let text = "a WebRtc transport that listens has to be bound to a UDP address";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        self.hub.as_ref().ok_or_else(unbound)
    }

    /// How many sessions there are.
    fn sessions(&self) -> usize {
        self.hub.as_ref().map_or(0, |hub| hub.sessions())
    }

    fn limit(&self) -> usize {
        self.settings.max_sessions.unwrap_or(MAX_SESSIONS)
    }

    /// The addresses that a peer is told which has reached this host at `host`.
    fn candidates(&self, hub: &Hub, host: IpAddr) -> Vec<SocketAddr> {
        let local = hub.local();
        match &self.settings.announced[..] {
            [] if local.ip().is_unspecified() => vec![SocketAddr::new(host, local.port())],
            [] => vec![local],
            announced => announced.to_vec(),
        }
    }
}

impl Default for WebRtc {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtc")
            .field("local", &self.local_addr())
            .finish_non_exhaustive()
    }
}

fn split(address: &str) -> (&str, &str) {
    address
        .find('/')
        .map_or((address, ""), |at| address.split_at(at))
}

impl Transport for WebRtc {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (host, path) = split(address);
            let stream = TcpStream::connect(host).await?;
            let hub = Hub::bind(SocketAddr::new(stream.local_addr()?.ip(), 0)).await?;
            let (offer, offered) = session::offer(&self.keys, hub)?;
            let answer = http::post(stream, host, path, &offer).await?;
            offered.accept(&answer)?.connection().await
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            self.hub()?;
            let (host, path) = split(address);
            let listener = TcpListener::bind(host).await?;
            let listening = Listening::new(listener, self.clone(), path.to_owned());
            let listener: Box<dyn Listener> = Box::new(listening);
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        false
    }
}
