//! The word at the head of the ready list: a lane or the receiver's sleep, and the claims of the
//! open set of slots.
//!
//! ```text
//!   63                                             7  6              1   0
//!  +------------------------------------------------+-----------------+-----+
//!  |  address of the lane on top (multiple of 128)  | claims, 0 to 63 | set |
//!  +------------------------------------------------+-----------------+-----+
//!    0: no lane, the receiver is awake
//!    1: ARMED_FIRST   2: ARMED_SECOND   3: CLOSED
//! ```

use std::ptr::{self, NonNull};

use super::{lane::Lane, shared_slots::Set};
use crate::sync::wake_cell::WakerIndex;

// The bits below the address of a lane, which is a multiple of 128.
/// Set if the second set of slots is open, clear if the first is.
const SECOND_SET: usize = 1;
/// One claimed slot of the open set.
const ONE_CLAIM: usize = 1 << 1;
const CLAIMS: usize = 63 * ONE_CLAIM;
const FLAGS: usize = (1 << 7) - 1;

// Values in place of a lane's address, where nothing is ever allocated.
const ARMED_FIRST: usize = 1 << 7;
const ARMED_SECOND: usize = 2 << 7;
const CLOSED: usize = ARMED_FIRST | ARMED_SECOND;

/// A value of the word.
#[derive(Debug)]
pub(super) struct Head<T>(pub(super) *mut Lane<T>);

impl<T> Clone for Head<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Head<T> {}

impl<T> Head<T> {
    /// No lane, and the given set open with no claims, or shut: then no slot can be claimed.
    #[inline]
    pub(super) fn idle((set, shut): (Set, bool)) -> Self {
        let claims = usize::from(shut) * CLAIMS;
        Self(word(set as usize * SECOND_SET + claims))
    }

    /// The value of a list that the receiver has closed.
    #[inline]
    pub(super) fn closed() -> Self {
        Self(word(CLOSED))
    }

    /// Whether there is neither lane nor claim, and the receiver is awake.
    #[inline]
    pub(super) fn is_bare(self) -> bool {
        self.0.addr() & !SECOND_SET == 0
    }

    /// Whether this differs from `idle` in more than being armed. Must not be called on a closed
    /// head.
    #[inline]
    pub(super) fn differs_from_idle(self, idle: Self) -> bool {
        // A lane's address differs above the armed bits.
        (self.0.addr() ^ idle.0.addr()) & !(ARMED_FIRST | ARMED_SECOND) != 0
    }

    /// The address of the lane on top, or the value in its place.
    #[inline]
    fn top(self) -> usize {
        self.0.addr() & !FLAGS
    }

    #[inline]
    pub(super) fn lane(self) -> *mut Lane<T> {
        if self.top() <= CLOSED {
            return ptr::null_mut();
        }
        self.0.map_addr(|a| a & !FLAGS)
    }

    #[inline]
    pub(super) fn armed(self) -> Option<WakerIndex> {
        // Dividing lets the compiler compare with 1 and 2.
        match self.0.addr() / ARMED_FIRST {
            1 => Some(WakerIndex::First),
            2 => Some(WakerIndex::Second),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.top() == CLOSED
    }

    #[inline]
    pub(super) fn set(self) -> Set {
        if self.0.addr() & SECOND_SET == 0 {
            Set::First
        } else {
            Set::Second
        }
    }

    #[inline]
    pub(super) fn claimed(self) -> usize {
        (self.0.addr() & CLAIMS) / ONE_CLAIM
    }

    /// The same value with the armed flag cleared.
    #[inline]
    pub(super) fn awake(self) -> Self {
        if self.top() <= CLOSED {
            return Self(self.0.map_addr(|a| a & FLAGS));
        }
        self
    }

    /// An idle value with the armed flag set, naming the waker to wake.
    #[inline]
    pub(super) fn arming(self, slot: WakerIndex) -> Self {
        let flag = match slot {
            WakerIndex::First => ARMED_FIRST,
            WakerIndex::Second => ARMED_SECOND,
        };
        Self(self.0.map_addr(|a| a | flag))
    }

    #[inline]
    pub(super) fn with_lane(self, lane: NonNull<Lane<T>>) -> Self {
        let flags = self.0.addr() & FLAGS;
        Self(lane.as_ptr().map_addr(|a| a | flags))
    }

    #[inline]
    pub(super) fn with_claim(self) -> Self {
        Self(self.0.map_addr(|a| a + ONE_CLAIM))
    }
}

fn word<T>(value: usize) -> *mut Lane<T> {
    ptr::without_provenance_mut(value)
}
