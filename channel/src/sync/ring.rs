//! The bounded SPSC ring in a lane: rtrb's, or under loom a stand-in (`ring_loom.rs`) with the same
//! orderings.
//!
//! It promises first in, first out between one producer and one consumer. It does not drop what it
//! holds: slots are `MaybeUninit`, because when a channel closes it is the lane's protocol that
//! decides which side owns the last messages.

use std::mem::MaybeUninit;

#[cfg(not(loom))]
use rtrb::{Consumer, Producer, RingBuffer};

#[cfg(loom)]
use super::ring_loom::{Consumer, Producer, RingBuffer};

/// The producer's end.
#[derive(Debug)]
pub(crate) struct RingProducer<T>(Producer<MaybeUninit<T>>);

/// The consumer's end.
#[derive(Debug)]
pub(crate) struct RingConsumer<T>(Consumer<MaybeUninit<T>>);

/// A ring with room for exactly `capacity` messages.
pub(crate) fn ring<T>(capacity: usize) -> (RingProducer<T>, RingConsumer<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (RingProducer(producer), RingConsumer(consumer))
}

impl<T> RingProducer<T> {
    /// Pushes a message, or returns it if the ring is full.
    #[inline]
    pub(crate) fn push(&mut self, message: MaybeUninit<T>) -> Result<(), MaybeUninit<T>> {
        self.0
            .push(message)
            .map_err(|rtrb::PushError::Full(message)| message)
    }

    /// Copies as many of the `count` messages at `source` as fit, in order, with one publication,
    /// and returns how many.
    ///
    /// # Safety
    ///
    /// `source` must be valid for reads of `count` messages. The caller must treat those that were
    /// copied as moved out of it.
    #[inline]
    pub(crate) unsafe fn push_from(&mut self, source: *const T, count: usize) -> usize {
        let count = if self.0.cached_slots() >= count {
            count
        } else {
            self.0.slots().min(count)
        };
        #[cfg(loom)]
        // SAFETY: as below.
        unsafe {
            self.0.push_chunk(source.cast(), count);
        }
        #[cfg(not(loom))]
        // SAFETY: `source` is valid for `count` reads by this function's contract.
        unsafe {
            self.push_chunk(source, count);
        }
        count
    }

    /// Copies `count` messages into free slots with one publication.
    ///
    /// # Safety
    ///
    /// As for `push_from`; the ring must have `count` free slots.
    #[cfg(not(loom))]
    #[inline]
    unsafe fn push_chunk(&mut self, source: *const T, count: usize) {
        let Ok(mut chunk) = self.0.write_chunk_uninit(count) else {
            unreachable!("the ring has {count} free slots")
        };
        let (first, second) = chunk.as_mut_slices();
        // SAFETY: the two slices have room for `count` messages together, `source` holds as many by
        // this function's contract, and it does not overlap with the ring's memory.
        unsafe {
            source.copy_to_nonoverlapping(first.as_mut_ptr().cast(), first.len());
            source
                .add(first.len())
                .copy_to_nonoverlapping(second.as_mut_ptr().cast(), second.len());
            chunk.commit_all();
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.buffer().capacity()
    }

    /// Messages inside, by the last known position of the consumer; may be more than there are, but
    /// never fewer.
    #[cfg(test)]
    pub(crate) fn used_at_most(&self) -> usize {
        self.capacity() - self.0.cached_slots()
    }

    /// Messages inside, by a new look at the consumer's position.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.capacity() - self.0.slots()
    }
}

impl<T> RingConsumer<T> {
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self.0.pop() {
            // SAFETY: a producer of this crate pushes only initialised messages, and the ring
            // returns each one once.
            Ok(message) => Some(unsafe { message.assume_init() }),
            Err(_) => None,
        }
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
    #[inline]
    pub(crate) fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let cached = self.0.cached_slots();
        let count = if cached > 0 { cached } else { self.0.slots() }.min(limit);
        into.reserve(count);
        #[cfg(loom)]
        // SAFETY: `count` messages were found above, each of which a producer initialised. There is
        // room for them in `into`, so the push does not panic.
        unsafe {
            self.0
                .pop_chunk(count, |message| into.push(message.assume_init()));
        }
        #[cfg(not(loom))]
        self.pop_chunk(into, count);
        count
    }

    /// Appends `count` messages, which the ring must have, to `into`.
    #[cfg(not(loom))]
    #[inline]
    fn pop_chunk(&mut self, into: &mut Vec<T>, count: usize) {
        let Ok(chunk) = self.0.read_chunk(count) else {
            unreachable!("the ring has {count} messages")
        };
        into.reserve(count);
        let (first, second) = chunk.as_slices();
        let end = into.len();
        // SAFETY: `into` has room for `count` more, both slices hold messages that a producer
        // initialised, and the commit right after gives up their slots, so each is moved once.
        unsafe {
            let target = into.as_mut_ptr().add(end);
            target.copy_from_nonoverlapping(first.as_ptr().cast(), first.len());
            target
                .add(first.len())
                .copy_from_nonoverlapping(second.as_ptr().cast(), second.len());
            chunk.commit_all();
            into.set_len(end + count);
        }
    }

    /// Messages inside, by a new look at the producer's position.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.slots()
    }
}
