//! What happens to links and lanes, told to whoever listens.

use std::{fmt, sync::Arc};

use lanemesh_runtime::ExitReason;

/// What has happened to a link or a lane of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A link is up.
    LinkUp {
        /// The peer.
        peer: PeerInfo,
    },
    /// Nothing was heard of a peer for a while.
    LinkSuspected {
        /// The peer.
        peer: PeerInfo,
    },
    /// A link that is down could not be made again. Another attempt follows.
    ConnectFailed {
        /// Where this node has tried to connect.
        address: Arc<str>,
        /// Why it failed.
        error: Arc<str>,
        /// Failures in a row since the link is down.
        failures: u32,
    },
    /// A link is down.
    LinkDown(LinkDown),
    /// An address of a [`Discovery`](crate::discovery::Discovery), or one that a peer has told of, does not lead to
    /// a node. It is tried again after a pause.
    AddressFailed {
        /// The address.
        address: Arc<str>,
        /// What is wrong.
        error: Arc<str>,
        /// How often in a row.
        failures: u32,
    },
    /// A [`Discovery`](crate::discovery::Discovery) did not say which addresses there are. Those that it named last
    /// are kept, and it is asked again after a pause.
    DiscoveryFailed {
        /// Which one.
        source: Arc<str>,
        /// What is wrong.
        error: Arc<str>,
        /// How often in a row.
        failures: u32,
    },
    /// A handle of a remote actor has ended. It is the last report about it.
    LaneEnded {
        /// The node on which the actor is.
        peer: PeerInfo,
        /// The name under which the actor was looked up.
        name: Arc<str>,
        /// Why: that of the actor, or [`ExitReason::Unreachable`].
        reason: ExitReason,
        /// Messages that were not written to the link: each was offered as a dead letter.
        dead_letters: u64,
        /// Messages that were written, and whose arrival in the actor's mailbox was not confirmed when
        /// the actor ended. Those of a link that is down are in [`LinkDown::unconfirmed`].
        unconfirmed: u64,
        /// Messages that could not be serialized, or were larger than a frame: dropped, and logged.
        refused: u64,
    },
}

/// A link is down: what is known of the messages that it had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkDown {
    /// The peer.
    pub peer: PeerInfo,
    /// Why.
    pub why: DownReason,
    /// Messages of this node that were written and whose arrival in their actors' mailboxes is not
    /// confirmed: each has arrived or is lost.
    pub unconfirmed: u64,
    /// Asks of this node that ended as [`AskError::Unknown`](lanemesh_runtime::AskError::Unknown): written, and not
    /// answered.
    pub asks: u64,
}

/// Another node: its name and which of its lives this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerInfo {
    /// The name.
    pub name: Arc<str>,
    /// The incarnation: microseconds since 1970 at the start, unless it was set.
    pub incarnation: u64,
}

impl fmt::Display for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.incarnation)
    }
}

/// Why a link is down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// This node has closed it.
    Closed,
    /// The peer has closed it on purpose.
    ClosedByPeer,
    /// A connection was closed or reset, with this error.
    Lost(Arc<str>),
    /// Nothing was heard of the peer for [`Config::dead_after`](crate::Config::dead_after).
    Silent,
    /// A later incarnation of the peer has connected; or the same one again, which then has lost the link.
    Replaced,
    /// The token of the peer has expired.
    Expired,
    /// The peer has sent what the protocol forbids.
    Violation(Arc<str>),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed here"),
            Self::ClosedByPeer => f.write_str("closed by the peer"),
            Self::Lost(error) => write!(f, "lost: {error}"),
            Self::Silent => f.write_str("the peer is silent"),
            Self::Replaced => {
                f.write_str("the peer has connected again, or a later incarnation of it")
            }
            Self::Expired => f.write_str("the token of the peer has expired"),
            Self::Violation(text) => write!(f, "the peer violates the protocol: {text}"),
        }
    }
}
