//! Cross-origin requests: a web page of another origin may use WHIP and WHEP if it has a token.
//!
//! Without tokens the server is open to everybody on its machine, which must not include every web page that is opened
//! there.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::app::App;
use crate::mailbox::Mailbox;

const EVERY_RESPONSE: [(HeaderName, &str); 2] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_EXPOSE_HEADERS, "Location, Link, ETag"),
];
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS"),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, If-Match",
    ),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];

pub(in crate::http) async fn allow_origins<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    request: Request,
    next: Next,
) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if app.needs_tokens() {
        let headers = response.headers_mut();
        let preflight = PREFLIGHT.into_iter().filter(|_| preflight);
        for (name, value) in EVERY_RESPONSE.into_iter().chain(preflight) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
