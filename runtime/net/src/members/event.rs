//! Members, and what happens to them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::event::PeerInfo;

/// A node that has joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its name and incarnation.
    pub node: PeerInfo,
    /// Where it can be reached, as it says.
    pub addresses: Arc<[Arc<str>]>,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

/// What has happened to a member. For each incarnation of a node: up, then perhaps unreachable and
/// reachable in turns, then down, once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// It is linked to this node, and has introduced itself.
    Up(Member),
    /// There is no link to it any more. It may be gone, or there may be no network.
    Unreachable(Member),
    /// There is a link to the same incarnation again.
    Reachable(Member),
    /// It is no longer a member.
    Down(Member, DownCause),
}

/// Why a member is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownCause {
    /// It was unreachable for [`MemberOptions::down_after`](super::MemberOptions::down_after). Should it be
    /// linked again, it is up again.
    Unreachable,
    /// It was shut down in order.
    Left,
    /// Another incarnation of it is here.
    Replaced,
}

/// A member as it is sent.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Card {
    name: String,
    incarnation: u64,
    addresses: Vec<String>,
}

/// Addresses of one member.
const MAX_ADDRESSES: usize = 8;
/// Bytes of a name or an address.
const MAX_TEXT: usize = 255;

impl From<&Member> for Card {
    fn from(member: &Member) -> Self {
        let addresses = member.addresses.iter();
        Self {
            name: member.node.name.to_string(),
            incarnation: member.node.incarnation,
            addresses: addresses.map(ToString::to_string).collect(),
        }
    }
}

impl Card {
    /// What a peer has sent, if it is within the limits.
    pub(super) fn member(self) -> Option<Member> {
        let is_short = |text: &String| !text.is_empty() && text.len() <= MAX_TEXT;
        if !is_short(&self.name) {
            return None;
        }
        let addresses = self.addresses.into_iter().filter(is_short);
        Some(Member {
            node: PeerInfo {
                name: self.name.into(),
                incarnation: self.incarnation,
            },
            addresses: addresses.take(MAX_ADDRESSES).map(Arc::from).collect(),
        })
    }
}
