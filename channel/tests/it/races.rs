//! The matrix of races: {drop sender, drop receiver, close, cancel recv, cancel send} against
//! {try_send, a waiting send, try_recv, a waiting recv}. Threads race many times over; every
//! payload counts its drops, and what was accepted is what was received or drained.

use std::{
    future::poll_fn,
    hint,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use lanemesh::{Builder, Receiver, SendError, Sender, TryRecvError, TrySendError};

use crate::common::{self, Ledger, Parcel, block_on, poll};

const ROUNDS: usize = if cfg!(miri) { 10 } else { 1_500 };
const SEVERAL: usize = 3;

/// Starts two threads at the same moment: each waits until both are there.
#[derive(Debug, Default)]
struct Start(AtomicUsize);

impl Start {
    fn line_up(&self) {
        self.0.fetch_add(1, SeqCst);
        let mut spins = 0;
        while self.0.load(SeqCst) < 2 {
            // The other may need this core to get here.
            spins += 1;
            if spins > 100 || cfg!(miri) {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
    }
}

/// Runs two sides of a channel of capacity 1 to 3, with some messages in it, against each other.
fn race<A: Send, B: Send>(
    sender: impl Fn(Sender<Parcel>, &Ledger) -> A + Sync,
    receiver: impl Fn(Receiver<Parcel>) -> B + Sync,
    check: impl Fn(A, B, usize),
    full: bool,
) {
    for round in 0..ROUNDS {
        let ledger = Ledger::new(64);
        let capacity = 1 + round % 3;
        let (mut tx, mut rx) = Builder::new(capacity).first_ring(1 + round % 2).build();
        if round % 5 == 0 {
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
        let before = if full { capacity } else { round % capacity };
        for _ in 0..before {
            tx.try_send(ledger.parcel()).unwrap();
        }
        let start = Start::default();
        let (a, b) = thread::scope(|scope| {
            let a = scope.spawn(|| {
                start.line_up();
                sender(tx, &ledger)
            });
            start.line_up();
            let b = receiver(rx);
            (a.join().unwrap(), b)
        });
        check(a, b, before);
        ledger.check();
    }
}

/// Sends a few messages without waiting, and returns how many were accepted.
fn try_send_several(mut tx: Sender<Parcel>, ledger: &Ledger) -> usize {
    (0..SEVERAL)
        .filter(|_| tx.try_send(ledger.parcel()).is_ok())
        .count()
}

/// Sends a few messages, waiting for room, and returns how many were accepted.
fn send_several(mut tx: Sender<Parcel>, ledger: &Ledger) -> usize {
    (0..SEVERAL)
        .filter(|_| block_on(tx.send(ledger.parcel())).is_ok())
        .count()
}

fn try_recv_to_the_end(mut rx: Receiver<Parcel>) -> usize {
    let mut count = 0;
    loop {
        match rx.try_recv() {
            Ok(_) => count += 1,
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(TryRecvError::Closed) => return count,
        }
    }
}

fn recv_to_the_end(mut rx: Receiver<Parcel>) -> usize {
    let mut count = 0;
    while block_on(rx.recv()).is_some() {
        count += 1;
    }
    count
}

fn all_received(accepted: usize, received: usize, before: usize) {
    assert_eq!(accepted + before, received);
}

// Drop sender.

#[test]
fn tx_drop_after_try_send_of_another() {
    race(
        |tx, ledger| {
            let other = tx.clone();
            let accepted = try_send_several(tx, ledger);
            drop(other);
            accepted
        },
        recv_to_the_end,
        all_received,
        false,
    );
}

#[test]
fn tx_drop_while_send_of_another_waits() {
    race(
        |tx, ledger| {
            let other = tx.clone();
            thread::scope(|scope| {
                scope.spawn(|| drop(other));
                send_several(tx, ledger)
            })
        },
        recv_to_the_end,
        all_received,
        true,
    );
}

#[test]
fn tx_drop_against_try_recv() {
    race(try_send_several, try_recv_to_the_end, all_received, false);
}

#[test]
fn tx_drop_while_recv_waits() {
    race(try_send_several, recv_to_the_end, all_received, false);
}

#[test]
fn last_tx_drop_without_a_message_while_recv_waits() {
    race(
        |tx, _| drop(tx),
        recv_to_the_end,
        |(), got, before| assert_eq!(got, before),
        false,
    );
}

#[test]
fn last_two_tx_drops_while_recv_waits() {
    race(
        |tx, _| {
            let other = tx.clone();
            thread::scope(|scope| {
                scope.spawn(|| drop(other));
                drop(tx);
            });
        },
        recv_to_the_end,
        |(), got, before| assert_eq!(got, before),
        false,
    );
}

#[test]
fn tx_drop_with_staged_messages_while_recv_waits() {
    race(
        |mut tx, ledger| {
            (0..SEVERAL)
                .filter(|_| tx.try_feed(ledger.parcel()).is_ok())
                .count()
        },
        recv_to_the_end,
        all_received,
        false,
    );
}

// Drop receiver.

#[test]
fn rx_drop_against_try_send() {
    race(try_send_several, drop, |_, (), _| {}, false);
}

#[test]
fn rx_drop_while_send_waits() {
    race(
        |mut tx, ledger| {
            let mut accepted = 0;
            loop {
                match block_on(tx.send(ledger.parcel())) {
                    Ok(()) => accepted += 1,
                    Err(SendError(_)) => return accepted,
                }
                if ledger.made() == 60 {
                    return accepted;
                }
            }
        },
        |mut rx| {
            drop(rx.try_recv());
            drop(rx);
        },
        |_, (), _| {},
        true,
    );
}

#[test]
fn rx_drop_after_try_recv() {
    race(
        try_send_several,
        |mut rx| {
            let received = usize::from(rx.try_recv().is_ok());
            drop(rx);
            received
        },
        |accepted, received, before| assert!(received <= accepted + before),
        false,
    );
}

#[test]
fn rx_drop_while_its_recv_waits() {
    race(
        try_send_several,
        |mut rx| {
            let early = poll(pin!(rx.recv()), Waker::noop());
            drop(rx);
            early.is_ready()
        },
        |_, _, _| {},
        false,
    );
}

#[test]
fn rx_drop_against_closed() {
    race(|tx, _| block_on(tx.closed()), drop, |(), (), _| {}, false);
}

// Close.

#[test]
fn rx_close_against_try_send() {
    race(
        try_send_several,
        |mut rx| {
            rx.close();
            try_recv_to_the_end(rx)
        },
        all_received,
        false,
    );
}

#[test]
fn rx_close_while_send_waits() {
    race(
        send_several,
        |mut rx| {
            rx.close();
            recv_to_the_end(rx)
        },
        all_received,
        true,
    );
}

#[test]
fn rx_close_after_try_recv() {
    race(
        try_send_several,
        |mut rx| {
            let first = usize::from(rx.try_recv().is_ok());
            rx.close();
            first + try_recv_to_the_end(rx)
        },
        all_received,
        false,
    );
}

#[test]
fn rx_close_after_a_recv_that_waited() {
    race(
        send_several,
        |mut rx| {
            let early = poll(pin!(rx.recv()), Waker::noop());
            rx.close();
            usize::from(matches!(early, Poll::Ready(Some(_)))) + recv_to_the_end(rx)
        },
        all_received,
        false,
    );
}

#[test]
fn rx_close_against_tx_drop() {
    race(
        |mut tx, ledger| usize::from(tx.try_send(ledger.parcel()).is_ok()),
        |mut rx| {
            rx.close();
            recv_to_the_end(rx)
        },
        all_received,
        false,
    );
}

// Cancel recv.

/// Receives to the end, with every other wait cancelled on average.
fn recv_and_cancel_to_the_end(mut rx: Receiver<Parcel>) -> usize {
    let mut count = 0;
    loop {
        let early = poll(pin!(rx.recv()), Waker::noop());
        match early {
            Poll::Ready(Some(_)) => count += 1,
            Poll::Ready(None) => return count,
            Poll::Pending => match block_on(rx.recv()) {
                Some(_) => count += 1,
                None => return count,
            },
        }
    }
}

#[test]
fn recv_cancelled_against_try_send() {
    race(
        try_send_several,
        recv_and_cancel_to_the_end,
        all_received,
        false,
    );
}

#[test]
fn recv_cancelled_while_send_waits() {
    race(send_several, recv_and_cancel_to_the_end, all_received, true);
}

#[test]
fn recv_cancelled_then_try_recv() {
    race(
        try_send_several,
        |mut rx| {
            let early = poll(pin!(rx.recv()), Waker::noop());
            usize::from(matches!(early, Poll::Ready(Some(_)))) + try_recv_to_the_end(rx)
        },
        all_received,
        false,
    );
}

/// A wake-up that is under way for a cancelled wait must not be lost to the next one.
#[test]
fn recv_cancelled_then_recv_by_another_waker() {
    struct Other(thread::Thread);
    impl Wake for Other {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    race(
        send_several,
        |mut rx| {
            let mut count = 0;
            loop {
                let waker = Waker::from(Arc::new(Other(thread::current())));
                let polled = match rx.poll_recv(&mut Context::from_waker(&waker)) {
                    Poll::Pending => rx.poll_recv(&mut Context::from_waker(Waker::noop())),
                    ready => ready,
                };
                let got = match polled {
                    Poll::Ready(got) => got,
                    Poll::Pending => block_on(rx.recv()),
                };
                if got.is_none() {
                    return count;
                }
                count += 1;
            }
        },
        all_received,
        true,
    );
}

#[test]
fn recv_many_cancelled_takes_nothing() {
    race(
        send_several,
        |mut rx| {
            let mut got = Vec::new();
            loop {
                let before = got.len();
                if poll(pin!(rx.recv_many(&mut got, 2)), Waker::noop()).is_pending() {
                    assert_eq!(got.len(), before);
                    if block_on(rx.recv_many(&mut got, 2)) == 0 {
                        return got.len();
                    }
                } else if got.len() == before {
                    return before;
                }
            }
        },
        all_received,
        true,
    );
}

// Cancel send.

/// Sends, with every other wait cancelled on average; the message of a cancelled send is lost.
fn send_and_cancel(mut tx: Sender<Parcel>, ledger: &Ledger) -> usize {
    let mut accepted = 0;
    for _ in 0..SEVERAL {
        let early = poll(pin!(tx.send(ledger.parcel())), Waker::noop());
        match early {
            Poll::Ready(Ok(())) => accepted += 1,
            Poll::Ready(Err(_)) => break,
            Poll::Pending => accepted += usize::from(block_on(tx.send(ledger.parcel())).is_ok()),
        }
    }
    accepted
}

#[test]
fn send_cancelled_then_try_send() {
    race(
        |mut tx, ledger| {
            let early = poll(pin!(tx.send(ledger.parcel())), Waker::noop());
            usize::from(matches!(early, Poll::Ready(Ok(())))) + try_send_several(tx, ledger)
        },
        recv_to_the_end,
        all_received,
        true,
    );
}

#[test]
fn send_cancelled_then_send() {
    race(send_and_cancel, recv_to_the_end, all_received, true);
}

#[test]
fn send_cancelled_against_try_recv() {
    race(send_and_cancel, try_recv_to_the_end, all_received, true);
}

#[test]
fn send_cancelled_while_recv_waits() {
    race(
        send_and_cancel,
        recv_and_cancel_to_the_end,
        all_received,
        true,
    );
}

#[test]
fn reserve_cancelled_loses_no_message() {
    race(
        |mut tx, ledger| {
            let mut accepted = 0;
            for _ in 0..SEVERAL {
                let _ = poll(pin!(tx.reserve()), Waker::noop());
                let mut parcel = ledger.parcel();
                loop {
                    match tx.try_send(parcel) {
                        Ok(()) => break,
                        Err(TrySendError::Full(back)) => parcel = back,
                        Err(TrySendError::Closed(_)) => unreachable!("the receiver is there"),
                    }
                    block_on(tx.reserve()).map(drop).unwrap();
                }
                accepted += 1;
            }
            accepted
        },
        recv_to_the_end,
        |accepted, received, before| {
            assert_eq!(accepted, SEVERAL);
            all_received(accepted, received, before);
        },
        true,
    );
}

#[test]
fn send_vec_cancelled_keeps_the_rest() {
    race(
        |mut tx, ledger| {
            let mut batch: Vec<_> = (0..5).map(|_| ledger.parcel()).collect();
            let _ = poll(pin!(tx.send_vec(&mut batch)), Waker::noop());
            let went = 5 - batch.len();
            went + block_on(tx.send_vec(&mut batch)).unwrap()
        },
        recv_to_the_end,
        |accepted, received, before| {
            assert_eq!(accepted, 5);
            all_received(accepted, received, before);
        },
        true,
    );
}

#[test]
fn send_cancelled_against_rx_close() {
    race(
        send_and_cancel,
        |mut rx| {
            let first = usize::from(rx.try_recv().is_ok());
            rx.close();
            first + recv_to_the_end(rx)
        },
        all_received,
        true,
    );
}

// Both ends go at once.

#[test]
fn rx_drop_against_tx_drop() {
    race(|tx, _| drop(tx), drop, |(), (), _| {}, false);
}

#[test]
fn weak_upgrade_against_the_last_tx_drop() {
    race(
        |tx, ledger| {
            let weak = tx.downgrade();
            thread::scope(|scope| {
                scope.spawn(|| drop(tx));
                match weak.upgrade() {
                    Some(tx) => send_several(tx, ledger),
                    None => 0,
                }
            })
        },
        recv_to_the_end,
        all_received,
        false,
    );
}
