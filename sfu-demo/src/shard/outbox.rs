//! What a shard sends to another mailbox: control waits for room, media is dropped beyond a limit.

use std::collections::VecDeque;

use crate::mailbox::{Refused, Sender};

/// Media messages that may wait for a full lane; beyond it the oldest are dropped.
pub(super) const MAX_STAGED: usize = 512;

/// The queue to one mailbox.
pub(super) struct Outbox<H, L, S: Sender<H, L>> {
    pub(super) sender: S,
    control: VecDeque<H>,
    pub(super) media: Vec<L>,
}

impl<H, L, S: Sender<H, L>> Outbox<H, L, S> {
    /// Control messages that may wait. A receiver that lets more pile up has failed, and they are dropped.
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

    /// Sends queued messages while there is room, then drops the oldest media beyond the limit. Returns how many were
    /// dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mesh::Mesh;
    use crate::mailbox::{Mailbox, Message};

    #[test]
    fn oldest_media_is_dropped_and_control_never() {
        let (sender, mut receiver) = Mesh::mailbox::<u32, u32>(1, 4);
        let mut outbox = Outbox::new(sender);
        let media = 4 + MAX_STAGED as u32 + 10;
        let mut dropped = 0;
        for number in 0..media {
            outbox.media.push(number);
            dropped += outbox.flush();
        }
        assert_eq!(dropped, 10);
        for number in 0..100 {
            outbox.control(number);
        }
        assert!(outbox.waits());
        let (mut control, mut low, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        while outbox.waits() || !taken.is_empty() {
            taken.clear();
            let _ = receiver.try_recv_many(&mut taken, 64);
            for message in &taken {
                match message {
                    Message::High(number) => control.push(*number),
                    Message::Low(number) => low.push(*number),
                }
            }
            assert_eq!(outbox.flush(), 0);
        }
        assert_eq!(control, (0..100).collect::<Vec<_>>());
        // The first four were in the lane; of those in the queue, the oldest ten were dropped.
        let kept: Vec<_> = (0..4).chain(14..media).collect();
        assert_eq!(low, kept);
    }

    #[test]
    fn closed_mailbox_keeps_nothing_waiting() {
        let (sender, receiver) = Mesh::mailbox::<u32, u32>(1, 1);
        let mut outbox = Outbox::new(sender);
        drop(receiver);
        outbox.media.extend([1, 2, 3]);
        outbox.control(1);
        assert_eq!(outbox.flush(), 0);
        assert!(!outbox.waits());
    }
}
