//! Watchers: who is notified of an actor's end.

use std::{collections::BTreeMap, sync::Weak, task::Waker};

use super::{ActorCell, control::Control};
use crate::exit::{CrashPolicy, ExitReason};

/// Who is notified of an actor's end.
pub(crate) enum Watcher {
    /// A task that polls a monitor.
    Task(Waker),
    /// An actor that watches with this policy.
    Actor(Weak<ActorCell>, CrashPolicy),
}

/// The watchers of one actor, each under a key that is never reused.
#[derive(Default)]
pub(super) struct Watchers {
    by_key: BTreeMap<u64, Watcher>,
    last_key: u64,
}

impl Watchers {
    /// Adds a watcher, or replaces the one under `key`, which is returned to be dropped unlocked.
    pub(super) fn insert(&mut self, key: &mut Option<u64>, watcher: Watcher) -> Option<Watcher> {
        let key = *key.get_or_insert_with(|| {
            self.last_key += 1;
            self.last_key
        });
        self.by_key.insert(key, watcher)
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Watcher> {
        self.by_key.remove(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Tells every watcher that `actor` has ended for `reason`.
    pub(super) fn notify(self, actor: &ActorCell, reason: &ExitReason) {
        for watcher in self.by_key.into_values() {
            match watcher {
                Watcher::Task(waker) => waker.wake(),
                Watcher::Actor(peer, policy) => {
                    if let Some(peer) = peer.upgrade() {
                        peer.post(Control::PeerExit(actor.notice(reason.clone()), policy));
                    }
                }
            }
        }
    }
}
