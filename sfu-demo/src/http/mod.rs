//! HTTP: the page, joins, WHIP (RFC 9725), WHEP, the health check and statistics.
//!
//! Tokens and rates are checked here, everything else by admission. No media passes through HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;

use crate::mailbox::Mailbox;
use crate::messages::{Join, JoinError, Principal};
use crate::session::{Patch, Patched, Role, SourceOf};
use crate::stats::Stats;

mod app;
pub(crate) mod client;
pub(crate) mod connections;
mod error;
pub(crate) mod limit;
mod metrics;
mod page;
mod players;
mod request;
pub(crate) mod serve;
mod socket;
pub mod token;

pub(crate) use app::App;
use client::Client;
use error::Error;
use limit::subscriber;
use metrics::prometheus;
use page::{access, chat, devices, icon, link, page, panel, script, signal, style, tiles, words};
use players::{allow_origins, end, offers, patch, patches, whep, whip};
use request::{TokenQuery, bearer, display_name, room_name};
use socket::socket;

/// The longest secret by which a page is known when it comes back, in bytes.
const MAX_IDENTITY: usize = 128;

/// All routes of the server.
pub(crate) fn routes<M: Mailbox>(app: Arc<App<M>>) -> axum::Router {
    axum::Router::new()
        .route("/", get(page))
        .route("/r/{room}", get(page))
        .route("/app.js", get(script))
        .route("/panel.js", get(panel))
        .route("/tiles.js", get(tiles))
        .route("/devices.js", get(devices))
        .route("/link.js", get(link))
        .route("/access.js", get(access))
        .route("/chat.js", get(chat))
        .route("/words.js", get(words))
        .route("/signal.js", get(signal))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .route("/healthz", get(health::<M>))
        .route("/metrics", get(metrics::<M>))
        .route("/api/stats", get(stats::<M>))
        .route("/api/rooms/{room}/join", post(join::<M>))
        .route("/api/restart/{resource}", post(restart::<M>))
        .route("/api/leave/{resource}", post(leave::<M>))
        .route("/api/socket/{resource}", get(socket::<M>))
        .merge(players(&app))
        // `serve` limits the length of bodies.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// WHIP and WHEP, which web pages of other origins may use.
fn players<M: Mailbox>(app: &Arc<App<M>>) -> axum::Router<Arc<App<M>>> {
    let resource = || delete(end::<M>).patch(patch::<M>).options(patches);
    axum::Router::new()
        .route("/whip/{room}", post(whip::<M>).options(offers))
        .route("/whip/{room}/{resource}", resource())
        .route("/whep/{room}", post(whep::<M>).options(offers))
        .route("/whep/{room}/{resource}", resource())
        .layer(from_fn_with_state(Arc::clone(app), allow_origins::<M>))
}

async fn health<M: Mailbox>(State(app): State<Arc<App<M>>>) -> Response {
    if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        // The others serve on, so the server is not taken out of service.
        let hung = app.hung().await;
        let hung = hung.iter().enumerate().filter(|(_, hangs)| **hangs);
        let mut text = "ok\n".to_owned();
        for (shard, _) in hung {
            text.push_str(&format!("shard {shard} hangs\n"));
        }
        text.into_response()
    }
}

#[derive(Debug, Deserialize)]
struct JoinBody {
    name: String,
    sdp: String,
    #[serde(default)]
    sources: Vec<SourceOf>,
    token: Option<String>,
    /// A secret of the tab, by which it is known when it comes back.
    identity: Option<String>,
}

async fn join<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    body: Result<Json<JoinBody>, JsonRejection>,
) -> Result<Response, Error> {
    app.check_rate(client)?;
    let Json(body) = body.map_err(Error::NotJson)?;
    let room = room_name(&room)?;
    let subject = app.admit(body.token.as_deref(), &room, Role::Page)?;
    let secret = body.identity.filter(|secret| secret.len() <= MAX_IDENTITY);
    let join = Join {
        room,
        name: display_name(&body.name),
        role: Role::Page,
        offer: body.sdp,
        sources: body.sources,
        address: Some(subscriber(client.0)),
        principal: subject.or(secret.map(Principal::Secret)),
    };
    let joined = app.join(join).await?;
    Ok(
        Json(json!({"id": joined.id, "sdp": joined.answer, "resource": joined.resource}))
            .into_response(),
    )
}

#[derive(Debug, Deserialize)]
struct RestartBody {
    sdp: String,
}

/// The page restarts ICE when nothing arrives any more. What it signals through may have gone the same way, so it asks here.
async fn restart<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path(resource): Path<String>,
    body: Result<Json<RestartBody>, JsonRejection>,
) -> Result<Response, Error> {
    let Json(body) = body.map_err(Error::NotJson)?;
    match app.patch(resource, None, Patch::Offer(body.sdp)).await? {
        Patched::Restarted { sdp, .. } => Ok(Json(json!({ "sdp": sdp })).into_response()),
        Patched::Refused(refusal) => Err(Error::Join(JoinError::Offer(refusal))),
        Patched::TooOften => Err(Error::TooOften(Duration::ZERO)),
        Patched::Noted | Patched::OtherSession => Err(Error::NotFound),
    }
}

/// The page sends this when its tab closes, which is too late for the data channel.
async fn leave<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path(resource): Path<String>,
) -> Result<StatusCode, Error> {
    app.leave(resource, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stats<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Result<Json<Stats>, Error> {
    app.require_operator(bearer(&headers, &query))?;
    Ok(Json(app.observe().await))
}

async fn metrics<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    app.require_operator(bearer(&headers, &query))?;
    let text = prometheus(&app.observe().await);
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}
