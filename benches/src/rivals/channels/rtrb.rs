//! rtrb, the ring inside a lane: one producer, no waiting and no wake-ups. A floor, not a peer.

use std::hint;
use std::thread;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    Attempt, BlockingRx, BlockingTx, Capacity, Family, TryRx, TryTx,
};
use crate::rivals::subject::{Role, Subject};

/// Number of spins before a waiting end yields its thread.
const SPINS: u32 = 128;

/// A bare `rtrb::RingBuffer`, used message by message; waiting means spinning.
#[derive(Debug)]
pub struct Rtrb;

/// A bare `rtrb::RingBuffer` that moves each batch as one chunk.
#[derive(Debug)]
pub struct RtrbChunks;

impl Subject for Rtrb {
    const NAME: &'static str = "rtrb";
    const ROLE: Role = Role::Floor;
    const MAX_PRODUCERS: usize = 1;
}

impl Subject for RtrbChunks {
    const NAME: &'static str = "rtrb-chunks";
    const ROLE: Role = Role::Floor;
    const MAX_PRODUCERS: usize = 1;
}

impl<T: Payload> Family<T> for Rtrb {
    type Tx = Producer<T>;
    type Rx = Consumer<T>;

    fn open(slots: Capacity, producers: usize) -> (Vec<Producer<T>>, Consumer<T>) {
        assert_eq!(producers, 1, "a ring has one producer");
        let (tx, rx) = RingBuffer::new(slots.total);
        (vec![tx], rx)
    }
}

impl<T: Payload> TryTx<T> for Producer<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match self.push(item) {
            Ok(()) => Attempt::Sent,
            Err(PushError::Full(_)) => Attempt::Full,
        }
    }
}

impl<T: Payload> TryRx<T> for Consumer<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        self.pop().ok()
    }
}

impl<T: Payload> BlockingTx<T> for Producer<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        let mut item = item;
        let mut spins = 0;
        loop {
            match self.push(item) {
                Ok(()) => return true,
                Err(PushError::Full(_)) if self.is_abandoned() => return false,
                Err(PushError::Full(back)) => item = back,
            }
            pause(&mut spins);
        }
    }
}

impl<T: Payload> BlockingRx<T> for Consumer<T> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        let mut spins = 0;
        loop {
            if let Ok(item) = self.pop() {
                return Some(item);
            }
            if self.is_abandoned() {
                return self.pop().ok();
            }
            pause(&mut spins);
        }
    }
}

fn pause(spins: &mut u32) {
    if *spins < SPINS {
        *spins += 1;
        hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

/// The producer of [`RtrbChunks`].
#[derive(Debug)]
pub struct ChunkTx<T>(Producer<T>);

/// The consumer of [`RtrbChunks`].
#[derive(Debug)]
pub struct ChunkRx<T>(Consumer<T>);

impl<T: Payload> Family<T> for RtrbChunks {
    type Tx = ChunkTx<T>;
    type Rx = ChunkRx<T>;

    fn open(slots: Capacity, producers: usize) -> (Vec<ChunkTx<T>>, ChunkRx<T>) {
        assert_eq!(producers, 1, "a ring has one producer");
        let (tx, rx) = RingBuffer::new(slots.total);
        (vec![ChunkTx(tx)], ChunkRx(rx))
    }
}

impl<T: Payload> TryTx<T> for ChunkTx<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        self.0.try_send(item)
    }

    fn try_send_batch(&mut self, batch: &mut Vec<T>) {
        let room = self.0.slots().min(batch.len());
        if let Ok(chunk) = self.0.write_chunk_uninit(room) {
            chunk.fill_from_iter(batch.drain(..room));
        }
    }
}

impl<T: Payload> TryRx<T> for ChunkRx<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        self.0.try_recv()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        let ready = self.0.slots().min(limit);
        if let Ok(chunk) = self.0.read_chunk(ready) {
            into.extend(chunk);
        }
    }
}
