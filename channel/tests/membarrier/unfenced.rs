//! Unfenced lanes, after `register_membarrier`: messages of a producer that passes no fence are
//! found anyway.

use std::{sync::mpsc, thread, time::Duration};

use lanemesh::{Builder, RecvTimeoutError, TryRecvError};

use crate::common::block_on;

/// Lanes that are unfenced from their second message on.
fn unfenced() -> Builder {
    lanemesh::register_membarrier().unwrap();
    Builder::new(64).shared_slots(0).burst(1).unfenced_after(1)
}

/// The receiver gives the lane up over and over while its producer sends: each message is found, or
/// wakes the receiver.
#[test]
fn nothing_is_overlooked_when_the_receiver_sleeps() {
    const ROUNDS: u32 = 20_000;
    let (mut tx, mut rx) = unfenced().build();
    let (mut ack_tx, mut ack_rx) = Builder::new(4).build();
    let producer = thread::spawn(move || {
        for n in 0..ROUNDS {
            // After the first two the lane is unfenced; the third meets a receiver that goes to
            // sleep.
            for part in 0..3 {
                tx.blocking_send((n, part)).unwrap();
                for _ in 0..n % 256 {
                    std::hint::spin_loop();
                }
            }
            assert_eq!(ack_rx.blocking_recv(), Some(n));
        }
    });
    for n in 0..ROUNDS {
        for part in 0..3 {
            let got = rx.recv_timeout(Duration::from_secs(20));
            assert_eq!(got, Ok((n, part)), "overlooked");
        }
        ack_tx.blocking_send(n).unwrap();
    }
    producer.join().unwrap();
    assert_eq!(
        rx.recv_timeout(Duration::from_secs(20)),
        Err(RecvTimeoutError::Closed)
    );
}

/// Accepted = received + returned, also for lanes that were unfenced when the channel closed.
#[test]
fn close_while_lanes_are_unfenced() {
    for round in 0..300 {
        let (tx, mut rx) = unfenced().build();
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let mut tx = tx.clone();
                thread::spawn(move || {
                    let mut accepted = 0u64;
                    loop {
                        match tx.blocking_send(accepted) {
                            Ok(()) => accepted += 1,
                            Err(error) => {
                                assert_eq!(error.0, accepted);
                                return accepted;
                            }
                        }
                    }
                })
            })
            .collect();
        drop(tx);
        let mut received = 0;
        while received < 100 * (round % 7) + 1 {
            received += u64::from(rx.blocking_recv().is_some());
        }
        rx.close();
        while rx.blocking_recv().is_some() {
            received += 1;
        }
        let accepted: u64 = producers.into_iter().map(|p| p.join().unwrap()).sum();
        received += rx.try_iter().count() as u64;
        assert_eq!(received, accepted);
    }
}

/// `Ok` means delivered: by a look that begins after it, whichever of many unfenced lanes it was
/// sent through.
#[test]
fn every_look_goes_to_every_unfenced_lane() {
    let (first, mut rx) = unfenced().build();
    let mut senders: Vec<_> = (0..20).map(|_| first.clone()).collect();
    for _ in 0..3 {
        for tx in &mut senders {
            tx.try_send(0).unwrap();
        }
    }
    assert_eq!(rx.try_iter().count(), 60);
    for n in 0..1000 {
        senders[n * 7 % 20].try_send(n).unwrap();
        assert_eq!(rx.try_recv(), Ok(n));
        if n % 3 == 0 {
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
        if n % 5 == 0 {
            senders[(n + 1) * 7 % 20].try_send(n).unwrap();
            senders[n * 7 % 20].try_send(n).unwrap();
            assert_eq!(rx.try_iter().count(), 2);
        }
    }
    drop((first, senders));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

/// An unfenced lane is kept by the receiver, but holds no slots of a bound on all lanes while it is
/// empty.
#[test]
fn empty_unfenced_lanes_hold_no_slots() {
    const TOTAL: usize = 8192;
    let (mut tx, mut rx) = unfenced().total_capacity(TOTAL).build();
    let mut other = tx.clone();
    for round in 0..20 {
        for n in 0..100 {
            tx.try_send(n).unwrap();
            other.try_send(n).unwrap();
        }
        assert_eq!(rx.try_iter().count(), 200);
        assert_eq!(tx.remaining_capacity(), TOTAL, "in round {round}");
    }
    let waiting: Vec<_> = [tx, other]
        .into_iter()
        .map(|mut tx| {
            thread::spawn(move || (0..3 * TOTAL).for_each(|n| tx.blocking_send(n).unwrap()))
        })
        .collect();
    let mut count = 0;
    while rx.recv_timeout(Duration::from_secs(20)).is_ok() {
        count += 1;
    }
    assert_eq!(count, 6 * TOTAL);
    waiting
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// The receiver finds its channel empty without a fence, and does not look again: the first producer that ever waits
/// there sees that there is room, or is woken.
#[test]
fn first_wait_of_a_channel_sees_the_room_that_a_poll_made() {
    const ROUNDS: u32 = 5_000;
    lanemesh::register_membarrier().unwrap();
    for round in 0..ROUNDS {
        let (mut tx, mut rx) = Builder::new(4)
            .shared_slots(0)
            .first_ring(4)
            .unfenced_after(1)
            .build();
        for n in 0..2 {
            tx.try_send(n).unwrap();
        }
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.try_send(2).unwrap();
        let (room_tx, room_rx) = mpsc::channel();
        let producer = thread::spawn(move || {
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
            drop(block_on(tx.reserve_many(4)).unwrap());
            room_tx.send(()).unwrap();
            tx
        });
        for _ in 0..(round / 64) % 4096 {
            std::hint::spin_loop();
        }
        assert_eq!(rx.try_recv(), Ok(2));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        room_rx.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(producer.join().unwrap());
    }
}
