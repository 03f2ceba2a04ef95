//! The table of rooms: found by name, started when somebody enters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanemesh_runtime::handle::WeakHandle;
use lanemesh_runtime::{ActorHandle, Restart, Spawner, builder};
use tokio::runtime::Handle;

use super::actor::RoomActor;
use crate::control::shards::Shards;
use crate::mailbox::Mailbox;
use crate::messages::{RoomLink, RoomMessage, RoomTag, Rooms};
use crate::stats::RoomStats;

/// Messages of one shard that a room holds.
const CAPACITY: usize = 1024;

/// All rooms. It keeps none of them running: a room ends when no shard has a member of it.
pub(crate) struct RoomTable<M: Mailbox> {
    spawner: Spawner,
    /// Rooms run here, and not on the thread of the shard that opens one: that may hang.
    executor: Handle,
    shards: Arc<Shards<M>>,
    rooms: Mutex<Table<M>>,
}

struct Table<M: Mailbox> {
    by_name: HashMap<Arc<str>, WeakHandle<RoomActor<M>>>,
    /// When there are so many, those that have ended are removed.
    sweep_at: usize,
}

impl<M: Mailbox> RoomTable<M> {
    /// No rooms. They are started as actors of the spawner's system, which has no code that could fail, on the executor
    /// of the caller.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn new(spawner: Spawner, shards: Arc<Shards<M>>) -> Self {
        let rooms = Table {
            by_name: HashMap::new(),
            sweep_at: 64,
        };
        Self {
            spawner,
            executor: Handle::current(),
            shards,
            rooms: Mutex::new(rooms),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<M>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, name: &Arc<str>) -> Option<ActorHandle<RoomActor<M>>> {
        let (for_room, shards) = (Arc::clone(name), Arc::clone(&self.shards));
        let room = move || RoomActor::new(Arc::clone(&for_room), Arc::clone(&shards));
        let room = builder(room)
            .name(format!("room {name}"))
            .restart(Restart::Transient)
            .high_capacity(CAPACITY)
            .low_capacity(1);
        let _on = self.executor.enter();
        let (handle, child) = self.spawner.try_spawn(room).ok()?;
        child.detach();
        Some(handle)
    }

    /// The statistics of all rooms, by their names. A room that does not answer within `timeout` is left out.
    pub(crate) async fn observe(&self, timeout: Duration) -> Vec<RoomStats> {
        let mut answers = Vec::new();
        for mut room in self.all() {
            let (reply, answer) = lanemesh_runtime::Reply::pair();
            if room.to.try_send(RoomMessage::Observe(reply)).is_ok() {
                answers.push(answer);
            }
        }
        let until = tokio::time::Instant::now() + timeout;
        let mut stats = Vec::new();
        for answer in answers {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            stats.extend(answer.receive(left).await);
        }
        stats.sort_by(|a, b| a.room.cmp(&b.room));
        stats
    }
}

fn link<M: Mailbox>(handle: &ActorHandle<RoomActor<M>>) -> RoomLink {
    let tag = RoomTag {
        actor: handle.id(),
        // The first one may not have begun.
        incarnation: handle.incarnation().max(1),
    };
    RoomLink {
        tag,
        to: Box::new(handle.high_recipient()),
    }
}

impl<M: Mailbox> Rooms for RoomTable<M> {
    fn open(&self, name: &Arc<str>) -> Option<RoomLink> {
        let mut rooms = self.lock();
        let found = rooms.by_name.get(name).and_then(WeakHandle::upgrade);
        if let Some(found) = found {
            return Some(link(&found));
        }
        let room = self.start(name)?;
        rooms.by_name.insert(Arc::clone(name), room.downgrade());
        if rooms.by_name.len() >= rooms.sweep_at {
            rooms.by_name.retain(|_, room| room.is_alive());
            rooms.sweep_at = (2 * rooms.by_name.len()).max(64);
        }
        Some(link(&room))
    }

    fn find(&self, name: &Arc<str>) -> Option<RoomLink> {
        let rooms = self.lock();
        let room = rooms.by_name.get(name).and_then(WeakHandle::upgrade)?;
        Some(link(&room))
    }

    fn all(&self) -> Vec<RoomLink> {
        let rooms = self.lock();
        let rooms = rooms.by_name.values().filter_map(WeakHandle::upgrade);
        rooms.map(|room| link(&room)).collect()
    }
}
