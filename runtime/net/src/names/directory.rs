//! All entries that this node has and knows of. There are no tasks here, and nothing waits.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    entry::{Announcement, Change, Content, Holder, Key, Kind},
    error::{NameEnd, RegisterError},
};
use crate::{error::ExportError, event::PeerInfo};

/// Removals that are remembered: a peer that is further behind is told everything again.
const MAX_REMOVALS: usize = 4096;
/// Nodes of which entries are kept.
const MAX_PEERS: usize = 1024;

pub(super) struct Directory {
    me: PeerInfo,
    max_names: usize,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Changes with this node's own entries only.
    own_changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// The greatest term that is known.
    term: u64,
    next_id: u64,
    next_session: u64,
    own: BTreeMap<u64, Own>,
    /// The version of the last change of own entries.
    version: u64,
    /// Own entries by the version in which they were made.
    log: BTreeMap<u64, u64>,
    /// Own entries that are gone, by the version in which they went.
    removals: BTreeMap<u64, u64>,
    /// Removals up to this version may be forgotten.
    trimmed: u64,
    peers: BTreeMap<Arc<str>, Peer>,
    index: BTreeMap<Key, Vec<Holder>>,
    /// Keys of which an entry is new.
    contested: Vec<Key>,
    /// The members, and whether each is reachable.
    members: BTreeMap<PeerInfo, bool>,
}

struct Own {
    key: Key,
    holder: Holder,
    version: u64,
    ended: watch::Sender<Option<NameEnd>>,
}

/// What another node has announced.
struct Peer {
    incarnation: u64,
    session: u64,
    entries: BTreeMap<u64, (Key, u64)>,
    /// The entries that are being told from the beginning.
    next: Option<BTreeMap<u64, (Key, u64)>>,
}

/// An entry that was made.
pub(super) struct Made {
    pub(super) holder: Holder,
    pub(super) ended: watch::Receiver<Option<NameEnd>>,
}

impl Directory {
    pub(super) fn new(me: PeerInfo, max_names: usize) -> Self {
        Self {
            me,
            max_names,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            own_changes: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn me(&self) -> &PeerInfo {
        &self.me
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn own_changes(&self) -> watch::Receiver<u64> {
        self.own_changes.subscribe()
    }

    fn changed(&self, is_own: bool) {
        if is_own {
            self.own_changes.send_modify(|number| *number += 1);
        }
        self.changes.send_modify(|number| *number += 1);
    }

    // --- own entries --------------------------------------------------------------------------

    /// Makes an entry; the actor is exported before anybody is told of it.
    pub(super) fn register(
        &self,
        key: Key,
        export: impl FnOnce(&Holder) -> Result<(), ExportError>,
    ) -> Result<Made, RegisterError> {
        if !key.is_short() {
            return Err(RegisterError::TooLong);
        }
        let mut state = self.lock();
        if state.is_closed {
            return Err(RegisterError::Closed);
        }
        if state.own.len() >= self.max_names {
            return Err(RegisterError::TooMany);
        }
        if key.kind == Kind::Name
            && let Some(holder) = state.holders(&key, &self.me).max()
        {
            return Err(RegisterError::Taken(holder.peer()));
        }
        let holder = Holder {
            term: state.term + 1,
            incarnation: self.me.incarnation,
            node: self.me.name.clone(),
            id: state.next_id + 1,
        };
        export(&holder).map_err(RegisterError::Export)?;
        state.term = holder.term;
        state.next_id = holder.id;
        state.version += 1;
        let ended = watch::Sender::new(None);
        let made = Made {
            holder: holder.clone(),
            ended: ended.subscribe(),
        };
        let (id, version) = (holder.id, state.version);
        state.log.insert(version, id);
        let holders = state.index.entry(key.clone()).or_default();
        holders.push(holder.clone());
        let own = Own {
            key,
            holder,
            version,
            ended,
        };
        state.own.insert(id, own);
        drop(state);
        self.changed(true);
        Ok(made)
    }

    /// Removes an own entry. Returns whether it was there.
    pub(super) fn unregister(&self, id: u64, why: NameEnd) -> bool {
        let is_removed = self.lock().remove_own(id, why);
        if is_removed {
            self.changed(true);
        }
        is_removed
    }

    /// Removes all own entries, and takes no more. Returns which they were.
    pub(super) fn close(&self) -> Vec<u64> {
        let mut state = self.lock();
        state.is_closed = true;
        let ids: Vec<_> = state.own.keys().copied().collect();
        for id in &ids {
            state.remove_own(*id, NameEnd::Closed);
        }
        drop(state);
        self.changed(true);
        ids
    }

    /// What to tell a peer that was told up to version `told` in a session, if in any.
    pub(super) fn news(&self, told: Option<(u64, u64)>) -> (u64, u64, bool, Vec<Change>) {
        let mut state = self.lock();
        let told = told.filter(|(_, version)| *version >= state.trimmed);
        let (session, from) = told.unwrap_or_else(|| {
            state.next_session += 1;
            (state.next_session, 0)
        });
        let put = |(version, id): (&u64, &u64)| {
            let own = state.own.get(id)?;
            Some((*version, Change::put(*id, own.holder.term, &own.key)))
        };
        let mut changes: Vec<_> = state.log.range(from + 1..).filter_map(put).collect();
        if told.is_some() {
            let removals = state.removals.range(from + 1..);
            changes.extend(removals.map(|(version, &id)| (*version, Change::Remove { id })));
            changes.sort_by_key(|(version, _)| *version);
        }
        let changes = changes.into_iter().map(|(_, change)| change).collect();
        (session, state.version, told.is_none(), changes)
    }

    // --- entries of other nodes ---------------------------------------------------------------

    /// Takes what a peer tells. Returns the own entries that have lost their names by it, and whether
    /// the node was not known before.
    pub(super) fn announced(&self, announcement: Announcement) -> (Vec<u64>, bool) {
        let mut state = self.lock();
        let is_new = state.announced(announcement, self.max_names, &self.me);
        let Some(is_new) = is_new else {
            return (Vec::new(), false);
        };
        let lost = state.settle(&self.me);
        drop(state);
        self.changed(!lost.is_empty());
        (lost, is_new)
    }

    /// Who is a member now, and whether it is reachable; `is_linked` says of others whether they may become
    /// members. Returns the own entries that have lost their names by it.
    pub(super) fn set_members(
        &self,
        members: BTreeMap<PeerInfo, bool>,
        is_linked: impl Fn(&str) -> bool,
    ) -> Vec<u64> {
        let mut state = self.lock();
        if state.members != members {
            state.members = members;
            // Entries that were there already may count from now on.
            state.contested = state.own.values().map(|own| own.key.clone()).collect();
        }
        let gone = state.peers.iter().filter(|(name, peer)| {
            let node = PeerInfo {
                name: (*name).clone(),
                incarnation: peer.incarnation,
            };
            !state.members.contains_key(&node) && !is_linked(name)
        });
        let gone: Vec<_> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone {
            state.forget(&name);
        }
        let lost = state.settle(&self.me);
        drop(state);
        self.changed(!lost.is_empty());
        lost
    }

    // --- questions ----------------------------------------------------------------------------

    /// Who has a name, and whether that node is reachable.
    pub(super) fn holder(&self, key: &Key) -> Option<(Holder, bool)> {
        let state = self.lock();
        let holder = state.holders(key, &self.me).max()?.clone();
        let is_reachable = state.is_reachable(&holder, &self.me);
        Some((holder, is_reachable))
    }

    /// The holders of a key on reachable nodes, in the order of their nodes.
    pub(super) fn reachable(&self, key: &Key) -> Vec<Holder> {
        let state = self.lock();
        let holders = state.holders(key, &self.me);
        let reachable = holders.filter(|holder| state.is_reachable(holder, &self.me));
        let mut reachable: Vec<_> = reachable.cloned().collect();
        reachable.sort_by(|a, b| (&a.node, a.id).cmp(&(&b.node, b.id)));
        reachable
    }

    /// The names of a kind in a scope, and who has them.
    pub(super) fn list(&self, kind: Kind, scope: &str) -> Vec<(Arc<str>, PeerInfo)> {
        let state = self.lock();
        let from = Key::new(kind, scope, "");
        let keys = state.index.range(from..);
        let keys = keys.take_while(|(key, _)| key.kind == kind && *key.scope == *scope);
        let found = keys.filter_map(|(key, _)| {
            let holder = state.holders(key, &self.me).max()?;
            Some((key.name.clone(), holder.peer()))
        });
        found.collect()
    }
}

impl State {
    /// The holders of a key that are this node or members.
    fn holders<'a>(&'a self, key: &Key, me: &'a PeerInfo) -> impl Iterator<Item = &'a Holder> {
        let holders = self.index.get(key).into_iter().flatten();
        holders.filter(|holder| {
            let peer = holder.peer();
            peer == *me || self.members.contains_key(&peer)
        })
    }

    fn is_reachable(&self, holder: &Holder, me: &PeerInfo) -> bool {
        let peer = holder.peer();
        peer == *me || self.members.get(&peer) == Some(&true)
    }

    fn remove_own(&mut self, id: u64, why: NameEnd) -> bool {
        let Some(own) = self.own.remove(&id) else {
            return false;
        };
        self.log.remove(&own.version);
        self.version += 1;
        self.removals.insert(self.version, id);
        while self.removals.len() > MAX_REMOVALS
            && let Some((version, _)) = self.removals.pop_first()
        {
            self.trimmed = version;
        }
        self.unindex(&own.key, &own.holder);
        own.ended.send_replace(Some(why));
        true
    }

    fn unindex(&mut self, key: &Key, holder: &Holder) {
        let Some(holders) = self.index.get_mut(key) else {
            return;
        };
        holders.retain(|known| known != holder);
        if holders.is_empty() {
            self.index.remove(key);
        }
    }

    /// Own names of which another member has a greater entry are lost: those among the contested keys.
    fn settle(&mut self, me: &PeerInfo) -> Vec<u64> {
        let mut lost = BTreeMap::new();
        for key in std::mem::take(&mut self.contested) {
            if key.kind != Kind::Name {
                continue;
            }
            let own = self.holders(&key, me).find(|holder| holder.peer() == *me);
            let winner = self.holders(&key, me).max();
            if let (Some(own), Some(winner)) = (own, winner)
                && own != winner
            {
                lost.insert(own.id, winner.peer());
            }
        }
        for (id, winner) in &lost {
            self.remove_own(*id, NameEnd::Lost(winner.clone()));
        }
        lost.into_keys().collect()
    }

    /// None if it is outdated; else whether the node was not known before.
    fn announced(
        &mut self,
        announcement: Announcement,
        max_names: usize,
        me: &PeerInfo,
    ) -> Option<bool> {
        let name: Arc<str> = announcement.node.into();
        let incarnation = announcement.incarnation;
        if name == me.name {
            return None;
        }
        let known = self.peers.get(&name);
        let is_new = known.is_none_or(|peer| peer.incarnation < incarnation);
        if is_new {
            self.forget(&name);
            if self.peers.len() >= MAX_PEERS {
                tracing::warn!(%name, "too many nodes have names");
                return None;
            }
        }
        let mut peer = self.peers.remove(&name).unwrap_or_else(|| Peer {
            incarnation,
            session: 0,
            entries: BTreeMap::new(),
            next: None,
        });
        let is_current = peer.incarnation == incarnation && peer.session <= announcement.session;
        if is_current {
            let is_later = peer.session < announcement.session;
            peer.session = announcement.session;
            match announcement.content {
                Content::All { is_last, entries } => {
                    let mut next = match peer.next.take() {
                        Some(next) if !is_later => next,
                        _ => BTreeMap::new(),
                    };
                    for change in entries {
                        self.apply(&mut next, change, max_names);
                    }
                    match is_last {
                        true => self.replace(&name, &mut peer, next),
                        false => peer.next = Some(next),
                    }
                }
                Content::Changes(changes) if !is_later => {
                    for change in changes {
                        let id = change.id();
                        let old = peer.entries.get(&id).cloned();
                        self.apply(&mut peer.entries, change, max_names);
                        let new = peer.entries.get(&id).cloned();
                        self.reindex(&name, incarnation, id, old, new);
                    }
                }
                // The beginning of the session is missing.
                Content::Changes(_) => {}
            }
        }
        self.peers.insert(name, peer);
        is_current.then_some(is_new)
    }

    fn reindex(
        &mut self,
        name: &Arc<str>,
        incarnation: u64,
        id: u64,
        old: Option<(Key, u64)>,
        new: Option<(Key, u64)>,
    ) {
        if old == new {
            return;
        }
        let holder = |term| Holder {
            term,
            incarnation,
            node: name.clone(),
            id,
        };
        if let Some((key, term)) = old {
            self.unindex(&key, &holder(term));
        }
        if let Some((key, term)) = new {
            self.contested.push(key.clone());
            self.index.entry(key).or_default().push(holder(term));
        }
    }

    fn apply(&mut self, to: &mut BTreeMap<u64, (Key, u64)>, change: Change, max_names: usize) {
        match change {
            Change::Put {
                id,
                term,
                kind,
                scope,
                name,
            } => {
                let key = Key::new(kind, &scope, &name);
                // A term that leaves no room for others is a mistake.
                if !key.is_short() || term > u64::MAX / 2 || to.len() >= max_names {
                    tracing::warn!(scope, name, "a name of a peer is beyond the limits");
                    return;
                }
                self.term = self.term.max(term);
                to.insert(id, (key, term));
            }
            Change::Remove { id } => {
                to.remove(&id);
            }
        }
    }

    fn replace(&mut self, name: &Arc<str>, peer: &mut Peer, next: BTreeMap<u64, (Key, u64)>) {
        let before = std::mem::take(&mut peer.entries);
        for (id, old) in &before {
            let new = next.get(id).cloned();
            self.reindex(name, peer.incarnation, *id, Some(old.clone()), new);
        }
        for (id, new) in &next {
            if !before.contains_key(id) {
                self.reindex(name, peer.incarnation, *id, None, Some(new.clone()));
            }
        }
        peer.entries = next;
    }

    fn forget(&mut self, name: &Arc<str>) {
        if let Entry::Occupied(peer) = self.peers.entry(name.clone()) {
            let mut peer = peer.remove();
            self.replace(name, &mut peer, BTreeMap::new());
        }
    }
}
