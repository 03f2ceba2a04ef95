//! The errors of all operations. A failed send returns its message; no error allocates.

use std::{error::Error, fmt};

/// The channel is closed; field 0 is the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why a `try_send` failed, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The sender's lane holds as many messages as its capacity allows; or, with a
    /// [total capacity](crate::Builder::total_capacity), no slot can be borrowed.
    Full(T),
    /// The receiver has closed the channel or was dropped.
    Closed(T),
}

/// Why a `send_timeout` failed, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The lane stayed full for the whole time.
    Timeout(T),
    /// The receiver has closed the channel or was dropped.
    Closed(T),
}

/// Why a [`send_or`](crate::Sender::send_or) failed, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendOrError<T, R> {
    /// The other future was ready while there was no room; field 1 is its result.
    Stopped(T, R),
    /// The receiver has closed the channel or was dropped.
    Closed(T),
}

/// The channel closed before a whole batch was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SendManyError<T> {
    /// How many messages of the batch were accepted: the receiver gets them, or drops them when it
    /// is dropped itself.
    pub sent: usize,
    /// The messages that were taken from the iterator but not accepted, in order.
    pub unsent: Vec<T>,
}

/// Why a `try_recv` returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message now, but one may come.
    Empty,
    /// The channel is closed and drained: no message will ever come.
    Closed,
}

/// Why a `recv_timeout` returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message came in time.
    Timeout,
    /// The channel is closed and drained: no message will ever come.
    Closed,
}

/// Why a [`recv_or`](crate::Receiver::recv_or) returned no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvOrError<R> {
    /// The other future was ready while there was no message; field 0 is its result.
    Stopped(R),
    /// The channel is closed and drained: no message will ever come.
    Closed,
}

const CLOSED: &str = "the channel is closed";
const FULL: &str = "the lane is full";

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    /// Whether the lane was full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the channel was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The same error with another value, such as the message inside the one that was sent.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> TrySendError<U> {
        match self {
            Self::Full(message) => TrySendError::Full(f(message)),
            Self::Closed(message) => TrySendError::Closed(f(message)),
        }
    }
}

impl<T> SendTimeoutError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(message) | Self::Closed(message) => message,
        }
    }
}

impl<T, R> SendOrError<T, R> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Stopped(message, _) | Self::Closed(message) => message,
        }
    }
}

// `Debug` does not require `T: Debug`, so that `unwrap` and `?` work with any message.

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(_) => f.write_str("Timeout(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

impl<T, R> fmt::Debug for SendOrError<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(..) => f.write_str("Stopped(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

impl<T> fmt::Debug for SendManyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendManyError")
            .field("sent", &self.sent)
            .field("unsent", &format_args!("[{} messages]", self.unsent.len()))
            .finish()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => FULL,
            Self::Closed(_) => CLOSED,
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "the lane stayed full until the timeout",
            Self::Closed(_) => CLOSED,
        })
    }
}

impl<T, R> fmt::Display for SendOrError<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped(..) => "the lane stayed full until the wait was stopped",
            Self::Closed(_) => CLOSED,
        })
    }
}

impl<T> fmt::Display for SendManyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CLOSED} after {} messages of the batch", self.sent)
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Closed => "the channel is closed and drained",
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no message came before the timeout",
            Self::Closed => "the channel is closed and drained",
        })
    }
}

impl<R> fmt::Display for RecvOrError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped(_) => "no message came until the wait was stopped",
            Self::Closed => "the channel is closed and drained",
        })
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl<T> Error for SendManyError<T> {}
impl<T, R> Error for SendOrError<T, R> {}
impl<R: fmt::Debug> Error for RecvOrError<R> {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}

impl From<TryRecvError> for RecvTimeoutError {
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::Timeout,
            TryRecvError::Closed => Self::Closed,
        }
    }
}

impl<T> From<TrySendError<T>> for SendTimeoutError<T> {
    fn from(error: TrySendError<T>) -> Self {
        match error {
            TrySendError::Full(message) => Self::Timeout(message),
            TrySendError::Closed(message) => Self::Closed(message),
        }
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(SendError(message): SendError<T>) -> Self {
        Self::Closed(message)
    }
}
