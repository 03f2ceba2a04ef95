//! Room for several messages at once: the producer waits while there is some, but not enough.

use lanemesh::{Builder, Receiver, Sender, channel};
use loom::{future::block_on, thread};

use crate::{Payload, lanes, model, payload};

/// One message is queued, and the producer wants all the room that there is.
fn reserve_all_against_receive(open: fn() -> (Sender<Payload>, Receiver<Payload>)) {
    model(2, move || {
        let (mut tx, mut rx) = open();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            let permits = block_on(tx.reserve_many(2)).unwrap();
            assert_eq!(permits.send_many([payload(1), payload(2)]).unwrap(), 2);
            tx
        });
        for n in 0..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        let tx = producer.join().unwrap();
        assert!(rx.try_recv().is_err());
        assert_eq!(tx.remaining_capacity(), 2);
    });
}

#[test]
fn permits_of_a_lane_against_receive() {
    reserve_all_against_receive(|| lanes(2).first_ring(2).build());
}

#[test]
fn permits_with_a_shared_slot_against_receive() {
    reserve_all_against_receive(|| channel(2));
}

#[test]
fn permits_of_a_total_against_receive() {
    reserve_all_against_receive(|| Builder::new(1).total_capacity(2).build());
}

/// Two producers want all slots; each gets them once the other is done.
#[test]
fn permits_of_a_total_against_each_other() {
    model(1, || {
        let (mut tx, mut rx) = Builder::new(1).total_capacity(2).build::<Payload>();
        let mut other = tx.clone();
        let producer = thread::spawn(move || drop(block_on(other.reserve_many(2)).unwrap()));
        drop(block_on(tx.reserve_many(2)).unwrap());
        producer.join().unwrap();
        assert!(rx.try_recv().is_err());
        assert_eq!(tx.remaining_capacity(), 2);
    });
}
