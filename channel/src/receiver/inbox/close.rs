//! Closing the channel, and draining what is left in it.

use super::{Found, Inbox, held::HeldLane};
use crate::{
    fan_in::shared_lane::SharedLane,
    sync::{mutant, stall::Stall, store_load_fence, wake_all::WakeAll},
};

impl<T> Inbox<T> {
    /// Closes the channel: later sends fail, and accepted messages can still be received.
    pub(crate) fn close(&mut self) {
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
        self.listed_at_close = taken.chain;
        self.shared_at_close = self.fan_in.close_cold();
        // Pairs with the fence in `LaneTx::wait`: either a producer that is about to wait sees that
        // the channel is closed, or this sees that it waits.
        store_load_fence!("close_fence");
        let mut all = WakeAll::default();
        if let Some(lane) = &self.current {
            all.run(|| lane.wake_waiting());
        }
        for mut chain in [
            self.chain.view(),
            self.next_round.view(),
            self.listed_at_close.view(),
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
        self.shared_at_close.find(|lane| {
            all.run(|| lane.serve());
            false
        });
        all.run(|| self.fan_in.wake_close_waiters());
        // A waker's drop is its executor's code.
        all.run(|| drop(waker));
        all.done();
    }

    /// Makes a lane of many producers that has a message the current one, and releases those that are
    /// drained. The channel must be closed, and all other lanes empty.
    pub(super) fn visit_shared_at_close(&mut self) -> Found {
        // SAFETY: this is the receiver, which has closed these lanes.
        let find = |lane: &SharedLane<T>| unsafe { lane.has_message() || lane.is_drained() };
        while let Some(lane) = self.shared_at_close.find(find) {
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
            if let Some(lane) = unsafe { self.shared_at_close.remove(lane) } {
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
        let rest = Rest(self);
        rest.0.close();
        rest.0.drain();
        // Nothing is left.
        std::mem::forget(rest);
    }
}
