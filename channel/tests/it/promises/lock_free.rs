//! Promise 5: a producer that is stopped at any instruction delays no other producer's messages.
//!
//! The loom models stop a thread between any two instructions, with every other thread running on.
//! Here a producer is stopped for real, at the one point of a send that runs foreign code: inside
//! the waker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use lanemesh::{Message, channel, mailbox};

/// A waker that reports that it was called, then blocks its caller until it is released.
struct Stop {
    stopped: mpsc::Sender<()>,
    go: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Wake for Stop {
    fn wake(self: Arc<Self>) {
        self.stopped.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn stop() -> (Waker, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (stopped, is_stopped) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    (
        Waker::from(Arc::new(Stop {
            stopped,
            go: go.into(),
        })),
        is_stopped,
        let_go,
    )
}

#[test]
fn a_producer_stopped_while_it_wakes_delays_no_other_producer() {
    for capacity in [1, 4] {
        let (tx, mut rx) = channel(capacity);
        let (waker, is_stopped, let_go) = stop();
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        thread::scope(|scope| {
            let mut slow = tx.clone();
            scope.spawn(move || slow.try_send(0).unwrap());
            is_stopped.recv().unwrap();

            let mut other = tx.clone();
            other.try_send(1).unwrap();
            let mut received: Vec<_> = rx.try_iter().collect();
            received.sort_unstable();
            assert_eq!(received, [0, 1]);

            // The receiver sleeps again and is woken by the other sender, all while the first is
            // stopped.
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
            other.try_send(2).unwrap();
            assert_eq!(count.0.load(Ordering::SeqCst), 1);
            assert_eq!(
                rx.poll_recv(&mut Context::from_waker(&waker)),
                Poll::Ready(Some(2))
            );
            let_go.send(()).unwrap();
        });
    }
}

#[test]
fn a_producer_stopped_while_it_wakes_delays_no_high_priority_message() {
    let (tx, mut rx) = mailbox(4, 4);
    let (waker, is_stopped, let_go) = stop();
    assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    thread::scope(|scope| {
        let mut slow = tx.clone();
        scope.spawn(move || slow.try_send_low(0).unwrap());
        is_stopped.recv().unwrap();

        let mut other = tx.clone();
        // The high class is armed with the waker that blocks its caller, so another one comes
        // first.
        assert_eq!(rx.try_recv(), Ok(Message::Low(0)));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        other.try_send_high(1).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(rx.try_recv(), Ok(Message::High(1)));
        let_go.send(()).unwrap();
    });
}
