//! WHIP (RFC 9725) and WHEP: a POST with an offer gets the answer, and a resource by which to end the session.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::client::Client;
use super::error::Error;
use super::limit::subscriber;
use super::request::{TokenQuery, bearer, room_name};
use crate::mailbox::Mailbox;
use crate::messages::{Join, Principal};
use crate::session::Role;

pub(super) async fn whip<M: Mailbox>(
    app: State<Arc<App<M>>>,
    client: Extension<Client>,
    path: Path<String>,
    query: Query<TokenQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    offer(
        &app,
        client.0,
        &path,
        &query,
        &headers,
        &body,
        Role::Publish,
    )
    .await
}

pub(super) async fn whep<M: Mailbox>(
    app: State<Arc<App<M>>>,
    client: Extension<Client>,
    path: Path<String>,
    query: Query<TokenQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    offer(
        &app,
        client.0,
        &path,
        &query,
        &headers,
        &body,
        Role::Subscribe,
    )
    .await
}

async fn offer<M: Mailbox>(
    app: &App<M>,
    client: Client,
    room: &str,
    query: &TokenQuery,
    headers: &HeaderMap,
    body: &[u8],
    role: Role,
) -> Result<Response, Error> {
    app.check_rate(client)?;
    let room = room_name(room)?;
    let token = bearer(headers, query);
    let subject = app.admit(token, &room, role)?;
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/sdp") {
        return Err(Error::NotSdp);
    }
    let offer = String::from_utf8(body.to_vec()).map_err(|_| Error::NotSdp)?;
    let path = if role == Role::Publish {
        "whip"
    } else {
        "whep"
    };
    // An encoder that lost its network publishes again with the same token. Players may share one.
    let returning = token.filter(|_| role == Role::Publish).map(str::to_owned);
    let join = Join {
        room: Arc::clone(&room),
        name: path.to_uppercase().into(),
        role,
        offer,
        sources: Vec::new(),
        address: Some(subscriber(client.0)),
        principal: subject.or(returning.map(Principal::Secret)),
    };
    let joined = app.join(join).await?;
    let location = format!("/{path}/{room}/{}", joined.resource);
    let headers = [
        (CONTENT_TYPE, "application/sdp".to_owned()),
        (LOCATION, location),
    ];
    Ok((StatusCode::CREATED, headers, joined.answer).into_response())
}

/// RFC 9725: the media type to post here.
pub(super) async fn offers() -> Response {
    let accept = HeaderName::from_static("accept-post");
    (StatusCode::NO_CONTENT, [(accept, "application/sdp")]).into_response()
}

/// RFC 9725 recommends trickle ICE and ICE restarts, but does not require them. The server is ICE-lite: its answer has
/// all its candidates, and it learns the peer's candidates from connectivity checks, so nothing is left to trickle. A
/// peer whose address changes is recognized by its next check; one that wants new credentials posts a new offer.
pub(super) async fn no_trickle() -> Response {
    let accept = ACCEPT;
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(ALLOW, "DELETE"), (accept, "application/sdp")],
    )
        .into_response()
}

pub(super) async fn end<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path((room, resource)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    app.leave(resource, Some(room)).await?;
    Ok(StatusCode::OK)
}
