//! Why a message was not weighed. The message comes back.

use std::{error::Error, fmt};

/// Why a message was not weighed, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WeighError<T> {
    /// It weighs more than the whole limit, or than was reserved for it: it never fits.
    TooHeavy(T),
    /// The limit is closed.
    Closed(T),
}

/// Why a message was not weighed at once, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryWeighError<T> {
    /// It does not fit beside the messages that were weighed, or others wait.
    Full(T),
    /// It weighs more than the whole limit: it never fits.
    TooHeavy(T),
    /// The limit is closed.
    Closed(T),
}

const TOO_HEAVY: &str = "the message weighs more than the limit";
const CLOSED: &str = "the weight limit is closed";

impl<T> WeighError<T> {
    /// The message that was not weighed.
    pub fn into_inner(self) -> T {
        match self {
            Self::TooHeavy(message) | Self::Closed(message) => message,
        }
    }

    /// Whether the message never fits.
    pub fn is_too_heavy(&self) -> bool {
        matches!(self, Self::TooHeavy(_))
    }

    /// Whether the limit was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The same error with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> WeighError<U> {
        match self {
            Self::TooHeavy(message) => WeighError::TooHeavy(f(message)),
            Self::Closed(message) => WeighError::Closed(f(message)),
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::TooHeavy(_) => TOO_HEAVY,
            Self::Closed(_) => CLOSED,
        }
    }
}

impl<T> TryWeighError<T> {
    /// The message that was not weighed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::TooHeavy(message) | Self::Closed(message) => message,
        }
    }

    /// Whether the message may fit later.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the message never fits.
    pub fn is_too_heavy(&self) -> bool {
        matches!(self, Self::TooHeavy(_))
    }

    /// Whether the limit was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The same error with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> TryWeighError<U> {
        match self {
            Self::Full(message) => TryWeighError::Full(f(message)),
            Self::TooHeavy(message) => TryWeighError::TooHeavy(f(message)),
            Self::Closed(message) => TryWeighError::Closed(f(message)),
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::Full(_) => "the weight limit is reached",
            Self::TooHeavy(_) => TOO_HEAVY,
            Self::Closed(_) => CLOSED,
        }
    }
}

/// Implements the traits of an error that has a text and holds a message, which is not shown.
macro_rules! error {
    ($($error:ident { $($variant:ident),+ })*) => {
        $(
            impl<T> fmt::Debug for $error<T> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    match self {
                        $(Self::$variant(_) => f.write_str(concat!(stringify!($variant), "(..)")),)+
                    }
                }
            }

            impl<T> fmt::Display for $error<T> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(self.text())
                }
            }

            impl<T> Error for $error<T> {}
        )*
    };
}

error! {
    WeighError { TooHeavy, Closed }
    TryWeighError { Full, TooHeavy, Closed }
}
