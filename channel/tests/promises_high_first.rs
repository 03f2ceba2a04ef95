//! Promise 2: a high-priority message goes first, whatever waits in the low lanes.
#![cfg(not(loom))]

mod common;

use std::thread;

use common::now;
use lanemesh::{HIGH_LOOK_INTERVAL, MailboxBuilder, Message, mailbox};

const LANES: usize = if cfg!(miri) { 100 } else { 10_000 };

#[test]
fn a_high_message_sent_before_recv_is_returned_by_it() {
    let (mut tx, mut rx) = mailbox(4, 64);
    for n in 0..64 {
        tx.try_send_low(n).unwrap();
    }
    for n in 0..5 {
        assert_eq!(now(rx.recv()), Some(Message::Low(n)));
    }
    tx.try_send_high("a").unwrap();
    assert!(rx.has_high());
    assert_eq!(now(rx.recv()), Some(Message::High("a")));
    tx.try_send_high("b").unwrap();
    assert_eq!(rx.try_recv(), Ok(Message::High("b")));
    tx.try_send_high("c").unwrap();
    assert_eq!(rx.blocking_recv(), Some(Message::High("c")));
    assert!(!rx.has_high());
    assert_eq!(now(rx.recv()), Some(Message::Low(5)));
}

#[test]
fn a_high_message_comes_before_the_low_one_that_woke_the_receiver() {
    let (mut tx, mut rx) = mailbox(4, 4);
    common::start_and_cancel(rx.recv());
    tx.try_send_low(1).unwrap();
    tx.try_send_high(2).unwrap();
    assert_eq!(now(rx.recv()), Some(Message::High(2)));
    assert_eq!(now(rx.recv()), Some(Message::Low(1)));
}

#[test]
fn ten_thousand_ready_low_lanes_do_not_delay_a_high_message() {
    let (mut tx, mut rx) = mailbox(4, 4);
    let mut senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    for (n, sender) in senders.iter_mut().enumerate() {
        sender.try_send_low(n).unwrap();
    }
    tx.try_send_high(0).unwrap();
    assert_eq!(now(rx.recv()), Some(Message::High(0)));
    assert!(matches!(now(rx.recv()), Some(Message::Low(_))));
    for sender in &mut senders {
        sender.try_send_low(0).unwrap();
    }
    tx.try_send_high(1).unwrap();
    assert_eq!(now(rx.recv()), Some(Message::High(1)));
    // All lanes are looked at in the end, and only once for each message.
    assert_eq!(rx.try_iter().count(), 2 * LANES - 1);
}

#[test]
fn recv_many_gives_high_messages_first() {
    let (mut tx, mut rx) = mailbox(4, 64);
    for n in 0..20 {
        tx.try_send_low(n).unwrap();
    }
    tx.try_send_high(1).unwrap();
    tx.try_send_high(2).unwrap();
    let mut got = Vec::new();
    assert_eq!(now(rx.recv_many(&mut got, 10)), 10);
    assert_eq!(
        got[..3],
        [Message::High(1), Message::High(2), Message::Low(0)]
    );
    assert_eq!(rx.try_recv_many(&mut got, 100), Ok(12));
    assert_eq!(got[2..], (0..20).map(Message::Low).collect::<Vec<_>>());
}

/// A second thread sends a high message while the receiver is inside a batch: it is found at a look, which
/// comes after every interval of low messages.
#[test]
fn recv_many_is_delayed_by_at_most_the_stated_number_of_items() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    const ROUNDS: usize = if cfg!(miri) { 5 } else { 2_000 };
    let (tx, mut rx) = MailboxBuilder::new(4, 256).build::<usize, usize>();
    let mut low_tx = tx.clone();
    let mut high_tx = tx;
    for _ in 0..ROUNDS {
        let sent = low_tx.try_send_many_low(0..256).unwrap();
        let go = AtomicUsize::new(0);
        let mut got = Vec::with_capacity(512);
        thread::scope(|scope| {
            scope.spawn(|| {
                while go.load(SeqCst) == 0 {
                    std::hint::spin_loop();
                }
                high_tx.try_send_high(1).unwrap();
            });
            go.store(1, SeqCst);
            rx.try_recv_many(&mut got, 512).unwrap();
        });
        let rest: Vec<_> = rx.try_iter().collect();
        got.extend(rest);
        assert_eq!(got.len(), sent + 1);
        // Wherever it came, it came at a look: after a whole number of intervals of low messages.
        let place = got.iter().position(|m| matches!(m, Message::High(_)));
        let place = place.unwrap();
        assert!(
            place.is_multiple_of(HIGH_LOOK_INTERVAL) || place >= sent,
            "at {place}"
        );
    }
}

#[test]
fn a_batch_begins_with_a_look_wherever_the_one_before_ended() {
    let (mut tx, mut rx) = mailbox(4, 64);
    for before in 0..3 * HIGH_LOOK_INTERVAL {
        for n in 0..64 {
            tx.try_send_low(n).unwrap();
        }
        let mut got = Vec::new();
        assert_eq!(rx.try_recv_many(&mut got, before), Ok(before));
        tx.try_send_high(0).unwrap();
        rx.try_recv_many(&mut got, 65).unwrap();
        let place = got.iter().position(|m| matches!(m, Message::High(_)));
        assert_eq!(place, Some(before));
        assert_eq!(got.len(), 65);
    }
}
