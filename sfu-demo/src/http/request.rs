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

/// The name that other participants see: without control characters and those that turn the direction of what follows, at
/// most 40 characters, one of them visible.
pub(super) fn display_name(name: &str) -> Arc<str> {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean = name.chars().filter(|&c| !c.is_control() && !turns(c));
    let clean: String = clean.take(40).collect();
    let clean = clean.trim();
    // Joiners are parts of names and of pictograms, but none alone.
    let unseen = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    if clean.chars().all(unseen) {
        "Guest".into()
    } else {
        clean.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_can_be_seen_and_does_not_turn_what_follows() {
        for (said, shown) in [
            (" Ann\n", "Ann"),
            ("\u{202e}Ann\u{2066}", "Ann"),
            ("", "Guest"),
            (" \u{200b}\u{feff}\u{200d} ", "Guest"),
            ("\u{1f469}\u{200d}\u{1f680}", "\u{1f469}\u{200d}\u{1f680}"),
            ("\u{645}\u{200c}\u{631}", "\u{645}\u{200c}\u{631}"),
        ] {
            assert_eq!(&*display_name(said), shown, "{said:?}");
        }
        assert_eq!(display_name(&"x".repeat(100)).len(), 40);
    }
}
