//! Credit: how many messages and bytes of a class the other end of a lane has room for.
//!
//! Both ends count from the opening of the lane on, so that a lost or repeated report changes nothing. The room itself
//! grows, up to a limit, to what the actor accepts in a round trip: with less, the opener would wait for reports that are
//! on their way. An actor that is slow accepts little in a round trip, so its senders get no more room.

use std::time::Duration;

use tokio::time::Instant;

use crate::{config::Config, wire::Class};

/// How much more room there is than what was accepted in a round trip, in parts of four: so that the room of an opener that
/// has used all of it grows, whatever it is.
const MORE: u64 = 5;

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

    /// The other end has more room: this much. It never has less.
    pub(crate) fn grow(&mut self, room: Count) {
        self.messages = self.messages.max(room.messages);
        self.bytes = self.bytes.max(room.bytes);
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

/// How much room a class of a lane has: in the beginning, and at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    first: Count,
    most: Count,
}

impl Limits {
    pub(crate) fn of(config: &Config, class: Class) -> Self {
        let (messages, bytes) = match class {
            Class::High => (config.high_messages, config.high_bytes),
            Class::Low => (config.low_messages, config.low_bytes),
        };
        let growth = u64::from(config.max_credit_growth);
        let first = Count {
            messages: u64::from(messages).max(1),
            bytes,
        };
        Self {
            first,
            most: Count {
                messages: growth.saturating_mul(first.messages),
                // More cannot be on its way.
                bytes: growth.saturating_mul(bytes).min(config.max_window),
            },
        }
    }

    /// What is reported at once.
    fn step(&self) -> Count {
        Count {
            messages: self.first.messages.div_ceil(2),
            bytes: self.first.bytes.div_ceil(2),
        }
    }
}

/// The owner's account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    room: Count,
    pub(crate) received: Count,
    pub(crate) accepted: Count,
    reported: Count,
    /// What had been accepted at a time about a round trip ago.
    since: Option<(Instant, Count)>,
}

impl Owed {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            room: limits.first,
            received: Count::default(),
            accepted: Count::default(),
            reported: Count::default(),
            since: None,
        }
    }

    /// A message of this size has arrived. An error if there was no credit for it.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<(), ()> {
        // By what was reported, which is what the opener knows.
        let outstanding = self.received.bytes - self.reported.bytes;
        let has_room = self.received.messages - self.reported.messages < self.room.messages
            && (outstanding == 0 || outstanding + bytes as u64 <= self.room.bytes);
        self.received.add(bytes);
        if has_room { Ok(()) } else { Err(()) }
    }

    pub(crate) fn accept(&mut self, bytes: usize) {
        self.accepted.add(bytes);
    }

    /// What to report: when as much as a step is free again, or anything is if it `is_wanted`.
    pub(crate) fn report(&mut self, limits: Limits, is_wanted: bool) -> Option<Count> {
        let messages = self.accepted.messages - self.reported.messages;
        let bytes = self.accepted.bytes - self.reported.bytes;
        let step = limits.step();
        let is_due = messages >= step.messages || bytes >= step.bytes;
        if messages == 0 || !(is_due || is_wanted) {
            return None;
        }
        self.reported = self.accepted;
        Some(self.reported)
    }

    /// How much room there is from now on, if that is more than before: enough for what is accepted in a round trip,
    /// and for a step that is not reported yet. To be called after a report.
    pub(crate) fn grow(
        &mut self,
        limits: Limits,
        round_trip: Duration,
        now: Instant,
    ) -> Option<Count> {
        let (began, before) = *self.since.get_or_insert((now, self.accepted));
        let span = now - began;
        if span < round_trip || span.is_zero() {
            return None;
        }
        self.since = Some((now, self.accepted));
        let part = round_trip.as_secs_f64() / span.as_secs_f64();
        let wanted = |accepted: u64, step: u64, most: u64| {
            let in_a_round_trip = (accepted as f64 * part) as u64;
            let wanted = in_a_round_trip.saturating_mul(MORE) / 4;
            wanted.saturating_add(step).min(most)
        };
        let (step, most) = (limits.step(), limits.most);
        let messages = self.accepted.messages - before.messages;
        let bytes = self.accepted.bytes - before.bytes;
        let room = Count {
            messages: wanted(messages, step.messages, most.messages).max(self.room.messages),
            bytes: wanted(bytes, step.bytes, most.bytes).max(self.room.bytes),
        };
        if room == self.room {
            return None;
        }
        self.room = room;
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const NO_MORE: Count = Count {
        messages: 0,
        bytes: 0,
    };

    fn limits(messages: u32, bytes: u64, most: Count) -> Limits {
        let first = Count {
            messages: messages.into(),
            bytes,
        };
        Limits { first, most }
    }

    #[test]
    fn both_accounts_agree_under_any_order_of_sends_and_reports() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let (messages, bytes) = (random.u32(1..5), random.u64(0..100));
            let most = Count {
                messages: random.u64(0..10),
                bytes: random.u64(0..300),
            };
            let limits = limits(messages, bytes, most);
            let mut credit = Credit::new(messages, bytes);
            let mut owed = Owed::new(limits);
            let mut on_the_way: Vec<usize> = Vec::new();
            let mut queued: Vec<usize> = Vec::new();
            let mut now = Instant::now();
            let mut late = None;
            for _ in 0..300 {
                let size = random.usize(0..150);
                now += Duration::from_millis(random.u64(0..20));
                match random.u8(0..5) {
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
                    3 => {
                        // More room may be known later than what is reported after it.
                        let room = owed.grow(limits, Duration::from_millis(30), now);
                        if let Some(late) = std::mem::replace(&mut late, room) {
                            credit.grow(late);
                        }
                    }
                    _ => {
                        if let Some(count) = owed.report(limits, random.bool()) {
                            credit.confirm(count).unwrap();
                        }
                    }
                }
                assert!(credit.unconfirmed() <= u64::from(messages).max(most.messages));
            }
            // It never stands still for good.
            for size in on_the_way.drain(..) {
                owed.receive(size).unwrap();
                queued.push(size);
            }
            queued.drain(..).for_each(|size| owed.accept(size));
            if let Some(count) = owed.report(limits, false) {
                credit.confirm(count).unwrap();
            }
            assert!(credit.allows(0));
            if let Some(count) = owed.report(limits, true) {
                credit.confirm(count).unwrap();
            }
            assert_eq!(credit.unconfirmed(), 0);
            assert!(credit.allows(1 << 20));
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let mut owed = Owed::new(limits(1, 10, NO_MORE));
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

    /// The part of a path's rate of messages that is used once the room has grown, with this round trip, and the room in the
    /// end. The actor accepts each message at once.
    fn run(rate: f64, round_trip: Duration, bytes: usize, most: Count) -> (f64, Count) {
        let start = Instant::now();
        let mut credit = Credit::new(1024, 4 << 20);
        let limits = limits(1024, 4 << 20, most);
        let mut owed = Owed::new(limits);
        let (seconds, each) = (20, Duration::from_secs_f64(1.0 / rate));
        let (mut now, mut free_at, mut arrived) = (start, start, 0);
        // What is told, and when the opener knows.
        let mut told: VecDeque<(Instant, Count, Option<Count>)> = VecDeque::new();
        while now < start + Duration::from_secs(seconds) {
            while let Some((at, count, room)) = told.front()
                && *at <= now
            {
                credit.confirm(*count).unwrap();
                credit.grow(room.unwrap_or(NO_MORE));
                told.pop_front();
            }
            if !credit.allows(bytes) {
                now = told.front().expect("it stands still").0;
                continue;
            }
            credit.spend(bytes);
            now = now.max(free_at);
            free_at = now + each;
            owed.receive(bytes).unwrap();
            owed.accept(bytes);
            arrived += u64::from(now >= start + Duration::from_secs(seconds / 2));
            if let Some(count) = owed.report(limits, false) {
                // It arrives half a round trip later, and what it says after the other half.
                let room = owed.grow(limits, round_trip, now);
                told.push_back((now + round_trip, count, room));
            }
        }
        (2.0 * arrived as f64 / seconds as f64 / rate, owed.room)
    }

    #[test]
    fn room_grows_to_what_is_accepted_in_a_round_trip() {
        let most = Count {
            messages: 16 << 10,
            bytes: 16 << 20,
        };
        for (rate, milliseconds, bytes) in [
            (10_000.0, 0, 1200),
            (10_000.0, 20, 1200),
            (10_000.0, 100, 1200),
            (100_000.0, 100, 100),
            (100_000.0, 100, 1200),  // a gigabit a second
            (1000.0, 300, 64 << 10), // few and large
            (100.0, 300, 100),
        ] {
            let round_trip = Duration::from_millis(milliseconds);
            let (used, room) = run(rate, round_trip, bytes, most);
            let case = format!("{rate} {milliseconds} {bytes}: {used} {room:?}");
            assert!(used > 0.97 || room.bytes == most.bytes, "{case}");
            // The path holds no more than that, and the room is in proportion to it.
            let held = rate * round_trip.as_secs_f64();
            assert!(
                room.messages as f64 <= (1.3 * held + 513.0).max(1024.0),
                "{case}"
            );
            assert!(room.messages <= most.messages && room.bytes <= most.bytes);
        }
        let (used, room) = run(10_000.0, Duration::from_millis(100), 1200, NO_MORE);
        assert!(used < 0.8, "{used}");
        assert_eq!((room.messages, room.bytes), (1024, 4 << 20));
    }

    #[test]
    fn room_by_the_shortest_round_trip_does_not_follow_its_own_queue() {
        let most = Count {
            messages: 1 << 20,
            bytes: 1 << 40,
        };
        let limits = limits(64, 256 << 10, most);
        let (rate, shortest) = (10_000.0, Duration::from_millis(20));
        for is_shortest in [true, false] {
            let mut owed = Owed::new(limits);
            let mut now = Instant::now();
            for _ in 0..200 {
                // All credit is used in each round trip: what the path does not hold stands in its queue.
                let count = owed.room.messages;
                let round_trip = shortest.max(Duration::from_secs_f64(count as f64 / rate));
                now += round_trip;
                for _ in 0..count {
                    owed.accept(10);
                }
                let round_trip = if is_shortest { shortest } else { round_trip };
                owed.grow(limits, round_trip, now);
            }
            let held = rate * shortest.as_secs_f64();
            let is_bounded = owed.room.messages as f64 <= 1.3 * held + 32.0;
            assert_eq!(is_bounded, is_shortest, "{:?}", owed.room);
        }
    }

    #[test]
    fn slow_actor_gives_no_more_room() {
        let most = Count {
            messages: 1 << 20,
            bytes: 1 << 40,
        };
        let limits = limits(64, 1 << 10, most);
        let mut owed = Owed::new(limits);
        let mut now = Instant::now();
        for _ in 0..1000 {
            owed.receive(10).unwrap();
            owed.accept(10);
            now += Duration::from_millis(5);
            if owed.report(limits, false).is_some() {
                assert_eq!(owed.grow(limits, Duration::from_millis(100), now), None);
            }
        }
    }
}
