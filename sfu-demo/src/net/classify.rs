//! What a datagram is, as far as its first bytes tell.

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message about connectivity.
    Stun,
    /// Handshake, or data channels.
    Dtls,
    /// Media, encrypted.
    Rtp,
    /// Reports and requests, encrypted.
    Rtcp,
}

/// What a datagram is, as far as its first bytes tell (RFC 7983, RFC 5761); none if it is of no kind
/// that a peer may send.
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    match *bytes.first()? {
        0..=3 => Some(Kind::Stun),
        20..=63 => Some(Kind::Dtls),
        128..=191 => match bytes.get(1)? {
            192..=223 => Some(Kind::Rtcp),
            _ => Some(Kind::Rtp),
        },
        _ => None,
    }
}
