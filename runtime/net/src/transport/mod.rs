//! Kinds of connections, chosen by address: `tcp://host:port`, `unix:/path`, and what a program adds,
//! such as [`InProcess`].
//!
//! A transport makes streams of bytes in both directions. It knows no frames; it may know who is at the
//! other end.

mod certificate;
mod datagrams;
mod in_process;
#[cfg_attr(
    not(feature = "webrtc"),
    expect(dead_code, reason = "no other transport has sections")
)]
pub(crate) mod media;
mod served;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(unix)]
mod unix;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod web_tls;
#[cfg(feature = "webrtc")]
mod webrtc;
#[cfg(feature = "websocket")]
mod websocket;

use std::{fmt, io, pin::Pin};

use lanemesh_runtime::actor::Priority;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::certificate::refused_certificate;
pub(crate) use self::served::is_served;
pub(crate) use self::tcp::Tcp;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
#[cfg(unix)]
pub(crate) use self::unix::Unix;
#[cfg(feature = "webrtc")]
pub(crate) use self::webrtc::check_signalling;
#[cfg(feature = "webrtc")]
pub use self::webrtc::{IceServer, WebRtc};
#[cfg(feature = "websocket")]
pub use self::websocket::WebSocket;
#[cfg(feature = "websocket")]
pub(crate) use self::websocket::check_websocket;
pub use self::{datagrams::Datagrams, in_process::InProcess};

/// A boxed future of a transport.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection that was accepted. Awaiting it does what the transport has to do before the connection can be
/// used, such as a handshake of its own.
pub type Accepted = BoxFuture<'static, io::Result<Connection>>;

/// The boxed reading half of a [`Connection`].
pub type BoxReader = Box<dyn AsyncRead + Send + Unpin>;

/// The boxed writing half of a [`Connection`].
pub type BoxWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// Makes connections of one kind. A node has one for each scheme of addresses.
pub trait Transport: Send + Sync + 'static {
    /// Connects to a listener. `address` is what follows the scheme and its `:` or `://`.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>>;

    /// Connects to a listener, for the frames of one class. A link calls it once for each, high first.
    ///
    /// For a transport with priorities of its own; otherwise it is the same as [`connect`](Self::connect).
    fn connect_for<'a>(
        &'a self,
        address: &'a str,
        class: Priority,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        let _ = class;
        self.connect(address)
    }

    /// Listens.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// Whether no stranger can connect or listen in. Only then may a node do without a secret.
    fn is_private(&self) -> bool;
}

/// Accepts connections.
pub trait Listener: Send {
    /// Waits for a connection. An error concerns one connection, and the next call is made after a pause.
    ///
    /// It does not wait for what a peer has to say: that is for [`Accepted`], which is awaited elsewhere, and
    /// for as long as [`Config::handshake_timeout`](crate::Config::handshake_timeout) at most.
    ///
    /// # Cancel safety
    ///
    /// A connection may be lost, which its other end notices.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>>;

    /// Where it listens, as others can connect to it, without the scheme.
    fn address(&self) -> String;
}

/// A stream of bytes in each direction.
pub struct Connection {
    pub(crate) reader: BoxReader,
    pub(crate) writer: BoxWriter,
    names: Option<IsName>,
    sibling: Option<Box<Connection>>,
    datagrams: Option<Datagrams>,
    media: Option<media::Media>,
}

/// Whether a name is one of who is at the other end.
type IsName = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Connection {
    /// A connection of two halves.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            names: None,
            sibling: None,
            datagrams: None,
            media: None,
        }
    }

    /// This one is for high, and came with one for low to the same end: where a transport makes both at once. There is no
    /// further call for the second one then.
    pub fn with_sibling(mut self, low: Connection) -> Self {
        self.sibling = Some(Box::new(low));
        self
    }

    /// There is a way for datagrams beside this connection, which is for high.
    pub fn with_datagrams(mut self, datagrams: Datagrams) -> Self {
        self.datagrams = Some(datagrams);
        self
    }

    /// There are sections beside this connection, which is for high.
    #[cfg(feature = "webrtc")]
    pub(crate) fn with_media(mut self, media: media::Media) -> Self {
        self.media = Some(media);
        self
    }

    pub(crate) fn take_media(&mut self) -> Option<media::Media> {
        self.media.take()
    }

    /// Takes the way for datagrams, for a transport that is built on another one.
    pub fn take_datagrams(&mut self) -> Option<Datagrams> {
        self.datagrams.take()
    }

    /// Takes the connection for low that came with this one, for a transport that is built on another one.
    pub fn take_sibling(&mut self) -> Option<Connection> {
        self.sibling.take().map(|low| *low)
    }

    /// The transport has proven who is at the other end: a node whose name `is_name` accepts. One that
    /// announces another name is refused.
    pub fn proven(mut self, is_name: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.names = Some(Box::new(is_name));
        self
    }

    /// Whether nothing is known that speaks against a node of this name at the other end.
    pub(crate) fn may_be(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|is_name| is_name(name))
    }

    /// The two halves, for a transport that is built on another one.
    pub fn into_halves(self) -> (BoxReader, BoxWriter) {
        (self.reader, self.writer)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
