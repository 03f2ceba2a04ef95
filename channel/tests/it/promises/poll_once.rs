//! What a caller that polls only once can rely on: a `try_` function never reports that there is
//! nothing, or no room, because of a budget.

use std::{pin::pin, task::Waker};

use lanemesh::{Builder, MailboxBuilder, Message};

use crate::common::{now, poll};

const MESSAGES: usize = 300;

#[test]
fn try_recv_gives_what_is_there_when_the_budget_is_spent() {
    let (mut tx, mut rx) = Builder::new(MESSAGES).budget(1).build();
    assert_eq!(tx.try_send_many(0..MESSAGES), Ok(MESSAGES));
    let mut next = 0;
    while next < MESSAGES {
        assert_eq!(now(rx.recv()), Some(next));
        // The budget is spent, and stays so however often this asks.
        assert_eq!(rx.try_recv(), Ok(next + 1));
        let mut got = Vec::new();
        assert_eq!(rx.try_recv_many(&mut got, 1), Ok(1));
        assert!(poll(pin!(rx.recv()), Waker::noop()).is_pending());
        next += 3;
    }
}

#[test]
fn try_recv_of_a_mailbox_gives_what_is_there_when_the_budget_is_spent() {
    let (mut tx, mut rx) = MailboxBuilder::new(8, 8)
        .low(|low| low.budget(1))
        .build::<u32, u32>();
    for n in 0..8 {
        tx.try_send_high(n).unwrap();
        tx.try_send_low(n).unwrap();
    }
    assert_eq!(now(rx.recv()), Some(Message::High(0)));
    for n in 1..8 {
        assert_eq!(rx.high().try_recv(), Ok(n));
    }
    for n in 0..8 {
        assert_eq!(rx.try_recv(), Ok(Message::Low(n)));
    }
}

#[test]
fn try_send_finds_room_when_the_budget_is_spent() {
    let (mut tx, mut rx) = Builder::new(4).budget(1).build();
    for n in 0..MESSAGES {
        now(tx.send(n)).unwrap();
        tx.try_send(n).unwrap();
        tx.try_reserve().unwrap().send(n).unwrap();
        assert!(poll(pin!(tx.send(n)), Waker::noop()).is_pending());
        assert_eq!(rx.try_iter().count(), 3);
    }
}
