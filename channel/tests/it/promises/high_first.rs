//! Promise 2: a high-priority message goes first, whatever waits in the low lanes.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    thread,
};

use lanemesh::{HIGH_LOOK_INTERVAL, MailboxBuilder, Message, mailbox};

use crate::common::{self, now};

const LANES: usize = if cfg!(miri) { 50 } else { 10_000 };

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
    common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
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
    // In the end all lanes are visited, and only once per message.
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

/// Runs something each time it is woken, with the number of earlier wake-ups.
struct OnWake<F>(Mutex<F>, AtomicUsize);

impl<F: FnMut(usize) + Send + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        let before = self.1.fetch_add(1, SeqCst);
        (self.0.lock().unwrap())(before);
    }
}

/// How many low-priority messages a batch takes between the send of a high one, after `taken` had
/// been taken, and the high one itself. While the batch is under way, a lane with room for one
/// message wakes its sender at each message; the high one is sent in such a wake-up, after `ready`
/// more low lanes have become ready.
fn delay_in_a_batch(taken: usize, ready: usize) -> usize {
    const WAITING: usize = 40;
    let (mut tx, mut rx) = mailbox::<(), usize>(1, 1);
    let mut senders: Vec<_> = (0..WAITING).map(|_| tx.clone()).collect();
    let mut more: Vec<_> = (0..ready).map(|_| tx.clone()).collect();
    let waker = Waker::from(Arc::new(OnWake(
        Mutex::new(move |before| {
            if before + 1 == taken {
                for sender in &mut more {
                    sender.try_send_low(0).unwrap();
                }
                tx.try_send_high(()).unwrap();
            }
        }),
        AtomicUsize::new(0),
    )));
    for sender in &mut senders {
        sender.try_send_low(0).unwrap();
        assert!(
            sender
                .low()
                .poll_reserve(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    let mut got = Vec::new();
    let count = now(rx.recv_many(&mut got, WAITING));
    assert_eq!(count, WAITING);
    let place = got.iter().position(|m| matches!(m, Message::High(())));
    assert_eq!(rx.try_iter().count(), 1 + ready);
    place.expect("it is in the batch") - taken
}

#[test]
fn recv_many_is_delayed_by_at_most_the_stated_number_of_items() {
    let step = if cfg!(miri) { 7 } else { 1 };
    let taken = (1..=30).step_by(step);
    let delays: Vec<_> = taken.map(|taken| delay_in_a_batch(taken, 0)).collect();
    assert!(
        delays.iter().all(|&delay| delay <= HIGH_LOOK_INTERVAL),
        "{delays:?}"
    );
    // High priority is looked for only at intervals, so some messages do wait: the high ones were
    // sent within a batch.
    assert!(delays.iter().any(|&delay| delay > 0));
}

#[test]
fn ten_thousand_lanes_that_become_ready_within_a_batch_do_not_add_to_its_delay() {
    for taken in [1, 5, 16] {
        assert_eq!(delay_in_a_batch(taken, LANES), delay_in_a_batch(taken, 0));
    }
}

/// A second thread sends a high message at any moment of a batch: it follows a whole number of
/// intervals.
#[test]
fn a_high_message_from_another_thread_comes_at_a_look() {
    const ROUNDS: usize = if cfg!(miri) { 5 } else { 2_000 };
    let (tx, mut rx) = MailboxBuilder::new(4, 256).build::<usize, usize>();
    let mut low_tx = tx.clone();
    let mut high_tx = tx;
    for _ in 0..ROUNDS {
        let sent = low_tx.low().try_send_many(0..256).unwrap();
        let mut got = Vec::with_capacity(512);
        thread::scope(|scope| {
            scope.spawn(|| high_tx.try_send_high(1).unwrap());
            rx.try_recv_many(&mut got, 512).unwrap();
        });
        got.extend(rx.try_iter());
        assert_eq!(got.len(), sent + 1);
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
