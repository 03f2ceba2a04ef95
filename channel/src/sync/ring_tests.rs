//! One suite for the ring of a lane, run on rtrb and on the stand-in that loom sees.
//!
//! Every sequence of operations must give the results of [`Model`], which knows what each end may
//! have cached. So two rings that pass are the same to a lane, and a model that holds on the
//! stand-in says something about rtrb.

use std::{cell::Cell, collections::VecDeque, mem::MaybeUninit};

use super::ring::{RingConsumer, RingProducer, ring};

/// What a lane uses of a ring.
trait Ring<T> {
    fn new(capacity: usize) -> Self;
    fn push(&mut self, message: T) -> Result<(), T>;
    /// Pushes as many of the first messages as fit with one publication, and removes them.
    fn push_from(&mut self, messages: &mut Vec<T>) -> usize;
    fn used_at_most(&self) -> usize;
    fn used(&self) -> usize;
    fn pop(&mut self) -> Option<T>;
    fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize;
    fn len(&self) -> usize;
    /// The producer's half and the consumer's.
    fn halves(self) -> (impl Sized, impl Sized);
}

/// `ring.rs`: on rtrb, or on the stand-in under loom.
struct OfLane<T>(RingProducer<T>, RingConsumer<T>);

impl<T> Ring<T> for OfLane<T> {
    fn new(capacity: usize) -> Self {
        let (producer, consumer) = ring(capacity);
        assert_eq!(producer.capacity(), capacity);
        Self(producer, consumer)
    }

    fn push(&mut self, message: T) -> Result<(), T> {
        let pushed = self.0.push(MaybeUninit::new(message));
        // SAFETY: what comes back is the message.
        pushed.map_err(|message| unsafe { message.assume_init() })
    }

    fn push_from(&mut self, messages: &mut Vec<T>) -> usize {
        let len = messages.len();
        // SAFETY: the vector forgets all of its messages, then those that did not go are moved to
        // its front.
        unsafe {
            messages.set_len(0);
            let source = messages.as_mut_ptr();
            let went = self.0.push_from(source, len);
            source.copy_from(source.add(went), len - went);
            messages.set_len(len - went);
            went
        }
    }

    fn used_at_most(&self) -> usize {
        self.0.used_at_most()
    }

    fn used(&self) -> usize {
        self.0.used()
    }

    fn pop(&mut self) -> Option<T> {
        self.1.pop()
    }

    fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.1.pop_into(into, limit)
    }

    fn len(&self) -> usize {
        self.1.len()
    }

    fn halves(self) -> (impl Sized, impl Sized) {
        (self.0, self.1)
    }
}

/// The stand-in, with std's atomics, called as `ring.rs` calls it under loom.
#[cfg(not(loom))]
mod stand_in {
    use std::mem::MaybeUninit;

    use super::{
        super::ring_loom::{Consumer, Producer, RingBuffer},
        Ring,
    };

    pub(super) struct StandIn<T>(Producer<MaybeUninit<T>>, Consumer<MaybeUninit<T>>);

    impl<T> Ring<T> for StandIn<T> {
        fn new(capacity: usize) -> Self {
            let (producer, consumer) = RingBuffer::new(capacity);
            assert_eq!(producer.buffer().capacity(), capacity);
            Self(producer, consumer)
        }

        fn push(&mut self, message: T) -> Result<(), T> {
            let pushed = self.0.push(MaybeUninit::new(message));
            // SAFETY: what comes back is the message.
            pushed.map_err(|rtrb::PushError::Full(message)| unsafe { message.assume_init() })
        }

        fn push_from(&mut self, messages: &mut Vec<T>) -> usize {
            let mut count = messages.len();
            if self.0.cached_slots() < count {
                count = count.min(self.0.slots());
            }
            let chunk: Vec<_> = messages.drain(..count).map(MaybeUninit::new).collect();
            // SAFETY: there are `count` free slots; the chunk does not drop what is moved out of it.
            unsafe { self.0.push_chunk(chunk.as_ptr(), count) };
            count
        }

        fn used_at_most(&self) -> usize {
            self.0.buffer().capacity() - self.0.cached_slots()
        }

        fn used(&self) -> usize {
            self.0.buffer().capacity() - self.0.slots()
        }

        fn pop(&mut self) -> Option<T> {
            let popped = self.1.pop().ok();
            // SAFETY: only messages were pushed.
            popped.map(|message| unsafe { message.assume_init() })
        }

        fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
            let cached = self.1.cached_slots();
            let count = if cached > 0 { cached } else { self.1.slots() }.min(limit);
            // SAFETY: the ring has `count` messages, and nothing else was pushed.
            unsafe {
                self.1
                    .pop_chunk(count, |message| into.push(message.assume_init()));
            }
            count
        }

        fn len(&self) -> usize {
            self.1.slots()
        }

        fn halves(self) -> (impl Sized, impl Sized) {
            (self.0, self.1)
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Push,
    PushFrom(usize),
    /// The producer looks at the consumer's position.
    Used,
    Pop,
    PopInto(usize),
    /// The consumer looks at the producer's position.
    Len,
}

const OPS: [Op; 9] = [
    Op::Push,
    Op::PushFrom(2),
    Op::PushFrom(3),
    Op::Used,
    Op::Pop,
    Op::PopInto(1),
    Op::PopInto(2),
    Op::PopInto(usize::MAX),
    Op::Len,
];

/// What an operation gave, and what the producer knows after it without a look.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    accepted: usize,
    popped: Vec<u32>,
    count: usize,
    used_at_most: usize,
}

fn run<R: Ring<u32>>(ring: &mut R, op: Op, next: &mut u32) -> Outcome {
    let mut fresh = |count: usize| -> Vec<u32> {
        let messages = *next..*next + count as u32;
        *next = messages.end;
        messages.collect()
    };
    let (mut accepted, mut popped, mut count) = (0, Vec::new(), 0);
    match op {
        Op::Push => {
            let message = fresh(1)[0];
            match ring.push(message) {
                Ok(()) => accepted = 1,
                Err(back) => assert_eq!(back, message),
            }
        }
        Op::PushFrom(size) => {
            let mut messages = fresh(size);
            let all = messages.clone();
            accepted = ring.push_from(&mut messages);
            assert_eq!(messages, all[accepted..], "the rest stays, in order");
        }
        Op::Used => count = ring.used(),
        Op::Pop => popped.extend(ring.pop()),
        Op::PopInto(limit) => {
            count = ring.pop_into(&mut popped, limit);
            assert_eq!(count, popped.len());
        }
        Op::Len => count = ring.len(),
    }
    Outcome {
        accepted,
        popped,
        count,
        used_at_most: ring.used_at_most(),
    }
}

/// A queue, and how much of the other end's work each end knows of. `pushed` and `popped` are
/// totals.
struct Model {
    queue: VecDeque<u32>,
    capacity: usize,
    pushed: usize,
    popped: usize,
    popped_known_to_producer: usize,
    pushed_known_to_consumer: usize,
}

impl Model {
    fn known_room(&self) -> usize {
        self.capacity - (self.pushed - self.popped_known_to_producer)
    }

    fn known_messages(&self) -> usize {
        self.pushed_known_to_consumer - self.popped
    }

    /// The producer looks if it does not know of room for `wanted`.
    fn accept(&mut self, wanted: usize) -> usize {
        if self.known_room() < wanted {
            self.popped_known_to_producer = self.popped;
        }
        let accepted = wanted.min(self.known_room());
        self.pushed += accepted;
        accepted
    }

    /// The consumer looks if it knows of no message.
    fn take(&mut self, limit: usize) -> Vec<u32> {
        if self.known_messages() == 0 {
            self.pushed_known_to_consumer = self.pushed;
        }
        let count = limit.min(self.known_messages());
        self.popped += count;
        self.queue.drain(..count).collect()
    }
}

impl Ring<u32> for Model {
    fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity,
            pushed: 0,
            popped: 0,
            popped_known_to_producer: 0,
            pushed_known_to_consumer: 0,
        }
    }

    fn push(&mut self, message: u32) -> Result<(), u32> {
        if self.accept(1) == 0 {
            return Err(message);
        }
        self.queue.push_back(message);
        Ok(())
    }

    fn push_from(&mut self, messages: &mut Vec<u32>) -> usize {
        let accepted = self.accept(messages.len());
        self.queue.extend(messages.drain(..accepted));
        accepted
    }

    fn used_at_most(&self) -> usize {
        self.capacity - self.known_room()
    }

    fn used(&self) -> usize {
        self.pushed - self.popped
    }

    fn pop(&mut self) -> Option<u32> {
        self.take(1).pop()
    }

    fn pop_into(&mut self, into: &mut Vec<u32>, limit: usize) -> usize {
        let taken = self.take(limit);
        into.extend(&taken);
        taken.len()
    }

    fn len(&self) -> usize {
        self.pushed - self.popped
    }

    fn halves(self) -> (impl Sized, impl Sized) {
        (self, ())
    }
}

/// Runs a sequence on a ring and on the model, and compares all that they give.
fn compare<R: Ring<u32>>(capacity: usize, ops: &[Op]) {
    let (mut ring, mut model) = (R::new(capacity), Model::new(capacity));
    let (mut ring_next, mut model_next) = (0, 0);
    for (n, &op) in ops.iter().enumerate() {
        // The model's counts do not look by themselves.
        match op {
            Op::Used => model.popped_known_to_producer = model.popped,
            Op::Len => model.pushed_known_to_consumer = model.pushed,
            _ => {}
        }
        let got = run(&mut ring, op, &mut ring_next);
        let wanted = run(&mut model, op, &mut model_next);
        assert_eq!(got, wanted, "capacity {capacity}, operation {n} of {ops:?}");
    }
}

/// Runs `check` with every sequence of `len` operations.
fn for_every_sequence(len: u32, check: impl Fn(&[Op])) {
    for number in 0..OPS.len().pow(len) {
        let digit = |n: u32| number / OPS.len().pow(n) % OPS.len();
        let ops: Vec<_> = (0..len).map(|n| OPS[digit(n)]).collect();
        check(&ops);
    }
}

/// A message that counts its drops, and allocates nothing that could leak.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Whoever pops a message drops it; the ring does not drop those that are still inside, in whichever
/// order the two halves are dropped.
fn messages_inside_are_not_dropped<'a, R: Ring<Counted<'a>>>(
    drops: &'a Cell<usize>,
    producer_first: bool,
) {
    drops.set(0);
    let mut ring = R::new(3);
    for _ in 0..3 {
        assert!(ring.push(Counted(drops)).is_ok());
    }
    assert!(ring.push(Counted(drops)).is_err(), "the ring is full");
    assert_eq!(drops.get(), 1);
    drop(ring.pop());
    assert_eq!(drops.get(), 2);
    let mut batch = vec![Counted(drops), Counted(drops)];
    assert_eq!(ring.push_from(&mut batch), 1);
    drop(batch);
    assert_eq!(drops.get(), 3);
    let (producer, consumer) = ring.halves();
    if producer_first {
        drop(producer);
        drop(consumer);
    } else {
        drop(consumer);
        drop(producer);
    }
    assert_eq!(drops.get(), 3);
}

#[cfg(not(loom))]
mod on_both {
    use std::cell::Cell;

    #[cfg(not(miri))]
    use proptest::{collection::vec, prelude::*, sample::select};

    #[cfg(not(miri))]
    use super::OPS;
    use super::{
        OfLane, compare, for_every_sequence, messages_inside_are_not_dropped, stand_in::StandIn,
    };

    const LEN: u32 = if cfg!(miri) { 2 } else { 5 };

    #[test]
    fn every_short_sequence_on_rtrb() {
        for capacity in 1..=3 {
            for_every_sequence(LEN, |ops| compare::<OfLane<_>>(capacity, ops));
        }
    }

    #[test]
    fn every_short_sequence_on_the_stand_in() {
        for capacity in 1..=3 {
            for_every_sequence(LEN, |ops| compare::<StandIn<_>>(capacity, ops));
        }
    }

    #[cfg(not(miri))]
    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Long enough to go around the ring many times.
        #[test]
        fn long_sequences_on_both(capacity in 1..8_usize, ops in vec(select(&OPS[..]), 0..200)) {
            compare::<OfLane<_>>(capacity, &ops);
            compare::<StandIn<_>>(capacity, &ops);
        }
    }

    #[test]
    fn neither_drops_what_is_inside() {
        let drops = Cell::new(0);
        messages_inside_are_not_dropped::<OfLane<_>>(&drops, true);
        messages_inside_are_not_dropped::<OfLane<_>>(&drops, false);
        messages_inside_are_not_dropped::<StandIn<_>>(&drops, true);
        messages_inside_are_not_dropped::<StandIn<_>>(&drops, false);
    }
}

/// The same suite on the ring that the models use, and its two ends in two threads.
#[cfg(loom)]
mod under_loom {
    use std::cell::Cell;

    use loom::{model, thread};

    use super::{
        super::ring::ring, OfLane, compare, for_every_sequence, messages_inside_are_not_dropped,
    };
    use std::mem::MaybeUninit;

    #[test]
    fn ring_every_short_sequence() {
        for capacity in 1..=2 {
            for_every_sequence(4, |ops| {
                let ops = ops.to_vec();
                model(move || compare::<OfLane<_>>(capacity, &ops));
            });
        }
    }

    #[test]
    fn ring_does_not_drop_what_is_inside() {
        model(|| {
            let drops = Cell::new(0);
            messages_inside_are_not_dropped::<OfLane<_>>(&drops, true);
            messages_inside_are_not_dropped::<OfLane<_>>(&drops, false);
        });
    }

    /// Every access to a slot is ordered with the one before it, also when the slot is used again;
    /// each end may go first.
    #[test]
    fn ring_ends_in_two_threads() {
        model(|| {
            let (mut producer, mut consumer) = ring::<Box<u32>>(1);
            let sender = thread::spawn(move || {
                let mut pushed = 0;
                for n in 0..2 {
                    match producer.push(MaybeUninit::new(Box::new(n))) {
                        Ok(()) => pushed += 1,
                        // SAFETY: what comes back is the message.
                        Err(back) => assert_eq!(*unsafe { back.assume_init() }, n),
                    }
                }
                assert!(producer.used() <= 1);
                pushed
            });
            let mut popped: Vec<u32> = consumer.pop().map(|n| *n).into_iter().collect();
            let pushed = sender.join().unwrap();
            let mut rest = Vec::new();
            while consumer.pop_into(&mut rest, 2) > 0 {}
            popped.extend(rest.into_iter().map(|n| *n));
            assert_eq!(popped.len(), pushed);
            assert!(popped.is_sorted(), "{popped:?}");
        });
    }
}
