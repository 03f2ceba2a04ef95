//! Closing the channel, and draining what is left in it.

use super::{Found, Inbox, at_close::AtClose, held::HeldLane};
use crate::{
    fan_in::{lane::list::Chain, shared_lane::SharedLane},
    sync::{mutant, stall::Stall, store_load_fence, wake_all::WakeAll},
};

impl<T> Inbox<T> {
    /// Closes the channel: later sends fail, and accepted messages can still be received.
    pub(crate) fn close(&mut self) {
        let mut all = WakeAll::default();
        self.close_with(&mut all);
        all.done();
    }

    /// As `close`; what wakes or drops a waker is run by `all`, and nothing else can panic.
    pub(crate) fn close_with(&mut self, all: &mut WakeAll) {
        if self.closed {
            return;
        }
        if self.fences.is_active() {
            self.fence_all();
        }
        self.closed = true;
        // The list comes first: a sender that is refused because of the flag must find the list
        // closed too.
        let (taken, waker) = self.fan_in.ready.close(&mut self.slots);
        self.fan_in.set_closed();
        let shared = self.fan_in.close_cold();
        if !taken.chain.is_empty() || !shared.is_empty() {
            let listed = taken.chain;
            self.at_close = Some(AtClose::new(listed, shared));
        }
        // Pairs with the fence in `LaneTx::wait`: either a producer that is about to wait sees that
        // the channel is closed, or this sees that it waits.
        store_load_fence!("close_fence");
        if let Some(lane) = &self.current {
            all.run(|| lane.wake_waiting());
        }
        let listed = self.at_close.as_deref().map(AtClose::listed);
        for mut chain in [
            self.chain.view(),
            self.next_round.view(),
            listed.unwrap_or_else(Chain::empty),
        ] {
            while let Some(lane) = chain.next() {
                // SAFETY: all of these lanes are the receiver's now, and are only looked at.
                all.run(|| unsafe { HeldLane::new(lane) }.wake_waiting());
            }
        }
        if let Some(bound) = &self.fan_in.bound
            && !mutant("bound_close")
        {
            all.run(|| bound.close());
        }
        if let Some(at_close) = &self.at_close {
            at_close.shared().find(|lane| {
                all.run(|| lane.serve());
                false
            });
        }
        self.fan_in.wake_close_waiters(all);
        if waker.is_some() {
            // A waker's drop is its executor's code.
            all.run(|| drop(waker));
        }
    }

    /// Moves on once the channel is closed, when all lanes that were visited before are done. Mostly nothing
    /// is left.
    #[cold]
    pub(super) fn move_on_at_close(&mut self) -> Found {
        if !self.has_more_at_close() {
            return Found::Nothing;
        }
        self.move_on_from_current()
    }

    /// Whether lanes that were found at the close are not visited yet.
    #[inline]
    pub(super) fn has_more_at_close(&self) -> bool {
        let at_close = self.at_close.as_ref();
        at_close.is_some_and(|at_close| !at_close.is_empty())
    }

    /// Whether there are lanes of many producers that were not drained at the close.
    #[inline]
    pub(super) fn has_shared_at_close(&self) -> bool {
        let at_close = self.at_close.as_ref();
        at_close.is_some_and(|at_close| !at_close.shared().is_empty())
    }

    /// The lanes that were on the ready list at the close, once.
    pub(super) fn take_listed_at_close(&mut self) -> Option<Chain<T>> {
        self.at_close.as_mut()?.take_listed()
    }

    /// Makes a lane of many producers that has a message the current one, and releases those that are
    /// drained. The channel must be closed, and all other lanes empty.
    pub(super) fn visit_shared_at_close(&mut self) -> Found {
        // SAFETY: this is the receiver, which has closed these lanes.
        let find = |lane: &SharedLane<T>| unsafe { lane.has_message() || lane.is_drained() };
        while let Some(at_close) = &mut self.at_close
            && let Some(lane) = at_close.shared().find(find)
        {
            // SAFETY: the list holds a reference to the lane.
            let lane = unsafe { lane.as_ref() };
            // SAFETY: as above.
            if unsafe { lane.has_message() } {
                // SAFETY: the receiver holds all lanes of the list, and no other `HeldLane` is in use for
                // this one.
                self.visit(unsafe { HeldLane::new(lane.as_link()) });
                return Found::Something;
            }
            // SAFETY: the lane is in the list.
            if let Some(lane) = unsafe { at_close.shared_mut().remove(lane) } {
                self.fan_in.drop_shared_lane(lane);
            }
        }
        Found::Nothing
    }

    /// Drops all that was accepted. The channel must be closed.
    fn drain(&mut self) {
        let mut stall = Stall::new();
        loop {
            while let Some(message) = self.try_next() {
                drop(message);
            }
            if !self.has_unwritten() {
                return;
            }
            // A producer is between claiming a place and filling it.
            stall.pause();
        }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        /// Drains the rest even if a sender's waker or the drop of one message panics.
        struct Rest<'a, T>(&'a mut Inbox<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.0.drain();
            }
        }
        if self.closed && self.owed == 0 && !self.may_have_next() {
            // It was closed and drained before.
            return;
        }
        let rest = Rest(self);
        rest.0.close();
        rest.0.drain();
        // Nothing is left.
        std::mem::forget(rest);
    }
}
