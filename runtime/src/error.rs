//! Errors of starting, sending to, and asking an actor, and of its hooks.
//!
//! A failed send returns the message. Why an actor ended is an [`ExitReason`](crate::ExitReason),
//! not an error.

use std::{any::type_name, error::Error, fmt, sync::Arc};

use crate::id::ActorId;

/// The result of every hook of an actor.
pub type ActorResult = Result<(), ActorError>;

/// The error with which a hook fails its actor.
///
/// Every error type converts into it, so `?` works in hooks. It is cheap to clone, because every
/// watcher gets a copy with the exit reason.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::ActorError;
///
/// fn parse(text: &str) -> Result<u32, ActorError> {
///     let number: u32 = text.parse()?;
///     if number == 0 {
///         return Err(ActorError::msg("zero is not a port"));
///     }
///     Ok(number)
/// }
/// assert!(parse("x").is_err());
/// assert_eq!(parse("0").unwrap_err().to_string(), "zero is not a port");
/// ```
#[derive(Clone)]
pub struct ActorError(Arc<dyn Error + Send + Sync>);

impl ActorError {
    /// Makes an error from a text.
    pub fn msg(text: impl fmt::Display) -> Self {
        Self(Arc::new(Text(text.to_string())))
    }

    /// The actor `A` has received an `M` but does not implement the hook for it.
    #[cold]
    pub(crate) fn no_hook<A, M>(hook: &str) -> Self {
        let (actor, message) = (type_name::<A>(), type_name::<M>());
        let class = if hook == "on_high" { "high" } else { "low" };
        Self::msg(format_args!(
            "{actor} received a {class}-priority message of type {message} \
             but does not implement `{hook}`"
        ))
    }

    /// The error inside, for example to downcast it.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ActorError {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Debug for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[derive(Debug)]
struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Text {}

/// Why a message was not sent. It returns the message.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<M> {
    /// The actor accepts no more messages: it has ended or is stopping.
    Closed(M),
    /// The lane is full, and its policy or the call is not to wait.
    Full(M),
    /// The message has expired: before it was sent, or while waiting for room.
    Expired(M),
    /// Waiting would never end: the actors of the cycle wait for room in each other's lanes. Or one
    /// of them is down until a round of restarts is over, which waits until the next one ends.
    Deadlock {
        /// The message that was not sent.
        message: M,
        /// The actors of the cycle: the first is the sender, each waits for the next, and the
        /// last waits for the first.
        cycle: Vec<ActorId>,
    },
}

impl<M> SendError<M> {
    /// The message that was not sent.
    pub fn into_inner(self) -> M {
        match self {
            Self::Closed(message) | Self::Full(message) | Self::Expired(message) => message,
            Self::Deadlock { message, .. } => message,
        }
    }

    /// Whether the actor accepts no more messages.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Whether the lane was full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Converts the message.
    pub fn map<N>(self, f: impl FnOnce(M) -> N) -> SendError<N> {
        match self {
            Self::Closed(message) => SendError::Closed(f(message)),
            Self::Full(message) => SendError::Full(f(message)),
            Self::Expired(message) => SendError::Expired(f(message)),
            Self::Deadlock { message, cycle } => SendError::Deadlock {
                message: f(message),
                cycle,
            },
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::Closed(_) => "the actor accepts no more messages",
            Self::Full(_) => "the lane is full",
            Self::Expired(_) => "the message has expired",
            Self::Deadlock { .. } => "the actors wait for room in each other's lanes",
        }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("Closed(..)"),
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Expired(_) => f.write_str("Expired(..)"),
            Self::Deadlock { cycle, .. } => f
                .debug_struct("Deadlock")
                .field("cycle", cycle)
                .finish_non_exhaustive(),
        }
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<M> Error for SendError<M> {}

/// The stash of the actor is full, or the actor has a [keeper](crate::Builder::keeper), which allows
/// none. It returns the message.
#[derive(Clone, PartialEq, Eq)]
pub struct StashFull<M>(pub M);

impl<M> fmt::Debug for StashFull<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StashFull(..)")
    }
}

impl<M> fmt::Display for StashFull<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the stash holds as many messages as `Builder::stash_capacity` and a keeper allow",
        )
    }
}

impl<M> Error for StashFull<M> {}

/// Why an ask has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The actor accepts no more messages, or ended without a failure while this one was queued.
    Closed,
    /// There was no room for the message in the lane: not within the timeout if the overflow policy
    /// is to wait, else not at once. It was not sent.
    Full,
    /// No answer arrived in time; the actor may or may not have handled the message.
    Timeout,
    /// The actor dropped the [`Reply`](crate::Reply) without an answer, or failed: while it was
    /// handling the message or, if it is not restarted, while the message was queued.
    Crashed,
    /// The link to the actor's node broke after the message was sent: the actor may or may not have
    /// handled it.
    Unknown,
    /// The link to the actor's node is down, and the message was not sent.
    Unreachable,
    /// The actor is in another process, and what was asked for needs its memory.
    NotLocal,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the actor ended before it handled the message",
            Self::Full => "the lane has no room for the message",
            Self::Timeout => "no answer in time",
            Self::Crashed => "the actor dropped the reply without an answer",
            Self::Unknown => "the link broke before the answer",
            Self::Unreachable => "the link to the actor's node is down; the message was not sent",
            Self::NotLocal => "the actor is in another process",
        })
    }
}

impl Error for AskError {}

/// Why an actor could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// A lane capacity is zero.
    ZeroCapacity,
    /// The caller is not inside a tokio runtime.
    NoRuntime,
    /// The worker thread has ended.
    WorkerThreadClosed,
    /// A [`LocalActor`](crate::LocalActor) can only run on a worker thread or a current-thread
    /// runtime.
    NeedsWorkerThread,
    /// An actor given by value cannot be made again, so it cannot have a restart policy. Use
    /// [`builder`](crate::builder) with a factory.
    NeedsFactory,
    /// The parent or the system is stopping and accepts no more children.
    Closing,
    /// The last worker of the pool has ended: it accepts no more workers.
    PoolClosed,
    /// Another actor of the system is registered under this name.
    NameTaken,
    /// An actor that does not belong to a [`System`](crate::System) cannot be registered.
    NoSystem,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCapacity => "a lane needs a capacity of at least one message",
            Self::NoRuntime => "an actor can only be started inside a tokio runtime",
            Self::WorkerThreadClosed => "the worker thread has ended",
            Self::NeedsWorkerThread => "an actor that is not Send needs a worker thread",
            Self::NeedsFactory => {
                "an actor given by value cannot be restarted: use `builder` with a factory"
            }
            Self::Closing => "the parent is stopping and accepts no more children",
            Self::PoolClosed => "the last worker of the pool has ended",
            Self::NameTaken => "another actor of the system is registered under this name",
            Self::NoSystem => "only actors of a system can be registered by name",
        })
    }
}

impl Error for SpawnError {}

/// The asker is gone. It returns the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplyError<R>(pub R);

impl<R> fmt::Debug for ReplyError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyError(..)")
    }
}

impl<R> fmt::Display for ReplyError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the asker is gone")
    }
}

impl<R> Error for ReplyError<R> {}

/// Why an actor was not found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// No actor of the system is registered under this name, or the actor has ended.
    Unknown,
    /// The actor is of another type.
    OtherType {
        /// Its type.
        kind: &'static str,
    },
    /// The actor that looks does not belong to a [`System`](crate::System).
    NoSystem,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no actor of the system is registered under this name"),
            Self::OtherType { kind } => write!(f, "the actor under this name is of type {kind}"),
            Self::NoSystem => f.write_str("the actor does not belong to a system"),
        }
    }
}

impl Error for LookupError {}
