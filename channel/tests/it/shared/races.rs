//! {drop sender, drop receiver, close, cancel recv, cancel send} against {try_send, a waiting send, try_recv, a waiting
//! recv}, for senders that share a lane. Every payload counts its drops, and what was accepted is what was received or
//! drained.

use std::{
    pin::pin,
    sync::Barrier,
    task::{Poll, Waker},
    thread,
};

use lanemesh::{Builder, Receiver, SharedSender};

use crate::common::{Ledger, Parcel, block_on, poll};

const ROUNDS: usize = if cfg!(miri) { 10 } else { 600 };
const SEVERAL: usize = 3;

/// Runs two sides of senders and one of the receiver against each other, on a lane with some messages in it. Each side
/// of the senders says how many messages were accepted, that of the receiver how many it got, or `None` if it does not
/// count.
fn race(
    sender: impl Fn(SharedSender<Parcel>, &Ledger) -> usize + Sync,
    other: impl Fn(SharedSender<Parcel>, &Ledger) -> usize + Sync,
    receiver: impl Fn(Receiver<Parcel>) -> Option<usize> + Sync,
    full: bool,
) {
    for round in 0..ROUNDS {
        let ledger = Ledger::new(64);
        let capacity = 1 + round % 3;
        let (tx, mut rx) = Builder::new(capacity).build();
        let tx = tx.shared();
        if round % 5 == 0 {
            let _ = poll(pin!(rx.recv()), Waker::noop());
        }
        let before = if full { capacity } else { round % capacity };
        for _ in 0..before {
            tx.try_send(ledger.parcel()).unwrap();
        }
        let start = Barrier::new(3);
        let clone = tx.clone();
        thread::scope(|scope| {
            let sides = [
                scope.spawn(|| {
                    start.wait();
                    sender(tx, &ledger)
                }),
                scope.spawn(|| {
                    start.wait();
                    other(clone, &ledger)
                }),
            ];
            start.wait();
            let received = receiver(rx);
            let accepted: usize = sides.map(|side| side.join().unwrap()).iter().sum();
            if let Some(received) = received {
                assert_eq!(received, before + accepted);
            }
        });
        ledger.check();
    }
}

// What senders do.

fn try_send(tx: SharedSender<Parcel>, ledger: &Ledger) -> usize {
    (0..SEVERAL)
        .filter(|_| tx.try_send(ledger.parcel()).is_ok())
        .count()
}

fn waiting_send(tx: SharedSender<Parcel>, ledger: &Ledger) -> usize {
    (0..SEVERAL)
        .filter(|_| block_on(tx.send(ledger.parcel())).is_ok())
        .count()
}

fn cancel_send(tx: SharedSender<Parcel>, ledger: &Ledger) -> usize {
    (0..SEVERAL)
        .filter(|_| {
            matches!(
                poll(pin!(tx.send(ledger.parcel())), Waker::noop()),
                Poll::Ready(Ok(()))
            )
        })
        .count()
}

fn drop_sender(tx: SharedSender<Parcel>, _: &Ledger) -> usize {
    drop(tx);
    0
}

// What the receiver does.

fn waiting_recv(mut rx: Receiver<Parcel>) -> Option<usize> {
    let mut count = 0;
    while block_on(rx.recv()).is_some() {
        count += 1;
    }
    Some(count)
}

fn try_recv(mut rx: Receiver<Parcel>) -> Option<usize> {
    let mut count = 0;
    loop {
        match rx.try_recv() {
            Ok(_) => count += 1,
            Err(lanemesh::TryRecvError::Closed) => return Some(count),
            Err(lanemesh::TryRecvError::Empty) => thread::yield_now(),
        }
    }
}

fn cancel_recv(mut rx: Receiver<Parcel>) -> Option<usize> {
    let mut count = 0;
    for _ in 0..SEVERAL {
        if let Poll::Ready(Some(_)) = poll(pin!(rx.recv()), Waker::noop()) {
            count += 1;
        }
    }
    Some(count + waiting_recv(rx)?)
}

fn close(mut rx: Receiver<Parcel>) -> Option<usize> {
    rx.close();
    waiting_recv(rx)
}

fn close_after_one(mut rx: Receiver<Parcel>) -> Option<usize> {
    let one = usize::from(rx.try_recv().is_ok());
    rx.close();
    Some(one + try_recv(rx)?)
}

fn drop_receiver(rx: Receiver<Parcel>) -> Option<usize> {
    drop(rx);
    None
}

#[test]
fn try_send_against_try_send_and_waiting_recv() {
    race(try_send, try_send, waiting_recv, false);
}

#[test]
fn try_send_against_waiting_send_and_try_recv() {
    race(try_send, waiting_send, try_recv, true);
}

#[test]
fn waiting_send_against_waiting_send_and_waiting_recv() {
    race(waiting_send, waiting_send, waiting_recv, true);
}

#[test]
fn drop_sender_against_try_send_and_try_recv() {
    race(try_send, drop_sender, try_recv, false);
}

#[test]
fn drop_sender_against_waiting_send_and_waiting_recv() {
    race(waiting_send, drop_sender, waiting_recv, true);
}

#[test]
fn drop_of_all_senders_against_waiting_recv() {
    race(drop_sender, drop_sender, waiting_recv, false);
}

#[test]
fn drop_receiver_against_try_send() {
    race(try_send, try_send, drop_receiver, false);
}

#[test]
fn drop_receiver_against_waiting_send() {
    race(waiting_send, waiting_send, drop_receiver, true);
}

#[test]
fn drop_receiver_against_cancel_send() {
    race(waiting_send, cancel_send, drop_receiver, true);
}

#[test]
fn close_against_try_send_and_waiting_recv() {
    race(try_send, try_send, close, false);
}

#[test]
fn close_against_waiting_send_and_waiting_recv() {
    race(waiting_send, waiting_send, close, true);
}

#[test]
fn close_against_cancel_send_and_try_recv() {
    race(cancel_send, waiting_send, close_after_one, true);
}

#[test]
fn close_against_drop_sender() {
    race(drop_sender, drop_sender, close, false);
}

#[test]
fn cancel_recv_against_try_send() {
    race(try_send, try_send, cancel_recv, false);
}

#[test]
fn cancel_recv_against_waiting_send() {
    race(waiting_send, waiting_send, cancel_recv, true);
}

#[test]
fn cancel_send_against_waiting_recv() {
    race(cancel_send, waiting_send, waiting_recv, true);
}

#[test]
fn cancel_send_against_try_recv() {
    race(cancel_send, waiting_send, try_recv, true);
}
