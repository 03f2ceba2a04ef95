//! Sleep against wake: the receiver's *armed* flag, the ready list and the shared slots.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use lanemesh::{Builder, channel};
use loom::{future::block_on, thread};

use crate::{Count, lanes, model, payload, poll_once, poll_recv_once};

#[test]
fn arm_against_push() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        drop(producer.join().unwrap());
        assert!(block_on(rx.recv()).is_none());
    });
}

#[test]
fn arm_against_shared_slot() {
    model(2, || {
        let (mut tx, mut rx) = channel(2);
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx.try_send(payload(2)).unwrap();
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
        drop(producer.join().unwrap());
        assert!(block_on(rx.recv()).is_none());
    });
}

#[test]
fn two_producers_on_the_ready_list() {
    model(2, || {
        let (mut tx, mut rx) = lanes(1).build();
        let mut other = tx.clone();
        let first = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx
        });
        let second = thread::spawn(move || {
            other.try_send(payload(2)).unwrap();
            other
        });
        let sum = block_on(rx.recv()).unwrap().0 + block_on(rx.recv()).unwrap().0;
        assert_eq!(sum, 3);
        drop((first.join().unwrap(), second.join().unwrap()));
        assert!(block_on(rx.recv()).is_none());
    });
}

/// One producer claims the only shared slot, the other pushes its lane on top of it, or in the
/// opposite order.
#[test]
fn shared_slot_against_push() {
    model(2, || {
        let (mut tx, mut rx) = Builder::new(2).shared_slots(1).build();
        let mut other = tx.clone();
        assert!(poll_recv_once(&mut rx, Waker::noop()).is_pending());
        let first = thread::spawn(move || {
            tx.try_send(1).unwrap();
            tx
        });
        let second = thread::spawn(move || {
            other.try_send(2).unwrap();
            other
        });
        let sum: u32 = block_on(rx.recv()).unwrap() + block_on(rx.recv()).unwrap();
        assert_eq!(sum, 3);
        drop((first.join().unwrap(), second.join().unwrap()));
    });
}

/// A producer's message in the shared slot comes before its next one, which takes the lane.
#[test]
fn shared_slot_keeps_its_place_in_the_order() {
    model(2, || {
        let (mut tx, mut rx) = channel(4);
        assert!(poll_recv_once(&mut rx, Waker::noop()).is_pending());
        let producer = thread::spawn(move || {
            for n in 1..=3 {
                tx.try_send(payload(n)).unwrap();
            }
        });
        for n in 1..=3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
    });
}

#[test]
fn last_sender_drop_against_arm() {
    model(3, || {
        let (tx, mut rx) = channel::<u32>(2);
        let producer = thread::spawn(move || drop(tx));
        assert_eq!(block_on(rx.recv()), None);
        producer.join().unwrap();
    });
}

#[test]
fn last_of_two_senders_drops_after_a_send() {
    model(2, || {
        let (mut tx, mut rx) = channel(2);
        let other = tx.clone();
        let first = thread::spawn(move || tx.try_send(payload(1)).unwrap());
        let second = thread::spawn(move || drop(other));
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert!(block_on(rx.recv()).is_none());
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A poll that is not repeated is woken, and what it left behind hinders nobody.
#[test]
fn one_poll_against_push() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).build();
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx
        });
        let count = Arc::new(Count::default());
        let found = poll_recv_once(&mut rx, &Waker::from(count.clone()));
        let mut tx = producer.join().unwrap();
        match found {
            std::task::Poll::Ready(message) => assert_eq!(message.unwrap().0, 1),
            std::task::Poll::Pending => {
                assert!(count.0.load(Ordering::Relaxed) > 0, "asleep, and not woken");
                assert_eq!(rx.try_recv().unwrap().0, 1);
            }
        }
        tx.try_send(payload(2)).unwrap();
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
    });
}

/// A wait that is cancelled while a producer wakes it leaves no waker behind, and the next wait is woken.
#[test]
fn cancelled_recv_against_push() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).build();
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx
        });
        let count = Arc::new(Count::default());
        let found = poll_once(rx.recv(), &Waker::from(count.clone()));
        let mut tx = producer.join().unwrap();
        assert_eq!(Arc::strong_count(&count), 1, "the waker was kept");
        match found {
            std::task::Poll::Ready(message) => assert_eq!(message.unwrap().0, 1),
            std::task::Poll::Pending => assert_eq!(rx.try_recv().unwrap().0, 1),
        }
        tx.try_send(payload(2)).unwrap();
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
    });
}

/// The cancelled wait and the next one meet the same producer.
#[test]
fn wait_after_a_cancelled_one_against_push() {
    model(3, || {
        let (mut tx, mut rx) = channel(2);
        let producer = thread::spawn(move || tx.try_send(payload(1)).unwrap());
        let count = Arc::new(Count::default());
        let message = match poll_once(rx.recv(), &Waker::from(count.clone())) {
            std::task::Poll::Ready(message) => message,
            std::task::Poll::Pending => block_on(rx.recv()),
        };
        assert_eq!(message.unwrap().0, 1);
        producer.join().unwrap();
        assert_eq!(Arc::strong_count(&count), 1, "the waker was kept");
    });
}

/// The receiver changes its waker, asleep and not, while two producers wake it.
#[test]
fn waker_changed_against_wake() {
    model(2, || {
        let (mut tx, mut rx) = lanes(1).build();
        let mut other = tx.clone();
        let first = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx
        });
        let second = thread::spawn(move || {
            other.try_send(payload(2)).unwrap();
            other
        });
        let mut sum = 0;
        for _ in 0..2 {
            let count = Arc::new(Count::default());
            if let std::task::Poll::Ready(message) = poll_recv_once(&mut rx, &Waker::from(count)) {
                sum += message.map_or(0, |message| message.0);
            }
        }
        while sum < 3 {
            sum += block_on(rx.recv()).unwrap().0;
        }
        drop((first.join().unwrap(), second.join().unwrap()));
    });
}

/// The waker of the last poll is woken, whatever wakers came before.
#[test]
fn the_last_waker_is_woken() {
    model(3, || {
        let (mut tx, mut rx) = channel(1);
        let producer = thread::spawn(move || tx.try_send(payload(1)).unwrap());
        let mut last = None;
        for _ in 0..2 {
            let count = Arc::new(Count::default());
            match poll_recv_once(&mut rx, &Waker::from(count.clone())) {
                std::task::Poll::Pending => last = Some(count),
                std::task::Poll::Ready(message) => {
                    assert!(message.is_some());
                    last = None;
                    break;
                }
            }
        }
        producer.join().unwrap();
        if let Some(last) = last {
            assert!(last.0.load(Ordering::Relaxed) > 0, "asleep, and not woken");
        }
    });
}
