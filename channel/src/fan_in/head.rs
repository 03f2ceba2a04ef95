//! The word at the head of the ready list.

use std::ptr::{self, NonNull};

use super::{lane::Lane, shared_slots::Set};
use crate::sync::wake_cell::WakerIndex;

// The flags in the head, below the address of a lane, which is a multiple of 128.
/// The second slot set is open, and not the first.
const SECOND_SET: usize = 1;
/// Slots of the open set that are claimed.
const ONE_CLAIM: usize = 1 << 1;
const CLAIMS: usize = 63 * ONE_CLAIM;
const FLAGS: usize = (1 << 7) - 1;

// In the place of a lane, where none can be: nothing is allocated at these addresses.
const ARMED_FIRST: usize = 1 << 7;
const ARMED_SECOND: usize = 2 << 7;
const CLOSED: usize = ARMED_FIRST | ARMED_SECOND;

/// A value of the head.
#[derive(Debug)]
pub(super) struct Head<T>(pub(super) *mut Lane<T>);

impl<T> Clone for Head<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Head<T> {}

impl<T> Head<T> {
    /// No lane, and a set of slots of which none is claimed, or none can be.
    #[inline]
    pub(super) fn idle((set, shut): (Set, bool)) -> Self {
        let claims = usize::from(shut) * CLAIMS;
        Self(word(set as usize * SECOND_SET + claims))
    }

    /// The receiver has closed the list.
    #[inline]
    pub(super) fn closed() -> Self {
        Self(word(CLOSED))
    }

    /// Whether there is neither lane nor claim, and the receiver is awake.
    #[inline]
    pub(super) fn is_bare(self) -> bool {
        self.0.addr() & !SECOND_SET == 0
    }

    /// Whether this differs from `idle` by more than being armed. It must not be closed.
    #[inline]
    pub(super) fn differs_from_idle(self, idle: Self) -> bool {
        // A lane's address differs above the armed bits.
        (self.0.addr() ^ idle.0.addr()) & !(ARMED_FIRST | ARMED_SECOND) != 0
    }

    /// The address of the lane on top, or what stands there for one.
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
        // As a quotient it is compared with small numbers.
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

    /// The same and awake.
    #[inline]
    pub(super) fn awake(self) -> Self {
        if self.top() <= CLOSED {
            return Self(self.0.map_addr(|a| a & FLAGS));
        }
        self
    }

    /// An idle head, armed.
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
