//! What a receiver finds when it closes its channel, and visits from then on. Most find nothing.

use crate::fan_in::{lane::list::Chain, shared_lane::registry::SharedLanes};

pub(super) struct AtClose<T> {
    /// Lanes that were on the ready list.
    listed: Chain<T>,
    /// Lanes of many producers that are not drained yet. All of them, so that none counts in the other
    /// lists any more.
    shared: SharedLanes<T>,
}

impl<T> AtClose<T> {
    pub(super) fn new(listed: Chain<T>, shared: SharedLanes<T>) -> Box<Self> {
        Box::new(Self { listed, shared })
    }

    /// Whether all was visited.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.shared.is_empty()
    }

    /// A view of the lanes that were listed.
    pub(super) fn listed(&self) -> Chain<T> {
        self.listed.view()
    }

    /// The lanes that were listed, once.
    pub(super) fn take_listed(&mut self) -> Option<Chain<T>> {
        let listed = std::mem::replace(&mut self.listed, Chain::empty());
        (!listed.is_empty()).then_some(listed)
    }

    pub(super) fn shared(&self) -> &SharedLanes<T> {
        &self.shared
    }

    pub(super) fn shared_mut(&mut self) -> &mut SharedLanes<T> {
        &mut self.shared
    }
}
