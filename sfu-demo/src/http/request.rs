//! What requests have in common: tokens, room names and display names.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde::Deserialize;

use super::error::Error;

#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenQuery {
    token: Option<String>,
}

pub(super) fn bearer<'a>(headers: &'a HeaderMap, query: &'a TokenQuery) -> Option<&'a str> {
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .or(query.token.as_deref())
}

pub(super) fn room_name(room: &str) -> Result<Arc<str>, Error> {
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

/// The name that other participants see: without control characters, at most 40 characters.
pub(super) fn display_name(name: &str) -> Arc<str> {
    let clean: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let clean = clean.trim();
    if clean.is_empty() {
        "Guest".into()
    } else {
        clean.into()
    }
}
