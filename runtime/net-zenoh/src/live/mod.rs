//! What is alive in the network, as the liveliness tokens say that this process knows of.

mod token;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lanemesh_net::{PeerInfo, members::Member};
use tokio::sync::{broadcast, watch};

pub(crate) use self::token::{Holder, Later, Name, Token};
use crate::frame::Inbox;

/// Tokens that are taken note of.
const MAX_TOKENS: usize = 1 << 18;
/// Events that a listener may be behind.
const EVENTS: usize = 1024;

/// A node has come or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// It is there. Of a node, only the last incarnation is.
    Up(Member),
    /// It is not there any more: it has ended, its lease is over, or a later incarnation of it is up.
    Down(Member),
}

pub(crate) struct Live {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<NodeEvent>,
}

#[derive(Default)]
struct State {
    inboxes: HashSet<Inbox>,
    listeners: BTreeMap<String, BTreeSet<(u64, Inbox)>>,
    /// By name, then by incarnation. One may have several tokens for a moment.
    nodes: BTreeMap<PeerInfo, Vec<(Inbox, Member)>>,
    names: BTreeMap<Name, BTreeSet<Holder>>,
    greatest_term: u64,
    count: usize,
}

impl State {
    /// The last incarnation of a node.
    fn last(&self, node: &PeerInfo) -> Option<&Member> {
        let of_name = |incarnation| PeerInfo {
            name: node.name.clone(),
            incarnation,
        };
        let mut lives = self.nodes.range(of_name(0)..=of_name(u64::MAX));
        let (_, members) = lives.next_back()?;
        members.first().map(|(_, member)| member)
    }

    /// Returns whether it is new.
    fn put(&mut self, token: Token) -> bool {
        match token {
            Token::Inbox(inbox) => self.inboxes.insert(inbox),
            Token::Listener {
                address,
                since,
                inbox,
            } => {
                let listeners = self.listeners.entry(address).or_default();
                listeners.insert((since, inbox))
            }
            Token::Node(inbox, member) => {
                let members = self.nodes.entry(member.node.clone()).or_default();
                let is_new = !members.contains(&(inbox, member.clone()));
                if is_new {
                    members.push((inbox, member));
                }
                is_new
            }
            Token::Name(_, name, holder) => {
                self.greatest_term = self.greatest_term.max(holder.term);
                self.names.entry(name).or_default().insert(holder)
            }
        }
    }

    /// Returns whether it was there.
    fn delete(&mut self, token: &Token) -> bool {
        match token {
            Token::Inbox(inbox) => self.inboxes.remove(inbox),
            Token::Listener {
                address,
                since,
                inbox,
            } => {
                let Some(listeners) = self.listeners.get_mut(address) else {
                    return false;
                };
                let was_there = listeners.remove(&(*since, *inbox));
                if listeners.is_empty() {
                    self.listeners.remove(address);
                }
                was_there
            }
            Token::Node(inbox, member) => {
                let Some(members) = self.nodes.get_mut(&member.node) else {
                    return false;
                };
                let before = members.len();
                members.retain(|known| known != &(*inbox, member.clone()));
                let was_there = members.len() < before;
                if members.is_empty() {
                    self.nodes.remove(&member.node);
                }
                was_there
            }
            Token::Name(_, name, holder) => {
                let Some(holders) = self.names.get_mut(name) else {
                    return false;
                };
                let was_there = holders.remove(holder);
                if holders.is_empty() {
                    self.names.remove(name);
                }
                was_there
            }
        }
    }
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token is alive, or is so no longer.
    pub(crate) fn set(&self, token: Token, is_alive: bool) {
        {
            let mut state = self.lock();
            if is_alive && state.count >= MAX_TOKENS {
                tracing::warn!("there are more tokens than are taken note of");
                return;
            }
            let node = match &token {
                Token::Node(_, member) => Some(member.node.clone()),
                _ => None,
            };
            let last = |state: &State| node.as_ref().and_then(|node| state.last(node)).cloned();
            let before = last(&state);
            let has_changed = match is_alive {
                true => state.put(token),
                false => state.delete(&token),
            };
            if !has_changed {
                return;
            }
            match is_alive {
                true => state.count += 1,
                false => state.count -= 1,
            }
            let after = last(&state);
            if before != after {
                // Under the lock, so that all see the same order. Nobody may listen.
                if let Some(before) = before {
                    let _ = self.events.send(NodeEvent::Down(before));
                }
                if let Some(after) = after {
                    let _ = self.events.send(NodeEvent::Up(after));
                }
            }
        }
        self.changes.send_modify(|number| *number += 1);
    }

    /// A number that grows with each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    pub(crate) fn has_inbox(&self, inbox: Inbox) -> bool {
        self.lock().inboxes.contains(&inbox)
    }

    /// Who accepts connections at an address: the last that has begun to.
    pub(crate) fn listener(&self, address: &str) -> Option<Inbox> {
        let state = self.lock();
        let (_, inbox) = state.listeners.get(address)?.last()?;
        Some(*inbox)
    }

    /// The last incarnation of each node.
    pub(crate) fn nodes(&self) -> Vec<Member> {
        let state = self.lock();
        let mut members: Vec<Member> = Vec::new();
        for (node, known) in &state.nodes {
            let Some((_, member)) = known.first() else {
                continue;
            };
            // The order is by name, then by incarnation.
            match members.last_mut() {
                Some(last) if last.node.name == node.name => *last = member.clone(),
                _ => members.push(member.clone()),
            }
        }
        members
    }

    /// Who has a name.
    pub(crate) fn holder(&self, name: &Name) -> Option<Holder> {
        self.lock().names.get(name)?.last().cloned()
    }

    /// The names in a scope, in order.
    pub(crate) fn names(&self, scope: &str) -> Vec<(Name, Holder)> {
        let state = self.lock();
        let first = Name {
            scope: scope.into(),
            name: "".into(),
        };
        let names = state.names.range(first..);
        let names = names.take_while(|(name, _)| *name.scope == *scope);
        names
            .filter_map(|(name, holders)| Some((name.clone(), holders.last()?.clone())))
            .collect()
    }

    /// The greatest term that any name ever had.
    pub(crate) fn greatest_term(&self) -> u64 {
        self.lock().greatest_term
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, incarnation: u64) -> Member {
        Member {
            node: PeerInfo {
                name: name.into(),
                incarnation,
            },
            addresses: [].into(),
        }
    }

    fn node(name: &str, incarnation: u64) -> Token {
        Token::Node(u128::from(incarnation), member(name, incarnation))
    }

    #[test]
    fn later_incarnation_is_up_after_the_earlier_is_down_and_the_earlier_does_not_come_again() {
        let live = Live::new();
        let mut events = live.events();
        live.set(node("a", 1), true);
        live.set(node("a", 2), true);
        live.set(node("b", 1), true);
        live.set(node("a", 1), false); // its lease ends later
        live.set(node("a", 2), true); // told again
        live.set(node("a", 2), false);
        live.set(node("a", 2), false);
        let seen: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let (up, down) = (NodeEvent::Up, NodeEvent::Down);
        assert_eq!(
            seen,
            [
                up(member("a", 1)),
                down(member("a", 1)),
                up(member("a", 2)),
                up(member("b", 1)),
                down(member("a", 2)),
            ]
        );
        assert_eq!(live.nodes(), [member("b", 1)]);
    }

    #[test]
    fn last_listener_and_the_greatest_holder_count() {
        let live = Live::new();
        let listener = |since, inbox| Token::Listener {
            address: "x".to_owned(),
            since,
            inbox,
        };
        live.set(listener(5, 1), true);
        live.set(listener(4, 2), true);
        assert_eq!(live.listener("x"), Some(1));
        live.set(listener(5, 1), false);
        assert_eq!(live.listener("x"), Some(2));
        live.set(listener(4, 2), false);
        assert_eq!(live.listener("x"), None);

        let name = |text: &str| Name {
            scope: "s".into(),
            name: text.into(),
        };
        let holder = |term, incarnation, name: &str| Holder {
            term,
            node: Later {
                incarnation,
                name: name.into(),
            },
            id: 0,
        };
        live.set(Token::Name(1, name("n"), holder(1, 9, "a")), true);
        live.set(Token::Name(1, name("n"), holder(2, 8, "b")), true);
        live.set(Token::Name(1, name("n"), holder(2, 7, "c")), true);
        live.set(Token::Name(1, name("m"), holder(1, 7, "c")), true);
        assert_eq!(live.holder(&name("n")), Some(holder(2, 8, "b")));
        let names: Vec<_> = live.names("s").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [name("m"), name("n")]);
        assert!(live.names("").is_empty() && live.names("t").is_empty());
        live.set(Token::Name(1, name("n"), holder(2, 8, "b")), false);
        assert_eq!(live.holder(&name("n")), Some(holder(2, 7, "c")));
        assert_eq!(live.greatest_term(), 2);
    }
}
