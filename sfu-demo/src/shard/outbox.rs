//! What waits to leave a shard for another mailbox: control until there is room, media until it is
//! too much.

use std::collections::VecDeque;

use crate::mailbox::{Refused, Sender};

/// Media that may wait for a full lane; the oldest goes first.
pub(super) const MAX_STAGED: usize = 512;

/// What could not be sent at once to one destination.
pub(super) struct Outbox<H, L, S: Sender<H, L>> {
    pub(super) sender: S,
    control: VecDeque<H>,
    pub(super) media: Vec<L>,
}

impl<H, L, S: Sender<H, L>> Outbox<H, L, S> {
    /// Control that waits for a mailbox that does not move; beyond it the other side is lost.
    const MAX_CONTROL: usize = 1 << 16;

    pub(super) fn new(sender: S) -> Self {
        Self {
            sender,
            control: VecDeque::new(),
            media: Vec::new(),
        }
    }

    pub(super) fn control(&mut self, message: H) {
        if self.control.len() < Self::MAX_CONTROL {
            self.control.push_back(message);
            self.flush_control();
        }
    }

    pub(super) fn flush_control(&mut self) {
        while let Some(message) = self.control.pop_front() {
            match self.sender.try_send_high(message) {
                Ok(()) => {}
                Err(Refused::Full(message)) => {
                    self.control.push_front(message);
                    return;
                }
                Err(Refused::Closed(_)) => return,
            }
        }
    }

    /// Sends what is staged; drops the oldest of what is too much, and says how many.
    pub(super) fn flush(&mut self) -> usize {
        self.flush_control();
        if self.media.is_empty() {
            return 0;
        }
        if self.sender.try_send_low_many(&mut self.media).is_err() {
            self.media.clear();
        }
        let excess = self.media.len().saturating_sub(MAX_STAGED);
        self.media.drain(..excess);
        excess
    }

    pub(super) fn waits(&self) -> bool {
        !self.control.is_empty() || !self.media.is_empty()
    }
}
