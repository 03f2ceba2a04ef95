//! The protocol of a datagram, told from its first bytes.

/// The protocol of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// STUN: connectivity checks.
    Stun,
    /// DTLS: the handshake, and data channels.
    Dtls,
    /// SRTP: media.
    Rtp,
    /// SRTCP: reports and requests.
    Rtcp,
}

/// The part of a session's ICE user name that says whose it is. After an ICE restart, the number of the restart follows.
#[must_use]
pub fn owner(ufrag: &str) -> &str {
    ufrag.split_once('+').map_or(ufrag, |(owner, _)| owner)
}

/// The protocol of a datagram (RFC 7983, RFC 5761); `None` if it is none that a peer may send.
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
