//! A sender that several share: each wake-up of the lane must reach all of them.

use std::{
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Waker},
};

use lanemesh::channel;
use loom::{future::block_on, sync::Arc, thread};

use crate::{Count, lanes, model, payload, poll_once};

/// Polls a future that must not be ready.
macro_rules! waits {
    ($future:expr, $waker:expr) => {
        assert!(
            std::future::Future::poll($future.as_mut(), &mut Context::from_waker($waker))
                .is_pending()
        )
    };
}

/// One send finds room by chance, after another has registered to wait: that one is still woken.
#[test]
fn shared_send_that_finds_room_leaves_the_others_their_wake_up() {
    model(3, || {
        let (tx, mut rx) = lanes(4).first_ring(4).build();
        let tx = Arc::new(tx.shared());
        for n in 0..4 {
            tx.try_send(payload(n)).unwrap();
        }
        let count = std::sync::Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut first = pin!(tx.send(payload(4)));
        waits!(first, &waker);
        let second = thread::spawn({
            let tx = tx.clone();
            move || poll_once(tx.send(payload(5)), Waker::noop()).is_ready()
        });
        // Less than the half at which a waiting sender is woken.
        assert_eq!(rx.try_recv().unwrap().0, 0);
        let lucky = second.join().unwrap();
        while rx.try_recv().is_ok() {}
        assert!(
            count.0.load(Ordering::Relaxed) > 0,
            "waits, and was not woken (the other was lucky: {lucky})"
        );
    });
}

/// A wait that is cancelled while the receiver wakes all that wait.
#[test]
fn shared_send_cancelled_against_room() {
    model(1, || {
        let (tx, mut rx) = channel(1);
        let tx = Arc::new(tx.shared());
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            let sent = poll_once(tx.send(payload(2)), Waker::noop()).is_ready();
            block_on(tx.send(payload(3))).unwrap();
            sent
        });
        let mut sum = 0;
        while let Some(message) = block_on(rx.recv()) {
            sum += message.0;
        }
        let sent = producer.join().unwrap();
        assert_eq!(sum, if sent { 6 } else { 4 });
    });
}

#[test]
fn close_against_shared_send() {
    model(2, || {
        let (tx, mut rx) = channel(1);
        let tx = Arc::new(tx.shared());
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || block_on(tx.send(payload(2))).is_ok());
        rx.close();
        let mut received = 0;
        while block_on(rx.recv()).is_some() {
            received += 1;
        }
        assert_eq!(received, 1 + usize::from(producer.join().unwrap()));
    });
}
