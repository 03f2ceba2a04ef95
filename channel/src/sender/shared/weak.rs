//! A handle to a shared lane that keeps neither it nor the channel open.

use std::fmt;

use super::{Group, SharedSender};
use crate::sync::{Arc, Ordering};

/// A handle to a [`SharedSender`] that does not keep the channel open.
pub struct WeakSharedSender<T> {
    group: Arc<Group<T>>,
}

impl<T> WeakSharedSender<T> {
    pub(super) fn new(group: Arc<Group<T>>) -> Self {
        // ORDERING: Relaxed; a count that decides nothing.
        group.weak.fetch_add(1, Ordering::Relaxed);
        Self { group }
    }

    /// A sender that shares the lane; `None` when the last of those that shared it has been dropped.
    pub fn upgrade(&self) -> Option<SharedSender<T>> {
        let handles = &self.group.handles;
        // ORDERING: Relaxed; a count, and the exchange is enough to keep it.
        let mut count = handles.load(Ordering::Relaxed);
        while count > 0 {
            match handles.compare_exchange_weak(
                count,
                count + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Some(SharedSender {
                        group: self.group.clone(),
                    });
                }
                Err(now) => count = now,
            }
        }
        None
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.group.fan_in.closed().await;
    }

    /// Whether both lead to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.group.fan_in.ptr_eq(&other.group.fan_in)
    }

    /// The number of senders that share the lane; a snapshot.
    pub fn strong_count(&self) -> usize {
        self.group.strong_count()
    }

    /// The number of weak handles to the lane; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.group.weak_count()
    }
}

impl<T> Clone for WeakSharedSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.group.clone())
    }
}

impl<T> Drop for WeakSharedSender<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed; a count that decides nothing.
        self.group.weak.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for WeakSharedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSharedSender")
            .field("fan_in", &self.group.fan_in)
            .finish_non_exhaustive()
    }
}
