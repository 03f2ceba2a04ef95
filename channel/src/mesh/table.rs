//! Who the receivers of a mesh are: a table with a version, of which each sender keeps a copy.
//!
//! A sender looks at the version at each send, and fetches the table when it has changed. The table is replaced as a
//! whole; the lock around it is held for an exchange of pointers, and nothing is allocated or dropped under it.

use std::{future::poll_fn, mem, pin::pin};

use crate::sync::{
    Arc, AtomicU64, AtomicUsize, Mutex, Ordering, lock, mutant,
    semaphore::{Acquire, Semaphore},
    wake_all::WakeAll,
};

/// A receiver as the senders know it: a port for each class.
pub(super) trait Ports: Sized {
    /// A sender to the receiver, which keeps it open while the mesh has senders.
    type Root;
    /// The rules of the classes.
    type Rules;
    /// How a new receiver is made.
    type Settings;

    fn new(root: &Self::Root) -> Self;

    /// Whether the hand-over of each class is complete.
    fn is_complete(&self) -> bool;

    /// Ends the hand-over of each class: no sender waits for it.
    fn forget(&self, all: &mut WakeAll);
}

pub(super) struct Member<P: Ports> {
    /// Counted from 0 in each mesh, and never given out again.
    pub(super) id: u64,
    pub(super) ports: P,
    /// Until the receiver leaves, or the last sender of the mesh is dropped.
    root: Mutex<Option<P::Root>>,
}

impl<P: Ports> Member<P> {
    /// Lets go of the receiver: it ends with its last other sender.
    fn drop_root(&self, all: &mut WakeAll) {
        let root = mem::take(&mut *lock(&self.root));
        all.run(|| drop(root));
    }
}

/// The receivers at one time.
pub(super) struct Snapshot<P: Ports> {
    pub(super) version: usize,
    pub(super) members: Vec<Arc<Member<P>>>,
    /// Receivers that have left, and whose messages may not have been received by others yet.
    pub(super) leaving: Vec<Arc<Member<P>>>,
    /// Whether the last receiver has left: no other joins.
    pub(super) has_ended: bool,
    /// Closed when there is a later one. There are no permits.
    pub(super) superseded: Semaphore,
}

struct Table<P: Ports> {
    snapshot: Arc<Snapshot<P>>,
    /// The last sender was dropped.
    hung_up: bool,
}

/// What the handles of one mesh share.
pub(super) struct Mesh<P: Ports> {
    /// That of the table.
    version: AtomicUsize,
    table: Mutex<Table<P>>,
    senders: AtomicUsize,
    next_id: AtomicU64,
    /// Closed when the last receiver has left. There are no permits.
    ended: Semaphore,
    pub(super) rules: P::Rules,
    pub(super) settings: P::Settings,
}

impl<P: Ports> Mesh<P> {
    /// A mesh with one sender, and these receivers.
    pub(super) fn new(
        roots: impl IntoIterator<Item = P::Root>,
        rules: P::Rules,
        settings: P::Settings,
    ) -> Self {
        let members: Vec<_> = (0..)
            .zip(roots)
            .map(|(id, root)| Self::member(id, root))
            .collect();
        let next_id = AtomicU64::new(members.len() as u64);
        let snapshot = Arc::new(Snapshot {
            version: 0,
            members,
            leaving: Vec::new(),
            has_ended: false,
            superseded: Semaphore::new(0, 0),
        });
        Self {
            version: AtomicUsize::new(0),
            table: Mutex::new(Table {
                snapshot,
                hung_up: false,
            }),
            senders: AtomicUsize::new(1),
            next_id,
            ended: Semaphore::new(0, 0),
            rules,
            settings,
        }
    }

    fn member(id: u64, root: P::Root) -> Arc<Member<P>> {
        Arc::new(Member {
            id,
            ports: P::new(&root),
            root: Mutex::new(Some(root)),
        })
    }

    /// Whether the table is still that of `version`.
    #[inline]
    pub(super) fn is_current(&self, version: usize) -> bool {
        // ORDERING: Relaxed; the lock publishes the table. A sender that has acquired something that a receiver did after
        // it left (closed its channel, took a message to hand it on) sees that version or a later one: the store comes
        // before it.
        self.version.load(Ordering::Relaxed) == version
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot<P>> {
        lock(&self.table).snapshot.clone()
    }

    /// Whether the last receiver has left.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.load().is_closed()
    }

    /// Waits until the last receiver has left.
    pub(super) async fn closed(&self) {
        let mut wait = pin!(Acquire::new(&self.ended, 1));
        poll_fn(|cx| wait.as_mut().poll(cx, |_| true)).await;
    }

    /// Replaces the table by what `change` makes of its receivers and of those that are leaving, unless it says `None`.
    /// Whether it did, and whether the mesh has no sender any more.
    fn replace(
        &self,
        all: &mut WakeAll,
        mut change: impl FnMut(&Snapshot<P>) -> Option<(Vec<Arc<Member<P>>>, Vec<Arc<Member<P>>>)>,
    ) -> Option<bool> {
        loop {
            let old = self.snapshot();
            let (members, mut leaving) = change(&old)?;
            leaving.retain(|member| !member.ports.is_complete());
            let new = Arc::new(Snapshot {
                version: old.version + 1,
                has_ended: old.has_ended || (members.is_empty() && !old.members.is_empty()),
                members,
                leaving,
                superseded: Semaphore::new(0, 0),
            });
            let version = new.version;
            let mut table = lock(&self.table);
            if table.snapshot.version != old.version {
                drop(table);
                continue;
            }
            let replaced = mem::replace(&mut table.snapshot, new);
            let hung_up = table.hung_up;
            // ORDERING: Relaxed, as in `is_current`.
            self.version.store(version, Ordering::Relaxed);
            drop(table);
            if !mutant("superseded") {
                replaced.superseded.close();
                all.run(|| replaced.superseded.serve());
            }
            return Some(hung_up);
        }
    }

    /// Adds a receiver. `None` if the last one has left: then the mesh is closed.
    pub(super) fn join(&self, root: P::Root) -> Option<Arc<Member<P>>> {
        // ORDERING: Relaxed; a count.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let member = Self::member(id, root);
        let mut all = WakeAll::default();
        let joined = self.replace(&mut all, |table| {
            if table.has_ended {
                return None;
            }
            let mut members = table.members.clone();
            members.push(member.clone());
            Some((members, table.leaving.clone()))
        });
        if joined != Some(false) {
            member.drop_root(&mut all);
        }
        all.done();
        joined.map(|_| member)
    }

    /// Takes a receiver out of the table. Until its hand-over is complete it is one of those that are leaving, if it
    /// `hands_on`. Whether it was in the table.
    pub(super) fn leave(&self, member: &Arc<Member<P>>, hands_on: bool, all: &mut WakeAll) -> bool {
        let mut is_last = false;
        let left = self.replace(all, |table| {
            let members: Vec<_> = others(&table.members, member);
            if members.len() == table.members.len() {
                return None;
            }
            is_last = members.is_empty();
            let mut leaving = table.leaving.clone();
            if hands_on {
                leaving.push(member.clone());
            }
            Some((members, leaving))
        });
        if left.is_none() {
            return false;
        }
        member.drop_root(all);
        if is_last {
            self.ended.close();
            all.run(|| self.ended.serve());
        }
        true
    }

    /// The messages of a receiver that has left are in other receivers' lanes, and these are in its ports. If no sender
    /// will ever wait for them, they are let go.
    pub(super) fn handed_on(&self, member: &Member<P>, all: &mut WakeAll) {
        if self.is_hung_up() {
            member.ports.forget(all);
        }
    }

    /// Whether the last sender was dropped.
    pub(super) fn is_hung_up(&self) -> bool {
        lock(&self.table).hung_up
    }

    pub(super) fn add_sender(&self) {
        // ORDERING: Relaxed; the caller holds a sender, so the count cannot be zero.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a sender if there is at least one.
    pub(super) fn try_add_sender(&self) -> bool {
        // ORDERING: Relaxed; the exchange alone keeps the count right.
        self.senders
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count > 0).then(|| count + 1)
            })
            .is_ok()
    }

    /// The last sender lets go of all receivers: each ends when it has received what there is for it.
    pub(super) fn remove_sender(&self) {
        // ORDERING: AcqRel: the last sender hangs up after what all others did.
        if self.senders.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let snapshot = {
            let mut table = lock(&self.table);
            table.hung_up = true;
            table.snapshot.clone()
        };
        let mut all = WakeAll::default();
        for member in &snapshot.members {
            member.drop_root(&mut all);
        }
        for member in &snapshot.leaving {
            member.ports.forget(&mut all);
        }
        all.done();
    }
}

fn others<P: Ports>(members: &[Arc<Member<P>>], one: &Arc<Member<P>>) -> Vec<Arc<Member<P>>> {
    let others = members.iter().filter(|member| !Arc::ptr_eq(member, one));
    others.cloned().collect()
}
