//! Promise 3: `Ok` means that the receiver gets the message, or drops it at close; a failed send
//! returns it. Accepted = received + drained, at every moment at which a channel may close.

use std::thread;

use lanemesh::{Builder, SendError, SendManyError, TrySendError, channel};

use crate::common::{Ledger, Parcel, now};

const ROUNDS: usize = if cfg!(miri) { 10 } else { 3_000 };

#[test]
fn ok_before_close_is_received_after_it() {
    let (mut tx, mut rx) = channel(8);
    assert_eq!(tx.try_send_many(0..5).unwrap(), 5);
    rx.close();
    assert_eq!(tx.try_send(5), Err(TrySendError::Closed(5)));
    assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn ok_before_the_receiver_is_dropped_is_drained_once() {
    let ledger = Ledger::new(8);
    let (mut tx, rx) = channel(8);
    for _ in 0..5 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    drop(rx);
    assert_eq!(ledger.dropped(), 5);
    let back = tx.try_send(ledger.parcel()).unwrap_err().into_inner();
    assert_eq!((back.n, ledger.dropped()), (5, 5));
}

#[test]
fn every_failed_send_gives_its_message_back() {
    let (mut tx, rx) = channel(2);
    tx.try_send_many([1, 2]).unwrap();
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(tx.try_feed(3), Err(TrySendError::Full(3)));
    drop(rx);
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!(tx.try_feed(3), Err(TrySendError::Closed(3)));
    assert_eq!(now(tx.send(3)), Err(SendError(3)));
    assert_eq!(now(tx.feed(3)), Err(SendError(3)));
    assert_eq!(tx.blocking_send(3), Err(SendError(3)));
    let mut left = 3..6;
    let error = tx.try_send_many(left.by_ref()).unwrap_err();
    let SendManyError { sent, unsent } = error;
    assert_eq!(sent, 0);
    assert_eq!(
        unsent.into_iter().chain(left).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    let mut batch = vec![3, 4];
    assert_eq!(tx.try_send_vec(&mut batch), Err(SendError(0)));
    assert_eq!(batch, [3, 4]);
}

#[test]
fn flush_after_close_gives_the_staged_messages_back_in_order() {
    let (mut tx, mut rx) = channel(4);
    tx.try_feed(1).unwrap();
    tx.try_feed(2).unwrap();
    rx.close();
    assert_eq!(tx.flush(), Err(SendError(vec![1, 2])));
    assert_eq!(tx.flush(), Ok(()));
}

/// Accepted = received, while the channel closes at an arbitrary moment.
fn close_while(
    capacity: usize,
    send: impl Fn(&mut lanemesh::Sender<Parcel>, &Ledger) -> usize + Sync,
) {
    for round in 0..ROUNDS {
        let ledger = Ledger::new(256);
        let (tx, mut rx) = Builder::new(capacity).first_ring(1).build();
        let (accepted, received) = thread::scope(|scope| {
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let mut tx = tx.clone();
                    let (ledger, send) = (ledger.clone(), &send);
                    scope.spawn(move || send(&mut tx, &ledger))
                })
                .collect();
            let mut received = 0;
            for _ in 0..round % 7 {
                received += usize::from(rx.try_recv().is_ok());
            }
            rx.close();
            received += rx.iter().count();
            let accepted: usize = senders.into_iter().map(|t| t.join().unwrap()).sum();
            (accepted, received)
        });
        assert_eq!(accepted, received);
        drop((tx, rx));
        ledger.check();
    }
}

#[test]
fn close_while_sending_one_by_one_accepts_what_is_received() {
    close_while(5, |tx, ledger| {
        let mut accepted = 0;
        for _ in 0..20 {
            match tx.try_send(ledger.parcel()) {
                Ok(()) => accepted += 1,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => break,
            }
        }
        accepted
    });
}

#[test]
fn close_while_sending_batches_accepts_what_is_received() {
    close_while(9, |tx, ledger| {
        let mut accepted = 0;
        for size in 1..7 {
            let mut batch: Vec<_> = (0..size).map(|_| ledger.parcel()).collect();
            match tx.try_send_vec(&mut batch) {
                Ok(sent) => {
                    assert_eq!(sent + batch.len(), size);
                    accepted += sent;
                }
                Err(SendError(sent)) => {
                    assert_eq!(sent + batch.len(), size);
                    return accepted + sent;
                }
            }
        }
        accepted
    });
}

#[test]
fn close_while_flushing_accepts_what_is_received() {
    close_while(9, |tx, ledger| {
        let mut accepted = 0;
        for size in 1..7 {
            let fed = (0..size)
                .take_while(|_| tx.try_feed(ledger.parcel()).is_ok())
                .count();
            match tx.flush() {
                Ok(()) => accepted += fed,
                Err(SendError(back)) => return accepted + fed - back.len(),
            }
        }
        accepted
    });
}

#[test]
fn close_while_sending_from_an_iterator_accepts_what_is_received() {
    close_while(9, |tx, ledger| {
        let mut accepted = 0;
        for size in 1..7 {
            match tx.try_send_many((0..size).map(|_| ledger.parcel())) {
                Ok(sent) => accepted += sent,
                Err(error) => return accepted + error.sent,
            }
        }
        accepted
    });
}

#[test]
fn close_while_a_send_waits_accepts_what_is_received() {
    close_while(1, |tx, ledger| {
        (0..20)
            .take_while(|_| tx.blocking_send(ledger.parcel()).is_ok())
            .count()
    });
}
