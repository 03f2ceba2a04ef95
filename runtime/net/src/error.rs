//! Errors of nodes, connections and look-ups.

use std::{error::Error, fmt, io, sync::Arc};

use crate::transport::refused_certificate;

/// Why a node did not start, or did not connect.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is of no kind that this node has a transport for.
    Address(String),
    /// The network or the operating system refuses.
    Io(io::Error),
    /// Strangers can connect to this address, and the node has no secret
    /// ([`NodeBuilder::secret`](crate::NodeBuilder::secret)), nor a key of tokens or a token instead.
    NoSecret,
    /// The other end does not speak this protocol.
    Protocol(&'static str),
    /// The other end speaks another version of the protocol. It is told, too.
    Version {
        /// The version of this node.
        ours: u16,
        /// That of the other end.
        theirs: u16,
    },
    /// The other end does not know the secret, or a proof is forged.
    Unauthenticated,
    /// One end does not accept the certificate of the other, for this reason.
    Certificate(Arc<str>),
    /// The other end announces this name, and its certificate does not carry it.
    WrongName(Arc<str>),
    /// The other end has refused this node, for this reason.
    Refused(&'static str),
    /// The other end has the name of this node, and is this node perhaps.
    OwnName,
    /// It took longer than [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    Timeout,
    /// The node is shut down.
    Closed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "no transport for the address {address}"),
            Self::NoSecret => f.write_str("a node on a network needs a secret, or tokens"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Protocol(text) => f.write_str(text),
            Self::Version { ours, theirs } => write!(
                f,
                "the other end speaks version {theirs} of the protocol, and this node version {ours}"
            ),
            Self::Unauthenticated => f.write_str("the other end does not know the secret"),
            Self::Certificate(why) => write!(f, "a certificate is not accepted: {why}"),
            Self::WrongName(name) => {
                write!(
                    f,
                    "the other end's certificate is not that of a node named {name}"
                )
            }
            Self::Refused(why) => write!(f, "refused by the other end: {why}"),
            Self::OwnName => f.write_str("the other end has the name of this node"),
            Self::Timeout => f.write_str("no connection in time"),
            Self::Closed => f.write_str("the node is shut down"),
        }
    }
}

impl Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match refused_certificate(&error) {
            Some(why) => Self::Certificate(why.into()),
            None => Self::Io(error),
        }
    }
}

/// Why an actor was not exported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// Another actor, which is alive, is exported under this name.
    NameTaken,
    /// The name has more than 4096 bytes.
    NameTooLong,
    /// The node is shut down.
    Closed,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameTaken => "another actor is exported under this name",
            Self::NameTooLong => "the name has more than 4096 bytes",
            Self::Closed => "the node is shut down",
        })
    }
}

impl Error for ExportError {}

/// Why no handle of a remote actor was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// No connected node exports an actor under this name.
    Unknown,
    /// The actor is of another type, or has no version in common: what the other node says.
    Mismatch(Arc<str>),
    /// The other node does not let this node have it.
    Denied(Arc<str>),
    /// The other node has given out as many lanes on the link as it may.
    Limit,
    /// There is no link to the node that was named.
    NoLink,
    /// No answer within [`Config::lookup_timeout`](crate::Config::lookup_timeout).
    Timeout,
    /// The link broke before the answer.
    LinkDown,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no connected node exports an actor under this name"),
            Self::Mismatch(text) | Self::Denied(text) => f.write_str(text),
            Self::Limit => f.write_str("the other node gives out no more lanes"),
            Self::NoLink => f.write_str("there is no link to the node"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::LinkDown => f.write_str("the link broke before the answer"),
        }
    }
}

impl Error for LookupError {}

impl LookupError {
    /// Of the answers of two nodes, the one that says more: a refusal before silence, and both before that there is no such
    /// actor. Of two that say as much, this one.
    pub(crate) fn or_more(self, other: Self) -> Self {
        let says = |error: &Self| match error {
            Self::Unknown | Self::NoLink => 0,
            Self::Timeout | Self::LinkDown => 1,
            Self::Mismatch(_) | Self::Denied(_) | Self::Limit => 2,
        };
        if says(&other) > says(&self) {
            other
        } else {
            self
        }
    }
}

/// The kinds of refusal, on the wire.
pub(crate) mod refusal {
    use super::LookupError;

    pub(crate) const UNKNOWN: u8 = 0;
    pub(crate) const MISMATCH: u8 = 1;
    pub(crate) const DENIED: u8 = 2;
    pub(crate) const LIMIT: u8 = 3;

    pub(crate) fn error(why: u8, text: String) -> LookupError {
        match why {
            UNKNOWN => LookupError::Unknown,
            MISMATCH => LookupError::Mismatch(text.into()),
            LIMIT => LookupError::Limit,
            _ => LookupError::Denied(text.into()),
        }
    }
}
