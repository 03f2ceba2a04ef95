//! The book: what has become of each message.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use lanemesh_runtime::{ActorId, Reply, crash::Undelivered};

/// The random numbers of a scenario: SplitMix64.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `end - 1`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// How a send has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// It was cancelled or has not ended.
    Unfinished,
    Accepted,
    Refused,
    /// Dropped by the policy of its lane.
    Dropped,
    /// An ask without an answer: it may have been accepted.
    Unknown,
}

/// In which order the messages of one path arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// In that of the sends, at each actor.
    Lane,
    /// In that of the sends, whichever worker of the pool gets them.
    Key,
    /// Workers of a pool hand them on.
    Any,
}

/// The path of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    pub(super) lane: u64,
    pub(super) is_high: bool,
    pub(super) order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Fail,
    Panic,
}

/// What the handler does with a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Nothing,
    Yield,
    /// Milliseconds.
    Sleep(u64),
    /// Until it is killed.
    Hang,
    Stop,
    Forward,
    /// Puts it aside the first time, and once more after each crash.
    Stash,
    Unstash,
    /// Leaves low messages in their lanes until a high one comes.
    Pause,
    Spawn,
    /// Sets up a timer, a stream or a future.
    AddSource,
}

pub(super) struct Entry {
    pub(super) path: Path,
    pub(super) sending: Sending,
    /// The handler calls that got it.
    pub(super) deliveries: Vec<ActorId>,
    /// The handler calls that have finished with it.
    pub(super) completed: u32,
    pub(super) letter: Option<Undelivered>,
    pub(super) stashed: usize,
    pub(super) is_of_source: bool,
    /// Values of it that exist.
    alive: i64,
}

/// A first delivery, in the order of deliveries.
pub(super) struct First {
    pub(super) actor: ActorId,
    pub(super) item: usize,
}

#[derive(Default)]
pub(super) struct Pages {
    pub(super) entries: Vec<Entry>,
    pub(super) firsts: Vec<First>,
    /// Started and ended incarnations, by actor: (started, cleaned up).
    pub(super) incarnations: BTreeMap<ActorId, (u32, u32)>,
    /// Workers of pools: when one ends, others get what it has, also what was not sent by the pool.
    pub(super) workers: BTreeSet<ActorId>,
    /// Actors that the scenario kills.
    pub(super) killed: BTreeSet<ActorId>,
    lanes: u64,
}

#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<Pages>>);

impl Book {
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }

    pub(super) fn lane(&self) -> u64 {
        let mut pages = self.pages();
        pages.lanes += 1;
        pages.lanes
    }

    pub(super) fn item(&self, path: Path, plan: Plan) -> Item {
        let mut pages = self.pages();
        pages.entries.push(Entry {
            path,
            sending: Sending::Unfinished,
            deliveries: Vec::new(),
            completed: 0,
            letter: None,
            stashed: 0,
            is_of_source: false,
            alive: 1,
        });
        Item {
            id: pages.entries.len() - 1,
            lane: path.lane,
            plan,
            reply: None,
            to: None,
            book: self.clone(),
        }
    }

    /// Says who gets a message, unless another worker of a pool may get it.
    pub(super) fn address(&self, item: &mut Item, to: Option<ActorId>) {
        item.to = to;
        if to.is_some_and(|to| self.pages().workers.contains(&to)) {
            item.plan.is_unique = false;
        }
    }

    pub(super) fn sent(&self, id: usize, sending: Sending) {
        self.pages().entries[id].sending = sending;
    }

    /// The message of a timer, a stream or a future.
    pub(super) fn of_source(&self, id: usize, sending: Sending) {
        self.sent(id, sending);
        self.pages().entries[id].is_of_source = true;
    }

    /// Returns the class of a message that has to be put aside.
    pub(super) fn stash(&self, item: &Item) -> Option<bool> {
        let entry = &mut self.pages().entries[item.id];
        if !matches!(item.plan.act, Act::Stash) || entry.stashed > entry.deliveries.len() {
            return None;
        }
        entry.stashed += 1;
        Some(entry.path.is_high)
    }

    /// Returns how often it has been delivered.
    pub(super) fn deliver(&self, id: usize, actor: ActorId) -> u32 {
        let mut pages = self.pages();
        let entry = &mut pages.entries[id];
        entry.deliveries.push(actor);
        let count = entry.deliveries.len() as u32;
        if count == 1 {
            pages.firsts.push(First { actor, item: id });
        }
        count
    }

    pub(super) fn complete(&self, id: usize) {
        self.pages().entries[id].completed += 1;
    }

    pub(super) fn letter(&self, id: usize, why: Undelivered) {
        let letter = self.pages().entries[id].letter.replace(why);
        assert_eq!(letter, None, "message {id} is a dead letter twice");
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        let pages = self.pages();
        let entries = pages.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| entry.alive != 0)
            .map(|(id, _)| id)
            .collect()
    }

    pub(super) fn started(&self, actor: ActorId) {
        self.pages().incarnations.entry(actor).or_default().0 += 1;
    }

    pub(super) fn will_be_killed(&self, actor: ActorId) {
        self.pages().killed.insert(actor);
    }

    pub(super) fn cleaned_up(&self, actor: ActorId) {
        self.pages().incarnations.entry(actor).or_default().1 += 1;
    }
}

/// What happens to a message at its handler, and at its drop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) act: Act,
    pub(super) crash: Option<Crash>,
    /// How many deliveries crash.
    pub(super) crashes: u32,
    /// Whether it panics when it is dropped unhandled; then its copies do too.
    pub(super) is_bomb: bool,
    /// Whether it panics when it is cloned.
    pub(super) is_unique: bool,
}

pub(super) type SharedReply = Arc<Mutex<Option<Reply<usize>>>>;

/// A message.
pub(super) struct Item {
    pub(super) id: usize,
    pub(super) lane: u64,
    pub(super) plan: Plan,
    pub(super) reply: Option<SharedReply>,
    /// The actor that it is sent to.
    pub(super) to: Option<ActorId>,
    book: Book,
}

impl Item {
    /// It does not panic any more.
    pub(super) fn defuse(&mut self) {
        self.plan.is_bomb = false;
    }
}

impl Clone for Item {
    fn clone(&self) -> Self {
        if self.plan.is_unique {
            // It is cloned before its handler is called.
            if let Some(to) = self.to {
                self.book.deliver(self.id, to);
            }
            panic!("provoked by a clone");
        }
        self.book.pages().entries[self.id].alive += 1;
        Self {
            id: self.id,
            lane: self.lane,
            plan: self.plan,
            reply: self.reply.clone(),
            to: self.to,
            book: self.book.clone(),
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.book.pages().entries[self.id].alive -= 1;
        if self.plan.is_bomb && !std::thread::panicking() {
            panic!("provoked by a drop");
        }
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Item").field(&self.id).finish()
    }
}
