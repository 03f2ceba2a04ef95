//! A share for the low class: under a flood of high-priority messages it gets what it was given, and no more.

use std::num::NonZero;

use lanemesh::{MailboxBuilder, MailboxReceiver, MailboxSender, Message};

use crate::common::{block_on, now};

const MESSAGES: u32 = if cfg!(miri) { 120 } else { 10_000 };

fn ends(one_in: u32) -> (MailboxSender<u32, u32>, MailboxReceiver<u32, u32>) {
    MailboxBuilder::new(4, 2 * MESSAGES as usize)
        .low_share(NonZero::new(one_in).unwrap())
        .build()
}

/// Where the low-priority messages are among the first `MESSAGES` that `receive` returns, while the high class never
/// runs empty.
fn low_places(
    one_in: u32,
    mut receive: impl FnMut(&mut MailboxReceiver<u32, u32>) -> Vec<Message<u32, u32>>,
) -> Vec<u32> {
    let (mut tx, mut rx) = ends(one_in);
    tx.low().try_send_many(0..MESSAGES).unwrap();
    let (mut sent, mut received, mut high, mut low) = (0, 0, 0, Vec::new());
    while received < MESSAGES {
        while tx.try_send_high(sent).is_ok() {
            sent += 1;
        }
        for message in receive(&mut rx) {
            match message {
                Message::High(n) => {
                    assert_eq!(n, high);
                    high += 1;
                }
                Message::Low(n) => {
                    assert_eq!(n as usize, low.len());
                    low.push(received);
                }
            }
            received += 1;
        }
    }
    low
}

#[test]
fn a_flood_of_high_messages_leaves_the_low_class_its_share() {
    for one_in in [2, 3, 10, 100] {
        // After each `one_in - 1` high-priority messages.
        let expected: Vec<_> = (one_in - 1..MESSAGES).step_by(one_in as usize).collect();
        assert_eq!(
            low_places(one_in, |rx| vec![rx.try_recv().unwrap()]),
            expected
        );
        assert_eq!(
            low_places(one_in, |rx| vec![block_on(rx.recv()).unwrap()]),
            expected
        );
        assert_eq!(
            low_places(one_in, |rx| vec![rx.blocking_recv().unwrap()]),
            expected
        );
    }
}

#[test]
fn a_batch_has_the_share_too() {
    for one_in in [2, 3, 5] {
        let low = low_places(one_in, |rx| {
            let mut batch = Vec::new();
            // Fewer than there are, so that the high class does not run empty.
            rx.try_recv_many(&mut batch, 2).unwrap();
            batch
        });
        let expected: Vec<_> = (one_in - 1..MESSAGES).step_by(one_in as usize).collect();
        assert_eq!(low, expected);
    }
}

/// Two of the four senders each send one message at a time, through the shared slots.
#[test]
fn many_high_senders_leave_the_low_class_its_share() {
    let (tx, mut rx) = ends(10);
    let mut senders: Vec<_> = (0..4).map(|_| tx.clone()).collect();
    senders[0].low().try_send_many(0..MESSAGES).unwrap();
    let mut low = 0;
    for _ in 0..MESSAGES {
        for (n, sender) in senders.iter_mut().enumerate() {
            if n < 2 || sender.high().is_empty() {
                let _ = sender.try_send_high(0);
            }
        }
        low += u32::from(matches!(rx.try_recv(), Ok(Message::Low(_))));
    }
    assert_eq!(low, MESSAGES / 10);
}

#[test]
fn without_low_messages_the_share_is_not_waited_for() {
    let (mut tx, mut rx) = ends(2);
    for n in 0..100 {
        tx.try_send_high(n).unwrap();
        assert_eq!(now(rx.recv()), Some(Message::High(n)));
    }
    tx.try_send_low(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(Message::Low(1)));
    drop(tx);
    assert_eq!(now(rx.recv()), None);
}

#[test]
fn a_share_holds_while_a_closed_mailbox_is_drained() {
    let (mut tx, mut rx) = ends(2);
    assert_eq!(tx.high().try_send_many(0..4), Ok(4));
    assert_eq!(tx.low().try_send_many(0..4), Ok(4));
    rx.close();
    let turns: Vec<_> = rx
        .try_iter()
        .map(|m| matches!(m, Message::Low(_)))
        .collect();
    assert_eq!(turns, [false, true, false, true, false, true, false, true]);
}

/// The classes alone are as they are without a share.
#[test]
fn one_class_alone_knows_no_turns() {
    let (mut tx, mut rx) = ends(2);
    assert_eq!(tx.high().try_send_many(0..4), Ok(4));
    assert_eq!(tx.low().try_send_many(0..4), Ok(4));
    assert_eq!(rx.high().try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(rx.low().try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
#[should_panic(expected = "would leave nothing to the high class")]
fn a_share_of_all_is_refused() {
    let _ = MailboxBuilder::new(1, 1).low_share(NonZero::<u32>::MIN);
}
