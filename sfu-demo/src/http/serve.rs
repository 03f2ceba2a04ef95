//! Serving connections: each request has a deadline for its header and its body, each connection a last moment.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_service::Service;

use super::client::{Client, Proxies};
use super::connections::{Connection, Connections, Place};
use super::error::Error;
use crate::session::build::MAX_SDP;

/// The longest body of a request, in bytes.
const MAX_BODY: usize = 2 * MAX_SDP;
/// How long the last response of a connection may take.
const FAREWELL: Duration = Duration::from_secs(10);

/// Serves until `end`, then answers the requests that have begun.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    connections: Arc<Connections>,
    proxies: Proxies,
    end: impl Future<Output = ()>,
) {
    let proxies = Arc::new(proxies);
    let (ending, _) = tokio::sync::watch::channel(false);
    let mut serving = JoinSet::new();
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        while serving.try_join_next().is_some() {}
        match accepted {
            Ok((stream, from)) => {
                if let Some(place) = connections.enter(from.ip(), proxies.trusts(from.ip())) {
                    let (routes, ending) = (routes.clone(), ending.subscribe());
                    let proxies = Arc::clone(&proxies);
                    serving.spawn(connection(stream, from, proxies, routes, place, ending));
                }
            }
            Err(error) => {
                // For example, no file descriptors are left until others close.
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    ending.send_replace(true);
    while serving.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    proxies: Arc<Proxies>,
    routes: Router,
    place: Place,
    mut ending: tokio::sync::watch::Receiver<bool>,
) {
    let limits = *place.limits();
    let this = Arc::clone(&place.connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, this) = (routes.clone(), Arc::clone(&this));
        let client = proxies.client(from.ip(), request.headers());
        async move { Ok::<_, Infallible>(answer(request, client, routes, limits.body, &this).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = place.connection.closed() => return,
        () = tokio::time::sleep(limits.age) => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ = serving => {}
        () = place.connection.closed() => {}
        () = tokio::time::sleep(FAREWELL) => {}
    }
}

/// Reads the body of a request, within `deadline`, and has it answered.
async fn answer(
    request: Request<Incoming>,
    client: Client,
    mut routes: Router,
    deadline: Duration,
    connection: &Connection,
) -> Response {
    let (mut head, body) = request.into_parts();
    let body = to_bytes(Body::new(body), MAX_BODY);
    let body = match tokio::time::timeout(deadline, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return last(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        Err(_) => return last(Error::TooSlow.into_response()),
    };
    connection.set_answering(true);
    head.extensions.insert(client);
    let Ok(response) = routes
        .call(Request::from_parts(head, Body::from(body)))
        .await;
    connection.set_answering(false);
    response
}

/// Ends the connection with a response: the rest of the request is not read.
fn last(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}
