//! Promise 8: no allocation per message once a lane has grown to its size, and how much memory an
//! idle lane takes; and promise 6 as far as memory shows it: idle lanes are not registered
//! anywhere.
//!
//! A counting allocator measures; the counts are those of the test's own thread. It is why this is
//! a binary of its own.
#![cfg(not(loom))]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::poll_fn,
    pin::pin,
    task::Waker,
};

use lanemesh::{Builder, Receiver, Sender, channel, mailbox};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    /// Called once, at the next allocation.
    static HOOK: Cell<Option<fn()>> = const { Cell::new(None) };
    static HOOKED: Cell<Option<Receiver<u64>>> = const { Cell::new(None) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as isize);
        if let Some(hook) = HOOK.take() {
            hook();
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: `memory` comes from `alloc` above, which took it from the system.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations in a call, and by how many bytes more are held after it.
fn count<R>(f: impl FnOnce() -> R) -> (R, usize, isize) {
    let (calls, bytes) = (CALLS.get(), BYTES.get());
    let result = f();
    (result, CALLS.get() - calls, BYTES.get() - bytes)
}

const MESSAGES: u64 = if cfg!(miri) { 40 } else { 10_000 };

/// Fills and empties the lane, and sleeps in between, with all functions that send or receive one
/// message.
fn run(tx: &mut Sender<u64>, rx: &mut Receiver<u64>, messages: u64) {
    for n in 0..messages {
        assert!(common::poll(pin!(rx.recv()), Waker::noop()).is_pending());
        tx.try_send(n).unwrap();
        tx.try_send(n).unwrap();
        common::now(tx.send(n)).unwrap();
        common::now(tx.reserve()).unwrap().send(n).unwrap();
        while tx.try_send(n).is_ok() {}
        common::start_and_cancel(tx.reserve());
        while rx.try_recv().is_ok() {}
    }
}

#[test]
fn no_allocation_per_message_once_a_lane_is_at_its_size() {
    let large = if cfg!(miri) { 20 } else { 100 };
    for (capacity, first_ring) in [(4, 1), (16, 16), (large, 3)] {
        let (mut tx, mut rx) = Builder::new(capacity).first_ring(first_ring).build();
        run(&mut tx, &mut rx, 4);
        let ((), calls, _) = count(|| run(&mut tx, &mut rx, MESSAGES / 10));
        assert_eq!(calls, 0, "capacity {capacity}");
    }
}

#[test]
fn no_allocation_per_batch_once_a_lane_is_at_its_size() {
    let (mut tx, mut rx) = channel(64);
    let (mut batch, mut got) = (Vec::with_capacity(64), Vec::with_capacity(128));
    let mut round = |n| {
        batch.extend(n..n + 50);
        assert_eq!(tx.try_send_vec(&mut batch), Ok(50));
        assert_eq!(rx.try_recv_many(&mut got, 128), Ok(50));
        got.clear();
        for n in 0..50 {
            tx.try_feed(n).unwrap();
        }
        tx.flush().unwrap();
        assert_eq!(rx.try_recv_many(&mut got, 128), Ok(50));
        got.clear();
    };
    (0..4).for_each(&mut round);
    let ((), calls, _) = count(|| (0..MESSAGES / 10).for_each(&mut round));
    assert_eq!(calls, 0);
}

#[test]
fn no_allocation_per_message_of_a_mailbox_once_its_lanes_are_at_their_size() {
    let (mut tx, mut rx) = mailbox::<u64, u64>(8, 8);
    let mut round = |n| {
        assert!(common::poll(pin!(rx.recv()), Waker::noop()).is_pending());
        while tx.try_send_high(n).is_ok() {}
        while tx.try_send_low(n).is_ok() {}
        assert_eq!(rx.try_iter().count(), 16);
    };
    (0..4).for_each(&mut round);
    let ((), calls, _) = count(|| (0..MESSAGES / 10).for_each(&mut round));
    assert_eq!(calls, 0);
}

#[test]
fn no_allocation_for_messages_that_come_one_by_one() {
    let (tx, mut rx) = channel(64);
    let mut senders: Vec<_> = (0..10).map(|_| tx.clone()).collect();
    let mut round = |n| {
        for sender in &mut senders {
            sender.try_send(n).unwrap();
        }
        assert_eq!(rx.try_iter().count(), 10);
    };
    // The lane that the receiver visits last uses its ring: by then each lane has been the last.
    (0..100).for_each(&mut round);
    let ((), calls, _) = count(|| (0..MESSAGES / 10).for_each(&mut round));
    assert_eq!(calls, 0);
}

/// Bytes per idle producer of 8-byte messages, out of many, after `use_it`; includes the sender
/// itself.
fn bytes_per_idle_lane(capacity: usize, use_it: fn(&mut Sender<u64>, &mut Receiver<u64>)) -> usize {
    const LANES: usize = if cfg!(miri) { 10 } else { 1_000 };
    let (tx, mut rx) = channel::<u64>(capacity);
    // The shared slots, which the first message allocates, belong to no lane.
    let mut first = tx.clone();
    use_it(&mut first, &mut rx);
    let mut senders = Vec::with_capacity(LANES);
    let ((), _, bytes) = count(|| {
        for _ in 0..LANES {
            let mut sender = tx.clone();
            use_it(&mut sender, &mut rx);
            senders.push(sender);
        }
    });
    assert!(rx.is_empty());
    size_of::<Sender<u64>>() + usize::try_from(bytes).unwrap().div_ceil(LANES)
}

const LIMIT: usize = 1024;

#[test]
fn a_lane_that_never_sent_takes_its_sender_only() {
    let bytes = bytes_per_idle_lane(1024, |_, _| {});
    assert_eq!(bytes, size_of::<Sender<u64>>());
    assert!(bytes <= 64, "{bytes} bytes");
}

/// As the crate's documentation says.
#[test]
fn a_lane_that_sent_now_and_then_takes_about_170_bytes() {
    let bytes = bytes_per_idle_lane(1024, |tx, rx| {
        for n in 0..3 {
            tx.try_send(n).unwrap();
            assert_eq!(rx.try_recv(), Ok(n));
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
    });
    assert!((160..190).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_lane_that_sent_one_at_a_time_takes_at_most_1_kib() {
    let bytes = bytes_per_idle_lane(1024, |tx, rx| {
        for n in 0..3 {
            tx.try_send(n).unwrap();
            assert_eq!(rx.try_recv(), Ok(n));
            assert!(rx.try_recv().is_err());
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
            tx.try_send(n).unwrap();
            assert_eq!(rx.try_recv(), Ok(n));
        }
    });
    assert!(bytes <= LIMIT, "{bytes} bytes");
}

#[test]
fn a_lane_that_opened_its_ring_takes_at_most_1_kib() {
    let bytes = bytes_per_idle_lane(1024, |tx, rx| {
        for _ in 0..3 {
            assert_eq!(tx.try_send_many(0..10), Ok(10));
            assert_eq!(rx.try_iter().count(), 10);
        }
    });
    // As the crate's documentation says: about 800.
    assert!((750..850).contains(&bytes), "{bytes} bytes");
    assert!(bytes <= LIMIT, "{bytes} bytes");
}

#[test]
fn a_lane_that_waited_for_room_takes_at_most_1_kib() {
    let bytes = bytes_per_idle_lane(16, |tx, rx| {
        assert_eq!(tx.try_send_many(0..16), Ok(16));
        common::start_and_cancel(tx.reserve());
        assert_eq!(rx.try_iter().count(), 16);
    });
    assert!(bytes <= LIMIT, "{bytes} bytes");
}

/// Messages that fill a ring of the largest size, with 32 of them.
type Page = [u8; 4096];
const PAGES: usize = if cfg!(miri) { 40 } else { 2_000 };
/// The rings that a lane may keep: 32 messages of 4 KiB, and what manages them.
const KEPT: isize = 32 * 4096 + 1024;

fn burst(tx: &mut Sender<Page>, rx: &mut Receiver<Page>) {
    for _ in 0..PAGES {
        tx.try_send([1; 4096]).unwrap();
    }
    for _ in 0..PAGES {
        assert!(rx.try_recv().is_ok());
    }
    assert!(rx.try_recv().is_err());
}

/// The senders are kept, and never used again.
#[test]
fn rings_of_a_burst_are_freed_when_they_are_empty() {
    let (tx, mut rx) = channel::<Page>(PAGES);
    let mut senders: Vec<_> = (0..5).map(|_| tx.clone()).collect();
    let ((), _, bytes) = count(|| senders.iter_mut().for_each(|tx| burst(tx, &mut rx)));
    // For each ring that was left behind: what says that it is empty.
    let notes = (PAGES / 32 * 128) as isize;
    assert!(bytes <= 5 * (KEPT + notes) + 64 * 1024, "{bytes} bytes");
}

#[test]
fn a_lane_that_fills_up_takes_little_more_than_its_messages() {
    for capacity in [64, 100, 1000, 20_000] {
        let (mut tx, _rx) = Builder::new(capacity).shared_slots(0).build::<[u64; 4]>();
        let ((), _, bytes) = count(|| while tx.try_send([1; 4]).is_ok() {});
        let messages = capacity * size_of::<[u64; 4]>();
        // Each ring costs about 600 bytes, and there is one for 64 KiB, after some smaller ones.
        let rings = 5 + messages / (64 * 1024);
        let most = messages + (64 * 1024).min(messages / 2) + rings * 700;
        assert!(
            bytes as usize <= most,
            "capacity {capacity}: {bytes} bytes, at most {most}"
        );
    }
}

#[test]
fn a_deep_lane_allocates_for_each_ring_and_not_at_all_if_its_first_ring_holds_all() {
    const DEPTH: usize = 200;
    for (first_ring, rings) in [(16, DEPTH / 32), (DEPTH, 0)] {
        let (mut tx, mut rx) = Builder::new(DEPTH).first_ring(first_ring).build::<Page>();
        let mut round = || {
            while tx.try_send([1; 4096]).is_ok() {}
            while rx.try_recv().is_ok() {}
        };
        (0..4).for_each(|_| round());
        let ((), calls, bytes) = count(round);
        // The ring's header, its messages, its segment, and what is left of it.
        assert!(calls <= (rings + 1) * 6 * usize::from(rings > 0), "{calls}");
        assert!(bytes.abs() <= KEPT, "{bytes} bytes");
    }
}

/// One message now and then, none of which meets another.
#[test]
fn a_sender_of_single_messages_gives_its_ring_back() {
    let (mut tx, mut rx) = channel::<Page>(PAGES);
    let single = |tx: &mut Sender<Page>, rx: &mut Receiver<Page>| {
        tx.try_send([1; 4096]).unwrap();
        assert!(rx.try_recv().is_ok());
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
    };
    single(&mut tx, &mut rx);
    let ((), _, bytes) = count(|| {
        burst(&mut tx, &mut rx);
        // Up to 1024 messages for which there was room when the room was last counted, then twice 64.
        (0..1024 + 128).for_each(|_| single(&mut tx, &mut rx));
    });
    // The lane itself is kept for another sender.
    assert!(bytes < 3 * size_of::<Page>() as isize, "{bytes} bytes");
}

#[test]
fn a_sender_that_shrinks_to_fit_keeps_nothing() {
    for asleep in [false, true] {
        let (mut tx, mut rx) = channel::<Page>(PAGES);
        // The shared slots, and what keeps lanes of senders that have gone.
        tx.clone().try_send([1; 4096]).unwrap();
        rx.try_recv().unwrap();
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        let ((), _, bytes) = count(|| {
            burst(&mut tx, &mut rx);
            if asleep {
                common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
            }
            tx.shrink_to_fit();
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        });
        assert_eq!(bytes, 0);
        assert_eq!(rx.stats().lanes_open, 0);
    }
}

#[test]
fn lanes_of_senders_that_come_and_go_are_used_again() {
    let (tx, mut rx) = channel(64);
    let mut round = || {
        let mut sender = tx.clone();
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        drop(sender);
        assert_eq!(rx.try_iter().sum::<u64>(), 3);
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        assert_eq!(rx.stats().lanes_open, 0);
    };
    round();
    let ((), _, bytes) = count(|| (0..100).for_each(|_| round()));
    assert_eq!(bytes, 0);
}

/// Many senders, more than the pool keeps lanes for, whose lanes have rings that have grown.
#[test]
fn crowds_of_senders_that_come_and_go_leave_nothing_behind() {
    const CROWD: usize = if cfg!(miri) { 36 } else { 2_000 };
    for sleeps in [false, true] {
        let (tx, mut rx) = Builder::new(64).first_ring(1).build();
        let mut senders = Vec::with_capacity(CROWD);
        let mut round = |messages: u64, asleep: bool| {
            for _ in 0..CROWD {
                let mut sender = tx.clone();
                assert_eq!(sender.try_send_many(0..messages), Ok(messages as usize));
                senders.push(sender);
            }
            if messages.is_multiple_of(2) {
                senders.clear();
            }
            assert_eq!(rx.try_iter().count(), CROWD * messages as usize);
            senders.clear();
            if asleep {
                common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
            } else {
                assert!(rx.try_recv().is_err());
            }
            // Awake, it lingers over the lane that was last.
            assert!(rx.stats().lanes_open <= usize::from(!asleep));
        };
        round(3, true);
        let ((), _, bytes) = count(|| (0..10).for_each(|n| round(n, sleeps || n == 9)));
        assert_eq!(bytes, 0);
    }
}

#[test]
fn a_channel_gives_all_its_memory_back() {
    for close_first in [false, true] {
        let ((), _, bytes) = count(|| {
            let (tx, mut rx) = Builder::new(50).first_ring(1).build();
            let mut senders: Vec<_> = (0..5).map(|_| tx.clone()).collect();
            for (n, sender) in senders.iter_mut().enumerate() {
                sender.try_send_many((0..50).take(10 * n)).unwrap();
            }
            for _ in 0..70 {
                rx.try_recv().unwrap();
            }
            if close_first {
                drop(rx);
                drop(senders);
            } else {
                drop(senders);
                drop(rx);
            }
        });
        assert_eq!(bytes, 0);
    }
}

/// The receiver is dropped between a sender's check whether the channel is closed and its push: the
/// message is returned, and the lane, which no receiver will ever visit, is freed with its sender.
#[test]
fn a_lane_that_found_the_list_closed_is_freed_with_its_sender() {
    let ((), _, bytes) = count(|| {
        let (mut tx, rx) = channel::<u64>(64);
        HOOKED.set(Some(rx));
        let mut batch = Vec::with_capacity(4);
        batch.extend([1, 2]);
        // The first batch opens the lane and its ring: the allocations run the hook in between.
        HOOK.set(Some(|| drop(HOOKED.take())));
        assert!(tx.try_send_vec(&mut batch).is_err());
        assert_eq!(batch, [1, 2]);
        drop(tx);
    });
    assert_eq!(bytes, 0);
}

/// The receiver frees what a burst took, although the sender does nothing more.
#[test]
fn an_unbounded_lane_keeps_one_ring_of_a_burst() {
    const RING: usize = 64 << 10;
    let (mut tx, mut rx) = Builder::unbounded().build::<[u64; 128]>();
    let burst = if cfg!(miri) { 500 } else { 20_000 };
    let (_, _, before) = count(|| tx.try_send([0; 128]).unwrap());
    let ((), _, grown) = count(|| (0..burst).for_each(|_| tx.try_send([0; 128]).unwrap()));
    assert!(grown as usize >= burst * 1024);
    assert!(grown as usize <= burst * 1024 + 2 * RING + 1024 * burst / 64);
    let (taken, _, freed) = count(|| rx.try_iter().count());
    assert_eq!(taken, burst + 1);
    let held = (before + grown + freed) as usize;
    assert!(held <= RING + (32 << 10), "{held} bytes are held");
    assert!(tx.is_empty());
}

/// However many rings a lane has gone through.
#[test]
fn an_unbounded_lane_with_a_backlog_takes_as_much_as_that() {
    let (mut tx, mut rx) = Builder::unbounded().build::<[u64; 128]>();
    let rounds = if cfg!(miri) { 300 } else { 20_000 };
    (0..300).for_each(|_| tx.try_send([0; 128]).unwrap());
    let ((), _, more) = count(|| {
        for _ in 0..rounds {
            tx.try_send([0; 128]).unwrap();
            assert!(rx.try_recv().is_ok());
        }
    });
    assert!(more <= 3 * (64 << 10), "{more} bytes more");
    assert_eq!((tx.len(), rx.len()), (300, 300));
}
