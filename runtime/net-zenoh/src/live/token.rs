//! What a liveliness token says: it is all in its key.

use std::sync::Arc;

use lanemesh_net::{PeerInfo, members::Member};

use crate::{
    frame::Inbox,
    text::{chunk, text},
};

/// Bytes of a key that is looked at.
const MAX_KEY: usize = 16 << 10;
/// Addresses of one node.
const MAX_ADDRESSES: usize = 8;

/// Who has a name. Of several the greatest counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    /// Greater than those of all names that its node knew when it gave this one.
    pub(crate) term: u64,
    pub(crate) node: Later,
    /// The number of the registration on its node.
    pub(crate) id: u64,
}

/// A node, of which a later incarnation is greater than any earlier one of any node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Later {
    pub(crate) incarnation: u64,
    pub(crate) name: Arc<str>,
}

impl Holder {
    pub(crate) fn peer(&self) -> PeerInfo {
        PeerInfo {
            name: self.node.name.clone(),
            incarnation: self.node.incarnation,
        }
    }

    /// Under which name the actor is exported: another life of the node has other names.
    pub(crate) fn export(&self) -> String {
        format!("lanemesh/zenoh/{}/{}", self.node.incarnation, self.id)
    }
}

/// A name in a scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) scope: Arc<str>,
    pub(crate) name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A process reads what is sent to its inbox.
    Inbox(Inbox),
    /// It accepts connections at an address, since then.
    Listener {
        address: String,
        since: u64,
        inbox: Inbox,
    },
    Node(Inbox, Member),
    Name(Inbox, Name, Holder),
}

impl Token {
    /// The part of the key after the root.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Inbox(inbox) => format!("inbox/{inbox:032x}"),
            Self::Listener {
                address,
                since,
                inbox,
            } => format!("listener/{inbox:032x}/{since}/{}", chunk(address)),
            Self::Node(inbox, member) => {
                let node = &member.node;
                let mut key = format!(
                    "node/{inbox:032x}/{}/{}",
                    node.incarnation,
                    chunk(&node.name)
                );
                for address in member.addresses.iter() {
                    key.push('/');
                    key.push_str(&chunk(address));
                }
                key
            }
            Self::Name(inbox, name, holder) => format!(
                "name/{inbox:032x}/{}/{}/{}/{}/{}/{}",
                chunk(&name.scope),
                chunk(&name.name),
                holder.term,
                holder.node.incarnation,
                chunk(&holder.node.name),
                holder.id
            ),
        }
    }

    /// What a key says, if [`key`](Self::key) has made it.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        if key.len() > MAX_KEY {
            return None;
        }
        let mut chunks = key.split('/');
        let kind = chunks.next()?;
        let inbox = Inbox::from_str_radix(chunks.next()?, 16).ok()?;
        let mut next = || chunks.next();
        let token = match kind {
            "inbox" => Self::Inbox(inbox),
            "listener" => Self::Listener {
                since: next()?.parse().ok()?,
                address: text(next()?)?,
                inbox,
            },
            "node" => {
                let incarnation = next()?.parse().ok()?;
                let name = Arc::from(text(next()?)?);
                let addresses = chunks.by_ref().take(MAX_ADDRESSES);
                let addresses: Option<_> =
                    addresses.map(|chunk| text(chunk).map(Arc::from)).collect();
                let member = Member {
                    node: PeerInfo { name, incarnation },
                    addresses: addresses?,
                };
                Self::Node(inbox, member)
            }
            "name" => {
                let name = Name {
                    scope: text(next()?)?.into(),
                    name: text(next()?)?.into(),
                };
                let term = next()?.parse().ok()?;
                let node = Later {
                    incarnation: next()?.parse().ok()?,
                    name: text(next()?)?.into(),
                };
                let id = next()?.parse().ok()?;
                Self::Name(inbox, name, Holder { term, node, id })
            }
            _ => return None,
        };
        // Nothing may follow, and no other key may mean the same.
        (chunks.next().is_none() && token.key() == key).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> [Token; 4] {
        let node = |name: &str| PeerInfo {
            name: name.into(),
            incarnation: 17,
        };
        let name = Name {
            scope: "".into(),
            name: "room/42".into(),
        };
        let holder = Holder {
            term: 3,
            node: Later {
                incarnation: u64::MAX,
                name: "日本".into(),
            },
            id: 0,
        };
        let member = Member {
            node: node("a b"),
            addresses: ["zenoh:a/b", "tcp://127.0.0.1:7"].map(Arc::from).into(),
        };
        [
            Token::Inbox(5),
            Token::Listener {
                address: "x/*".to_owned(),
                since: 9,
                inbox: u128::MAX,
            },
            Token::Node(1, member),
            Token::Name(2, name, holder),
        ]
    }

    #[test]
    fn token_comes_back_from_its_key() {
        for token in tokens() {
            assert_eq!(Token::parse(&token.key()), Some(token));
        }
    }

    #[test]
    fn changed_keys_are_refused_or_are_keys_themselves() {
        for token in tokens() {
            let key = token.key();
            for length in 0..key.len() {
                let Some(part) = key.get(..length) else {
                    continue;
                };
                for changed in [part.to_owned(), format!("{part}/"), format!("{part}/=")] {
                    if let Some(other) = Token::parse(&changed) {
                        assert_eq!(other.key(), changed);
                    }
                }
            }
        }
        for wrong in [
            "",
            "/",
            "inbox",
            "inbox/x",
            "inbox/+5",
            "node/5/1/a",
            "other/5",
        ] {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            Token::parse(&format!("node/{:032x}/1/{}", 5, "a".repeat(MAX_KEY))),
            None
        );
    }
}
