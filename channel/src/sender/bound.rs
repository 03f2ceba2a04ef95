//! How a sender borrows slots when one bound is set for all lanes. Nothing here runs without it.
//!
//! `Sender::credit` then counts the slots in the sender's own hands, which is none but between two
//! steps of one operation, while a permit or [`Sender::poll_reserve`] holds one.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Aside, Path, Sender};
use crate::{error::SendError, fan_in::bound::SlotWait, sync::wake_all::WakeAll};

impl<T> Sender<T> {
    /// Whether one bound is set for all lanes.
    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        self.fan_in.bound.is_some()
    }

    /// Borrows until `wanted` slots are in this sender's hands, or as many as there are.
    pub(super) fn borrow(&mut self, wanted: usize) {
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        let mut credit = self.credit as usize;
        let wait = self.aside.as_mut().and_then(|aside| aside.wait.as_mut());
        credit += wait.map_or(0, SlotWait::take_granted);
        if let Some(lane) = &self.lane
            && credit < wanted
        {
            credit += lane.held().take(wanted - credit);
        }
        // A sender that waits overtakes nobody.
        if credit < wanted && !self.waits() {
            credit += bound.borrow(wanted - credit);
        }
        self.credit = u32::try_from(credit).unwrap_or(u32::MAX);
        if credit > 0 && self.waits() {
            self.cancel_wait();
        }
    }

    /// Borrows until `wanted` slots are in this sender's hands, or says that they are not to be had
    /// all at once.
    pub(super) fn borrow_exactly(&mut self, wanted: usize) -> bool {
        let Some(bound) = &self.fan_in.bound else {
            return false;
        };
        let mut credit = self.credit as usize;
        let wait = self.aside.as_mut().and_then(|aside| aside.wait.as_mut());
        credit += wait.map_or(0, SlotWait::take_granted);
        if let Some(lane) = &self.lane
            && credit < wanted
        {
            credit += lane.held().take(wanted - credit);
        }
        if credit < wanted {
            credit += bound.borrow_exactly(wanted - credit);
        }
        self.credit = u32::try_from(credit).unwrap_or(u32::MAX);
        let all = credit >= wanted;
        if all && self.waits() {
            self.cancel_wait();
        }
        all
    }

    fn waits(&self) -> bool {
        let wait = self.aside.as_ref().and_then(|aside| aside.wait.as_ref());
        wait.is_some_and(SlotWait::has_begun)
    }

    /// Borrows a slot for a message that is pushed to the lane right after this, and perhaps some
    /// more for the lane to hold.
    #[inline]
    pub(super) fn borrow_to_push(&mut self) {
        let (Some(bound), Some(lane), Path::Lane) = (&self.fan_in.bound, &self.lane, self.path)
        else {
            return self.borrow(1);
        };
        if lane.held().take(1) == 1 {
            self.credit = 1;
            return;
        }
        match bound.borrow_ahead() {
            // A slot may have been granted.
            0 => self.borrow(1),
            1 => self.credit = 1,
            more => {
                lane.held().add(more - 1);
                self.credit = 1;
            }
        }
    }

    /// Waits for `wanted` slots, which are not free. While it waits, it holds none: two senders
    /// that each held a part of what they want would wait for each other.
    pub(super) fn poll_borrow(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<(), SendError<()>>> {
        self.give_back();
        let Some(bound) = &self.fan_in.bound else {
            return Poll::Ready(Err(SendError(())));
        };
        let wait = &mut self.aside.get_or_insert_with(Aside::new).wait;
        if wait.as_ref().is_some_and(|wait| wait.wanted() != wanted) {
            *wait = None;
        }
        let wait = wait.get_or_insert_with(|| SlotWait::new(bound, wanted));
        match wait.poll(cx) {
            Poll::Pending => {
                self.reset_budget();
                Poll::Pending
            }
            Poll::Ready(true) => {
                self.credit += wanted as u32;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(false) => Poll::Ready(Err(SendError(()))),
        }
    }

    /// Waits for room for `wanted` messages in the lane, or for as many slots of the bound on all
    /// lanes.
    pub(super) fn wait_for_room(&mut self, wanted: usize) -> WaitForRoom<'_, T> {
        WaitForRoom {
            sender: self,
            wanted,
            waits: false,
        }
    }

    /// Gives up the place in the queue of those who wait.
    #[cold]
    pub(super) fn cancel_wait(&mut self) {
        drop(self.take_wait());
    }

    /// The place in the queue of those who wait, to be given up.
    pub(super) fn take_wait(&mut self) -> Option<SlotWait> {
        self.aside.as_mut()?.wait.take()
    }

    /// Gives back the slots in this sender's hands that no message has used.
    pub(super) fn give_back(&mut self) {
        self.give_back_above(0);
    }

    /// Gives back the slots in this sender's hands but `keep`, if there are more.
    pub(super) fn give_back_above(&mut self, keep: u32) {
        if let Some(bound) = &self.fan_in.bound
            && self.credit > keep
        {
            let unused = self.credit - keep;
            self.credit = keep;
            bound.give(unused as usize);
        }
    }

    /// The sender goes: gives back all that is in its hands and in its lane, and its place in the
    /// queue.
    #[cold]
    pub(super) fn give_back_all(&mut self, all: &mut WakeAll) {
        all.run(|| self.cancel_wait());
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        let held = self.lane.as_ref().map_or(0, |lane| lane.held().reclaim());
        let unused = std::mem::take(&mut self.credit) as usize + held;
        all.run(|| bound.give(unused));
    }
}

/// A wait for room. When it is dropped before it is ready, its place in the queue goes to the next,
/// and no waker is left in the lane.
pub(super) struct WaitForRoom<'a, T> {
    sender: &'a mut Sender<T>,
    /// Messages for which there must be room.
    wanted: usize,
    waits: bool,
}

impl<T> Future for WaitForRoom<'_, T> {
    type Output = Result<(), SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let wanted = self.wanted;
        let polled = self.sender.poll_room(cx, wanted);
        self.waits = polled.is_pending();
        polled
    }
}

impl<T> Drop for WaitForRoom<'_, T> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        if self.sender.is_bounded() {
            self.sender.cancel_wait();
        } else {
            self.sender.stop_waiting();
        }
    }
}
