//! Credit: how many messages and bytes of a class the other end of a lane has room for.
//!
//! Both ends count from the opening of the lane on, so that a lost or repeated report changes nothing.

/// The opener's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    messages: u64,
    bytes: u64,
    sent: Count,
    accepted: Count,
}

/// Messages, and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

impl Credit {
    pub(crate) fn new(messages: u32, bytes: u64) -> Self {
        Self {
            messages: u64::from(messages).max(1),
            bytes,
            ..Self::default()
        }
    }

    /// Whether there is room for a message at all.
    pub(crate) fn has_room(&self) -> bool {
        self.unconfirmed() < self.messages
    }

    /// Whether there is room for a message of this size. One message at a time may be larger than all the room.
    pub(crate) fn allows(&self, bytes: usize) -> bool {
        let outstanding = self.sent.bytes - self.accepted.bytes;
        self.has_room() && (outstanding == 0 || outstanding + bytes as u64 <= self.bytes)
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        debug_assert!(self.allows(bytes), "credit is never negative");
        self.sent.add(bytes);
    }

    /// The other end has accepted this much in all. An error if it cannot have.
    pub(crate) fn confirm(&mut self, accepted: Count) -> Result<(), ()> {
        if accepted.messages > self.sent.messages || accepted.bytes > self.sent.bytes {
            return Err(());
        }
        self.accepted.messages = self.accepted.messages.max(accepted.messages);
        self.accepted.bytes = self.accepted.bytes.max(accepted.bytes);
        Ok(())
    }

    /// Messages that were sent and are not known to be in the actor's mailbox.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.sent.messages - self.accepted.messages
    }
}

/// The owner's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owed {
    window: Count,
    pub(crate) received: Count,
    pub(crate) accepted: Count,
    reported: Count,
}

impl Owed {
    pub(crate) fn new(messages: u32, bytes: u64) -> Self {
        Self {
            window: Count {
                messages: u64::from(messages).max(1),
                bytes,
            },
            ..Self::default()
        }
    }

    /// A message of this size has arrived. An error if there was no credit for it.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<(), ()> {
        // By what was reported, which is what the opener knows.
        let outstanding = self.received.bytes - self.reported.bytes;
        let has_room = self.received.messages - self.reported.messages < self.window.messages
            && (outstanding == 0 || outstanding + bytes as u64 <= self.window.bytes);
        self.received.add(bytes);
        if has_room { Ok(()) } else { Err(()) }
    }

    pub(crate) fn accept(&mut self, bytes: usize) {
        self.accepted.add(bytes);
    }

    /// What to report: when half of the room is free again, or anything is if it `is_wanted`.
    pub(crate) fn report(&mut self, is_wanted: bool) -> Option<Count> {
        let messages = self.accepted.messages - self.reported.messages;
        let bytes = self.accepted.bytes - self.reported.bytes;
        let is_due = 2 * messages >= self.window.messages || 2 * bytes >= self.window.bytes;
        if messages == 0 || !(is_due || is_wanted) {
            return None;
        }
        self.reported = self.accepted;
        Some(self.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_accounts_agree_under_any_order_of_sends_and_reports() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let (messages, bytes) = (random.u32(1..5), random.u64(0..100));
            let (mut credit, mut owed) = (Credit::new(messages, bytes), Owed::new(messages, bytes));
            let mut on_the_way: Vec<usize> = Vec::new();
            let mut queued: Vec<usize> = Vec::new();
            for _ in 0..300 {
                let size = random.usize(0..150);
                match random.u8(0..4) {
                    0 if credit.allows(size) => {
                        credit.spend(size);
                        on_the_way.push(size);
                    }
                    1 if !on_the_way.is_empty() => {
                        let size = on_the_way.remove(0);
                        owed.receive(size).unwrap();
                        queued.push(size);
                    }
                    2 if !queued.is_empty() => owed.accept(queued.remove(0)),
                    _ => {
                        if let Some(count) = owed.report(random.bool()) {
                            credit.confirm(count).unwrap();
                        }
                    }
                }
                assert!(credit.unconfirmed() <= u64::from(messages));
            }
            // It never stands still for good.
            for size in on_the_way.drain(..) {
                owed.receive(size).unwrap();
                queued.push(size);
            }
            queued.drain(..).for_each(|size| owed.accept(size));
            if let Some(count) = owed.report(false) {
                credit.confirm(count).unwrap();
            }
            assert!(credit.allows(0));
            if let Some(count) = owed.report(true) {
                credit.confirm(count).unwrap();
            }
            assert_eq!(credit.unconfirmed(), 0);
            assert!(credit.allows(1 << 20));
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let mut owed = Owed::new(1, 10);
        owed.receive(5).unwrap();
        assert!(owed.receive(1).is_err());
        let mut credit = Credit::new(2, 10);
        credit.spend(100);
        assert!(!credit.allows(1), "larger than the room: alone");
        let (messages, bytes) = (2, 100);
        assert!(credit.confirm(Count { messages, bytes }).is_err());
        let (messages, bytes) = (1, 101);
        assert!(credit.confirm(Count { messages, bytes }).is_err());
        assert_eq!(credit.unconfirmed(), 1);
    }
}
