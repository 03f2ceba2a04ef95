//! WHIP (RFC 9725) and WHEP: a POST with an offer gets the answer, and a resource by which to end the session.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::app::App;
use crate::http::client::Client;
use crate::http::error::Error;
use crate::http::limit::subscriber;
use crate::http::request::{TokenQuery, bearer, room_name};
use crate::mailbox::Mailbox;
use crate::messages::{Join, JoinError, Principal};
use crate::session::{Patch, Patched, Role};

/// The media type of a fragment of SDP (RFC 8840).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub(in crate::http) async fn whip<M: Mailbox>(
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

pub(in crate::http) async fn whep<M: Mailbox>(
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
    if !is_of_type(headers, "application/sdp") {
        return Err(Error::NotSdp);
    }
    let offer = String::from_utf8(body.to_vec()).map_err(|_| Error::NotText)?;
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
        (ETAG, quoted(&joined.tag)),
    ];
    let socket = format!("</api/socket/{}>; rel=\"monitor\"", joined.resource);
    let monitor = (role == Role::Subscribe).then_some([(LINK, socket)]);
    Ok((StatusCode::CREATED, headers, monitor, joined.answer).into_response())
}

/// RFC 9725: the media type to post here.
pub(in crate::http) async fn offers() -> Response {
    let accept = HeaderName::from_static("accept-post");
    (StatusCode::NO_CONTENT, [(accept, "application/sdp")]).into_response()
}

/// RFC 9725: a fragment with the peer's candidates is noted, since the server learns them from checks; one with new credentials
/// restarts ICE.
pub(in crate::http) async fn patch<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path((room, resource)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    if !is_of_type(&headers, FRAGMENT) {
        return Err(Error::NotFragment);
    }
    let condition = headers.get(IF_MATCH).ok_or(Error::NoCondition)?;
    let tag = match condition.to_str().map(str::trim) {
        Ok("*") => None,
        Ok(tag) => Some(tag.trim_matches('"').to_owned()),
        Err(_) => return Err(Error::OtherSession),
    };
    let sdp = String::from_utf8(body.to_vec()).map_err(|_| Error::NotText)?;
    let patch = Patch::Fragment { tag, sdp };
    match app.patch(resource, Some(room), patch).await? {
        Patched::Noted => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { sdp, tag } => {
            let headers = [(CONTENT_TYPE, FRAGMENT.to_owned()), (ETAG, quoted(&tag))];
            Ok((headers, sdp).into_response())
        }
        Patched::TooOften => Err(Error::TooOften(Duration::ZERO)),
        Patched::OtherSession => Err(Error::OtherSession),
        Patched::Refused(refusal) => Err(Error::Join(JoinError::Offer(refusal))),
    }
}

/// RFC 5789: the media type for PATCH.
pub(in crate::http) async fn patches() -> Response {
    let accept = HeaderName::from_static("accept-patch");
    (StatusCode::NO_CONTENT, [(accept, FRAGMENT)]).into_response()
}

fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next();
    kind.unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(expected)
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

pub(in crate::http) async fn end<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path((room, resource)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    app.leave(resource, Some(room)).await?;
    Ok(StatusCode::OK)
}
