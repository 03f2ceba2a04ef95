//! Handles that were made for one message each.

use std::sync::atomic::{AtomicU32, Ordering};

use super::ActorCell;

/// So many in a row are a habit.
const HABIT: u32 = 64;
/// In place of the number in a row: the warning was given.
const WARNED: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct BriefHandles {
    count: AtomicU32,
    /// How many in a row, or [`WARNED`].
    in_a_row: AtomicU32,
}

impl ActorCell {
    /// A handle was dropped after one message.
    #[cold]
    pub(crate) fn count_brief_handle(&self) {
        let BriefHandles { count, in_a_row } = &self.rare().brief_handles;
        // ORDERING: statistics; no other data depends on them.
        count.fetch_add(1, Ordering::Relaxed);
        let next = |in_a_row| match in_a_row {
            WARNED => None,
            HABIT.. => Some(WARNED),
            _ => Some(in_a_row + 1),
        };
        if in_a_row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) == Ok(HABIT) {
            tracing::warn!(
                actor = %self.name(),
                "many handles in a row were cloned for one message each: neither order nor capacity \
                 holds between them; clone `ActorHandle::shared()` instead"
            );
        }
    }

    /// A handle was dropped that has sent more than one message.
    pub(crate) fn end_brief_handles(&self) {
        let Some(rare) = self.rare.get() else {
            return;
        };
        let in_a_row = &rare.brief_handles.in_a_row;
        // ORDERING: as above. A count that comes in between is lost.
        if !matches!(in_a_row.load(Ordering::Relaxed), 0 | WARNED) {
            let reset = |in_a_row| (in_a_row != WARNED).then_some(0);
            let _ = in_a_row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reset);
        }
    }

    /// How many handles were dropped after one message.
    pub(crate) fn brief_handles(&self) -> u64 {
        // ORDERING: a statistic.
        let rare = self.rare.get();
        rare.map_or(0, |rare| {
            rare.brief_handles.count.load(Ordering::Relaxed).into()
        })
    }
}
