//! Room tokens (JWT): for one room, with an expiry and rights.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::ids::secret;
use crate::session::Role;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The room that it is valid for.
    pub room: String,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// Whether its bearer may publish.
    #[serde(default)]
    pub publish: bool,
    /// Whether its bearer may subscribe.
    #[serde(default)]
    pub subscribe: bool,
    /// Whether its bearer may read the server's statistics.
    #[serde(default)]
    pub operator: bool,
    /// Who its bearer is. When the same subject joins the room again, its earlier session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

/// The text that opens the statistics to whoever sends it as a bearer token.
#[derive(Clone)]
pub(crate) struct OperatorToken(String);

impl OperatorToken {
    /// The shortest text, in bytes.
    pub(crate) const MIN: usize = 16;

    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// A random token.
    pub(crate) fn random() -> Self {
        Self(secret())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on how many bytes are right.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The request has no token.
    Missing,
    /// It is malformed, or not signed with the server's secret.
    Invalid,
    /// It has expired.
    Expired,
    /// It is for another room.
    OtherRoom,
    /// It lacks the right for this request.
    NoRight,
    /// It admits only to send or only to receive, and the page does both.
    OneWay,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a token is required",
            Self::Invalid => "the token is not valid",
            Self::Expired => "the token has expired",
            Self::OtherRoom => "the token is for another room",
            Self::NoRight => "the token does not allow this",
            Self::OneWay => {
                "the token is only for sending (WHIP) or only for watching with a player (WHEP), not for this page"
            }
        })
    }
}

impl std::error::Error for Denied {}

/// Signs and verifies tokens.
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The shortest secret, in bytes: the key size of HMAC-SHA-256.
    pub const MIN_SECRET: usize = 32;

    /// Keys from the server's secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// Signs a token that expires after `ttl`. The expiry in `claims` is ignored.
    ///
    /// # Errors
    ///
    /// If the claims cannot be serialized, which does not happen.
    pub fn sign(&self, claims: Claims, ttl: Duration) -> Result<String, Denied> {
        let exp = now() + ttl.as_secs();
        encode(
            &Header::new(Algorithm::HS256),
            &Claims { exp, ..claims },
            &self.encoding,
        )
        .map_err(|_| Denied::Invalid)
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    ///
    /// If it is invalid or has expired.
    pub fn read(&self, token: &str) -> Result<Claims, Denied> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        decode(token, &self.decoding, &validation)
            .map(|data| data.claims)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Denied::Expired,
                _ => Denied::Invalid,
            })
    }

    /// Checks that a token admits its bearer to `room` as `role`, and returns its claims.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn admit(&self, token: Option<&str>, room: &str, role: Role) -> Result<Claims, Denied> {
        let claims = self.read(token.ok_or(Denied::Missing)?)?;
        if claims.room != room {
            return Err(Denied::OtherRoom);
        }
        let allowed = match role {
            Role::Page => claims.publish && claims.subscribe,
            Role::Publish => claims.publish,
            Role::Subscribe => claims.subscribe,
        };
        match role {
            _ if allowed => Ok(claims),
            Role::Page if claims.publish || claims.subscribe => Err(Denied::OneWay),
            _ => Err(Denied::NoRight),
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn claims(publish: bool, subscribe: bool) -> Claims {
        Claims {
            room: "a".into(),
            exp: 0,
            publish,
            subscribe,
            operator: false,
            sub: None,
        }
    }

    #[test]
    fn token_opens_its_room_with_its_rights_only() {
        let keys = Keys::new(SECRET);
        let token = keys
            .sign(claims(true, false), Duration::from_secs(60))
            .unwrap();
        assert_eq!(
            keys.admit(Some(&token), "a", Role::Publish).map(drop),
            Ok(())
        );
        assert_eq!(
            keys.admit(Some(&token), "a", Role::Subscribe),
            Err(Denied::NoRight)
        );
        assert_eq!(
            keys.admit(Some(&token), "a", Role::Page),
            Err(Denied::OneWay)
        );
        assert_eq!(
            keys.admit(Some(&token), "b", Role::Publish),
            Err(Denied::OtherRoom)
        );
        assert_eq!(keys.admit(None, "a", Role::Publish), Err(Denied::Missing));
        let both = keys
            .sign(claims(true, true), Duration::from_secs(60))
            .unwrap();
        assert_eq!(keys.admit(Some(&both), "a", Role::Page).map(drop), Ok(()));
    }

    #[test]
    fn forged_and_expired_tokens_are_refused() {
        let keys = Keys::new(SECRET);
        let other = Keys::new(b"another secret, another secret!!");
        let forged = other
            .sign(claims(true, true), Duration::from_secs(60))
            .unwrap();
        assert_eq!(keys.read(&forged), Err(Denied::Invalid));

        let old = Claims {
            exp: now() - 1,
            ..claims(true, true)
        };
        let old = encode(&Header::new(Algorithm::HS256), &old, &keys.encoding).unwrap();
        assert_eq!(keys.read(&old), Err(Denied::Expired));

        let token = keys
            .sign(claims(true, true), Duration::from_secs(60))
            .unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
        parts[0] = none;
        assert_eq!(keys.read(&parts.join(".")), Err(Denied::Invalid));
        parts[2] = "";
        assert_eq!(keys.read(&parts.join(".")), Err(Denied::Invalid));
        let changed = token.replacen('.', "x.", 1);
        assert_eq!(keys.read(&changed), Err(Denied::Invalid));
        for junk in ["", ".", "..", "a.b.c", &"x".repeat(100_000)] {
            assert_eq!(keys.read(junk), Err(Denied::Invalid));
        }
    }

    #[test]
    fn token_without_an_end_is_refused() {
        #[derive(Serialize)]
        struct Endless {
            room: &'static str,
            publish: bool,
        }
        let keys = Keys::new(SECRET);
        let endless = Endless {
            room: "a",
            publish: true,
        };
        let token = encode(&Header::new(Algorithm::HS256), &endless, &keys.encoding).unwrap();
        assert_eq!(keys.read(&token), Err(Denied::Invalid));
    }
}
