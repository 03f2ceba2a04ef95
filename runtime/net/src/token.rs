//! Tokens: who may connect, to do what, until when, signed by those who know a key.
//!
//! A token is read after its signature has been checked, and not before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    access::{Access, covers},
    wire::{Fields, FrameError, put_text},
};

/// Bytes that a token may have.
pub(crate) const MAX_TOKEN: usize = 4096;
/// Of the signature, which is first.
const SIGNATURE: usize = 32;
/// What is signed begins with this, so that nothing else that is signed with the key can be taken for it.
const CONTEXT: &[u8] = b"lanemesh token 1";

/// What a node or a page may do that does not know the secret of the network: connect under a name, until it
/// expires, and reach some actors.
///
/// It is a text for whoever may have it, and works for as long as it is valid, for anybody who has it: send it
/// over encrypted connections only, and let it expire soon. A link ends when the token expires that it was made
/// with.
///
/// Names end with `*` to cover all names that begin like them. What a token grants is an upper limit: an export
/// may grant less ([`ExportOptions::grant`](crate::ExportOptions::grant)).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_net::{Access, Node, Token};
///
/// let key = b"32 random bytes, known to issuers";
/// let token = Token::new("page/7", Duration::from_secs(3600)).grant("room/*", Access::ALL);
/// let for_the_page = token.sign(key);
/// // The node that the page connects to:
/// let node = Node::builder("gateway").token_key(*key).build();
/// # drop((for_the_page, node));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a token does nothing until it is signed"]
pub struct Token {
    node: String,
    /// Seconds since 1970.
    expires: u64,
    grants: Vec<(String, Access)>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// It is not signed with the key, or cannot be read.
    Forged,
    Expired,
    /// It is for another name.
    OtherName,
}

impl Token {
    /// For the node or page of this name, from now on for as long as it is `valid`, rounded up to seconds. It may
    /// connect, and reach nothing.
    pub fn new(node: impl Into<String>, valid: Duration) -> Self {
        Self {
            node: node.into(),
            expires: now().saturating_add(valid).as_secs().saturating_add(1),
            grants: Vec::new(),
        }
    }

    /// Lets it reach the actors that are exported under this name. Several grants for one actor add up.
    pub fn grant(mut self, actor: impl Into<String>, access: Access) -> Self {
        self.grants.push((actor.into(), access));
        self
    }

    /// The text to give away. `key` is that of [`NodeBuilder::token_key`](crate::NodeBuilder::token_key).
    ///
    /// # Panics
    ///
    /// If the names in it have more than about 4000 bytes together.
    pub fn sign(&self, key: &[u8]) -> String {
        let mut body = Vec::new();
        body.extend_from_slice(&self.expires.to_le_bytes());
        put_text(&mut body, &self.node);
        for (actor, access) in &self.grants {
            body.push(access.to_bits());
            put_text(&mut body, actor);
        }
        assert!(body.len() + SIGNATURE <= MAX_TOKEN, "a token is too long");
        let bytes = Self::seal(key, &body);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Puts a signature in front.
    pub(crate) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
        let mut sealed = mac(key, body).finalize().into_bytes().to_vec();
        sealed.extend_from_slice(body);
        sealed
    }

    /// Reads what [`sign`](Self::sign) has made, with the key.
    fn read(key: &[u8], bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_TOKEN {
            return None;
        }
        let (signature, body) = bytes.split_at_checked(SIGNATURE)?;
        mac(key, body).verify_slice(signature).ok()?;
        Self::parse(body).ok()
    }

    fn parse(body: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields(body);
        let (expires, node) = (fields.u64()?, fields.text()?.to_owned());
        let mut grants = Vec::new();
        while !fields.0.is_empty() {
            let access = Access::from_bits(fields.u8()?).ok_or(FrameError::Unknown)?;
            grants.push((fields.text()?.to_owned(), access));
        }
        Ok(Self {
            node,
            expires,
            grants,
        })
    }

    /// Checks the token of a peer that announces a name.
    pub(crate) fn check(key: &[u8], bytes: &[u8], name: &str) -> Result<Self, TokenError> {
        let token = Self::read(key, bytes).ok_or(TokenError::Forged)?;
        if token.is_expired() {
            return Err(TokenError::Expired);
        }
        match covers(&token.node, name) {
            true => Ok(token),
            false => Err(TokenError::OtherName),
        }
    }

    fn is_expired(&self) -> bool {
        self.left().is_zero()
    }

    /// For how long it is valid.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_secs(self.expires).saturating_sub(now())
    }

    /// What may be done with an actor.
    pub(crate) fn access(&self, actor: &str) -> Access {
        let grants = self.grants.iter();
        let granted = grants.filter(|(pattern, _)| covers(pattern, actor));
        granted.fold(Access::NONE, |all, (_, access)| all.or(*access))
    }
}

/// The bytes of a token, if a text can be one.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !text.len().is_multiple_of(2) || text.len() > 2 * MAX_TOKEN || !is_hex {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    pairs.map(byte).collect()
}

fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

fn mac(key: &[u8], body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(CONTEXT);
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";
    const HOUR: Duration = Duration::from_secs(3600);

    fn token() -> Token {
        Token::new("page/*", HOUR)
            .grant("room/*", Access::LOW)
            .grant("room/1", Access::HIGH)
            .grant("lobby", Access::ALL.and_stop())
    }

    #[test]
    fn token_comes_back_as_it_was_signed() {
        let signed = bytes(&token().sign(KEY)).unwrap();
        let read = Token::check(KEY, &signed, "page/7").unwrap();
        assert_eq!(read, token());
        assert!(read.left() > HOUR - Duration::from_secs(60));
        assert_eq!(read.access("room/1"), Access::ALL);
        assert_eq!(read.access("room/2"), Access::LOW);
        assert_eq!(read.access("lobby"), Access::ALL.and_stop());
        assert_eq!(read.access("lobby/2"), Access::NONE);
    }

    #[test]
    fn every_changed_bit_every_cut_and_another_key_make_it_worthless() {
        let signed = bytes(&token().sign(KEY)).unwrap();
        for bit in 0..signed.len() * 8 {
            let mut changed = signed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let checked = Token::check(KEY, &changed, "page/7");
            assert_eq!(checked, Err(TokenError::Forged), "{bit}");
        }
        for cut in 0..signed.len() {
            let checked = Token::check(KEY, &signed[..cut], "page/7");
            assert_eq!(checked, Err(TokenError::Forged), "{cut}");
        }
        let checked = Token::check(b"another key", &signed, "page/7");
        assert_eq!(checked, Err(TokenError::Forged));
    }

    #[test]
    fn token_that_is_over_or_for_another_name_is_refused() {
        let signed = bytes(&token().sign(KEY)).unwrap();
        let checked = Token::check(KEY, &signed, "pages");
        assert_eq!(checked, Err(TokenError::OtherName));
        let mut old = token();
        old.expires = now().as_secs();
        let signed = bytes(&old.sign(KEY)).unwrap();
        let checked = Token::check(KEY, &signed, "page/7");
        assert_eq!(checked, Err(TokenError::Expired));
        // It never overflows.
        let endless = Token::new("page/7", Duration::MAX);
        let signed = bytes(&endless.sign(KEY)).unwrap();
        assert!(Token::check(KEY, &signed, "page/7").is_ok());
    }

    #[test]
    fn text_that_is_no_token_has_no_bytes() {
        for text in ["a", "zz", "éé", "+1", "0x"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(bytes(&"0".repeat(2 * MAX_TOKEN + 2)), None);
        assert_eq!(bytes("00fF"), Some(vec![0, 255]));
    }
}
