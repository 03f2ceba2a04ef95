//! Closing the channel, and draining what is left in it.

use super::Inbox;
use crate::{
    fan_in::lane::rx::LaneRx,
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
                all.run(|| unsafe { LaneRx::new(lane) }.wake_waiting());
            }
        }
        if let Some(bound) = &self.fan_in.bound
            && !mutant("bound_close")
        {
            all.run(|| bound.close());
        }
        all.run(|| self.fan_in.wake_close_waiters());
        // A waker's drop is its executor's code.
        all.run(|| drop(waker));
        all.done();
    }

    /// Drops all that was accepted. The channel must be closed.
    fn drain(&mut self) {
        let mut stall = Stall::new();
        loop {
            while let Some(message) = self.try_next() {
                drop(message);
            }
            if !self.slots.has_claimed() {
                return;
            }
            // A producer is between claiming a shared slot and filling it.
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
    }
}
