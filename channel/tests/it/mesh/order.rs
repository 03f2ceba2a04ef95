//! The order of a key while receivers join and leave.

use std::pin::pin;

use lanemesh::{
    TrySendError,
    mesh::{MeshBuilder, MeshReceiver, MeshSender},
};

use crate::common::{Wakes, poll};

/// (key, number)
type Numbered = (u64, u32);

fn keyed(capacity: usize) -> (MeshSender<Numbered>, MeshReceiver<Numbered>) {
    MeshBuilder::new(capacity)
        .by_key(|message: &Numbered| Some(message.0))
        .build()
}

/// A key that moves from the only receiver to one that joins: with which it joins.
fn join_moving(
    tx: &mut MeshSender<Numbered>,
    first: &mut MeshReceiver<Numbered>,
    send: impl Fn(&mut MeshSender<Numbered>, u64),
) -> (u64, MeshReceiver<Numbered>) {
    // Which keys move can be seen by sending them while nothing is queued.
    let (mut probe, probe_first) = keyed(64);
    let probe_second = probe.add_receiver().unwrap();
    let mut key = 0;
    while probe_second.is_empty() {
        key += 1;
        probe.try_send((key, 0)).unwrap();
    }
    drop(probe_first);
    send(tx, key);
    let second = first.add_receiver().unwrap();
    (key, second)
}

#[test]
fn a_key_that_moves_waits_for_its_former_receiver() {
    let (mut tx, mut first) = keyed(8);
    let (key, mut second) = join_moving(&mut tx, &mut first, |tx, key| {
        tx.try_send((key, 1)).unwrap();
    });
    assert_eq!(tx.try_send((key, 2)), Err(TrySendError::Full((key, 2))));
    assert!(second.is_empty());
    assert_eq!(first.try_recv(), Ok((key, 1)));
    tx.try_send((key, 2)).unwrap();
    assert_eq!(second.try_recv(), Ok((key, 2)));
}

#[test]
fn keys_that_stay_do_not_wait() {
    let (mut tx, mut first) = keyed(8);
    let (key, second) = join_moving(&mut tx, &mut first, |tx, key| {
        tx.try_send((key, 1)).unwrap();
    });
    // The keys before it stayed with the first receiver.
    for other in 1..key {
        tx.try_send((other, 1)).unwrap();
    }
    assert!(tx.try_send((key, 2)).is_err());
    assert_eq!(first.len() as u64, key);
    assert!(second.is_empty());
}

/// Messages that were sent to the former receiver after the change do not hold the key back.
#[test]
fn later_messages_of_other_keys_do_not_hold_a_key_back() {
    let (mut tx, mut first) = keyed(8);
    let (key, mut second) = join_moving(&mut tx, &mut first, |tx, key| {
        for n in 1..4 {
            tx.try_send((key, n)).unwrap();
        }
    });
    if key > 1 {
        tx.try_send((1, 1)).unwrap();
        tx.try_send((1, 2)).unwrap();
    }
    for n in 1..4 {
        assert!(tx.try_send((key, 4)).is_err());
        assert_eq!(first.try_recv(), Ok((key, n)));
    }
    tx.try_send((key, 4)).unwrap();
    assert_eq!(second.try_recv(), Ok((key, 4)));
}

#[test]
fn a_waiting_send_goes_on_when_the_former_receiver_has_caught_up() {
    let (mut tx, mut first) = keyed(8);
    let (key, mut second) = join_moving(&mut tx, &mut first, |tx, key| {
        tx.try_send((key, 1)).unwrap();
    });
    let (wakes, waker) = Wakes::new();
    {
        let mut send = pin!(tx.send((key, 2)));
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert_eq!(first.try_recv(), Ok((key, 1)));
        // The next look finds the lane empty.
        assert!(first.try_recv().is_err());
        assert_eq!(wakes.count(), 1);
        assert!(poll(send.as_mut(), &waker).is_ready());
    }
    assert_eq!(second.try_recv(), Ok((key, 2)));
}

#[test]
fn handed_on_messages_come_before_newer_ones() {
    let (mut tx, first) = keyed(8);
    for key in 0..8 {
        tx.try_send((key, 1)).unwrap();
    }
    let mut second = tx.add_receiver().unwrap();
    drop(first);
    for key in 0..8 {
        assert!(tx.try_send((key, 2)).is_err(), "behind what was handed on");
    }
    let (wakes, waker) = Wakes::new();
    {
        let mut send = pin!(tx.send((0, 2)));
        assert!(poll(send.as_mut(), &waker).is_pending());
        for _ in 0..8 {
            assert_eq!(second.try_recv().unwrap().1, 1);
        }
        assert!(second.try_recv().is_err());
        assert!(wakes.count() >= 1);
        assert!(poll(send.as_mut(), &waker).is_ready());
    }
    for key in 1..8 {
        tx.try_send((key, 2)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| second.try_recv().ok()).count(), 8);
}

/// What one receiver handed to another, that one hands to a third.
#[test]
fn messages_that_are_handed_on_twice_stay_in_order() {
    let (mut tx, first) = keyed(8);
    for key in 0..4 {
        for n in 1..=2 {
            tx.try_send((key, n)).unwrap();
        }
    }
    let second = tx.add_receiver().unwrap();
    drop(first);
    let mut third = tx.add_receiver().unwrap();
    drop(second);
    for key in 0..4 {
        assert!(tx.try_send((key, 3)).is_err());
    }
    let mut last = [0; 4];
    for _ in 0..8 {
        let (key, n) = third.try_recv().unwrap();
        assert_eq!(n, last[key as usize] + 1);
        last[key as usize] = n;
    }
    for key in 0..4 {
        tx.try_send((key, 3)).unwrap();
    }
}

/// A receiver that has closed, and still has messages of its keys.
#[test]
fn keys_of_a_closed_receiver_wait_until_it_has_ended() {
    let (mut tx, mut first) = keyed(8);
    tx.try_send((1, 1)).unwrap();
    tx.try_send((1, 2)).unwrap();
    let mut second = tx.add_receiver().unwrap();
    first.close();
    assert!(tx.try_send((1, 3)).is_err());
    assert_eq!(first.try_recv(), Ok((1, 1)));
    assert!(tx.try_send((1, 3)).is_err());
    assert_eq!(first.try_recv(), Ok((1, 2)));
    assert!(first.try_recv().is_err());
    tx.try_send((1, 3)).unwrap();
    assert_eq!(second.try_recv(), Ok((1, 3)));
}

/// More changes than a sender remembers.
#[test]
fn many_changes_hold_every_key_back_until_all_is_received() {
    let (mut tx, first) = keyed(8);
    tx.try_send((1, 1)).unwrap();
    let mut others = Vec::new();
    for key in 2..40 {
        others.push(first.add_receiver().unwrap());
        // Each send lets the sender see one more change.
        let _ = tx.try_send((key, 1));
        if others.len() == 2 {
            drop(others.remove(0));
        }
    }
    let mut receivers = others;
    receivers.push(first);
    let mut received = 0;
    for rx in &mut receivers {
        received += std::iter::from_fn(|| rx.try_recv().ok()).count();
    }
    assert!(received >= 1);
    for key in 1..40 {
        tx.try_send((key, 2)).unwrap();
        let received = receivers.iter_mut().find_map(|rx| rx.try_recv().ok());
        assert_eq!(received, Some((key, 2)));
    }
}
