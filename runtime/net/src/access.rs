//! What a node may do with an exported actor, and patterns of names.

/// What a node may do with an actor of another one.
///
/// # Examples
///
/// ```
/// use lanemesh_net::{Access, ExportOptions, Token};
/// use std::time::Duration;
///
/// // To nodes of the network, everything; to pages, only data.
/// let options = ExportOptions::new().with_stop().grant("page/*", Access::LOW);
/// // A page that may ask one actor, and send data to all of a kind.
/// let hour = Duration::from_secs(3600);
/// let token = Token::new("page/7", hour).grant("lobby", Access::ALL).grant("room/*", Access::LOW);
/// # drop((options, token));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub(crate) high: bool,
    pub(crate) low: bool,
    pub(crate) stop: bool,
}

impl Access {
    /// Nothing: it cannot be looked up.
    pub const NONE: Self = Self {
        high: false,
        low: false,
        stop: false,
    };

    /// Messages of high priority.
    pub const HIGH: Self = Self {
        high: true,
        ..Self::NONE
    };

    /// Messages of low priority.
    pub const LOW: Self = Self {
        low: true,
        ..Self::NONE
    };

    /// Messages of both classes.
    pub const ALL: Self = Self {
        high: true,
        ..Self::LOW
    };

    /// This, and `stop`, `drain` and `kill`.
    #[must_use]
    pub const fn and_stop(mut self) -> Self {
        self.stop = true;
        self
    }

    /// What is in either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            high: self.high || other.high,
            low: self.low || other.low,
            stop: self.stop || other.stop,
        }
    }

    /// What is in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            high: self.high && other.high,
            low: self.low && other.low,
            stop: self.stop && other.stop,
        }
    }

    pub(crate) fn to_bits(self) -> u8 {
        u8::from(self.high) | u8::from(self.low) << 1 | u8::from(self.stop) << 2
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits < 8).then_some(Self {
            high: bits & 1 != 0,
            low: bits & 2 != 0,
            stop: bits & 4 != 0,
        })
    }
}

/// Whether a name is that of a pattern, or begins with what stands before the `*` at the end of it.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_covers_its_name_or_what_begins_like_it() {
        for (pattern, name, is_covered) in [
            ("room", "room", true),
            ("room", "room/1", false),
            ("room/*", "room/1", true),
            ("room/*", "room/", true),
            ("room/*", "room", false),
            ("room/*", "lobby/room/1", false),
            ("*", "anything", true),
            ("ro*om", "room", false),
            ("", "", true),
            ("", "room", false),
        ] {
            assert_eq!(covers(pattern, name), is_covered, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn access_is_written_as_bits() {
        for bits in 0..8 {
            assert_eq!(Access::from_bits(bits).unwrap().to_bits(), bits);
        }
        assert_eq!(Access::from_bits(8), None);
        assert_eq!(Access::HIGH.or(Access::LOW), Access::ALL);
        assert_eq!(Access::ALL.and_stop().and(Access::LOW), Access::LOW);
        assert_eq!(Access::HIGH.and(Access::LOW), Access::NONE);
    }
}
