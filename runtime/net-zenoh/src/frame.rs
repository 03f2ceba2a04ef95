//! What goes from one inbox to another: a header of a fixed layout, and bytes.

/// Which process, as it is now: a random number.
pub(crate) type Inbox = u128;

/// Bytes of a header.
const HEADER: usize = 43;
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks for a stream. The number is its class, the body the address.
    Open,
    /// There is a stream.
    Accept,
    /// Bytes. The number is how many were before them.
    Data,
    /// There are no more bytes. The number is how many there were.
    End,
    /// How many bytes have been read.
    Read,
    /// There is no such stream, or nobody who reads it.
    Reset,
}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Opener,
    Acceptor,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// For which end of the stream.
    pub(crate) to: Side,
    pub(crate) stream: u128,
    /// Who has sent it.
    pub(crate) from: Inbox,
    pub(crate) number: u64,
}

impl Header {
    /// The frame with this body.
    pub(crate) fn with(&self, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEADER + body.len());
        let kind = match self.kind {
            Kind::Open => 0,
            Kind::Accept => 1,
            Kind::Data => 2,
            Kind::End => 3,
            Kind::Read => 4,
            Kind::Reset => 5,
        };
        let side = match self.to {
            Side::Opener => 0,
            Side::Acceptor => 1,
        };
        frame.extend([VERSION, kind, side]);
        frame.extend(self.stream.to_le_bytes());
        frame.extend(self.from.to_le_bytes());
        frame.extend(self.number.to_le_bytes());
        frame.extend(body);
        frame
    }

    /// The header of a frame, and where its body begins. None if it is not one of this version.
    pub(crate) fn parse(frame: &[u8]) -> Option<(Self, usize)> {
        let (first, rest) = frame.split_first_chunk()?;
        let [VERSION, kind, side] = *first else {
            return None;
        };
        let kind = match kind {
            0 => Kind::Open,
            1 => Kind::Accept,
            2 => Kind::Data,
            3 => Kind::End,
            4 => Kind::Read,
            5 => Kind::Reset,
            _ => return None,
        };
        let to = match side {
            0 => Side::Opener,
            1 => Side::Acceptor,
            _ => return None,
        };
        let (stream, rest) = rest.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        let header = Self {
            kind,
            to,
            stream: u128::from_le_bytes(*stream),
            from: Inbox::from_le_bytes(*from),
            number: u64::from_le_bytes(*number),
        };
        Some((header, HEADER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_comes_back_and_a_part_of_it_is_refused() {
        for kind in [
            Kind::Open,
            Kind::Accept,
            Kind::Data,
            Kind::End,
            Kind::Read,
            Kind::Reset,
        ] {
            let header = Header {
                kind,
                to: Side::Acceptor,
                stream: u128::MAX - 1,
                from: 7,
                number: 1 << 40,
            };
            let frame = header.with(b"body");
            assert_eq!(Header::parse(&frame), Some((header, frame.len() - 4)));
            for length in 0..HEADER {
                assert_eq!(Header::parse(&frame[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let header = Header {
            kind: Kind::Data,
            to: Side::Opener,
            stream: 1,
            from: 2,
            number: 3,
        };
        for (at, value) in [(0, 0), (0, 2), (1, 6), (2, 2)] {
            let mut frame = header.with(&[]);
            frame[at] = value;
            assert_eq!(Header::parse(&frame), None, "{at} {value}");
        }
    }
}
