//! Why there is no name, no handle, or no name any more.

use std::{error::Error, fmt};

use crate::{
    error::{ExportError, LookupError},
    event::PeerInfo,
};

/// Why an actor was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// This node, or a member, has an actor of this name.
    Taken(PeerInfo),
    /// The scope has more than 255 bytes, or the name more than 1024.
    TooLong,
    /// This node has as many entries as [`NameOptions::max_names`](super::NameOptions::max_names) says.
    TooMany,
    /// The actor was not exported.
    Export(ExportError),
    /// The node is shut down, or all [`Names`](super::Names) of it were dropped.
    Closed,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(node) => write!(f, "{node} has an actor of this name"),
            Self::TooLong => f.write_str("a scope has at most 255 bytes and a name 1024"),
            Self::TooMany => f.write_str("this node has as many names as it may"),
            Self::Export(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the node is shut down"),
        }
    }
}

impl Error for RegisterError {}

/// Why there is no handle of the actor that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// No member has an actor of this name.
    Unknown,
    /// The node that has it is unreachable at the moment, and not yet down.
    Unreachable(PeerInfo),
    /// The node that has it gives no handle.
    Lookup(LookupError),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no member has an actor of this name"),
            Self::Unreachable(node) => write!(f, "{node} has the actor and is unreachable"),
            Self::Lookup(error) => write!(f, "{error}"),
        }
    }
}

impl Error for NameError {}

/// Why a registration has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameEnd {
    /// Another node has registered the same name while the two did not know of each other, and its entry
    /// counts. The actor is still there.
    Lost(PeerInfo),
    /// The actor has ended.
    Ended,
    /// The registration was dropped.
    Dropped,
    /// The node is shut down, or all [`Names`](super::Names) of it were dropped.
    Closed,
}
