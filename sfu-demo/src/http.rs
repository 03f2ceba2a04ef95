//! HTTP: the page, joining, WHIP (RFC 9725), WHEP, health and figures.
//!
//! It checks tokens and rates, and leaves the rest to the lobby. No media passes through it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::lobby::{Join, JoinError, Joined, LobbyMessage};
use crate::mailbox::{Mailbox, Sender};
use crate::room::{RoomMessage, RoomStats};
use crate::session::Role;
use crate::session::build::MAX_SDP;
use crate::session::signal::SourceOf;
use crate::shard::{Control, LobbySender, RoomSender, ShardSender};
use crate::stats::ShardStats;

pub mod limit;
pub mod token;

use limit::RateLimit;
use token::{Denied, Keys};

/// How long an actor may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What the handlers share.
pub struct App<M: Mailbox> {
    mailboxes: Mutex<Mailboxes<M>>,
    keys: Option<Keys>,
    joins: Mutex<RateLimit>,
    draining: AtomicBool,
}

/// Senders to the actors.
pub struct Mailboxes<M: Mailbox> {
    /// The lobby's.
    pub lobby: LobbySender<M>,
    /// The room's.
    pub room: RoomSender<M>,
    /// The shards'.
    pub shards: Vec<ShardSender<M>>,
}

impl<M: Mailbox> std::fmt::Debug for App<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl<M: Mailbox> std::fmt::Debug for Mailboxes<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}

impl<M: Mailbox> App<M> {
    /// The shared state; without keys everybody may join every room.
    #[must_use]
    pub fn new(mailboxes: Mailboxes<M>, keys: Option<Keys>, joins: RateLimit) -> Arc<Self> {
        Arc::new(Self {
            mailboxes: Mutex::new(mailboxes),
            keys,
            joins: Mutex::new(joins),
            draining: AtomicBool::new(false),
        })
    }

    /// Tells the actors to stop: nobody joins any more, and everybody is told goodbye.
    pub fn drain(&self) {
        // ORDERING: a flag for the health check alone; the actors are told by their mailboxes.
        self.draining.store(true, Ordering::Relaxed);
        let mut mailboxes = self
            .mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = mailboxes.lobby.try_send_high(LobbyMessage::Drain);
        for shard in &mut mailboxes.shards {
            let _ = shard.try_send_high(Control::Drain);
        }
    }

    fn tell_lobby(&self, message: LobbyMessage) -> bool {
        let mut mailboxes = self
            .mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mailboxes.lobby.try_send_high(message).is_ok()
    }

    fn allow(&self, address: SocketAddr) -> Result<(), Error> {
        let mut joins = self.joins.lock().unwrap_or_else(PoisonError::into_inner);
        joins
            .ask(Instant::now(), address.ip())
            .map_err(Error::TooOften)
    }

    fn admit(&self, token: Option<&str>, room: &str, role: Role) -> Result<(), Error> {
        match &self.keys {
            Some(keys) => keys.admit(token, room, role).map_err(Error::Denied),
            None => Ok(()),
        }
    }

    /// The figures are for those on this machine, and for bearers of an operator's token.
    fn operator(&self, address: SocketAddr, token: Option<&str>) -> Result<(), Error> {
        if address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let keys = self.keys.as_ref().ok_or(Error::Denied(Denied::NoRight))?;
        let claims = keys.read(token.ok_or(Error::Denied(Denied::Missing))?);
        match claims {
            Ok(claims) if claims.operator => Ok(()),
            Ok(_) => Err(Error::Denied(Denied::NoRight)),
            Err(denied) => Err(Error::Denied(denied)),
        }
    }

    pub(crate) async fn join(&self, join: Join) -> Result<Joined, Error> {
        let (reply, answer) = oneshot::channel();
        if !self.tell_lobby(LobbyMessage::Join(Box::new(join), reply)) {
            return Err(Error::Busy);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => answer.map_err(Error::Join),
            _ => Err(Error::Busy),
        }
    }

    async fn leave(&self, resource: String) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        if !self.tell_lobby(LobbyMessage::Leave { resource, reply }) {
            return Err(Error::Busy);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Error::NotFound),
            _ => Err(Error::Busy),
        }
    }

    /// Asks every actor how it goes.
    pub async fn observe(&self) -> Stats {
        let (mut shards, mut rooms) = (Vec::new(), None);
        {
            let mut mailboxes = self
                .mailboxes
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for shard in &mut mailboxes.shards {
                let (reply, answer) = oneshot::channel();
                if shard.try_send_high(Control::Observe(reply)).is_ok() {
                    shards.push(answer);
                }
            }
            let (reply, answer) = oneshot::channel();
            if mailboxes
                .room
                .try_send_high(RoomMessage::Observe(reply))
                .is_ok()
            {
                rooms = Some(answer);
            }
        }
        let mut stats = Stats {
            mailbox: M::NAME,
            ..Stats::default()
        };
        let deadline = tokio::time::Instant::now() + ANSWER;
        for answer in shards {
            if let Ok(Ok(shard)) = tokio::time::timeout_at(deadline, answer).await {
                stats.shards.push(shard);
            }
        }
        if let Some(answer) = rooms
            && let Ok(Ok(rooms)) = tokio::time::timeout_at(deadline, answer).await
        {
            stats.rooms = rooms;
        }
        stats
    }
}

/// The server, as seen from outside.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    /// Which mailbox it runs on.
    pub mailbox: &'static str,
    /// Its shards.
    pub shards: Vec<ShardStats>,
    /// Its rooms.
    pub rooms: Vec<RoomStats>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Error {
    Denied(Denied),
    TooOften(Duration),
    Join(JoinError),
    BadRoom,
    NotSdp,
    NotFound,
    Busy,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::Denied(denied) => {
                let status = match denied {
                    Denied::Missing | Denied::Invalid | Denied::Expired => StatusCode::UNAUTHORIZED,
                    Denied::OtherRoom | Denied::NoRight => StatusCode::FORBIDDEN,
                };
                (status, denied.to_string())
            }
            Self::TooOften(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests".to_owned(),
            ),
            Self::Join(error) => {
                let status = match error {
                    JoinError::Offer(crate::session::build::Refusal::TooLong) => {
                        StatusCode::PAYLOAD_TOO_LARGE
                    }
                    JoinError::Offer(_) => StatusCode::BAD_REQUEST,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, error.to_string())
            }
            Self::BadRoom => (
                StatusCode::BAD_REQUEST,
                "a room's name is 1 to 64 letters, digits, '-' or '_'".to_owned(),
            ),
            Self::NotSdp => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/sdp".to_owned(),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such thing".to_owned()),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is busy".to_owned(),
            ),
        };
        let mut response = (status, Json(json!({ "error": text }))).into_response();
        if let Self::TooOften(wait) = self {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// The routes.
pub fn routes<M: Mailbox>(app: Arc<App<M>>) -> axum::Router {
    axum::Router::new()
        .route("/", get(page))
        .route("/r/{room}", get(page))
        .route("/app.js", get(script))
        .route("/panel.js", get(panel))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .route("/healthz", get(health::<M>))
        .route("/metrics", get(metrics::<M>))
        .route("/api/stats", get(stats::<M>))
        .route("/api/rooms/{room}/join", post(join::<M>))
        .route("/api/leave/{resource}", post(left::<M>))
        .route("/whip/{room}", post(whip::<M>).options(offers))
        .route(
            "/whip/{room}/{resource}",
            delete(gone::<M>).patch(no_trickle),
        )
        .route("/whep/{room}", post(whep::<M>).options(offers))
        .route(
            "/whep/{room}/{resource}",
            delete(gone::<M>).patch(no_trickle),
        )
        .layer(DefaultBodyLimit::max(2 * MAX_SDP))
        .with_state(app)
}

type Page = ([(HeaderName, &'static str); 4], &'static str);

fn asset(kind: &'static str, body: &'static str) -> Page {
    let headers = [
        (CONTENT_TYPE, kind),
        (axum::http::header::CACHE_CONTROL, "no-cache"),
        (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            axum::http::header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; media-src 'self' blob: mediastream:; frame-ancestors 'none'",
        ),
    ];
    (headers, body)
}

async fn page() -> Page {
    asset("text/html; charset=utf-8", include_str!("web/index.html"))
}

async fn script() -> Page {
    asset("text/javascript; charset=utf-8", include_str!("web/app.js"))
}

async fn panel() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/panel.js"),
    )
}

async fn style() -> Page {
    asset("text/css; charset=utf-8", include_str!("web/style.css"))
}

async fn icon() -> Page {
    asset("image/svg+xml", include_str!("web/icon.svg"))
}

async fn health<M: Mailbox>(State(app): State<Arc<App<M>>>) -> Response {
    // ORDERING: a flag alone, see `drain`.
    if app.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

#[derive(Debug, Default, Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

fn bearer<'a>(headers: &'a HeaderMap, query: &'a TokenQuery) -> Option<&'a str> {
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    header
        .and_then(|value| value.strip_prefix("Bearer "))
        .or(query.token.as_deref())
}

fn room_name(room: &str) -> Result<Arc<str>, Error> {
    let fits = (1..=64).contains(&room.len());
    let plain = room
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits && plain {
        Ok(room.into())
    } else {
        Err(Error::BadRoom)
    }
}

/// A name as others see it: without control characters, and not endless.
fn display_name(name: &str) -> Arc<str> {
    let clean: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let clean = clean.trim();
    if clean.is_empty() {
        "Guest".into()
    } else {
        clean.into()
    }
}

#[derive(Debug, Deserialize)]
struct JoinBody {
    name: String,
    sdp: String,
    #[serde(default)]
    sources: Vec<SourceOf>,
    token: Option<String>,
}

async fn join<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(room): Path<String>,
    Json(body): Json<JoinBody>,
) -> Result<Response, Error> {
    app.allow(from)?;
    let room = room_name(&room)?;
    app.admit(body.token.as_deref(), &room, Role::Page)?;
    let join = Join {
        room,
        name: display_name(&body.name),
        role: Role::Page,
        offer: body.sdp,
        sources: body.sources,
    };
    let joined = app.join(join).await?;
    Ok(
        Json(json!({"id": joined.id, "sdp": joined.answer, "resource": joined.resource}))
            .into_response(),
    )
}

async fn whip<M: Mailbox>(
    app: State<Arc<App<M>>>,
    from: ConnectInfo<SocketAddr>,
    path: Path<String>,
    query: Query<TokenQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    offer(&app, from.0, &path, &query, &headers, &body, Role::Publish).await
}

async fn whep<M: Mailbox>(
    app: State<Arc<App<M>>>,
    from: ConnectInfo<SocketAddr>,
    path: Path<String>,
    query: Query<TokenQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    offer(
        &app,
        from.0,
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
    from: SocketAddr,
    room: &str,
    query: &TokenQuery,
    headers: &HeaderMap,
    body: &[u8],
    role: Role,
) -> Result<Response, Error> {
    app.allow(from)?;
    let room = room_name(room)?;
    app.admit(bearer(headers, query), &room, role)?;
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/sdp") {
        return Err(Error::NotSdp);
    }
    let offer = String::from_utf8(body.to_vec()).map_err(|_| Error::NotSdp)?;
    let path = if role == Role::Publish {
        "whip"
    } else {
        "whep"
    };
    let join = Join {
        room: Arc::clone(&room),
        name: path.to_uppercase().into(),
        role,
        offer,
        sources: Vec::new(),
    };
    let joined = app.join(join).await?;
    let location = format!("/{path}/{room}/{}", joined.resource);
    let headers = [
        (CONTENT_TYPE, "application/sdp".to_owned()),
        (LOCATION, location),
    ];
    Ok((StatusCode::CREATED, headers, joined.answer).into_response())
}

/// RFC 9725: what may be posted here.
async fn offers() -> Response {
    let accept = HeaderName::from_static("accept-post");
    (StatusCode::NO_CONTENT, [(accept, "application/sdp")]).into_response()
}

/// RFC 9725: the server is ICE-lite and restarts by a new POST, so there is nothing to trickle.
async fn no_trickle() -> Response {
    let accept = ACCEPT;
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(ALLOW, "DELETE"), (accept, "application/sdp")],
    )
        .into_response()
}

async fn gone<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path((_, resource)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    app.leave(resource).await?;
    Ok(StatusCode::OK)
}

/// What a page says when its tab closes, too late for the data channel.
async fn left<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path(resource): Path<String>,
) -> Result<StatusCode, Error> {
    app.leave(resource).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stats<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Result<Json<Stats>, Error> {
    app.operator(from, bearer(&headers, &query))?;
    Ok(Json(app.observe().await))
}

async fn metrics<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    app.operator(from, bearer(&headers, &query))?;
    let text = prometheus(&app.observe().await);
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}

/// The figures as Prometheus reads them.
#[must_use]
pub fn prometheus(stats: &Stats) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&ShardStats) -> u64| {
        let _ = writeln!(text, "# HELP sfu_{name} {help}\n# TYPE sfu_{name} {kind}");
        for shard in &stats.shards {
            let _ = writeln!(
                text,
                "sfu_{name}{{shard=\"{}\"}} {}",
                shard.shard,
                value(shard)
            );
        }
    };
    let counter = "counter";
    family("peers", "gauge", "Connected peers.", &|s| s.peers as u64);
    family("tracks", "gauge", "Tracks that somebody wants.", &|s| {
        s.tracks as u64
    });
    family("datagrams_in_total", counter, "Datagrams received.", &|s| {
        s.counters.datagrams_in
    });
    family("datagrams_out_total", counter, "Datagrams sent.", &|s| {
        s.counters.datagrams_out
    });
    family("bytes_in_total", counter, "Bytes received.", &|s| {
        s.counters.bytes_in
    });
    family("bytes_out_total", counter, "Bytes sent.", &|s| {
        s.counters.bytes_out
    });
    family(
        "media_in_total",
        counter,
        "Media packets of publishers.",
        &|s| s.counters.media_in,
    );
    family(
        "media_out_total",
        counter,
        "Media packets to subscribers.",
        &|s| s.counters.media_out,
    );
    family(
        "media_crossed_total",
        counter,
        "Media packets to other shards.",
        &|s| s.counters.media_crossed,
    );
    family(
        "redirected_total",
        counter,
        "Datagrams passed on to their shard.",
        &|s| s.counters.redirected,
    );
    family(
        "keyframes_asked_total",
        counter,
        "Keyframe requests to publishers.",
        &|s| s.counters.keyframes_asked,
    );
    family(
        "panics_total",
        counter,
        "Sessions ended by a fault of their own.",
        &|s| s.counters.panics,
    );
    family(
        "mailbox_high_depth",
        "gauge",
        "Control messages that wait.",
        &|s| s.high_depth as u64,
    );
    family(
        "mailbox_low_depth",
        "gauge",
        "Media messages that wait.",
        &|s| s.low_depth as u64,
    );
    family(
        "mailbox_sleeps_total",
        counter,
        "Times the reader went to sleep.",
        &|s| s.sleeps,
    );
    let name = "sfu_cpu_seconds_total";
    let _ = writeln!(text, "# HELP {name} CPU time of the shard's thread.");
    let _ = writeln!(text, "# TYPE {name} counter");
    for shard in &stats.shards {
        let _ = writeln!(
            text,
            "{name}{{shard=\"{}\"}} {}",
            shard.shard,
            shard.cpu.as_secs_f64()
        );
    }
    let name = "sfu_dropped_total";
    let _ = writeln!(text, "# HELP {name} Datagrams not forwarded, by reason.");
    let _ = writeln!(text, "# TYPE {name} counter");
    for shard in &stats.shards {
        for (reason, count) in shard.counters.drops.iter() {
            let (shard, reason) = (shard.shard, reason.label());
            let _ = writeln!(
                text,
                "{name}{{shard=\"{shard}\",reason=\"{reason}\"}} {count}"
            );
        }
    }
    let name = "sfu_forward_latency_microseconds";
    let _ = writeln!(
        text,
        "# HELP {name} From arrival to the call that sends, last 10 to 20 s."
    );
    let _ = writeln!(text, "# TYPE {name} gauge");
    for shard in &stats.shards {
        let latency = shard.latency;
        for (quantile, value) in [
            ("0.5", latency.p50),
            ("0.99", latency.p99),
            ("0.999", latency.p999),
        ] {
            let shard = shard.shard;
            let _ = writeln!(
                text,
                "{name}{{shard=\"{shard}\",quantile=\"{quantile}\"}} {value}"
            );
        }
    }
    let _ = writeln!(
        text,
        "# HELP sfu_rooms Rooms with participants.\n# TYPE sfu_rooms gauge"
    );
    let _ = writeln!(text, "sfu_rooms {}", stats.rooms.len());
    text
}
