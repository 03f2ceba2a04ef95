//! Answers offers: `POST` makes a session, `DELETE` of its resource ends it.

use std::{io, net::IpAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use super::{
    IceServer, WebRtc,
    http::{Head, Request, drain, read_head, respond},
    offer::{MAX_SDP, Refusal},
    session,
};
use crate::transport::{Accepted, BoxFuture, Connection, Listener, served::served};

/// Headers for browsers: what scripts of other origins may ask, and may read.
const ALLOWED: &str = "Access-Control-Allow-Methods: POST, DELETE, OPTIONS\r\n\
    Access-Control-Allow-Headers: Content-Type, Authorization\r\n\
    Access-Control-Max-Age: 86400\r\n";
const EXPOSED: &str = "Access-Control-Expose-Headers: Location, Link\r\n";

/// Accepts HTTP connections, for sessions alone.
pub(super) struct Listening {
    listener: TcpListener,
    transport: WebRtc,
    path: String,
}

impl Listening {
    pub(super) fn new(listener: TcpListener, transport: WebRtc, path: String) -> Self {
        Self {
            listener,
            transport,
            path,
        }
    }
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (mut stream, _) = self.listener.accept().await?;
            let (transport, path) = (self.transport.clone(), self.path.clone());
            let accepted: Accepted = Box::pin(async move {
                let host = stream.local_addr()?.ip();
                let head = read_head(&mut stream).await?;
                serve(&transport, &mut stream, head, &path, host).await
            });
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        format!("{}{}", self.listener.address(), self.path)
    }
}

/// Why a request is not carried out.
enum Denied {
    Status(&'static str, &'static str),
    Offer(Refusal),
}

/// Serves a request for the session at `path`, or any if that is empty, which has arrived at `host`. Returns the
/// connection for high of a new session, with that for low.
///
/// # Errors
///
/// If there is no session. [`served`] if that is as it should be.
pub(in crate::transport) async fn serve(
    transport: &WebRtc,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    head: Head,
    path: &str,
    host: IpAddr,
) -> io::Result<Connection> {
    let request = head.request()?;
    let here = || path.is_empty() || request.path == path;
    let denied = match &*request.method {
        "OPTIONS" => {
            respond(stream, "204 No Content", ALLOWED, "").await?;
            return Err(served());
        }
        "DELETE" => {
            let resource = request.path.rsplit_once('/');
            let resource = resource.filter(|(at, _)| path.is_empty() || *at == path);
            let is_ended = |(_, name): (&str, &str)| transport.hub().is_ok_and(|hub| hub.end(name));
            if resource.is_some_and(is_ended) {
                respond(stream, "200 OK", "", "").await?;
                return Err(served());
            }
            Denied::Status("404 Not Found", "no session has this name")
        }
        "POST" if here() => match measure(&request) {
            Ok(length) => {
                let offer = head.body(stream, length).await?;
                match session::answer(transport, &offer, host)? {
                    Ok((answer, resource, session)) => {
                        let headers = headers(transport, &request.path, &resource);
                        respond(stream, "201 Created", &headers, &answer).await?;
                        return session.connection().await;
                    }
                    Err(refusal) => Denied::Offer(refusal),
                }
            }
            Err(denied) => denied,
        },
        "POST" => Denied::Status("404 Not Found", "no offers are answered at this path"),
        _ => Denied::Status("405 Method Not Allowed", "offers are posted"),
    };
    let (status, text) = match denied {
        Denied::Status(status, text) => (status, text.to_owned()),
        Denied::Offer(refusal) => match refusal {
            Refusal::Full => ("503 Service Unavailable", refusal.to_string()),
            _ => ("400 Bad Request", refusal.to_string()),
        },
    };
    respond(stream, status, "Content-Type: text/plain\r\n", &text).await?;
    drain(stream).await;
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// The length of the offer that a request announces.
fn measure(request: &Request) -> Result<usize, Denied> {
    if !request.is_sdp {
        let text = "an offer is of the type application/sdp";
        return Err(Denied::Status("415 Unsupported Media Type", text));
    }
    match request.length {
        None => Err(Denied::Status(
            "411 Length Required",
            "an offer needs a Content-Length",
        )),
        Some(length) if length > MAX_SDP => {
            let text = "an offer has up to 32 KiB";
            Err(Denied::Status("413 Content Too Large", text))
        }
        Some(length) => Ok(length),
    }
}

/// What comes with an answer.
fn headers(transport: &WebRtc, path: &str, resource: &str) -> String {
    let path = path.trim_end_matches('/');
    let mut headers =
        format!("Content-Type: application/sdp\r\nLocation: {path}/{resource}\r\n{EXPOSED}");
    for server in &transport.settings.ice_servers {
        headers.push_str(&link(server));
    }
    headers
}

/// A server in a `Link` header, in the way of WHIP.
fn link(IceServer { url, credentials }: &IceServer) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let credentials = credentials.as_ref().map(|(name, password)| {
        let (name, password) = (quoted(name), quoted(password));
        format!("; username=\"{name}\"; credential=\"{password}\"; credential-type=\"password\"")
    });
    let credentials = credentials.unwrap_or_default();
    format!("Link: <{url}>; rel=\"ice-server\"{credentials}\r\n")
}
