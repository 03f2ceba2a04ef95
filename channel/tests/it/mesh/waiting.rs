//! Sends that wait: for room at one receiver or any, for a hand-over; cancelled, and woken by a change.

use std::{pin::pin, time::Duration};

use lanemesh::{
    SendTimeoutError,
    mesh::{MeshBuilder, mesh},
};

use crate::common::{Ledger, Wakes, poll, start_and_cancel};

#[test]
fn a_send_waits_for_room_anywhere() {
    let (mut tx, _first) = mesh(1);
    let mut second = tx.add_receiver().unwrap();
    tx.try_send(0).unwrap();
    tx.try_send(1).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(2));
    assert!(poll(send.as_mut(), &waker).is_pending());
    assert_eq!(second.try_recv(), Ok(1));
    assert!(second.try_recv().is_err());
    assert!(wakes.count() >= 1);
    assert!(poll(send.as_mut(), &waker).is_ready());
    assert_eq!(second.try_recv(), Ok(2));
}

#[test]
fn rx_join_while_send_waits() {
    let (mut tx, first) = mesh(1);
    tx.try_send(0).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(1));
    assert!(poll(send.as_mut(), &waker).is_pending());
    let mut second = first.add_receiver().unwrap();
    assert_eq!(wakes.count(), 1);
    assert!(poll(send.as_mut(), &waker).is_ready());
    assert_eq!(second.try_recv(), Ok(1));
}

#[test]
fn rx_leave_while_send_waits() {
    let (mut tx, first) = MeshBuilder::new(1).by_key(|n: &u64| Some(*n / 10)).build();
    let mut second = tx.add_receiver().unwrap();
    // A key of the first receiver.
    let key = (0..100).find(|key| {
        tx.try_send(key * 10).unwrap();
        second.try_recv().is_err()
    });
    let key = key.unwrap();
    let (wakes, waker) = Wakes::new();
    {
        let mut send = pin!(tx.send(key * 10 + 1));
        assert!(poll(send.as_mut(), &waker).is_pending());
        drop(first);
        assert!(wakes.count() >= 1);
        // What was handed on comes first.
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert_eq!(second.try_recv(), Ok(key * 10));
        assert!(second.try_recv().is_err());
        assert!(poll(send.as_mut(), &waker).is_ready());
    }
    assert_eq!(second.try_recv(), Ok(key * 10 + 1));
}

#[test]
fn last_rx_leave_while_send_waits() {
    let (mut tx, rx) = mesh(1);
    tx.try_send(0).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(1));
    assert!(poll(send.as_mut(), &waker).is_pending());
    assert_eq!(rx.leave(), [0]);
    assert!(wakes.count() >= 1);
    match poll(send.as_mut(), &waker) {
        std::task::Poll::Ready(result) => assert_eq!(result.unwrap_err().into_inner(), 1),
        std::task::Poll::Pending => panic!("the mesh is closed"),
    }
}

#[test]
fn a_cancelled_send_was_not_sent_and_leaves_no_waker() {
    let ledger = Ledger::new(3);
    let (mut tx, mut first) = mesh(1);
    let mut second = tx.add_receiver().unwrap();
    tx.try_send(ledger.parcel()).unwrap();
    tx.try_send(ledger.parcel()).unwrap();
    let (wakes, waker) = Wakes::new();
    {
        let mut send = pin!(tx.send(ledger.parcel()));
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert!(std::sync::Arc::strong_count(&wakes) > 2);
    }
    assert_eq!(ledger.dropped(), 1, "the message went with the future");
    assert_eq!(
        std::sync::Arc::strong_count(&wakes),
        2,
        "no lane keeps the waker"
    );
    drop((first.try_recv().unwrap(), second.try_recv().unwrap()));
    assert!(first.try_recv().is_err() && second.try_recv().is_err());
    assert_eq!(wakes.count(), 0);
    ledger.check();
}

/// Who has the turn to wait for a hand-over is cancelled: another one goes on.
#[test]
fn a_cancelled_wait_for_a_hand_over_passes_it_on() {
    let (tx, first) = MeshBuilder::new(4).by_key(|n: &u64| Some(*n)).build();
    let (mut a, mut b) = (tx.clone(), tx);
    a.try_send(1).unwrap();
    b.try_send(2).unwrap();
    let mut second = first.add_receiver().unwrap();
    drop(first);
    start_and_cancel(a.send(1));
    let (wakes_a, waker_a) = Wakes::new();
    let (wakes_b, waker_b) = Wakes::new();
    {
        let mut send_b = pin!(b.send(2));
        {
            let mut send_a = pin!(a.send(1));
            assert!(poll(send_a.as_mut(), &waker_a).is_pending());
            assert!(poll(send_b.as_mut(), &waker_b).is_pending());
        }
        // The first of them was cancelled.
        assert_eq!(wakes_b.count(), 1);
        assert!(poll(send_b.as_mut(), &waker_b).is_pending());
        assert!(second.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        assert_eq!(wakes_b.count(), 2);
        assert!(poll(send_b.as_mut(), &waker_b).is_ready());
    }
    assert_eq!(wakes_a.count(), 0);
    a.try_send(1).unwrap();
    let mut got = [second.try_recv().unwrap(), second.try_recv().unwrap()];
    got.sort();
    assert_eq!(got, [1, 2]);
}

#[test]
fn a_batch_that_is_cancelled_keeps_the_rest_in_order() {
    let (mut tx, mut rx) = mesh(2);
    let mut batch = vec![1, 2, 3, 4, 5];
    start_and_cancel(tx.send_vec(&mut batch));
    assert_eq!(batch, [3, 4, 5]);
    assert_eq!(tx.try_send_vec(&mut batch), Ok(0));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(tx.try_send_vec(&mut batch), Ok(2));
    assert_eq!(batch, [5]);
    let _ = rx.leave();
    assert_eq!(tx.try_send_vec(&mut batch).unwrap_err().into_inner(), 0);
    assert_eq!(batch, [5]);
}

#[test]
fn a_timeout_returns_the_message() {
    let (mut tx, _rx) = mesh(1);
    tx.try_send(0).unwrap();
    assert_eq!(
        tx.send_timeout(1, Duration::ZERO),
        Err(SendTimeoutError::Timeout(1))
    );
    let short = Duration::from_micros(1);
    assert_eq!(tx.send_timeout(1, short), Err(SendTimeoutError::Timeout(1)));
}

#[test]
fn an_async_sender_yields_in_between() {
    let (mut tx, mut rx) = mesh(1_000_000);
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(async {
        for n in 0..1_000_000 {
            tx.send(n).await.unwrap();
        }
    });
    assert!(poll(send.as_mut(), &waker).is_pending());
    assert_eq!(wakes.count(), 1);
    assert!(rx.try_recv().is_ok());
}
