//! A sender as a sink.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_sink::Sink;
use lanemesh::{Builder, SendError, Sender, channel, mailbox};

use crate::common::Wakes;

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn sink<T>(sender: &mut Sender<T>) -> Pin<&mut Sender<T>> {
    Pin::new(sender)
}

#[test]
fn a_sink_is_ready_while_there_is_room() {
    for (mut tx, mut rx) in [channel(1), Builder::new(1).total_capacity(1).build()] {
        assert_eq!(sink(&mut tx).poll_ready(&mut noop()), Poll::Ready(Ok(())));
        sink(&mut tx).start_send(1).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut cx = Context::from_waker(&waker);
        assert!(sink(&mut tx).poll_ready(&mut cx).is_pending());
        assert_eq!(sink(&mut tx).poll_flush(&mut cx), Poll::Ready(Ok(())));
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(rx.try_recv().is_err());
        assert_eq!(wakes.count(), 1);
        assert_eq!(sink(&mut tx).poll_ready(&mut cx), Poll::Ready(Ok(())));
        sink(&mut tx).start_send(2).unwrap();
        assert_eq!(rx.try_recv(), Ok(2));
    }
}

#[test]
fn a_sink_of_a_closed_channel_returns_its_message() {
    let (mut tx, mut rx) = channel(1);
    assert!(sink(&mut tx).poll_ready(&mut noop()).is_ready());
    rx.close();
    assert_eq!(sink(&mut tx).start_send(1), Err(SendError(Some(1))));
    let ready = sink(&mut tx).poll_ready(&mut noop());
    assert_eq!(ready, Poll::Ready(Err(SendError(None))));
    assert_eq!(sink(&mut tx).poll_close(&mut noop()), Poll::Ready(Ok(())));
}

#[test]
fn a_flush_sends_what_is_staged() {
    let (mut tx, mut rx) = channel(2);
    tx.try_feed(1).unwrap();
    assert_eq!(
        Sink::<i32>::poll_close(sink(&mut tx), &mut noop()),
        Poll::Ready(Ok(()))
    );
    assert_eq!(rx.try_recv(), Ok(1));
    tx.try_feed(2).unwrap();
    rx.close();
    let flushed = sink(&mut tx).poll_flush(&mut noop());
    assert_eq!(flushed, Poll::Ready(Err(SendError(None))));
    assert_eq!(tx.flush(), Err(SendError(vec![2])));
}

#[test]
fn a_send_to_a_sink_that_is_not_ready_panics() {
    let (mut tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| sink(&mut tx).start_send(2)));
    assert!(panicked.is_err());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn the_classes_of_a_mailbox_have_sinks() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    assert!(sink(tx.high()).poll_ready(&mut noop()).is_ready());
    sink(tx.high()).start_send(1).unwrap();
    sink(tx.low()).start_send(2).unwrap();
    assert_eq!(rx.high().try_recv(), Ok(1));
    assert_eq!(rx.low().try_recv(), Ok(2));
}
