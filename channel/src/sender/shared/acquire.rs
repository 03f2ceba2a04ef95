//! Slots of the lane, and of the bound on all lanes if there is one: acquired before a message is there, and sent with
//! or released.

use std::{
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use super::{Group, SharedSender, coop};
use crate::{
    error::{SendError, TrySendError},
    fan_in::shared_lane::SharedLane,
    sync::{
        semaphore::{Acquire, Acquired},
        wake_all::WakeAll,
    },
};

impl<T> SharedSender<T> {
    /// Messages that can wait at most, in this lane and in all.
    pub(super) fn most(&self) -> usize {
        let total = self.group.fan_in.config.total as usize;
        if total == 0 {
            self.capacity()
        } else {
            self.capacity().min(total)
        }
    }

    pub(super) fn try_acquire(&self, count: usize) -> Result<(), TrySendError<()>> {
        let Group { fan_in, lane, .. } = &*self.group;
        if count == 0 && !self.is_closed() {
            // Nobody is overtaken by taking nothing.
            return Ok(());
        }
        lane.try_acquire(&fan_in.ready, count)?;
        let Some(bound) = &fan_in.bound else {
            return Ok(());
        };
        if bound.borrow_exactly(count) == count {
            return Ok(());
        }
        lane.release(count);
        Err(self.refused())
    }

    /// Why there is no room.
    pub(super) fn refused(&self) -> TrySendError<()> {
        if self.is_closed() {
            TrySendError::Closed(())
        } else {
            TrySendError::Full(())
        }
    }

    /// Pauses, if it is this thread's turn to let other tasks run.
    pub(crate) async fn cooperate(&self) {
        coop::proceed(self.group.fan_in.config.budget()).await;
    }

    /// Waits for so many slots, unless they are there.
    pub(super) async fn acquire(&self, count: usize) -> Result<(), SendError<()>> {
        self.cooperate().await;
        match self.try_acquire(count) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(())) => Err(SendError(())),
            Err(TrySendError::Full(())) => self.wait(count).await,
        }
    }

    /// Waits for so many slots.
    pub(super) async fn wait(&self, count: usize) -> Result<(), SendError<()>> {
        /// Slots of the lane that are returned if the wait for those of all lanes is cancelled.
        struct Unused<'a, T>(&'a SharedLane<T>, usize);
        impl<T> Drop for Unused<'_, T> {
            fn drop(&mut self) {
                self.0.release(self.1);
            }
        }
        let Group { fan_in, lane, .. } = &*self.group;
        let mut acquire = pin!(lane.acquire(count));
        poll_fn(|cx| self.poll_acquire(acquire.as_mut(), cx)).await?;
        let Some(bound) = &fan_in.bound else {
            return Ok(());
        };
        let unused = Unused(lane, count);
        let mut acquire = pin!(bound.acquire(count));
        match poll_fn(|cx| acquire.as_mut().poll(cx, |_| true)).await {
            Acquired::Permits => {
                mem::forget(unused);
                Ok(())
            }
            _ => Err(SendError(())),
        }
    }

    fn poll_acquire(
        &self,
        mut acquire: Pin<&mut Acquire<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        let Group { fan_in, lane, .. } = &*self.group;
        let mut hopes = true;
        loop {
            let polled = acquire
                .as_mut()
                .poll(cx, |word| !hopes || !lane.may_have_room(word));
            match polled {
                Poll::Ready(Acquired::Permits) => return Poll::Ready(Ok(())),
                Poll::Ready(Acquired::Closed) => return Poll::Ready(Err(SendError(()))),
                // Room that only has to be made is not waited for.
                Poll::Ready(Acquired::Unwilling(word)) => {
                    hopes = lane.make_room(&fan_in.ready, word);
                }
                Poll::Pending => {
                    coop::rest();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sends a message into a slot that was acquired.
    pub(super) fn send_reserved(&self, message: T) -> Result<(), SendError<T>> {
        let Group { fan_in, lane, .. } = &*self.group;
        lane.send(&fan_in.ready, message).map_err(|message| {
            if let Some(bound) = &fan_in.bound {
                bound.give(1);
            }
            SendError(message)
        })
    }

    /// Releases slots that were acquired, to those who wait first.
    pub(super) fn release(&self, slots: usize) {
        let Group { fan_in, lane, .. } = &*self.group;
        let mut all = WakeAll::default();
        if let Some(bound) = &fan_in.bound {
            all.run(|| bound.give(slots));
        }
        all.run(|| lane.release(slots));
        all.done();
    }
}
