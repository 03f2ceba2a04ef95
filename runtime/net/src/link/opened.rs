//! What the opener of a lane knows of it: shared by the link, which hears of the other end, and the
//! lane's pump.

use std::{
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use lanemesh_runtime::{ExitReason, edge::View};

use super::{
    credit::{Count, Credit},
    sync::{Mutex, MutexGuard},
};
use crate::wire::{Class, Codec};

/// What the owner has said to a request for a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Opened {
        version: u32,
        codec: Codec,
        has_traces: bool,
    },
    Refused {
        why: u8,
        text: String,
    },
}

#[derive(Default)]
pub(crate) struct OpenLane(Mutex<Inside>);

#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) reply: Option<Reply>,
    credit: [Credit; 2],
    ended: Option<ExitReason>,
    is_down: bool,
    waker: Option<Waker>,
    view: Option<View>,
}

impl Inside {
    pub(crate) fn credit(&mut self, class: Class) -> &mut Credit {
        &mut self.credit[class as usize]
    }

    /// Messages of both classes that may or may not have arrived.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.credit.iter().map(Credit::unconfirmed).sum()
    }

    pub(crate) fn ended(&self) -> Option<&ExitReason> {
        self.ended.as_ref()
    }

    /// The handles' actor in this process, for those who watch.
    pub(crate) fn set_view(&mut self, view: View) {
        self.view = Some(view);
    }

    pub(super) fn view(&self) -> Option<(View, u64)> {
        Some((self.view.clone()?, self.unconfirmed()))
    }

    pub(crate) fn is_opened(&self) -> bool {
        matches!(self.reply, Some(Reply::Opened { .. }))
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down
    }
}

impl OpenLane {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state; the waker of the last look is woken at the next change.
    pub(crate) fn look<T>(&self, cx: &mut Context<'_>, look: impl FnOnce(&mut Inside) -> T) -> T {
        let mut inside = self.lock();
        let is_known = |known: &Waker| known.will_wake(cx.waker());
        if !inside.waker.as_ref().is_some_and(is_known) {
            inside.waker = Some(cx.waker().clone());
        }
        look(&mut inside)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        let mut inside = self.lock();
        let changed = change(&mut inside);
        let waker = inside.waker.take();
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        changed
    }

    /// The owner has answered the request.
    pub(crate) fn reply(&self, reply: Reply, credit: [Credit; 2]) -> Result<(), ()> {
        self.change(|inside| {
            if inside.reply.is_some() {
                return Err(());
            }
            inside.reply = Some(reply);
            inside.credit = credit;
            Ok(())
        })
    }

    pub(crate) fn confirm(&self, class: Class, accepted: Count) -> Result<(), ()> {
        self.change(|inside| inside.credit(class).confirm(accepted))
    }

    pub(crate) fn grow(&self, class: Class, room: Count) {
        self.change(|inside| inside.credit(class).grow(room));
    }

    pub(crate) fn end(&self, reason: ExitReason) {
        self.change(|inside| inside.ended = Some(reason));
    }

    /// The link is down.
    pub(crate) fn down(&self) {
        self.change(|inside| inside.is_down = true);
    }

    pub(crate) fn poll_reply(&self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        self.look(cx, |inside| match &inside.reply {
            Some(reply) => Poll::Ready(Some(reply.clone())),
            None if inside.is_down => Poll::Ready(None),
            None => Poll::Pending,
        })
    }
}
