//! What a datagram is, as far as its first bytes tell.

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
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
pub fn classify(bytes: &[u8]) -> Option<PacketKind> {
    match *bytes.first()? {
        0..=3 => Some(PacketKind::Stun),
        20..=63 => Some(PacketKind::Dtls),
        128..=191 => match bytes.get(1)? {
            192..=223 => Some(PacketKind::Rtcp),
            _ => Some(PacketKind::Rtp),
        },
        _ => None,
    }
}
