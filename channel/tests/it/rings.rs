//! The rings of a lane: a bound that is exact however many there are, and memory that is given back without a loss.

use std::{collections::VecDeque, sync::Arc, thread};

use lanemesh::{Builder, Sender, TrySendError, channel};
use proptest::{collection::vec, prelude::*};

/// Large enough that no ring holds more than 32 of them.
#[derive(Debug, Clone)]
struct Large(u32, [u64; 512]);

impl Large {
    fn new(n: u32) -> Self {
        Self(n, [u64::from(n); 512])
    }

    fn number(&self) -> u32 {
        assert!(self.1.iter().all(|word| *word == u64::from(self.0)));
        self.0
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Send(u8),
    SendBatch(u8),
    Receive(u8),
    Shrink,
    Sleep,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1..150u8).prop_map(Op::Send),
        2 => (1..150u8).prop_map(Op::SendBatch),
        4 => (1..150u8).prop_map(Op::Receive),
        1 => Just(Op::Shrink),
        1 => Just(Op::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 })
    })]

    #[test]
    fn the_bound_and_the_order_are_exact_across_rings(
        capacity in 1..300usize,
        first_ring in 1..40usize,
        ops in vec(op(), 1..60),
    ) {
        let (mut tx, mut rx) = Builder::new(capacity).first_ring(first_ring).build();
        let mut model = VecDeque::new();
        let mut next = 0;
        for op in ops {
            match op {
                Op::Send(count) => for _ in 0..count {
                    match tx.try_send(Large::new(next)) {
                        Ok(()) => model.push_back(next),
                        Err(TrySendError::Full(back)) => {
                            prop_assert_eq!(back.number(), next);
                            prop_assert_eq!(model.len(), capacity);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    next += 1;
                    prop_assert!(model.len() <= capacity);
                },
                Op::SendBatch(count) => {
                    let mut batch: Vec<_> = (next..next + u32::from(count)).map(Large::new).collect();
                    let room = capacity - model.len();
                    let sent = tx.try_send_vec(&mut batch).unwrap();
                    prop_assert_eq!(sent, room.min(count.into()));
                    model.extend(next..next + sent as u32);
                    next += u32::from(count);
                }
                Op::Receive(count) => for _ in 0..count {
                    prop_assert_eq!(rx.try_recv().ok().map(|message| message.number()), model.pop_front());
                },
                Op::Shrink => tx.shrink_to_fit(),
                Op::Sleep => if model.is_empty() {
                    super::common::start_and_cancel(rx.recv());
                },
            }
            prop_assert_eq!(tx.len(), model.len());
            prop_assert_eq!(rx.len(), model.len());
            prop_assert_eq!(tx.remaining_capacity(), capacity - model.len());
        }
        drop(tx);
        let rest: Vec<_> = rx.try_iter().map(|message| message.number()).collect();
        prop_assert_eq!(rest, Vec::from(model));
        prop_assert!(rx.is_closed());
    }
}

/// A sender of single messages, which gives its ring back on the way, more than once.
#[test]
fn a_lane_that_is_given_back_loses_no_message_and_no_order() {
    let (capacities, rounds) = if cfg!(miri) {
        (&[2, 40][..], 2)
    } else {
        (&[1, 2, 7, 64, 5000][..], 5)
    };
    for shared_slots in [0, usize::MAX] {
        for &capacity in capacities {
            let (mut tx, mut rx) = Builder::new(capacity).shared_slots(shared_slots).build();
            let mut next = 0;
            for _ in 0..rounds {
                for _ in 0..capacity {
                    tx.try_send(next).unwrap();
                    next += 1;
                }
                assert!(tx.try_send(next).is_err());
                assert!(rx.try_iter().eq(next - capacity..next));
                for _ in 0..300 {
                    super::common::start_and_cancel(rx.recv());
                    tx.try_send(next).unwrap();
                    assert_eq!(rx.try_recv(), Ok(next));
                    next += 1;
                }
            }
        }
    }
}

/// Two threads: every count of the room meets a receiver that moves from ring to ring.
#[test]
fn counting_while_the_receiver_frees_rings() {
    const MESSAGES: u32 = if cfg!(miri) { 150 } else { 100_000 };
    let (mut tx, mut rx) = Builder::new(100).first_ring(1).build();
    let sender = thread::spawn(move || {
        let mut refused = 0u64;
        for n in 0..MESSAGES {
            let mut message = Large::new(n);
            while let Err(error) = tx.try_send(message) {
                refused += 1;
                assert!(tx.len() <= 100);
                message = error.into_inner();
                thread::yield_now();
            }
            if n.is_multiple_of(97) {
                tx.shrink_to_fit();
            }
        }
        refused
    });
    for n in 0..MESSAGES {
        assert_eq!(rx.blocking_recv().unwrap().number(), n);
    }
    sender.join().unwrap();
    assert!(rx.blocking_recv().is_none());
}

#[test]
fn shrinking_keeps_messages_permits_and_a_place_in_the_queue() {
    // Messages in the lane, in shared slots, and staged.
    for (shared_slots, staged) in [(0, false), (usize::MAX, false), (0, true)] {
        let (mut tx, mut rx) = Builder::new(8).shared_slots(shared_slots).build();
        let message = Arc::new(());
        for _ in 0..5 {
            if staged {
                tx.try_feed(message.clone()).unwrap();
            } else {
                tx.try_send(message.clone()).unwrap();
            }
        }
        tx.shrink_to_fit();
        assert_eq!(tx.len(), 5);
        tx.flush().unwrap();
        assert_eq!(rx.try_iter().count(), 5);
        tx.shrink_to_fit();
        assert_eq!(Arc::strong_count(&message), 1);
    }

    // Slots of a bound on all lanes: what the lane has borrowed ahead is given back.
    let (mut tx, mut rx) = Builder::new(1).total_capacity(1000).build();
    for _ in 0..500 {
        tx.try_send(1).unwrap();
    }
    assert_eq!(rx.try_iter().count(), 500);
    tx.shrink_to_fit();
    assert!(rx.try_recv().is_err());
    assert_eq!(tx.remaining_capacity(), 1000);

    // A reservation by `poll_reserve` is kept.
    let (mut tx, _rx) = Builder::new(1).total_capacity(1).build();
    let mut other = tx.clone();
    super::common::now(std::future::poll_fn(|cx| tx.poll_reserve(cx))).unwrap();
    tx.shrink_to_fit();
    assert!(other.try_send(1).is_err());
    tx.try_send(1).unwrap();

    // So is a wait.
    let waits = |tx: &mut Sender<i32>| {
        super::common::poll(
            std::pin::pin!(std::future::poll_fn(|cx| tx.poll_reserve(cx))),
            std::task::Waker::noop(),
        )
        .is_pending()
    };
    assert!(waits(&mut other));
    other.shrink_to_fit();
    assert!(waits(&mut other));
}

#[test]
fn shrinking_a_closed_or_unused_channel_does_nothing() {
    let (mut tx, rx) = channel::<u32>(4);
    tx.shrink_to_fit();
    tx.try_send(1).unwrap();
    drop(rx);
    tx.shrink_to_fit();
    assert!(tx.try_send(2).is_err_and(|error| error.is_closed()));
}
