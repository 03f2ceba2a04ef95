//! Foreign code that runs inside a send, a receive or a drop, and uses the same channel: wakers
//! that are woken, cloned and dropped, and messages that are dropped.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use lanemesh::{Builder, Receiver, SendError, Sender, TryRecvError, TrySendError, channel};

use crate::common::{self, Ledger, Parcel, now, poll};

/// A waker that runs something each time it is woken.
struct OnWake<F>(Mutex<F>, AtomicUsize);

impl<F: FnMut() + Send + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.1.fetch_add(1, SeqCst);
        // If it is woken while it runs, once is enough.
        if let Ok(mut f) = self.0.try_lock() {
            f();
        }
    }
}

fn on_wake<F: FnMut() + Send + 'static>(f: F) -> (Arc<OnWake<F>>, Waker) {
    let wakes = Arc::new(OnWake(Mutex::new(f), AtomicUsize::new(0)));
    (wakes.clone(), Waker::from(wakes))
}

/// With a new lane, with one that uses its slot, and with one whose ring is open; with shared slots
/// and, at capacity 1, without.
fn at_every_stage(mut check: impl FnMut(Sender<u32>, Receiver<u32>)) {
    for capacity in [1, 2, 8] {
        for before in 0..4.min(capacity + 1) {
            let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
            assert_eq!(tx.try_send_many(100..100 + before as u32), Ok(before));
            assert_eq!(rx.try_iter().count(), before);
            check(tx, rx);
        }
    }
}

// A receiver's waker. A receiver holds its waker, so the waker holds it weakly.

#[test]
fn a_receivers_waker_sends() {
    at_every_stage(|mut tx, mut rx| {
        let mut other = tx.clone();
        let (_, waker) = on_wake(move || other.try_send(2).unwrap());
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        tx.try_send(1).unwrap();
        let mut got: Vec<_> = rx.try_iter().collect();
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

/// As an executor does that runs a task inside the wake-up.
#[test]
fn a_receivers_waker_receives() {
    at_every_stage(|mut tx, rx| {
        let rx = Arc::new(Mutex::new(rx));
        let got = Arc::new(Mutex::new(Vec::new()));
        let (wakes, waker) = on_wake({
            let (rx, got) = (Arc::downgrade(&rx), got.clone());
            move || {
                let rx = rx.upgrade().unwrap();
                got.lock().unwrap().extend(rx.lock().unwrap().try_iter());
            }
        });
        for n in 0..4 {
            let poll = rx
                .lock()
                .unwrap()
                .poll_recv(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
            tx.try_send(n).unwrap();
            assert_eq!((wakes.1.load(SeqCst), tx.len()), (n as usize + 1, 0));
        }
        assert_eq!(*got.lock().unwrap(), [0, 1, 2, 3]);
    });
}

/// Goes to sleep again while it is being woken; the next send wakes it anyway.
#[test]
fn a_receivers_waker_polls_it_again() {
    at_every_stage(|mut tx, rx| {
        let rx = Arc::new(Mutex::new(rx));
        let got = Arc::new(Mutex::new(Vec::new()));
        let itself = Arc::new(Mutex::new(None::<Waker>));
        let (_, waker) = on_wake({
            let (rx, got, itself) = (Arc::downgrade(&rx), got.clone(), itself.clone());
            move || {
                let rx = rx.upgrade().unwrap();
                let waker = itself.lock().unwrap().clone().unwrap();
                let mut cx = Context::from_waker(&waker);
                while let Poll::Ready(Some(n)) = rx.lock().unwrap().poll_recv(&mut cx) {
                    got.lock().unwrap().push(n);
                }
            }
        });
        *itself.lock().unwrap() = Some(waker.clone());
        waker.wake_by_ref();
        for n in 0..5 {
            tx.try_send(n).unwrap();
        }
        assert_eq!(*got.lock().unwrap(), [0, 1, 2, 3, 4]);
        drop(tx);
        itself.lock().unwrap().take();
    });
}

#[test]
fn a_receivers_waker_drops_the_receiver() {
    for capacity in [1, 2, 8] {
        for before in 0..3.min(capacity + 1) {
            let ledger = Ledger::new(8);
            let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
            for _ in 0..before {
                assert!(tx.try_send(ledger.parcel()).is_ok());
            }
            rx.try_iter().for_each(drop);
            let rx = Arc::new(Mutex::new(Some(rx)));
            let (_, waker) = on_wake({
                let rx = rx.clone();
                move || drop(rx.lock().unwrap().take())
            });
            let polled = rx
                .lock()
                .unwrap()
                .as_mut()
                .map(|rx| rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(polled, Some(true));
            // The receiver had the message, and it was dropped with the receiver.
            assert!(tx.try_send(ledger.parcel()).is_ok());
            assert_eq!(ledger.dropped(), before + 1);
            assert!(
                tx.try_send(ledger.parcel())
                    .is_err_and(|error| error.is_closed())
            );
            drop(tx);
            ledger.check();
        }
    }
}

#[test]
fn a_receivers_waker_closes_and_drains() {
    at_every_stage(|mut tx, rx| {
        let rx = Arc::new(Mutex::new(rx));
        let got = Arc::new(Mutex::new(Vec::new()));
        let (_, waker) = on_wake({
            let (rx, got) = (Arc::downgrade(&rx), got.clone());
            move || {
                let rx = rx.upgrade().unwrap();
                let mut rx = rx.lock().unwrap();
                rx.close();
                got.lock().unwrap().extend(rx.iter());
            }
        });
        assert!(
            rx.lock()
                .unwrap()
                .poll_recv(&mut Context::from_waker(&waker))
                .is_pending()
        );
        tx.try_send(1).unwrap();
        assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
        assert_eq!(*got.lock().unwrap(), [1]);
    });
}

#[test]
fn a_receivers_waker_drops_the_last_other_sender() {
    at_every_stage(|mut tx, mut rx| {
        let mut other = Some(tx.clone());
        let (_, waker) = on_wake(move || drop(other.take()));
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        tx.try_send(1).unwrap();
        drop(tx);
        assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), None));
        assert_eq!((rx.sender_count(), rx.stats().lanes_open), (0, 0));
    });
}

/// By the time the waker panics the send is done: the message was accepted, and counts.
#[test]
fn a_receivers_waker_panics() {
    type Send = fn(&mut Sender<Parcel>, &Ledger);
    let ways: [Send; 4] = [
        |tx, ledger| drop(tx.try_send(ledger.parcel())),
        |tx, ledger| drop(now(tx.send(ledger.parcel()))),
        |tx, ledger| _ = tx.try_send_vec(&mut vec![ledger.parcel()]),
        |tx, ledger| drop(tx.try_send_many([ledger.parcel()])),
    ];
    for way in ways {
        for (capacity, before) in [(1, 0), (1, 1)] {
            let ledger = Ledger::new(16);
            let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
            for _ in 0..before {
                tx.try_send(ledger.parcel()).unwrap();
            }
            rx.try_iter().for_each(drop);
            let (_, waker) = on_wake(|| panic!("a waker panics"));
            assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
            let sent = catch_unwind(AssertUnwindSafe(|| way(&mut tx, &ledger)));
            assert!(sent.is_err(), "the panic comes through");
            assert_eq!((tx.len(), rx.len()), (1, 1), "it was accepted");
            while tx.try_send(ledger.parcel()).is_ok() {}
            assert_eq!(rx.len(), capacity, "the capacity is exact");
            assert_eq!(rx.try_iter().count(), capacity);
            drop((tx, rx));
            ledger.check();
        }
    }
}

/// Messages of a batch for which there was no room stay with the sender.
#[test]
fn a_receivers_waker_panics_at_a_batch_that_does_not_fit() {
    for capacity in 1..4 {
        let ledger = Ledger::new(8);
        let (mut tx, mut rx) = Builder::new(capacity).first_ring(1).build();
        let (_, waker) = on_wake(|| panic!("a waker panics"));
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let mut batch: Vec<_> = (0..5).map(|_| ledger.parcel()).collect();
        let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_vec(&mut batch)));
        assert!(sent.is_err(), "the panic comes through");
        let numbers = |parcels: &[Parcel]| parcels.iter().map(|p| p.n).collect::<Vec<_>>();
        let mut got: Vec<_> = rx.try_iter().collect();
        assert_eq!(numbers(&got), (0..capacity).collect::<Vec<_>>());
        assert_eq!(numbers(&batch), (capacity..5).collect::<Vec<_>>());
        while tx.try_send_vec(&mut batch).unwrap() > 0 {
            got.extend(rx.try_iter());
        }
        assert_eq!(numbers(&got), [0, 1, 2, 3, 4]);
        drop((got, batch));
        ledger.check();
    }
}

// A sender's waker. The lane holds it, and so it holds the sender weakly.

/// Fills the lane of a sender, makes it wait with `waker`, and returns both ends.
fn full(capacity: usize, waker: &Waker) -> (Sender<u32>, Receiver<u32>) {
    let (mut tx, rx) = Builder::new(capacity).first_ring(1).build();
    assert_eq!(tx.try_send_many(0..2 * capacity as u32), Ok(capacity));
    assert!(
        tx.poll_reserve(&mut Context::from_waker(waker))
            .is_pending()
    );
    (tx, rx)
}

type Ends = Arc<Mutex<Option<Sender<u32>>>>;

/// A waiting sender within reach of its waker, and what the waker does with it.
fn waits(
    capacity: usize,
    mut f: impl FnMut(&mut Option<Sender<u32>>) + Send + 'static,
) -> (Ends, Receiver<u32>) {
    let sender = Ends::default();
    let (_, waker) = on_wake({
        let sender = Arc::downgrade(&sender);
        move || f(&mut sender.upgrade().unwrap().lock().unwrap())
    });
    let (tx, rx) = full(capacity, &waker);
    *sender.lock().unwrap() = Some(tx);
    (sender, rx)
}

#[test]
fn a_senders_waker_sends() {
    for capacity in 1..6 {
        let (_sender, mut rx) = waits(capacity, |tx| tx.as_mut().unwrap().try_send(77).unwrap());
        let mut got: Vec<_> = Vec::new();
        while got.last() != Some(&77) {
            got.push(rx.try_recv().unwrap());
        }
        assert_eq!(got.len(), capacity + 1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn a_senders_waker_drops_the_sender() {
    for capacity in 1..6 {
        for many in [false, true] {
            let (sender, mut rx) = waits(capacity, |tx| drop(tx.take()));
            let mut got = Vec::new();
            if many {
                assert_eq!(now(rx.recv_many(&mut got, capacity)), capacity);
            }
            got.extend(rx.iter());
            assert_eq!(got, (0..capacity as u32).collect::<Vec<_>>());
            assert!(sender.lock().unwrap().is_none());
            assert_eq!((rx.sender_count(), rx.stats().lanes_open), (0, 0));
        }
    }
}

#[test]
fn a_senders_waker_drops_the_sender_when_the_channel_closes() {
    for capacity in 1..6_usize {
        for taken in 0..capacity.div_ceil(2) {
            let (sender, mut rx) = waits(capacity, |tx| drop(tx.take()));
            let early = rx.try_iter().take(taken).count();
            rx.close();
            assert!(sender.lock().unwrap().is_none());
            assert_eq!(early + rx.iter().count(), capacity);
            assert_eq!(rx.stats().lanes_open, 0);
        }
    }
}

// Wakers that send when they are dropped.

/// Sends when the last of its wakers is dropped.
struct SendsAtDrop(Mutex<Sender<u32>>);

impl Wake for SendsAtDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for SendsAtDrop {
    fn drop(&mut self) {
        let _ = self.0.get_mut().unwrap().try_send(9);
    }
}

#[test]
fn a_replaced_waker_sends_when_it_is_dropped() {
    let (tx, mut rx) = channel(8);
    let mut got = 0;
    for _ in 0..10 {
        let waker = Waker::from(Arc::new(SendsAtDrop(Mutex::new(tx.clone()))));
        // The poll that goes to sleep with this waker drops one before it, and finds what that sends.
        if let Poll::Ready(message) = rx.poll_recv(&mut Context::from_waker(&waker)) {
            assert_eq!(message, Some(9));
            got += 1;
        }
    }
    got += rx.try_iter().count();
    let (wakes, waker) = common::Wakes::new();
    while let Poll::Ready(message) = rx.poll_recv(&mut Context::from_waker(&waker)) {
        assert_eq!(message, Some(9));
        got += 1;
    }
    // The receiver sleeps now with a waker that is none of those, all but one of which have been
    // dropped.
    assert!((8..=10).contains(&got), "{got}");
    assert_eq!(wakes.count(), 0);
    drop(rx);
    assert!(tx.is_closed());
}

// Messages that are dropped.

/// A message that owns a sender of its own channel, and sends through it when it is dropped.
struct Loop {
    tx: Option<Sender<Loop>>,
    drops: Arc<AtomicUsize>,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        if let Some(mut tx) = self.tx.take() {
            let last = Loop {
                tx: None,
                drops: self.drops.clone(),
            };
            drop(tx.try_send(last));
        }
    }
}

#[test]
fn a_message_sends_on_its_own_channel_when_it_is_dropped() {
    for (capacity, asleep) in [(1, false), (4, false), (4, true)] {
        let drops = Arc::new(AtomicUsize::new(0));
        let (tx, mut rx) = Builder::new(capacity).first_ring(1).build();
        if asleep {
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
        let mut senders: Vec<_> = (0..3).map(|_| tx.clone()).collect();
        for sender in &mut senders {
            let message = Loop {
                tx: Some(tx.clone()),
                drops: drops.clone(),
            };
            assert!(sender.try_send(message).is_ok());
        }
        drop((tx, senders));
        // One dropped by whoever received it sends once more; those dropped with the receiver find
        // the channel closed.
        drop(rx.try_recv().unwrap_or_else(|_| panic!("there are three")));
        assert_eq!((drops.load(SeqCst), rx.len()), (1, 3));
        drop(rx);
        assert_eq!(drops.load(SeqCst), 6);
    }
}

/// The channel keeps itself open through the message in it, until its receiver is dropped.
#[test]
fn a_message_that_owns_its_receivers_last_sender_ends_with_the_receiver() {
    let alive = Arc::new(());
    let watch: Weak<()> = Arc::downgrade(&alive);
    #[expect(dead_code, reason = "only held")]
    struct Holder(Arc<()>, Option<Sender<Holder>>);
    let (mut tx, rx) = channel(4);
    let other = tx.clone();
    assert!(tx.try_send(Holder(alive, Some(other))).is_ok());
    drop(tx);
    assert_eq!(rx.sender_count(), 1);
    drop(rx);
    assert!(watch.upgrade().is_none());
}

/// A message that owns the receiver of another channel, whose sender waits for room there.
#[test]
fn a_message_drops_a_receiver_that_a_sender_waits_for() {
    let (mut inner_tx, inner_rx) = channel(1);
    inner_tx.try_send(1).unwrap();
    let (wakes, waker) = common::Wakes::new();
    let mut send = pin!(inner_tx.send(2));
    assert!(poll(send.as_mut(), &waker).is_pending());
    let (mut tx, rx) = channel(1);
    assert!(tx.try_send(inner_rx).is_ok());
    drop(rx);
    assert!(wakes.count() >= 1);
    assert_eq!(poll(send, &waker), Poll::Ready(Err(SendError(2))));
}

// Iterators.

#[test]
fn an_iterator_closes_the_channel_that_it_is_sent_to() {
    for stop in [0, 1, 70] {
        let ledger = Ledger::new(256);
        let (mut tx, rx) = Builder::new(100).first_ring(1).build();
        let mut rx = Some(rx);
        let mut parcels = (0..100).map(|n| {
            if n == stop {
                drop(rx.take());
            }
            ledger.parcel()
        });
        let error = tx.try_send_many(parcels.by_ref()).unwrap_err();
        // In runs of up to 64: what was taken and not accepted is returned, and no more was taken.
        assert_eq!(error.sent + error.unsent.len() + parcels.len(), 100);
        assert_eq!(error.sent, stop / 64 * 64);
        assert_eq!(ledger.dropped(), error.sent);
        drop((error, tx));
        ledger.check();
    }
}

#[test]
fn an_iterator_sends_to_the_same_channel() {
    let (mut tx, mut rx) = channel(100);
    let mut other = tx.clone();
    let sent = tx.try_send_many((0..80).inspect(|&n| other.try_send(1000 + n).unwrap()));
    assert_eq!(sent, Ok(80));
    let (own, others): (Vec<u32>, Vec<u32>) = rx.try_iter().partition(|&n| n < 1000);
    assert_eq!(own, (0..80).collect::<Vec<_>>());
    assert_eq!(others, (1000..1080).collect::<Vec<_>>());
}

/// `size_hint` is a hint: whatever it says, no message is lost or sent twice.
#[test]
fn an_iterator_lies_about_its_length() {
    struct Liar(std::ops::Range<u32>, (usize, Option<usize>));
    impl Iterator for Liar {
        type Item = u32;
        fn next(&mut self) -> Option<u32> {
            self.0.next()
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            self.1
        }
    }

    for hint in [
        (0, None),
        (0, Some(0)),
        (7, Some(7)),
        (usize::MAX, None),
        (1000, Some(1000)),
    ] {
        let (mut tx, mut rx) = channel(50);
        let mut liar = Liar(0..30, hint);
        let mut sent = tx.try_send_many(liar.by_ref()).unwrap();
        sent += now(tx.send_many(liar.by_ref())).unwrap();
        let got: Vec<_> = rx.try_iter().collect();
        assert_eq!(got.len(), sent, "{hint:?}");
        assert_eq!(
            got.into_iter().chain(liar.0).collect::<Vec<_>>(),
            (0..30).collect::<Vec<_>>()
        );
    }
}
