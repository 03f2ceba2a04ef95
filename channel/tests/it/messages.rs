//! Messages of every size and alignment, on every path that a message can take.

use std::fmt::Debug;
use std::future::poll_fn;

use lanemesh::{Builder, Message, mailbox};

use crate::common::{self, now};

const ROUNDS: usize = if cfg!(miri) { 1 } else { 20 };

/// Sends through the shared slot, the lane's slot, growing rings, and in batches, and compares what
/// arrives.
fn by_every_way<T: Debug + PartialEq>(message: impl Fn(usize) -> T) {
    for (capacity, first_ring) in [(1, 1), (2, 1), (9, 1), (9, 4), (9, 9)] {
        let (mut tx, mut rx) = Builder::new(capacity)
            .first_ring(first_ring)
            .burst(2)
            .build();
        for round in 0..ROUNDS {
            let messages = |from: usize| (from..from + capacity).map(|n| message(round + n));
            if round % 2 == 0 {
                common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
            }
            messages(0).for_each(|message| tx.try_send(message).unwrap());
            assert_eq!(
                tx.try_send(message(77)).unwrap_err().into_inner(),
                message(77)
            );
            assert!(rx.try_iter().eq(messages(0)));

            assert_eq!(tx.try_send_many(messages(1)).unwrap(), capacity);
            let mut got = Vec::new();
            assert_eq!(now(rx.recv_many(&mut got, capacity + 1)), capacity);
            assert!(got.into_iter().eq(messages(1)));

            let mut batch: Vec<_> = messages(2).chain([message(78)]).collect();
            assert_eq!(tx.try_send_vec(&mut batch).unwrap(), capacity);
            assert_eq!(batch, [message(78)]);
            assert_eq!(rx.try_recv().unwrap(), message(round + 2));
            now(tx.feed(message(79))).unwrap();
            tx.flush().unwrap();
            let expected = messages(2).skip(1).chain([message(79)]);
            assert!(rx.try_iter().eq(expected));
        }
        // In the lane and in the shared slot when the channel ends.
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        tx.try_send_many((0..capacity).map(&message)).unwrap();
        rx.close();
        assert_eq!(
            tx.try_send(message(1)).unwrap_err().into_inner(),
            message(1)
        );
        assert!(rx.iter().eq((0..capacity).map(&message)));
    }
    let (mut tx, mut rx) = mailbox(2, 2);
    tx.try_send_low(message(1)).unwrap();
    tx.try_send_high(message(2)).unwrap();
    assert_eq!(rx.try_recv().unwrap(), Message::High(message(2)));
    assert_eq!(rx.try_recv().unwrap(), Message::Low(message(1)));
}

#[test]
fn without_size() {
    by_every_way(|_| ());
}

#[test]
fn without_size_and_with_an_alignment() {
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Aligned;

    by_every_way(|_| Aligned);
}

#[test]
fn of_one_byte_and_of_odd_sizes() {
    by_every_way(|n| n as u8);
    by_every_way(|n| [n as u8; 3]);
    by_every_way(|n| (n as u16, n as u64, n as u8));
}

#[test]
fn of_64_kib() {
    // Unoptimised, each call on the path has copies of its own, and the test above has dozens.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let test = thread.spawn(|| by_every_way(|n| [n as u8; 64 << 10]));
    test.unwrap().join().unwrap();
}

#[test]
fn of_64_kib_within_the_stack_that_a_thread_has_by_default() {
    let (mut tx, mut rx) = lanemesh::channel(4);
    for asleep in [false, true, false] {
        if asleep {
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
        for n in 0..4 {
            tx.try_send([n as u8; 64 << 10])
                .unwrap_or_else(|_| panic!("it is full"));
        }
        for n in 0..4 {
            assert!(now(rx.recv()).is_some_and(|got| got.iter().all(|&m| m == n as u8)));
        }
    }
}

#[test]
fn aligned_to_more_than_a_cache_line() {
    #[repr(align(512))]
    #[derive(Debug, PartialEq)]
    struct Aligned(usize);

    by_every_way(|n| {
        let message = Aligned(n);
        assert_eq!((&raw const message).addr() % 512, 0);
        message
    });
}

#[test]
fn that_own_memory() {
    by_every_way(|n| vec![n.to_string(); 3]);
    by_every_way(|n| Some(Box::new(n)));
}

#[test]
fn that_borrow() {
    let words: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    by_every_way(|n| words[n].as_str());
}
