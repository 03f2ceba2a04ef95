//! What nodes announce to each other, and who is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use lanemesh_runtime::{ActorResult, Context, Handler, actor::Priority};

use super::{
    directory::Directory,
    entry::{Announcement, Holder, announcements},
};
use crate::{
    event::PeerInfo,
    members::{Membership, feed::feed},
    node::Node,
    remote::Remote,
    task::Task,
};

/// Under which name the actor is exported.
pub(super) const EXPORT: &str = "lanemesh/names";

/// Tells the members of this node's entries.
pub(super) struct Announcer {
    node: Node,
    directory: Arc<Directory>,
    feeds: Mutex<BTreeMap<PeerInfo, Task>>,
}

impl Announcer {
    pub(super) fn new(node: Node, directory: Arc<Directory>) -> Self {
        Self {
            node,
            directory,
            feeds: Mutex::default(),
        }
    }

    /// Follows the membership until the node is shut down.
    pub(super) async fn run(self: Arc<Self>, membership: Membership) {
        let mut changes = membership.changes();
        loop {
            changes.mark_unchanged();
            let reachable = membership.members().into_iter();
            let reachable = reachable.map(|member| (member.node, true));
            let unreachable = membership.unreachable().into_iter();
            let unreachable = unreachable.map(|member| (member.node, false));
            let members: BTreeMap<_, _> = reachable.chain(unreachable).collect();
            self.tell_only(&members);
            let is_linked = |name: &str| self.node.is_linked(name);
            self.withdraw(&self.directory.set_members(members, is_linked));
            tokio::select! {
                biased;
                () = self.node.closed() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        self.withdraw(&self.directory.close());
        self.tell_only(&BTreeMap::new());
    }

    /// Each reachable member has a task that tells it.
    fn tell_only(&self, members: &BTreeMap<PeerInfo, bool>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|peer, _| members.get(peer) == Some(&true));
        for (peer, _) in members.iter().filter(|(_, is_reachable)| **is_reachable) {
            if peer != self.node.info() && !feeds.contains_key(peer) {
                feeds.insert(peer.clone(), self.tell(peer));
            }
        }
    }

    fn tell(&self, peer: &PeerInfo) -> Task {
        let directory = self.directory.clone();
        let mut told = None;
        let next = move |is_first| {
            if is_first {
                told = None;
            }
            let (session, version, is_all, changes) = directory.news(told);
            told = Some((session, version));
            announcements(directory.me(), session, is_all, &changes)
        };
        let changes = self.directory.own_changes();
        let told = feed::<Listener>(
            self.node.clone(),
            peer.name.to_string(),
            EXPORT,
            changes,
            next,
        );
        Task::spawn(told)
    }

    /// The peer is there: what was tried before may have been too early.
    fn tell_again(&self, peer: &PeerInfo) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if feeds.contains_key(peer) {
            feeds.insert(peer.clone(), self.tell(peer));
        }
    }

    /// No longer exports the actors of own entries.
    fn withdraw(&self, ids: &[u64]) {
        for id in ids {
            let me = self.directory.me();
            let holder = Holder {
                term: 0,
                incarnation: me.incarnation,
                node: me.name.clone(),
                id: *id,
            };
            self.node.withdraw(&holder.export());
        }
    }
}

/// Takes the announcements of other nodes.
pub(super) struct Listener(pub(super) Arc<Announcer>);

impl Handler for Listener {
    type Msg = Announcement;

    fn priority(_: &Announcement) -> Priority {
        Priority::High
    }

    async fn handle(&mut self, announcement: Announcement, _: &mut Context<Self>) -> ActorResult {
        let peer = PeerInfo {
            name: announcement.node.as_str().into(),
            incarnation: announcement.incarnation,
        };
        let (lost, is_new) = self.0.directory.announced(announcement);
        self.0.withdraw(&lost);
        if is_new {
            self.0.tell_again(&peer);
        }
        Ok(())
    }
}

impl Remote for Listener {
    const TYPE: &'static str = "lanemesh/names";
}
