//! What happens to a message if the future that sends it is dropped while pending, as `select!`
//! does.
//!
//! This matters for the figures at the smallest capacities: a receiver that takes messages from
//! waiting sends needs fewer task switches, but then a cancelled send may have taken effect.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use lanemesh_benches::rivals::channels::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, Capacity, Family, TryTx, visit_async_bounds,
};

fn poll<R>(future: impl Future<Output = R>) -> Poll<R> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Collects the channels whose receivers get the message of a send that was dropped while pending.
#[derive(Default)]
struct Visit {
    seen: usize,
    received: Vec<&'static str>,
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        let slots = Capacity { total: 1, lane: 1 };
        let (mut producers, mut rx) = <F as Family<u64>>::open(slots, 1);
        let tx = &mut producers[0];
        let mut sent = 0;
        while tx.try_send(sent).sent() {
            sent += 1;
        }
        let mut got = Vec::new();
        {
            let mut send = pin!(AsyncTx::<u64>::send(tx, sent));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(send.as_mut().poll(&mut cx).is_pending(), "{}", F::NAME);
            while let Poll::Ready(Some(message)) = poll(AsyncRx::<u64>::recv(&mut rx)) {
                got.push(message);
            }
        }
        assert_eq!(got[..sent as usize], (0..sent).collect::<Vec<_>>());
        self.seen += 1;
        assert_eq!(got.len() > sent as usize, F::SENDS_CANCELLED, "{}", F::NAME);
        if got.len() > sent as usize {
            self.received.push(F::NAME);
        }
    }
}

#[test]
fn message_of_a_dropped_send_is_received_from_some_channels_only() {
    let mut visit = Visit::default();
    visit_async_bounds(&mut visit);
    assert_eq!(visit.seen, 13);
    assert_eq!(visit.received, ["kanal", "flume"]);
}
