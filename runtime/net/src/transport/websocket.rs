//! WebSocket: for browsers, and for nodes behind proxies that speak HTTP. A connection is the bytes of its
//! binary messages; where one ends and the next begins means nothing.
//!
//! Limits hold before anything is allocated: for the request, and for each frame and message.

use std::{
    fmt, io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

#[cfg(feature = "tls")]
use super::web_tls::WebTls;
#[cfg(feature = "webrtc")]
use super::webrtc::{WebRtc, read_head, serve};
use super::{Accepted, BoxFuture, Connection, Listener, Transport};

/// Bytes that a message may have, and each frame of it. What is longer is sent in parts.
const MESSAGE: usize = 64 << 10;
/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// Connections over HTTP: `ws://host:port/path`, which each node has from the beginning, and
/// [`secure`](Self::secure) ones, usually for the scheme `wss`.
///
/// A node that listens at an address with a path refuses requests for any other; without one it takes all. It does
/// not look at the origin of a page: who may connect is decided by a secret or a token, which no browser sends by
/// itself.
///
/// `ws://` is not encrypted: for this machine, or behind a proxy that adds TLS.
///
/// A clone shares the certificates.
#[derive(Clone, Default)]
pub struct WebSocket {
    #[cfg(feature = "tls")]
    tls: Option<WebTls>,
    #[cfg(feature = "webrtc")]
    data_channels: Option<WebRtc>,
}

impl WebSocket {
    /// Without encryption.
    pub fn new() -> Self {
        Self::default()
    }

    /// With TLS, as browsers speak it: whoever listens shows a certificate for its host, and who connects shows
    /// none.
    ///
    /// Nodes that listen need [`set_certificate`](Self::set_certificate), and those that connect
    /// [`set_authorities`](Self::set_authorities).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lanemesh_net::{Node, transport::WebSocket};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let web = WebSocket::secure();
    /// web.set_certificate(&std::fs::read("chat.example.pem")?, &std::fs::read("chat.example.key")?)?;
    /// let node = Node::builder("gateway").transport("wss", web.clone()).token_key(*b"32 random bytes, known to issuers");
    /// node.build().bind("wss://0.0.0.0:443/lanes").await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tls")]
    pub fn secure() -> Self {
        Self {
            tls: Some(WebTls::default()),
            ..Self::default()
        }
    }

    /// Answers offers of WebRTC too, at the same address and path, on listeners that are bound from now on. `sessions` has to
    /// be bound to a UDP address.
    #[cfg(feature = "webrtc")]
    pub fn data_channels(mut self, sessions: &WebRtc) -> Self {
        self.data_channels = Some(sessions.clone());
        self
    }

    /// Shows the certificates in `chain` (that of the host first) with the private `key` of the first on connections
    /// that are accepted from now on. Both are PEM. Called again, it replaces them.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read, the key is not that of the certificate, or this is not a
    /// [`secure`](Self::secure) one.
    #[cfg(feature = "tls")]
    pub fn set_certificate(&self, chain: &[u8], key: &[u8]) -> io::Result<()> {
        self.secured()?.set_certificate(chain, key)
    }

    /// Trusts the authorities in this PEM text on connections that are made from now on. The certificate of the
    /// other end has to name the host of the address.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is empty, or this is not a [`secure`](Self::secure) one.
    #[cfg(feature = "tls")]
    pub fn set_authorities(&self, authorities: &[u8]) -> io::Result<()> {
        self.secured()?.set_authorities(authorities)
    }

    #[cfg(feature = "tls")]
    fn secured(&self) -> io::Result<&WebTls> {
        let plain = || invalid("a WebSocket transport without TLS has no certificates");
        self.tls.as_ref().ok_or_else(plain)
    }
}

#[cfg(feature = "tls")]
fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        // What is accepted for writing is written.
        .write_buffer_size(0)
        .max_frame_size(Some(MESSAGE))
        .max_message_size(Some(MESSAGE))
}

fn split(address: &str) -> (&str, &str) {
    address
        .find('/')
        .map_or((address, ""), |at| address.split_at(at))
}

async fn open<S>(stream: S, url: String) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = client_async_with_config(url, stream, Some(limits())).await;
    Ok(connection(opened.map_err(translate)?.0))
}

async fn accept<S>(stream: S, path: String) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    #[expect(clippy::result_large_err, reason = "the type of the library")]
    let is_ours = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        if path.is_empty() || request.uri().path() == path {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let accepted = accept_hdr_async_with_config(stream, is_ours, Some(limits())).await;
    Ok(connection(accepted.map_err(translate)?))
}

fn connection<S>(socket: WebSocketStream<S>) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let rest = Bytes::new();
    let (reader, writer) = tokio::io::split(ByteStream { socket, rest });
    Connection::new(reader, writer)
}

/// What the library reports, as an error of a stream: a peer that breaks rules has sent invalid data.
fn translate(error: Error) -> io::Error {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => io::Error::new(UnexpectedEof, "the connection was closed"),
        error => io::Error::new(InvalidData, error.to_string()),
    }
}

/// The bytes of the binary messages of a socket.
struct ByteStream<S> {
    socket: WebSocketStream<S>,
    /// What is left of the message that is being read.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// Tells the peer what it has done, as far as that is possible without waiting.
    fn refuse(&mut self, cx: &mut Context<'_>, code: CloseCode, error: io::Error) -> io::Error {
        // Few bytes fit into the frame.
        let reason: String = error.to_string().chars().take(30).collect();
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let close = Message::Close(Some(frame));
        if self.socket.start_send_unpin(close).is_ok() {
            let _ = self.socket.poll_flush_unpin(cx);
        }
        error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(_))) => {
                    let text = "a text message where only binary ones are understood";
                    let error = io::Error::new(io::ErrorKind::InvalidData, text);
                    let error = self.refuse(cx, CloseCode::Unsupported, error);
                    return Poll::Ready(Err(error));
                }
                // The library answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)))
                | None
                | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    let code = match error {
                        Error::Capacity(_) => CloseCode::Size,
                        _ => CloseCode::Protocol,
                    };
                    let error = translate(error);
                    if error.kind() != io::ErrorKind::InvalidData {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Ready(Err(self.refuse(cx, code, error)));
                }
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_ready_unpin(cx)).map_err(translate)?;
        let count = bytes.len().min(MESSAGE);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        self.socket.start_send_unpin(message).map_err(translate)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx).map_err(translate)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_close_unpin(cx).map_err(translate)
    }
}

impl Transport for WebSocket {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (host, _) = split(address);
            let stream = TcpStream::connect(host).await?;
            stream.set_nodelay(true)?;
            #[cfg(feature = "tls")]
            if let Some(tls) = &self.tls {
                let stream = tls.connect(host, stream).await?;
                return open(stream, format!("wss://{address}")).await;
            }
            open(stream, format!("ws://{address}")).await
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            #[cfg(feature = "tls")]
            if let Some(tls) = &self.tls {
                tls.accepting()?; // there is something to accept with
            }
            let (host, path) = split(address);
            let listener: Box<dyn Listener> = Box::new(Listening {
                listener: TcpListener::bind(host).await?,
                transport: self.clone(),
                path: path.to_owned(),
            });
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        false
    }
}

struct Listening {
    listener: TcpListener,
    transport: WebSocket,
    path: String,
}

impl WebSocket {
    /// What a client wants that has connected: a WebSocket, or something of a session.
    async fn welcome<S>(&self, stream: S, path: String, host: IpAddr) -> io::Result<Connection>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        #[cfg(feature = "webrtc")]
        if let Some(sessions) = &self.data_channels {
            let mut stream = stream;
            let head = read_head(&mut stream).await?;
            return match head.is_get() {
                true => accept(head.rewind(stream), path).await,
                false => serve(sessions, &mut stream, head, &path, host).await,
            };
        }
        let _ = host;
        accept(stream, path).await
    }
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let (transport, path) = (self.transport.clone(), self.path.clone());
            #[cfg(feature = "tls")]
            let tls = match &self.transport.tls {
                Some(tls) => Some(tls.accepting()?),
                None => None,
            };
            let accepted: Accepted = Box::pin(async move {
                stream.set_nodelay(true)?;
                let host = stream.local_addr()?.ip();
                #[cfg(feature = "tls")]
                if let Some(tls) = tls {
                    return transport
                        .welcome(tls.accept(stream).await?, path, host)
                        .await;
                }
                transport.welcome(stream, path, host).await
            });
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        format!("{}{}", self.listener.address(), self.path)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

/// Reads any bytes as the frames of a client, for the fuzz target.
///
/// # Panics
///
/// If more comes out than was in them.
pub(crate) fn check_websocket(bytes: &[u8]) {
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;

    let limit = bytes.len();
    let read = async {
        let tape = tokio::io::join(io::Cursor::new(bytes.to_vec()), tokio::io::sink());
        let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
        let socket = WebSocketStream::from_raw_socket(tape, role, Some(limits())).await;
        let mut connection = connection(socket);
        let mut read = Vec::new();
        // How it ends does not matter.
        let _ = connection.reader.read_to_end(&mut read).await;
        assert!(read.len() < limit.max(1), "it makes up bytes");
    };
    let is_over = read.now_or_never();
    assert!(is_over.is_some(), "it waits for more than there is");
}
