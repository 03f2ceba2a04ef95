//! What `Sender` has besides sends of one message, on the sender for `&self`.

use std::{
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Waker,
    time::{Duration, Instant},
};

use lanemesh::{
    Builder, MailboxBuilder, Overflow, SendError, SendOrError, SendTimeoutError, Sent,
    TrySendError, channel,
};

use crate::common::{Ledger, Wakes, now, poll, start_and_cancel};

#[test]
fn a_batch_ends_where_the_room_ends() {
    for builder in [Builder::new(4), Builder::new(9).total_capacity(4)] {
        let (tx, mut rx) = builder.build();
        let tx = tx.shared();
        let mut numbers = 0..;
        assert_eq!(tx.try_send_many(numbers.by_ref()), Ok(4));
        assert_eq!(tx.try_send_many(numbers.by_ref()), Ok(0));
        let mut more = vec![4, 5, 6];
        assert_eq!(tx.try_send_vec(&mut more), Ok(0));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(tx.try_send_vec(&mut more), Ok(3));
        assert_eq!((more.len(), numbers.next()), (0, Some(4)));
        // The iterator ends before the room does.
        assert_eq!(tx.try_send_many([7]), Ok(1));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!(tx.remaining_capacity(), 4, "no permit is left behind");
    }
}

/// Twelve messages through room for three, with a receiver that takes one at a time.
#[test]
fn a_batch_that_waits_arrives_whole_and_in_order() {
    let (tx, mut rx) = channel(3);
    let tx = tx.shared();
    let mut items: Vec<_> = (0..12).collect();
    let mut received = Vec::new();
    {
        let mut send = pin!(tx.send_vec(&mut items));
        while poll(send.as_mut(), Waker::noop()).is_pending() {
            received.extend(rx.try_recv());
        }
    }
    assert!(items.is_empty());
    let mut send = pin!(tx.send_many(12..24));
    while poll(send.as_mut(), Waker::noop()).is_pending() {
        received.extend(rx.try_recv());
    }
    received.extend(rx.try_iter());
    assert_eq!(received, (0..24).collect::<Vec<_>>());
}

#[test]
fn a_batch_that_is_cancelled_keeps_what_was_not_sent() {
    let (tx, mut rx) = channel(2);
    let tx = tx.shared();
    let mut items = vec![0, 1, 2, 3, 4];
    start_and_cancel(tx.send_vec(&mut items));
    assert_eq!(items, [2, 3, 4]);
    let mut numbers = 5..9;
    start_and_cancel(tx.send_many(numbers.by_ref()));
    assert_eq!(numbers, 5..9, "there was no room for one");
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(tx.remaining_capacity(), 2);
}

#[test]
fn a_batch_of_a_closed_channel_comes_back() {
    let ledger = Ledger::new(9);
    let (tx, mut rx) = channel(2);
    let tx = tx.shared();
    let mut items: Vec<_> = (0..4).map(|_| ledger.parcel()).collect();
    {
        let mut send = pin!(tx.send_vec(&mut items));
        assert!(poll(send.as_mut(), Waker::noop()).is_pending());
        rx.close();
        assert_eq!(now(send), Err(SendError(2)));
    }
    assert_eq!(items.len(), 2);
    assert_eq!(tx.try_send_vec(&mut items), Err(SendError(0)));
    assert_eq!(items.len(), 2);
    let mut more = (4..9).map(|_| ledger.parcel());
    let error = tx.try_send_many(more.by_ref()).unwrap_err();
    assert_eq!((error.sent, error.unsent.len()), (0, 0));
    assert!(now(tx.send_many(more.by_ref())).is_err());
    assert_eq!(more.count(), 5, "nothing was taken from it");
    assert_eq!(rx.try_iter().count(), 2);
    drop(items);
    ledger.check();
}

#[test]
fn an_iterator_that_panics_has_sent_what_it_gave() {
    let (tx, mut rx) = channel(8);
    let tx = tx.shared();
    let numbers = (0..).inspect(|&n| assert!(n < 3, "as intended"));
    let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_many(numbers)));
    assert!(sent.is_err());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(tx.remaining_capacity(), 8);
}

#[test]
fn a_send_that_is_stopped_gives_its_message_back() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    assert_eq!(now(tx.send_or(1, pending::<()>())), Ok(()));
    let stopped = now(tx.send_or(2, ready("late")));
    assert_eq!(stopped, Err(SendOrError::Stopped(2, "late")));
    assert_eq!(rx.try_recv(), Ok(1));
    // There is room by then.
    assert_eq!(now(tx.send_or(3, ready(()))), Ok(()));
    rx.close();
    let closed = now(tx.send_or(4, ready(())));
    assert_eq!(closed, Err(SendOrError::Closed(4)));
}

#[test]
fn a_deadline_that_has_passed_sends_if_there_is_room() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    let past = Instant::now();
    assert_eq!(tx.send_deadline(1, past), Ok(()));
    assert_eq!(tx.send_deadline(2, past), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(
        tx.send_timeout(2, Duration::ZERO),
        Err(SendTimeoutError::Timeout(2))
    );
    assert_eq!(rx.try_recv(), Ok(1));
    rx.close();
    assert_eq!(tx.send_deadline(3, past), Err(SendTimeoutError::Closed(3)));
}

#[test]
fn weak_handles_are_counted_per_lane() {
    let (tx, rx) = channel::<u8>(1);
    let own = tx.clone();
    let tx = tx.shared();
    let other = own.shared();
    let weak = tx.downgrade();
    let again = weak.clone();
    assert_eq!((tx.weak_count(), other.weak_count()), (2, 0));
    assert!(weak.same_channel(&other.downgrade()));
    assert_eq!((again.strong_count(), again.weak_count()), (1, 2));
    drop(weak);
    assert_eq!(tx.weak_count(), 1);
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (2, 0));
}

#[test]
fn a_shared_mailbox_sender_drops_what_its_policy_says_and_counts_it() {
    let (tx, mut rx) = MailboxBuilder::new(1, 1)
        .low_overflow(Overflow::Drop)
        .build::<u8, u8>();
    let mut tx = tx.shared();
    assert_eq!(now(tx.send_low(1)), Ok(Sent::Queued));
    assert_eq!(now(tx.send_low(2)), Ok(Sent::Dropped));
    assert_eq!(tx.clone().blocking_send_low(3), Ok(Sent::Dropped));
    assert_eq!(rx.stats().low.dropped, 2);
    tx.set_low_overflow(Overflow::Reject);
    assert_eq!(now(tx.send_low(4)), Err(TrySendError::Full(4)));
    assert_eq!(tx.blocking_send_low(4), Err(TrySendError::Full(4)));
    rx.close();
    assert_eq!(now(tx.send_low(4)), Err(TrySendError::Closed(4)));
    assert_eq!(rx.stats().low.dropped, 2);
}

/// Whatever the policy, a loop of sends that do not wait lets other tasks run.
#[test]
fn sends_under_a_policy_yield() {
    for overflow in [Overflow::Drop, Overflow::Reject] {
        let (tx, _rx) = MailboxBuilder::new(1, 1)
            .low(|low| low.budget(5))
            .low_overflow(overflow)
            .build::<u8, u8>();
        let tx = tx.shared();
        let (wakes, waker) = Wakes::new();
        let mut sends = pin!(async {
            for _ in 0..20 {
                let _ = tx.send_low(0).await;
            }
        });
        let mut polls = 1;
        while poll(sends.as_mut(), &waker).is_pending() {
            assert_eq!(wakes.count(), polls, "a pause wakes the task");
            polls += 1;
        }
        assert!(polls >= 4, "{polls} polls");
    }
}

#[cfg(feature = "sink")]
mod sink {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use futures_sink::Sink;
    use lanemesh::{SharedSender, SharedSink};

    use super::*;

    fn as_sink<T>(sink: &mut SharedSink<T>) -> Pin<&mut SharedSink<T>> {
        Pin::new(sink)
    }

    fn sinks() -> [(SharedSender<u8>, lanemesh::Receiver<u8>); 2] {
        [Builder::new(1), Builder::new(9).total_capacity(1)].map(|builder| {
            let (tx, rx) = builder.build();
            (tx.shared(), rx)
        })
    }

    #[test]
    fn a_sink_waits_for_room_and_holds_it() {
        for (tx, mut rx) in sinks() {
            let mut sink = tx.clone().into_sink();
            let (wakes, waker) = Wakes::new();
            let mut cx = Context::from_waker(&waker);
            assert_eq!(as_sink(&mut sink).poll_ready(&mut cx), Poll::Ready(Ok(())));
            assert_eq!(as_sink(&mut sink).poll_ready(&mut cx), Poll::Ready(Ok(())));
            assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
            as_sink(&mut sink).start_send(1).unwrap();
            assert!(as_sink(&mut sink).poll_ready(&mut cx).is_pending());
            assert_eq!(as_sink(&mut sink).poll_flush(&mut cx), Poll::Ready(Ok(())));
            assert_eq!(rx.try_recv(), Ok(1));
            assert!(rx.try_recv().is_err());
            assert_eq!(wakes.count(), 1);
            assert_eq!(as_sink(&mut sink).poll_ready(&mut cx), Poll::Ready(Ok(())));
            drop(sink);
            assert_eq!(
                tx.try_send(2),
                Ok(()),
                "a sink that goes gives its room back"
            );
            assert_eq!(tx.strong_count(), 1);
        }
    }

    #[test]
    fn a_sink_that_goes_while_it_waits_passes_its_place_on() {
        for (tx, mut rx) in sinks() {
            tx.try_send(1).unwrap();
            let mut sink = tx.clone().into_sink();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(as_sink(&mut sink).poll_ready(&mut cx).is_pending());
            let mut send = pin!(tx.send(2));
            assert!(poll(send.as_mut(), Waker::noop()).is_pending());
            assert_eq!(rx.try_recv(), Ok(1));
            assert!(rx.try_recv().is_err());
            drop(sink);
            assert_eq!(now(send), Ok(()));
            assert_eq!(rx.try_recv(), Ok(2));
        }
    }

    #[test]
    fn a_sink_of_a_closed_channel_returns_its_message() {
        for (tx, mut rx) in sinks() {
            let mut sink = tx.into_sink();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(as_sink(&mut sink).poll_ready(&mut cx).is_ready());
            rx.close();
            assert_eq!(as_sink(&mut sink).start_send(1), Err(SendError(Some(1))));
            assert_eq!(as_sink(&mut sink).start_send(2), Err(SendError(Some(2))));
            let ready = as_sink(&mut sink).poll_ready(&mut cx);
            assert_eq!(ready, Poll::Ready(Err(SendError(None))));
            assert_eq!(as_sink(&mut sink).poll_close(&mut cx), Poll::Ready(Ok(())));
            assert!(sink.get_ref().is_empty() && rx.is_empty());
        }
    }

    #[test]
    fn a_message_for_a_sink_that_is_not_ready_panics_and_changes_nothing() {
        let (tx, mut rx) = channel(1);
        let mut sink = tx.shared().into_sink();
        let sent = catch_unwind(AssertUnwindSafe(|| as_sink(&mut sink).start_send(1)));
        assert!(sent.is_err());
        assert!(rx.try_recv().is_err());
        assert_eq!(sink.get_ref().remaining_capacity(), 1);
    }

    #[test]
    fn a_sink_that_always_finds_room_yields() {
        let (tx, _rx) = Builder::new(100).budget(5).build();
        let mut sink = tx.shared().into_sink();
        let (wakes, waker) = Wakes::new();
        let mut cx = Context::from_waker(&waker);
        let mut sent = 0;
        while sent < 50 {
            let before = wakes.count();
            match as_sink(&mut sink).poll_ready(&mut cx) {
                Poll::Ready(ready) => {
                    ready.unwrap();
                    as_sink(&mut sink).start_send(sent).unwrap();
                    sent += 1;
                }
                Poll::Pending => assert_eq!(wakes.count(), before + 1),
            }
        }
        assert!(wakes.count() >= 9, "{} pauses", wakes.count());
    }
}
