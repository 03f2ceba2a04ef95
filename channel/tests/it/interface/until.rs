//! Sends and receives that another future stops.

use std::{
    future::{pending, ready},
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
};

use lanemesh::{Builder, Message, RecvOrError, SendOrError, channel, mailbox};
use tokio::sync::Notify;

use crate::common::{self, Ledger, Wakes, now, poll};

#[test]
fn a_send_that_is_stopped_returns_its_message() {
    for (mut tx, mut rx) in [channel(1), Builder::new(1).total_capacity(1).build()] {
        assert_eq!(now(tx.send_or(1, pending::<u8>())), Ok(()));
        let stopped = now(tx.send_or(2, ready("stop")));
        assert_eq!(stopped, Err(SendOrError::Stopped(2, "stop")));
        common::start_and_cancel(tx.send_or(2, pending::<u8>()));
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(rx.try_recv().is_err());
        assert_eq!(tx.remaining_capacity(), 1);
        rx.close();
        let closed = now(tx.send_or(3, ready(())));
        assert_eq!(closed, Err(SendOrError::Closed(3)));
        assert_eq!(closed.unwrap_err().into_inner(), 3);
    }
}

#[test]
fn a_send_ends_with_what_comes_first() {
    let stop = Arc::new(Notify::new());
    let (mut tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    {
        let (wakes, waker) = Wakes::new();
        let mut send = pin!(tx.send_or(2, stop.notified()));
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(rx.try_recv().is_err());
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(send.as_mut(), &waker), Poll::Ready(Ok(())));
    }
    {
        let (wakes, waker) = Wakes::new();
        let mut send = pin!(tx.send_or(3, stop.notified()));
        assert!(poll(send.as_mut(), &waker).is_pending());
        stop.notify_one();
        assert_eq!(wakes.count(), 1);
        let stopped = Poll::Ready(Err(SendOrError::Stopped(3, ())));
        assert_eq!(poll(send.as_mut(), &waker), stopped);
    }
    {
        let mut send = pin!(tx.send_or(4, pending::<()>()));
        assert!(poll(send.as_mut(), Waker::noop()).is_pending());
        rx.close();
        let closed = Poll::Ready(Err(SendOrError::Closed(4)));
        assert_eq!(poll(send.as_mut(), Waker::noop()), closed);
    }
}

#[test]
fn a_stopped_send_passes_its_place_on() {
    let (mut tx, mut rx) = Builder::new(1).total_capacity(1).build();
    let mut other = tx.clone();
    tx.try_send(1).unwrap();
    let stop = Notify::new();
    let mut first = Box::pin(tx.send_or(2, stop.notified()));
    let mut second = Box::pin(other.send_or(3, pending::<()>()));
    assert!(poll(first.as_mut(), Waker::noop()).is_pending());
    assert!(poll(second.as_mut(), Waker::noop()).is_pending());
    stop.notify_one();
    let stopped = Poll::Ready(Err(SendOrError::Stopped(2, ())));
    assert_eq!(poll(first.as_mut(), Waker::noop()), stopped);
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(rx.try_recv().is_err());
    assert_eq!(poll(second.as_mut(), Waker::noop()), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(3));
}

#[test]
fn a_message_or_room_that_is_there_comes_before_what_stops() {
    // The budget is spent, so each second poll is a pause in which the other future is ready.
    let (mut tx, mut rx) = Builder::new(8).budget(1).build();
    for n in 0..8 {
        assert_eq!(now(tx.send_or(n, ready(()))), Ok(()));
    }
    for n in 0..8 {
        assert_eq!(now(rx.recv_or(ready(()))), Ok(n));
    }
    assert_eq!(now(rx.recv_or(ready(7))), Err(RecvOrError::Stopped(7)));
    drop(tx);
    assert_eq!(now(rx.recv_or(ready(7))), Err(RecvOrError::Closed));
}

#[test]
fn a_receive_ends_with_what_comes_first() {
    let stop = Notify::new();
    let (mut tx, mut rx) = channel(1);
    {
        let (wakes, waker) = Wakes::new();
        let mut recv = pin!(rx.recv_or(stop.notified()));
        assert!(poll(recv.as_mut(), &waker).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(recv.as_mut(), &waker), Poll::Ready(Ok(1)));
    }
    {
        let mut recv = pin!(rx.recv_or(stop.notified()));
        assert!(poll(recv.as_mut(), Waker::noop()).is_pending());
        stop.notify_one();
        let stopped = Poll::Ready(Err(RecvOrError::Stopped(())));
        assert_eq!(poll(recv.as_mut(), Waker::noop()), stopped);
    }
    tx.try_send(2).unwrap();
    assert_eq!(now(rx.recv_or(ready(()))), Ok(2));
}

#[test]
fn receives_of_a_mailbox_and_its_classes_are_stopped() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(2, 2);
    assert_eq!(now(rx.recv_or(ready(1))), Err(RecvOrError::Stopped(1)));
    tx.try_send_low(1).unwrap();
    tx.try_send_high(2).unwrap();
    assert_eq!(now(rx.recv_or(ready(1))), Ok(Message::High(2)));
    let stopped = now(rx.high().recv_or(ready(1)));
    assert_eq!(stopped, Err(RecvOrError::Stopped(1)));
    assert_eq!(now(rx.low().recv_or(pending::<()>())), Ok(1));
    assert_eq!(now(tx.low().send_or(3, ready(()))), Ok(()));
    assert_eq!(now(rx.recv_or(ready(1))), Ok(Message::Low(3)));
    drop(tx);
    assert_eq!(now(rx.low().recv_or(ready(1))), Err(RecvOrError::Closed));
    assert_eq!(now(rx.recv_or(ready(1))), Err(RecvOrError::Closed));
}

#[test]
fn a_message_is_dropped_once_however_its_send_ends() {
    let ledger = Ledger::new(4);
    let (mut tx, rx) = channel(1);
    now(tx.send_or(ledger.parcel(), pending::<()>())).unwrap();
    let stopped = now(tx.send_or(ledger.parcel(), ready(()))).unwrap_err();
    let returned = stopped.into_inner();
    assert_eq!((returned.n, ledger.dropped()), (1, 0));
    drop(returned);
    common::start_and_cancel(tx.send_or(ledger.parcel(), pending::<()>()));
    assert_eq!(ledger.dropped(), 2);
    drop(rx);
    assert!(now(tx.send_or(ledger.parcel(), ready(()))).is_err());
    ledger.check();
}
