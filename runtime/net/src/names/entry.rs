//! Entries of the directory, and how nodes tell each other of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::PeerInfo;

/// Bytes of a scope.
pub(super) const MAX_SCOPE: usize = 255;
/// Bytes of a name.
pub(super) const MAX_NAME: usize = 1024;
/// Entries in one message.
const PART: usize = 32;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The name of an actor: one node has it.
    Name,
    /// An actor of a group.
    Group,
    /// A node on which a singleton may run. There is no actor.
    Candidate,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) scope: Arc<str>,
    pub(super) name: Arc<str>,
}

impl Key {
    pub(super) fn new(kind: Kind, scope: &str, name: &str) -> Self {
        Self {
            kind,
            scope: scope.into(),
            name: name.into(),
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.scope.len() <= MAX_SCOPE && self.name.len() <= MAX_NAME
    }
}

/// Whose entry it is. Of several holders of a name the greatest counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    /// Greater than that of all entries that the node knew when it made this one.
    pub(super) term: u64,
    pub(super) incarnation: u64,
    pub(super) node: Arc<str>,
    /// The number of the entry on its node.
    pub(super) id: u64,
}

impl Holder {
    pub(super) fn peer(&self) -> PeerInfo {
        PeerInfo {
            name: self.node.clone(),
            incarnation: self.incarnation,
        }
    }

    /// Under which name the actor is exported: another life of the node has other names.
    pub(super) fn export(&self) -> String {
        format!("lanemesh/names/{}/{}", self.incarnation, self.id)
    }
}

/// A change of a node's own entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    Put {
        id: u64,
        term: u64,
        kind: Kind,
        scope: String,
        name: String,
    },
    Remove {
        id: u64,
    },
}

impl Change {
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Put { id, .. } | Self::Remove { id } => *id,
        }
    }

    pub(super) fn put(id: u64, term: u64, key: &Key) -> Self {
        Self::Put {
            id,
            term,
            kind: key.kind,
            scope: key.scope.to_string(),
            name: key.name.to_string(),
        }
    }
}

/// Changes of a node's entries, or a part of all its entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Announcement {
    pub(super) node: String,
    pub(super) incarnation: u64,
    /// Grows with each time that all entries are told: what is told in an earlier session is outdated.
    pub(super) session: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Content {
    /// A part of all entries.
    All { is_last: bool, entries: Vec<Change> },
    /// What has changed since.
    Changes(Vec<Change>),
}

/// The messages that tell of all entries, or of changes.
pub(super) fn announcements(
    from: &PeerInfo,
    session: u64,
    is_all: bool,
    changes: &[Change],
) -> Vec<Announcement> {
    let mut parts: Vec<_> = changes.chunks(PART).map(<[Change]>::to_vec).collect();
    if parts.is_empty() && is_all {
        parts.push(Vec::new());
    }
    let count = parts.len();
    let announcement = |(index, entries)| Announcement {
        node: from.name.to_string(),
        incarnation: from.incarnation,
        session,
        content: match is_all {
            true => Content::All {
                is_last: index + 1 == count,
                entries,
            },
            false => Content::Changes(entries),
        },
    };
    parts.into_iter().enumerate().map(announcement).collect()
}
