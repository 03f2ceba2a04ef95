//! A fair semaphore in one word: permits that are acquired and released, and a queue of those who wait for some.
//!
//! The word holds how many permits are free, two flags, and bits of its owner's that change together with them.
//! *Waiters* says that somebody waits: who sees it does not acquire permits, so that newcomers do not overtake (but by
//! [`Semaphore::overtake`], a few times), and who releases permits hands them to those who wait. *Closed* says that no
//! permit can be acquired any more. One exchange
//! decides between all of these.
//!
//! A wait ends with its permits acquired: they are granted in the order in which the waits began, and a wait that is
//! cancelled after that passes them to the next. The lock around the queue is held for a few instructions, none of
//! them foreign: no waker is cloned, woken or dropped under it, and nothing is allocated. Whoever releases permits
//! never waits for it: if somebody else has it, that one grants them.

mod queue;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use self::queue::{Queue, State, Waiter};
use crate::sync::{
    AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, lock, mutant, store_load_fence,
    wake_all::WakeAll,
};

const CLOSED: u64 = 1;
const WAITERS: u64 = 1 << 1;
const OWNERS_SHIFT: u32 = 2;
const FREE_SHIFT: u32 = 35;
const OWNERS: u64 = (1 << FREE_SHIFT) - (1 << OWNERS_SHIFT);

/// Permits that there can be at most.
pub(crate) const MAX_PERMITS: usize = (1 << (64 - FREE_SHIFT)) - 1;

/// Newcomers that overtake the one who has waited longest, at most.
pub(crate) const OVERTAKES: u32 = if cfg!(loom) { 1 } else { 32 };

/// Waits that are ended with one hold of the lock.
const BATCH: usize = if cfg!(loom) { 1 } else { 16 };

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    fn new(free: usize, owners: u64) -> Self {
        Self(((free as u64) << FREE_SHIFT) | (owners << OWNERS_SHIFT))
    }

    /// Permits that are free.
    #[inline]
    pub(crate) fn free(self) -> usize {
        (self.0 >> FREE_SHIFT) as usize
    }

    /// The owner's 33 bits.
    #[inline]
    pub(crate) fn owners(self) -> u64 {
        (self.0 & OWNERS) >> OWNERS_SHIFT
    }

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    #[inline]
    pub(crate) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    /// Whether so many permits are available now.
    #[inline]
    fn offers(self, wanted: usize) -> bool {
        self.0 & (CLOSED | WAITERS) == 0 && self.free() >= wanted
    }

    /// With so many permits fewer, which must be free.
    #[inline]
    pub(crate) fn less(self, permits: usize) -> Self {
        Self(self.0 - ((permits as u64) << FREE_SHIFT))
    }

    #[inline]
    pub(crate) fn more(self, permits: usize) -> Self {
        Self(self.0 + ((permits as u64) << FREE_SHIFT))
    }

    #[inline]
    pub(crate) fn with_owners(self, owners: u64) -> Self {
        Self((self.0 & !OWNERS) | (owners << OWNERS_SHIFT))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("free", &self.free())
            .field("owners", &self.owners())
            .field("closed", &self.is_closed())
            .field("waiters", &self.has_waiters())
            .finish()
    }
}

/// Permits, and those who wait for some.
#[derive(Debug)]
pub(crate) struct Semaphore {
    word: AtomicU64,
    /// Somebody may have released permits, or closed, while another held the lock.
    due: AtomicBool,
    /// Newcomers that have overtaken the one who has waited longest, or were about to.
    overtakes: AtomicU32,
    /// While the lock is free, the queue has somebody in it exactly if the word says *waiters*.
    queue: Mutex<Queue>,
}

impl Semaphore {
    /// So many free permits, at most [`MAX_PERMITS`], and the owner's bits.
    pub(crate) fn new(free: usize, owners: u64) -> Self {
        debug_assert!(free <= MAX_PERMITS);
        Self {
            word: AtomicU64::new(Word::new(free, owners).0),
            due: AtomicBool::new(false),
            overtakes: AtomicU32::new(0),
            queue: Mutex::new(Queue::new()),
        }
    }

    #[inline]
    pub(crate) fn load(&self) -> Word {
        // ORDERING: Acquire, for callers that go on to what others did before they changed the word.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Replaces the word if it is still `old`; else says what it is. For changes of the owner's bits, and of the free
    /// permits.
    #[inline]
    pub(crate) fn exchange(&self, old: Word, new: Word) -> Result<(), Word> {
        // ORDERING: Acquire pairs with the Release in `release`: whoever released a permit is done with it. Release: what
        // the caller did before is visible to the one who sees the new word.
        self.word
            .compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// Acquires `wanted` permits, and changes the owner's bits with it. Says what the word was before, or, when the permits
    /// are not available, what it is.
    #[inline]
    pub(crate) fn try_acquire(
        &self,
        wanted: usize,
        change: impl Fn(u64) -> u64,
    ) -> Result<Word, Word> {
        // ORDERING: Acquire, for a word that is *closed*.
        let mut word = self.load();
        while word.offers(wanted) {
            let new = word.less(wanted).with_owners(change(word.owners()));
            match self.exchange(word, new) {
                Ok(()) => return Ok(word),
                Err(now) => word = now,
            }
        }
        Err(word)
    }

    /// Acquires a free permit although others wait, unless the first of them was overtaken [`OVERTAKES`] times.
    ///
    /// Permits are free then only between [`add`](Self::add) and [`serve`](Self::serve), or when the first wants more
    /// than there are.
    #[cold]
    pub(crate) fn overtake(&self) -> bool {
        // ORDERING: Relaxed; a count, which decides nothing else.
        if self.load().free() == 0
            || self.overtakes.load(Ordering::Relaxed) >= OVERTAKES
            || self.count_overtake() >= OVERTAKES
        {
            return false;
        }
        let mut word = self.load();
        while !word.is_closed() && word.free() > 0 {
            if mutant("overtake_exchange") {
                self.word.store(word.less(1).0, Ordering::Release);
                return true;
            }
            match self.exchange(word, word.less(1)) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Counts a newcomer that is about to overtake, before it acquires the permit, so that those who come together are
    /// counted, too. Says how many there were before.
    fn count_overtake(&self) -> u32 {
        if mutant("overtake_count") {
            let before = self.overtakes.load(Ordering::Relaxed);
            self.overtakes.store(before + 1, Ordering::Relaxed);
            return before;
        }
        // ORDERING: Relaxed; the count alone decides.
        self.overtakes.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes the owner's bits alone, unless the word is closed. Says what it was before, or, when closed, what it is.
    #[inline]
    pub(crate) fn change(&self, change: impl Fn(u64) -> u64) -> Result<Word, Word> {
        let mut word = self.load();
        while !word.is_closed() {
            match self.exchange(word, word.with_owners(change(word.owners()))) {
                Ok(()) => return Ok(word),
                Err(now) => word = now,
            }
        }
        Err(word)
    }

    /// Releases permits, and hands them to those who wait. A waker may panic, when all is done.
    #[inline]
    pub(crate) fn release(&self, permits: usize) {
        if self.add(permits) {
            self.serve();
        }
    }

    /// Releases permits without handing them out. `true` when somebody waits: the caller must call [`serve`](Self::serve).
    #[inline]
    #[must_use]
    pub(crate) fn add(&self, permits: usize) -> bool {
        let release = if mutant("semaphore_release") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        // ORDERING: Release pairs with the Acquire of the exchange that acquires the permits: the caller is done with
        // them. Every change of the word is a read-modify-write, so what came before stays released.
        let old = self.word.fetch_add((permits as u64) << FREE_SHIFT, release);
        Word(old).has_waiters()
    }

    /// Says that no permit can be acquired any more, and what the word was before. The caller must call
    /// [`serve`](Self::serve) when somebody waited.
    pub(crate) fn close(&self) -> Word {
        // ORDERING: AcqRel: what was done before is visible to those who find the word closed, and the other way
        // round.
        Word(self.word.fetch_or(CLOSED, Ordering::AcqRel))
    }

    /// Ends the waits that can be ended, and wakes their tasks. If another holds the lock, that one does it.
    ///
    /// A waker may panic, when all is done.
    #[cold]
    pub(crate) fn serve(&self) {
        self.serve_first(usize::MAX);
    }

    /// As [`serve`](Self::serve), but ends only the first `most` waits, or more if another holds the lock.
    #[cold]
    pub(crate) fn serve_first(&self, mut most: usize) {
        let mut all = WakeAll::default();
        loop {
            // ORDERING: Release pairs with the Acquire below: the permits that were released are visible.
            self.due.swap(true, Ordering::AcqRel);
            // Pairs with the fence in `unlocked`: either this gets the lock, or the one who has it looks again.
            store_load_fence!("serve_fence");
            let Some(mut queue) = self.try_lock() else {
                break;
            };
            // ORDERING: Acquire as above.
            self.due.swap(false, Ordering::AcqRel);
            let mut wakers = [const { None }; BATCH];
            let (ended, more) = self.end_waits(&mut queue, &mut wakers[..most.min(BATCH)]);
            drop(queue);
            most -= ended;
            for waker in wakers[..ended].iter_mut().filter_map(Option::take) {
                all.run(|| Waker::wake(waker));
            }
            if self.is_due() {
                most = usize::MAX;
            } else if !more || most == 0 {
                break;
            }
        }
        all.done();
    }

    /// Ends as many waits as there are places for wakers, and says how many, and whether there may be more to end.
    fn end_waits(&self, queue: &mut Queue, wakers: &mut [Option<Waker>]) -> (usize, bool) {
        let mut word = self.load();
        let (front, state) = loop {
            let (limit, state) = if word.is_closed() {
                (usize::MAX, State::Closed)
            } else {
                (word.free(), State::Granted)
            };
            let front = queue.front(limit, wakers.len());
            if front.waits == 0 {
                return (0, false);
            }
            let mut new = word.less(if state == State::Granted {
                front.wanted
            } else {
                0
            });
            if front.is_all {
                new.0 &= !WAITERS;
            }
            match self.exchange(word, new) {
                // ORDERING: Relaxed; a count.
                Ok(()) => {
                    self.overtakes.store(0, Ordering::Relaxed);
                    break (front, state);
                }
                Err(now) => word = now,
            }
        };
        for place in &mut wakers[..front.waits] {
            *place = queue.pop(state);
        }
        let more = !front.is_all && front.waits == wakers.len();
        (front.waits, more)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Queue>> {
        match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            #[cfg(not(loom))]
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(_) => None,
        }
    }

    /// Whether somebody released permits or closed while the caller held the lock, which is free again.
    fn is_due(&self) -> bool {
        // Pairs with the fence in `serve`.
        store_load_fence!("unlock_fence");
        // ORDERING: Relaxed; `serve` acquires.
        self.due.load(Ordering::Relaxed)
    }

    /// Unlocks, and does what others would have done had the lock been free.
    fn unlock(&self, queue: MutexGuard<'_, Queue>) {
        drop(queue);
        if self.is_due() {
            self.serve();
        }
    }
}

/// A wait for permits. With [`Acquired::Permits`] they are the caller's, who must release them.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    semaphore: &'a Semaphore,
    wanted: usize,
    waiter: Waiter,
}

/// What a wait came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// The permits are the caller's.
    Permits,
    /// No permit can be acquired any more.
    Closed,
    /// The caller does not want to wait with the word as it is.
    Unwilling(Word),
}

impl<'a> Acquire<'a> {
    /// A wait for so many permits, which begins when it is polled.
    pub(crate) fn new(semaphore: &'a Semaphore, wanted: usize) -> Self {
        Self {
            semaphore,
            wanted,
            waiter: Waiter::new(),
        }
    }

    /// Waits for the permits. A wait that has not begun begins behind others, or if `willing` says so of the
    /// word.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        willing: impl Fn(Word) -> bool,
    ) -> Poll<Acquired> {
        let this = self.into_ref();
        match this.waiter.state() {
            State::Idle => return this.begin(cx, willing),
            State::Waiting => {}
            State::Granted => {
                this.waiter.reset();
                return Poll::Ready(Acquired::Permits);
            }
            State::Closed => {
                this.waiter.reset();
                return Poll::Ready(Acquired::Closed);
            }
        }
        // Cloned before and dropped after the lock: both may run code of the executor.
        let waker = cx.waker().clone();
        let mut queue = lock(&this.semaphore.queue);
        let state = this.waiter.state();
        let left = if state == State::Waiting {
            // SAFETY: it waits in this queue.
            unsafe { queue.set_waker(&this.waiter, waker) }
        } else {
            this.waiter.reset();
            Some(waker)
        };
        this.semaphore.unlock(queue);
        drop(left);
        match state {
            State::Granted => Poll::Ready(Acquired::Permits),
            State::Closed => Poll::Ready(Acquired::Closed),
            State::Idle | State::Waiting => Poll::Pending,
        }
    }

    /// Whether it waits, or has something to tell that it has not told.
    pub(crate) fn has_begun(&self) -> bool {
        self.waiter.state() != State::Idle
    }

    /// Takes the permits that were granted, if they were.
    pub(crate) fn take_granted(self: Pin<&mut Self>) -> bool {
        let granted = self.waiter.state() == State::Granted;
        if granted {
            self.waiter.reset();
        }
        granted
    }

    fn begin(
        self: Pin<&Self>,
        cx: &mut Context<'_>,
        willing: impl Fn(Word) -> bool,
    ) -> Poll<Acquired> {
        let Self {
            semaphore, wanted, ..
        } = *self;
        // As in `poll`.
        let waker = cx.waker().clone();
        let mut queue = lock(&semaphore.queue);
        let mut word = semaphore.load();
        let acquired = loop {
            if word.is_closed() {
                break Acquired::Closed;
            }
            let new = if word.offers(wanted) {
                word.less(wanted)
            } else if word.has_waiters() {
                // Only those who hold the lock take that back, so it need not be said again.
                word
            } else if !willing(word) {
                break Acquired::Unwilling(word);
            } else {
                Word(word.0 | WAITERS)
            };
            if new != word
                && let Err(now) = semaphore.exchange(word, new)
            {
                word = now;
                continue;
            }
            if word.offers(wanted) {
                break Acquired::Permits;
            }
            // SAFETY: `self` is pinned.
            let waiter = unsafe { self.map_unchecked(|this| &this.waiter) };
            // SAFETY: the node is idle; `drop` takes it out of the queue, which is the only one that it is used with.
            unsafe { queue.push(waiter, waker, wanted) };
            semaphore.unlock(queue);
            return Poll::Pending;
        };
        semaphore.unlock(queue);
        drop(waker);
        Poll::Ready(acquired)
    }

    /// Ends a wait that nobody waits for any more.
    #[cold]
    fn cancel(&self) {
        let mut queue = lock(&self.semaphore.queue);
        if self.waiter.state() != State::Waiting {
            self.semaphore.unlock(queue);
            return self.pass_on();
        }
        // SAFETY: it waits in this queue.
        let waker = unsafe { queue.remove(&self.waiter) };
        let alone = queue.is_empty();
        if alone {
            // ORDERING: AcqRel keeps what was released by others.
            self.semaphore.word.fetch_and(!WAITERS, Ordering::AcqRel);
        }
        self.semaphore.unlock(queue);
        drop(waker);
        if !alone {
            // The next may want fewer.
            self.semaphore.serve();
        }
    }

    /// Releases permits that were granted, to the next.
    fn pass_on(&self) {
        if self.waiter.state() == State::Granted && !mutant("pass_on") {
            self.semaphore.release(self.wanted);
        }
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        match self.waiter.state() {
            State::Idle | State::Closed => {}
            State::Waiting => self.cancel(),
            State::Granted => self.pass_on(),
        }
    }
}

#[cfg(test)]
mod tests;
