//! The little of STUN that the shared socket reads: whether a datagram is one, and for whom.

const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const HEADER: usize = 20;
const USERNAME: u16 = 6;

/// Whether a datagram is STUN: a request, or an answer to one.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    let is_header = |header: &[u8]| header[0] <= 3 && header[4..8] == COOKIE;
    datagram.get(..HEADER).is_some_and(is_header)
}

/// What a datagram of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// STUN.
    Check,
    /// DTLS, and with it all channels; or nothing that is known.
    Data,
    /// RTP or RTCP.
    Media,
}

/// Tells by the first byte what a datagram is (RFC 7983).
pub(super) fn content(datagram: &[u8]) -> Content {
    match datagram.first() {
        Some(128..=191) => Content::Media,
        _ if is_stun(datagram) => Content::Check,
        _ => Content::Data,
    }
}

/// The user fragment of the receiving end in a STUN request.
pub(super) fn fragment(datagram: &[u8]) -> Option<&str> {
    let (header, mut rest) = datagram.split_at_checked(HEADER)?;
    if !is_stun(datagram) || header[0] > 1 {
        return None;
    }
    while let Some((head, after)) = rest.split_at_checked(4) {
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        if kind == USERNAME {
            let name = std::str::from_utf8(value).ok()?;
            return name.split(':').next();
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(&[7; 12]);
        for (kind, value) in attributes {
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn fragment_is_what_stands_before_the_colon() {
        let good = request(&[(0x24, &[1, 2, 3]), (USERNAME, b"ours:theirs")]);
        assert_eq!(fragment(&good), Some("ours"));
        // Whatever is cut off or changed is no reason to panic.
        for end in 0..good.len() {
            let _ = fragment(&good[..end]);
            let mut changed = good.clone();
            changed[end] ^= 0xff;
            let _ = fragment(&changed);
        }
        assert_eq!(fragment(&request(&[(0x24, b"x")])), None);
        assert_eq!(fragment(&request(&[(USERNAME, &[0xff])])), None);
        assert!(is_stun(&good) && !is_stun(&good[..19]));
        let mut other = good;
        other[0] = 4;
        assert!(!is_stun(&other) && fragment(&other).is_none());
        other[..5].copy_from_slice(&[0, 1, 0, 0, 0]);
        assert_eq!(fragment(&other), None);
    }
}
