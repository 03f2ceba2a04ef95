//! What `Stats::delay` samples: how long a lane that became ready waited for the receiver.

use std::{pin::pin, task::Waker, thread::sleep, time::Duration};

use lanemesh::{Builder, Receiver};

use crate::common::poll;

fn samples<T>(rx: &Receiver<T>) -> u64 {
    let delay = rx.stats().delay;
    assert_eq!(delay.buckets.iter().sum::<u64>(), delay.samples);
    delay.samples
}

fn take_all<T>(rx: &mut Receiver<T>) -> usize {
    rx.try_iter().count()
}

#[test]
fn the_first_message_of_a_lane_is_sampled_and_those_behind_it_are_not() {
    let (mut tx, mut rx) = Builder::new(16).shared_slots(0).build();
    for round in 1..=3 {
        tx.try_send_many(0..10).unwrap();
        assert_eq!(take_all(&mut rx), 10);
        // Goes to sleep, so that the lane is given up.
        assert!(poll(pin!(rx.recv()), Waker::noop()).is_pending());
        assert_eq!(samples(&rx), round);
    }
}

#[test]
fn every_message_of_an_shared_slot_is_sampled() {
    let (mut tx, mut rx) = Builder::new(16).build();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(take_all(&mut rx), 2);
    assert_eq!(samples(&rx), 2);
}

#[test]
fn a_sample_is_as_long_as_the_message_waited() {
    let (mut tx, mut rx) = Builder::new(16).build();
    tx.try_send(1).unwrap();
    sleep(Duration::from_millis(5));
    assert_eq!(rx.try_recv(), Ok(1));
    let delay = rx.stats().delay;
    // The clock is calibrated to a few parts in a thousand.
    assert!(delay.quantile(1.0) >= Duration::from_millis(4), "{delay:?}");
    assert!(delay.total_nanos >= delay.max_nanos);
}

/// Lanes that are visited again because they had more than their quota have not become ready again;
/// but what is on the list after a sleep has.
#[test]
fn lanes_that_come_again_are_not_sampled_and_the_next_list_is() {
    let (mut one, mut rx) = Builder::new(16).shared_slots(0).burst(1).build();
    let mut two = one.clone();
    one.try_send_many(0..4).unwrap();
    two.try_send_many(0..4).unwrap();
    assert_eq!(take_all(&mut rx), 8);
    assert!(poll(pin!(rx.recv()), Waker::noop()).is_pending());
    assert_eq!(samples(&rx), 2);
    one.try_send(4).unwrap();
    assert_eq!(take_all(&mut rx), 1);
    assert_eq!(samples(&rx), 3);
}

#[test]
fn lanes_that_were_listed_when_the_channel_closed_are_sampled() {
    let (mut one, mut rx) = Builder::new(16).shared_slots(0).build();
    let mut two = one.clone();
    one.try_send(1).unwrap();
    two.try_send(2).unwrap();
    rx.close();
    assert_eq!(take_all(&mut rx), 2);
    assert_eq!(samples(&rx), 2);
}
