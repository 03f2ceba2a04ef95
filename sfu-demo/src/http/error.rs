//! Errors of requests, and their responses.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::token::Denied;
use crate::messages::JoinError;
use crate::session::build::Refusal;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Error {
    Denied(Denied),
    TooOften(Duration),
    Join(JoinError),
    BadRoom,
    NotSdp,
    NotJson(JsonRejection),
    NotText,
    NotFound,
    NotFragment,
    NoCondition,
    OtherSession,
    TooSlow,
    Busy,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::Denied(denied) => {
                let status = match denied {
                    Denied::Missing | Denied::Invalid | Denied::Expired => StatusCode::UNAUTHORIZED,
                    Denied::OtherRoom | Denied::NoRight | Denied::OneWay => StatusCode::FORBIDDEN,
                };
                (status, denied.to_string())
            }
            Self::TooOften(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests".to_owned(),
            ),
            Self::Join(error) => {
                let status = match error {
                    JoinError::Offer(Refusal::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
                    JoinError::Offer(Refusal::Codecs(_) | Refusal::Idle(_)) => {
                        StatusCode::UNPROCESSABLE_ENTITY
                    }
                    JoinError::Offer(_) => StatusCode::BAD_REQUEST,
                    JoinError::AddressFull => StatusCode::TOO_MANY_REQUESTS,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, error.to_string())
            }
            Self::BadRoom => (
                StatusCode::BAD_REQUEST,
                "a room name has 1 to 64 characters: letters, digits, '-' or '_'".to_owned(),
            ),
            Self::NotSdp => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/sdp".to_owned(),
            ),
            Self::NotJson(why) => (why.status(), why.body_text()),
            Self::NotText => (StatusCode::BAD_REQUEST, "the body is not UTF-8".to_owned()),
            Self::NotFragment => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/trickle-ice-sdpfrag".to_owned(),
            ),
            Self::NoCondition => (
                StatusCode::PRECONDITION_REQUIRED,
                "If-Match must name the ICE session, or be '*' to restart ICE".to_owned(),
            ),
            Self::OtherSession => (
                StatusCode::PRECONDITION_FAILED,
                "ICE has restarted since: the entity tag is another".to_owned(),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "the request took too long".to_owned(),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is busy".to_owned(),
            ),
        };
        let mut response = (status, Json(json!({ "error": text }))).into_response();
        let challenge = match &self {
            Self::Denied(Denied::Missing) => Some("Bearer"),
            Self::Denied(Denied::Invalid | Denied::Expired) => {
                Some("Bearer error=\"invalid_token\"")
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Self::TooOften(wait) = self {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
