//! Who is a member: what the links and the greetings amount to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};

use super::{
    MemberOptions, NAME,
    actor::{Greeter, Greeting, greetings},
    dialling::dial,
    event::{Card, DownCause, Member, MemberEvent},
    feed::feed,
};
use crate::{event::PeerInfo, node::Node, task::Task};

/// Events that a listener may be behind.
const EVENTS: usize = 1024;
/// Nodes that are known in one way or another.
const MAX_MEMBERS: usize = 1024;

pub(super) struct Members {
    node: Node,
    me: Member,
    options: MemberOptions,
    state: Mutex<State>,
    events: broadcast::Sender<MemberEvent>,
    changes: Arc<watch::Sender<u64>>,
    greeting: Notify,
}

/// All by the name of a node.
#[derive(Default)]
struct State {
    known: BTreeMap<Arc<str>, Known>,
    greeted: BTreeMap<Arc<str>, Greeted>,
    /// Who said that it closes its links.
    left: BTreeSet<PeerInfo>,
    /// Members that are down, and whose addresses are still tried.
    lost: BTreeMap<Arc<str>, (Member, Instant)>,
    dials: BTreeMap<Arc<str>, (BTreeSet<Arc<str>>, Task)>,
    feeds: BTreeMap<Arc<str>, Task>,
}

struct Known {
    member: Member,
    unreachable_since: Option<Instant>,
}

/// What a peer has told.
struct Greeted {
    by: Member,
    linked: Vec<Member>,
    /// The list that is being told.
    next: Vec<Member>,
}

impl Members {
    pub(super) fn new(node: Node, options: MemberOptions) -> Self {
        let me = Member {
            node: node.info().clone(),
            addresses: options.addresses.iter().cloned().collect(),
        };
        Self {
            node,
            me,
            options,
            state: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            changes: Arc::new(watch::Sender::new(0)),
            greeting: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn me(&self) -> &Member {
        &self.me
    }

    pub(super) fn members(&self) -> Vec<Member> {
        let mut members = self
            .lock()
            .members(|known| known.unreachable_since.is_none());
        members.push(self.me.clone());
        members.sort();
        members
    }

    pub(super) fn unreachable(&self) -> Vec<Member> {
        self.lock()
            .members(|known| known.unreachable_since.is_some())
    }

    pub(super) fn events(&self) -> broadcast::Receiver<MemberEvent> {
        self.events.subscribe()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ready after a peer has told something.
    pub(super) async fn greeting(&self) {
        self.greeting.notified().await;
    }

    /// A peer has introduced itself, and tells whom it is linked to.
    pub(super) fn greeted(&self, greeting: Greeting) {
        let Some(by) = greeting.from.member() else {
            return;
        };
        let mut state = self.lock();
        let name = by.node.name.clone();
        if state.greeted.len() >= MAX_MEMBERS && !state.greeted.contains_key(&name) {
            tracing::warn!(%by, "too many nodes have joined");
            return;
        }
        let greeted = state
            .greeted
            .entry(name.clone())
            .or_insert_with(|| Greeted {
                by: by.clone(),
                linked: Vec::new(),
                next: Vec::new(),
            });
        if greeted.by.node.incarnation > by.node.incarnation {
            return; // it is gone
        }
        greeted.by = by;
        if greeting.is_first {
            greeted.next.clear();
        }
        let room = MAX_MEMBERS.saturating_sub(greeted.next.len());
        let linked = greeting.linked.into_iter().filter_map(Card::member);
        greeted.next.extend(linked.take(room));
        if greeting.is_last {
            greeted.linked = std::mem::take(&mut greeted.next);
        }
        // It has joined, so it can be told now. An earlier try may have failed because it had not.
        let untold = match state.known.contains_key(&name) {
            true => None,
            false => state.feeds.remove(&name),
        };
        drop(state);
        drop(untold);
        self.greeting.notify_one();
    }

    /// A peer has closed a link in order.
    pub(super) fn said_bye(&self, peer: PeerInfo) {
        let mut state = self.lock();
        let known = state.known.get(&peer.name);
        if known.is_some_and(|known| known.member.node == peer) {
            state.left.insert(peer);
        }
    }

    /// Compares what was known with the links that there are. Returns when to do so again.
    pub(super) fn reconcile(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let linked = self.node.linked();
        let linked: BTreeMap<_, _> = linked
            .into_iter()
            .map(|peer| (peer.name, peer.incarnation))
            .collect();
        let mut state = self.lock();
        let mut events = state.update(&linked, now, &self.options);
        state.introduce(&linked, &mut events);
        self.feed(&mut state, &linked);
        self.dial(&mut state, &linked);
        let next = state.next(&self.options);
        drop(state);
        if !events.is_empty() {
            self.changes.send_modify(|number| *number += 1);
        }
        for event in events {
            tracing::info!(?event, "members");
            let _ = self.events.send(event); // nobody may listen
        }
        next
    }

    /// The node is closed.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        let tasks = (
            std::mem::take(&mut state.dials),
            std::mem::take(&mut state.feeds),
        );
        drop(state);
        drop(tasks);
    }

    /// Each peer to which there is a link is told who this node is and knows.
    fn feed(self: &Arc<Self>, state: &mut State, linked: &BTreeMap<Arc<str>, u64>) {
        state.feeds.retain(|name, _| linked.contains_key(name));
        for name in linked.keys() {
            if state.feeds.contains_key(name) {
                continue;
            }
            let from = Card::from(&self.me);
            let members = Arc::downgrade(self);
            let next = move |_| {
                let members = members.upgrade().map(|members| members.linked_members());
                greetings(&from, &members.unwrap_or_default())
            };
            let changes = self.changes.subscribe();
            let told = feed::<Greeter>(self.node.clone(), name.to_string(), NAME, changes, next);
            state.feeds.insert(name.clone(), Task::spawn(told));
        }
    }

    fn linked_members(&self) -> Vec<Card> {
        let members = self
            .lock()
            .members(|known| known.unreachable_since.is_none());
        members.iter().map(Card::from).collect()
    }

    /// Dials those of whom a member has told, and those that were lost.
    fn dial(&self, state: &mut State, linked: &BTreeMap<Arc<str>, u64>) {
        let mut wanted: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for member in state.candidates() {
            let name = &member.node.name;
            if *name == self.me.node.name
                || linked.contains_key(name)
                || wanted.len() >= MAX_MEMBERS
            {
                continue;
            }
            let addresses = wanted.entry(name.clone()).or_default();
            addresses.extend(member.addresses.iter().cloned());
        }
        wanted.retain(|_, addresses| !addresses.is_empty());
        state
            .dials
            .retain(|name, (addresses, _)| wanted.get(name) == Some(addresses));
        for (name, addresses) in wanted {
            state.dials.entry(name.clone()).or_insert_with(|| {
                let dialled = dial(self.node.clone(), name, addresses.clone());
                (addresses, Task::spawn(dialled))
            });
        }
    }
}

impl State {
    fn members(&self, is_wanted: impl Fn(&Known) -> bool) -> Vec<Member> {
        let known = self.known.values().filter(|known| is_wanted(known));
        known.map(|known| known.member.clone()).collect()
    }

    /// What has become of the members.
    fn update(
        &mut self,
        linked: &BTreeMap<Arc<str>, u64>,
        now: Instant,
        options: &MemberOptions,
    ) -> Vec<MemberEvent> {
        let mut events = Vec::new();
        let mut down = Vec::new();
        for known in self.known.values_mut() {
            let member = &known.member;
            let incarnation = linked.get(&member.node.name);
            let since = known.unreachable_since;
            if incarnation == Some(&member.node.incarnation) {
                self.left.remove(&member.node);
                if known.unreachable_since.take().is_some() {
                    events.push(MemberEvent::Reachable(member.clone()));
                }
            } else if incarnation.is_some() {
                down.push((member.clone(), DownCause::Replaced));
            } else if self.left.remove(&member.node) {
                down.push((member.clone(), DownCause::Left));
            } else if since.is_some_and(|since| since + options.down_after <= now) {
                down.push((member.clone(), DownCause::Unreachable));
            } else if since.is_none() {
                known.unreachable_since = Some(now);
                events.push(MemberEvent::Unreachable(member.clone()));
            }
        }
        for (member, cause) in down {
            let name = &member.node.name;
            self.known.remove(name);
            self.greeted
                .retain(|_, greeted| greeted.by.node != member.node);
            if cause == DownCause::Unreachable && self.lost.len() < MAX_MEMBERS {
                self.lost.insert(name.clone(), (member.clone(), now));
            }
            events.push(MemberEvent::Down(member, cause));
        }
        self.lost
            .retain(|_, (_, since)| *since + options.forget_after > now);
        events
    }

    /// Those who have introduced themselves over a link are members.
    fn introduce(&mut self, linked: &BTreeMap<Arc<str>, u64>, events: &mut Vec<MemberEvent>) {
        let is_linked = |node: &PeerInfo| linked.get(&node.name) == Some(&node.incarnation);
        for Greeted { by, .. } in self.greeted.values() {
            if !is_linked(&by.node) || self.known.contains_key(&by.node.name) {
                continue;
            }
            self.lost.remove(&by.node.name);
            let known = Known {
                member: by.clone(),
                unreachable_since: None,
            };
            self.known.insert(by.node.name.clone(), known);
            events.push(MemberEvent::Up(by.clone()));
        }
        // Who was not linked when its greeting came has been, and is not any more.
        let known = &self.known;
        self.greeted
            .retain(|name, _| known.contains_key(name) || linked.contains_key(name));
    }

    fn candidates(&self) -> impl Iterator<Item = &Member> {
        let told = self.greeted.iter().filter(|(name, _)| {
            let known = self.known.get(*name);
            known.is_some_and(|known| known.unreachable_since.is_none())
        });
        let told = told.flat_map(|(_, greeted)| &greeted.linked);
        let unreachable = self
            .known
            .values()
            .filter(|known| known.unreachable_since.is_some());
        let unreachable = unreachable.map(|known| &known.member);
        told.chain(unreachable)
            .chain(self.lost.values().map(|(member, _)| member))
    }

    /// When time alone changes something.
    fn next(&self, options: &MemberOptions) -> Option<Instant> {
        let since = self
            .known
            .values()
            .filter_map(|known| known.unreachable_since);
        let down = since.map(|since| since + options.down_after);
        let lost = self
            .lost
            .values()
            .map(|(_, since)| *since + options.forget_after);
        down.chain(lost).min()
    }
}
