//! Every future of the interface, dropped after any number of polls, with the event that it waits
//! for before, between or after them: nothing is lost, and the next wait is woken.

use std::{future::Future, pin::pin, task::Poll};

use lanemesh::{
    Builder, MailboxReceiver, MailboxSender, Message, Receiver, Sender, channel, mailbox,
};

use crate::common::{self, Ledger, Wakes, now, poll};

const POLLS: usize = 4;

/// Polls a future `polls` times, each time with another waker, lets `event` happen after `before`
/// of them, and drops the future. Returns whether it was ready; if it was not, checks that the
/// waker of its last poll was woken if the event came after that.
fn cancelled<F: Future>(
    future: F,
    polls: usize,
    before: usize,
    event: impl FnOnce(),
) -> Option<F::Output> {
    let mut event = Some(event);
    let mut future = pin!(future);
    let mut last = None;
    for n in 0..polls {
        if n == before
            && let Some(event) = event.take()
        {
            event();
        }
        let (wakes, waker) = Wakes::new();
        match poll(future.as_mut(), &waker) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => last = Some(wakes),
        }
    }
    if let Some(event) = event {
        event();
        if let Some(last) = last {
            assert_eq!(last.count(), 1, "asleep, and not woken");
        }
    }
    None
}

/// Runs `check` with every number of polls, and every position of the event among them.
fn at_every_poll(mut check: impl FnMut(usize, usize)) {
    for polls in 0..POLLS {
        for before in 0..=polls {
            check(polls, before);
        }
    }
}

// Receiving: the event is a message, which arrives through a shared slot, the lane's slot or the
// ring.

/// Channels whose next message takes one path or another.
fn channels() -> impl Iterator<Item = (Sender<u32>, Receiver<u32>)> {
    [(1, 0), (1, 1), (8, 0), (8, 1), (8, 5)]
        .into_iter()
        .map(|(capacity, before)| {
            let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
            assert_eq!(tx.try_send_many(0..before), Ok(before as usize));
            rx.try_iter().for_each(drop);
            (tx, rx)
        })
}

#[test]
fn recv_dropped_after_any_poll_loses_nothing() {
    at_every_poll(|polls, before| {
        for (mut tx, mut rx) in channels() {
            let early = cancelled(rx.recv(), polls, before, || tx.try_send(7).unwrap());
            assert_eq!(early.unwrap_or_else(|| now(rx.recv())), Some(7));
            assert_eq!(
                rx.stats().messages,
                rx.try_iter().count() as u64 + rx.stats().messages
            );
            // And it is woken for the message after that.
            assert_eq!(cancelled(rx.recv(), 1, 1, || tx.try_send(8).unwrap()), None);
            assert_eq!(now(rx.recv()), Some(8));
        }
    });
}

#[test]
fn recv_many_dropped_after_any_poll_takes_nothing() {
    at_every_poll(|polls, before| {
        for (mut tx, mut rx) in channels() {
            let mut got = Vec::new();
            let early = cancelled(rx.recv_many(&mut got, 3), polls, before, || {
                tx.try_send(7).unwrap();
            });
            assert_eq!(got.len(), early.unwrap_or(0));
            if early.is_none() {
                assert_eq!(now(rx.recv_many(&mut got, 3)), 1);
            }
            assert_eq!(got, [7]);
        }
    });
}

#[test]
fn readable_dropped_after_any_poll_takes_nothing() {
    at_every_poll(|polls, before| {
        for (mut tx, mut rx) in channels() {
            let early = cancelled(rx.readable(), polls, before, || tx.try_send(7).unwrap());
            assert!(early.unwrap_or_else(|| now(rx.readable())));
            assert_eq!((rx.len(), rx.try_recv()), (1, Ok(7)));
        }
    });
}

#[test]
fn recv_dropped_after_any_poll_leaves_the_end_to_the_next() {
    at_every_poll(|polls, before| {
        for (tx, mut rx) in channels() {
            let early = cancelled(rx.recv(), polls, before, || drop(tx));
            assert_eq!(early.unwrap_or_else(|| now(rx.recv())), None);
            assert_eq!(now(rx.recv()), None);
        }
    });
}

type Mailbox = (MailboxSender<u32, u32>, MailboxReceiver<u32, u32>);

/// Cancels one future of a mailbox, then receives what is there.
fn mailbox_keeps(
    high: bool,
    run: impl Fn(&mut Mailbox, usize, usize, fn(&mut MailboxSender<u32, u32>)) -> bool,
) {
    let event: fn(&mut MailboxSender<u32, u32>) = match high {
        true => |tx| tx.try_send_high(7).unwrap(),
        false => |tx| tx.try_send_low(7).unwrap(),
    };
    at_every_poll(|polls, before| {
        let mut ends = mailbox(2, 2);
        if !run(&mut ends, polls, before, event) {
            let expected = if high {
                Message::High(7)
            } else {
                Message::Low(7)
            };
            assert_eq!(now(ends.1.recv()), Some(expected));
        }
        assert!(ends.1.is_empty());
        assert_eq!(cancelled(ends.1.recv(), 1, 1, || event(&mut ends.0)), None);
    });
}

#[test]
fn every_future_of_a_mailbox_dropped_after_any_poll_loses_nothing() {
    for high in [true, false] {
        mailbox_keeps(high, |(tx, rx), polls, before, event| {
            cancelled(rx.recv(), polls, before, || event(tx)).is_some()
        });
        mailbox_keeps(high, |(tx, rx), polls, before, event| {
            let mut got = Vec::new();
            cancelled(rx.recv_many(&mut got, 2), polls, before, || event(tx)).is_some()
        });
        mailbox_keeps(high, |(tx, rx), polls, before, event| {
            let early = cancelled(rx.readable(), polls, before, || event(tx));
            early.is_some() && rx.try_recv().is_ok()
        });
    }
    mailbox_keeps(true, |(tx, rx), polls, before, event| {
        cancelled(rx.high().recv(), polls, before, || event(tx)).is_some()
    });
    mailbox_keeps(false, |(tx, rx), polls, before, event| {
        cancelled(rx.low().recv(), polls, before, || event(tx)).is_some()
    });
    mailbox_keeps(false, |(tx, rx), polls, before, event| {
        let mut got = Vec::new();
        cancelled(rx.low().recv_many(&mut got, 2), polls, before, || event(tx)).is_some()
    });
}

// Sending: the event is room in the lane, or the end of the channel.

/// Cancels a future of a full sender, with room made meanwhile. The messages that were accepted are
/// those that come out, in order, and the sender that waits next is woken.
fn sender_keeps(
    run: impl Fn(&mut Sender<common::Parcel>, &Ledger, usize, usize, &mut dyn FnMut()),
) {
    at_every_poll(|polls, before| {
        for capacity in [1, 2, 5] {
            let ledger = Ledger::new(64);
            let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
            if before % 2 == 0 {
                common::start_and_cancel(rx.recv());
            }
            (0..capacity).for_each(|_| tx.try_send(ledger.parcel()).unwrap());
            let mut got = Vec::new();
            run(&mut tx, &ledger, polls, before, &mut || {
                got.extend(rx.try_iter().map(|parcel| parcel.n));
            });
            got.extend(rx.try_iter().map(|parcel| parcel.n));
            // No room is held back: the lane has its whole capacity.
            assert_eq!(tx.len(), 0);
            (0..capacity).for_each(|_| tx.try_send(ledger.parcel()).unwrap());
            let room = || got.extend(rx.try_iter().map(|parcel| parcel.n));
            assert!(cancelled(tx.reserve(), 1, 1, room).is_none(), "it was full");
            assert!(got.is_sorted());
            drop((tx, rx));
            ledger.check();
        }
    });
}

#[test]
fn send_dropped_after_any_poll_is_sent_or_dropped() {
    sender_keeps(|tx, ledger, polls, before, room| {
        let message = ledger.parcel();
        let n = message.n;
        let sent = cancelled(tx.send(message), polls, before, room);
        assert!(sent.is_none_or(|sent| sent.is_ok()));
        assert!(n < ledger.made());
    });
}

#[test]
fn reserve_dropped_after_any_poll_holds_no_room() {
    sender_keeps(|tx, _, polls, before, room| {
        let permit = cancelled(tx.reserve(), polls, before, room);
        assert!(permit.is_none_or(|permit| permit.is_ok()));
    });
}

#[test]
fn feed_dropped_after_any_poll_keeps_what_was_staged() {
    sender_keeps(|tx, ledger, polls, before, room| {
        drop(cancelled(tx.feed(ledger.parcel()), polls, before, room));
        tx.flush().unwrap();
    });
}

#[test]
fn send_vec_dropped_after_any_poll_keeps_the_rest() {
    sender_keeps(|tx, ledger, polls, before, room| {
        let mut batch: Vec<_> = (0..3).map(|_| ledger.parcel()).collect();
        let first = batch[0].n;
        let sent = cancelled(tx.send_vec(&mut batch), polls, before, room);
        assert!(sent.is_none_or(|sent| sent == Ok(3)));
        let rest: Vec<_> = batch.iter().map(|parcel| parcel.n).collect();
        assert_eq!(
            rest,
            (first + 3 - rest.len()..first + 3).collect::<Vec<_>>()
        );
    });
}

#[test]
fn send_many_dropped_after_any_poll_keeps_the_rest() {
    sender_keeps(|tx, ledger, polls, before, room| {
        let mut batch: Vec<_> = (0..3).map(|_| ledger.parcel()).collect();
        let mut rest = batch.drain(..);
        let sent = cancelled(tx.send_many(rest.by_ref()), polls, before, room);
        assert!(sent.is_none_or(|sent| sent.is_ok_and(|count| count == 3)));
    });
}

#[test]
fn send_through_a_shared_sender_dropped_after_any_poll_forgets_nobody() {
    at_every_poll(|polls, before| {
        let (tx, mut rx) = channel(2);
        let tx = tx.shared();
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut other = pin!(tx.send(3));
        assert!(poll(other.as_mut(), &waker).is_pending());
        let mut got = Vec::new();
        let early = cancelled(tx.send(4), polls, before, || got.extend(rx.try_iter()));
        assert!(wakes.count() >= 1);
        assert!(poll(other, &waker).is_ready());
        got.extend(rx.try_iter());
        let mut expected = vec![1, 2, 3];
        if early.is_some() {
            expected.insert(2, 4);
        }
        assert_eq!(got, expected);
    });
}

#[test]
fn send_dropped_after_any_poll_leaves_the_end_to_the_next() {
    at_every_poll(|polls, before| {
        let (mut tx, mut rx) = channel(1);
        tx.try_send(1).unwrap();
        let early = cancelled(tx.send(2), polls, before, || rx.close());
        assert!(early.is_none_or(|sent| sent.is_err()));
        assert!(now(tx.reserve()).is_err());
        assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn closed_dropped_after_any_poll_leaves_the_others_their_wake_up() {
    at_every_poll(|polls, before| {
        let (tx, rx) = channel::<u32>(1);
        let (wakes, waker) = Wakes::new();
        let mut other = pin!(tx.closed());
        assert!(poll(other.as_mut(), &waker).is_pending());
        let early = cancelled(tx.closed(), polls, before, || drop(rx));
        assert!(early.is_some() == (before < polls));
        assert_eq!(wakes.count(), 1);
        assert!(poll(other, &waker).is_ready());
        now(tx.closed());
    });
}
