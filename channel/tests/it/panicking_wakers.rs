//! Senders' wakers that panic inside a receive, a close or a drop of the receiver: nothing is lost
//! except the message that the receive was about to return, nobody else misses a wake-up, and the
//! channel still works.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use lanemesh::{Builder, MailboxBuilder, Receiver, SendError, Sender, TryRecvError};

use crate::common::{Ledger, Parcel, Wakes, now, poll};

/// A waker that panics whenever it is woken.
#[derive(Default)]
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        panic!("a waker panics");
    }
}

fn panics() -> (Arc<Panics>, Waker) {
    let panics = Arc::new(Panics::default());
    (panics.clone(), Waker::from(panics))
}

/// Whether a waker panicked in `f`.
fn panicked<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Fills the lane, and waits with this waker.
#[track_caller]
fn fill_and_wait(tx: &mut Sender<Parcel>, ledger: &Ledger, waker: &Waker) {
    while tx.len() < tx.capacity() {
        tx.try_send(ledger.parcel()).unwrap();
    }
    let polled = tx.poll_reserve(&mut Context::from_waker(waker));
    assert!(polled.is_pending());
}

// Receiving.

type Receive = fn(&mut Receiver<Parcel>, &mut Vec<Parcel>) -> bool;

/// A way to receive: it appends what it takes to the vector; `true` if there was something.
const WAYS: [Receive; 6] = [
    |rx, got| rx.try_recv().map(|parcel| got.push(parcel)).is_ok(),
    |rx, got| match poll(pin!(rx.recv()), Waker::noop()) {
        Poll::Ready(parcel) => {
            got.extend(parcel);
            true
        }
        Poll::Pending => false,
    },
    |rx, got| rx.try_recv_many(got, 1).is_ok(),
    |rx, got| rx.try_recv_many(got, 3).is_ok(),
    |rx, got| rx.try_recv_many(got, 100).is_ok(),
    |rx, got| {
        // As a select does that looks, and then takes.
        let readable = poll(pin!(rx.readable()), Waker::noop()).is_ready();
        readable && rx.try_recv_many(got, 1).is_ok()
    },
];

/// However large the messages are and however they are received: they arrive in order, and each is
/// received or dropped.
#[test]
fn a_senders_waker_panics_in_a_receive() {
    const ROUNDS: usize = if cfg!(miri) { 2 } else { 3 };
    let lanes = [(5, 2), (1, 9), (1, 0), (2, 9), (5, 0), (8, 9), (20, 9)];
    let turns = [(1, 3), (64, 1), (1, 1), (3, 2)];
    let some = if cfg!(miri) { 2 } else { usize::MAX };
    for receive in WAYS {
        for (capacity, slots) in lanes.into_iter().take(some) {
            for (burst, senders) in turns.into_iter().take(some) {
                receive_all(receive, capacity, slots, burst, senders, ROUNDS);
            }
        }
    }
}

/// Fills the lanes, waits, and receives all, `rounds` times.
fn receive_all(
    receive: Receive,
    capacity: usize,
    slots: usize,
    burst: usize,
    senders: usize,
    rounds: usize,
) {
    let what = format!("capacity {capacity}, slots {slots}, burst {burst}, {senders} senders");
    let ledger = Ledger::new(rounds * senders * capacity);
    let (tx, mut rx) = Builder::new(capacity)
        .first_ring(1)
        .shared_slots(slots)
        .burst(burst)
        .build();
    let mut txs: Vec<_> = (0..senders).map(|_| tx.clone()).collect();
    drop(tx);
    let (panics, waker) = panics();
    let mut got = Vec::new();
    let mut lost = 0;
    for _ in 0..rounds {
        for tx in &mut txs {
            fill_and_wait(tx, &ledger, &waker);
        }
        loop {
            let held = rx.len() + got.len();
            let before = panics.0.load(SeqCst);
            match catch_unwind(AssertUnwindSafe(|| receive(&mut rx, &mut got))) {
                Ok(true) => {}
                Ok(false) if rx.is_empty() => break,
                Ok(false) => {
                    // A receiver that has woken a sender may ask to be polled again, once.
                    assert!(receive(&mut rx, &mut got), "overlooked: {what}");
                }
                Err(_) => {
                    assert_eq!(panics.0.load(SeqCst), before + 1, "{what}");
                    let gone = held - rx.len() - got.len();
                    assert!(gone <= 1, "{gone} are gone: {what}");
                    lost += gone;
                }
            }
        }
        assert_eq!(
            (rx.try_recv().err(), rx.len()),
            (Some(TryRecvError::Empty), 0)
        );
        assert_eq!(got.len() + lost, ledger.made(), "{what}");
    }
    // Those of each sender in order: it filled its lane in one go, with ascending numbers.
    for sender in 0..senders {
        let own = |n: usize| n / capacity % senders == sender;
        let numbers: Vec<_> = got
            .iter()
            .map(|parcel| parcel.n)
            .filter(|&n| own(n))
            .collect();
        assert!(numbers.is_sorted(), "{numbers:?}: {what}");
    }
    assert_eq!(ledger.dropped(), lost, "{what}");
    let woken = panics.0.load(SeqCst);
    assert!(woken >= rounds * senders, "{woken} wake-ups: {what}");
    drop((got, txs));
    assert_eq!(rx.try_recv().err(), Some(TryRecvError::Closed));
    assert_eq!(rx.stats().lanes_open, 0, "{what}");
    ledger.check();
}

/// The same for messages in shared slots: the receiver checks their sender after it has taken one.
#[test]
fn a_senders_waker_panics_in_a_receive_from_a_shared_slot() {
    let ledger = Ledger::new(16);
    let (mut tx, mut rx) = Builder::new(8).build();
    let (panics, waker) = panics();
    fill_and_wait(&mut tx, &ledger, &waker);
    let mut got = Vec::new();
    assert!(panicked(|| while let Ok(parcel) = rx.try_recv() {
        got.push(parcel.n);
    }));
    assert_eq!(panics.0.load(SeqCst), 1);
    let taken = got.len() + 1;
    assert_eq!((rx.len(), tx.len()), (8 - taken, 8 - taken));
    assert_eq!(
        rx.stats().messages,
        taken as u64,
        "the lost one was taken, too"
    );
    // There is room, whichever path the next messages take.
    for _ in 0..taken {
        tx.try_send(ledger.parcel()).unwrap();
    }
    got.extend(rx.try_iter().map(|parcel| parcel.n));
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got.len(), 7 + taken);
    drop((tx, rx));
    ledger.check();
}

// Closing.

/// Waiting senders, some with wakers that panic, and counters of how often the others were woken.
fn waiting(tx: &Sender<Parcel>, ledger: &Ledger) -> (Vec<Sender<Parcel>>, Arc<Panics>, Arc<Wakes>) {
    let (panics, bad) = panics();
    let (wakes, good) = Wakes::new();
    let mut senders: Vec<_> = (0..6).map(|_| tx.clone()).collect();
    for (n, sender) in senders.iter_mut().enumerate() {
        fill_and_wait(sender, ledger, if n % 3 == 1 { &bad } else { &good });
    }
    (senders, panics, wakes)
}

#[test]
fn wakers_panic_when_the_channel_closes() {
    for (capacity, early) in [(2, 0), (2, 1), (20, 0), (20, 1), (20, 3)] {
        let ledger = Ledger::new(8 * capacity);
        let (tx, mut rx) = Builder::new(capacity).first_ring(1).burst(1).build();
        let (mut senders, panics, wakes) = waiting(&tx, &ledger);
        let (closers, closer) = Wakes::new();
        let mut closed = [(); 3].map(|()| Box::pin(tx.closed()));
        let (bad_closer, bad) = self::panics();
        for (n, closed) in closed.iter_mut().enumerate() {
            let waker = if n == 1 { &bad } else { &closer };
            assert!(poll(closed.as_mut(), waker).is_pending());
        }
        // Some of the lanes are the receiver's.
        let mut got = 0;
        while got < early && panics.0.load(SeqCst) == 0 {
            if !panicked(|| rx.try_recv().unwrap()) {
                got += 1;
            }
        }
        let early = ledger.dropped();
        assert!(panicked(|| rx.close()), "the panic comes through");
        assert_eq!(panics.0.load(SeqCst), 2, "each is woken once");
        assert_eq!(wakes.count(), 4, "and those with them");
        assert_eq!((bad_closer.0.load(SeqCst), closers.count()), (1, 2));
        for sender in &mut senders {
            assert_eq!(now(sender.reserve()).err(), Some(SendError(())));
        }
        rx.close();
        assert_eq!(early + rx.iter().count(), 6 * capacity);
        drop((closed, senders));
        drop(tx);
        assert_eq!(rx.stats().lanes_open, 0);
        drop(rx);
        ledger.check();
    }
}

#[test]
fn wakers_panic_when_the_receiver_is_dropped() {
    for capacity in [1, 2, 20] {
        let ledger = Ledger::new(8 * capacity);
        let (tx, rx) = Builder::new(capacity).first_ring(1).build();
        let (senders, panics, wakes) = waiting(&tx, &ledger);
        assert!(panicked(|| drop(rx)), "the panic comes through");
        assert_eq!((panics.0.load(SeqCst), wakes.count()), (2, 4));
        assert_eq!(ledger.dropped(), 6 * capacity);
        drop(senders);
        ledger.check();
    }
}

/// The waker of a receiver that sleeps: a sender that ends its lane wakes it, and so does the last one.
#[test]
fn the_receivers_waker_panics_when_a_lane_ends() {
    for shrinks in [false, true] {
        let ledger = Ledger::new(2);
        let (mut tx, mut rx) = Builder::new(4).shared_slots(0).build();
        let (panics, waker) = panics();
        let sleep = |rx: &mut Receiver<Parcel>| {
            assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        };
        let last = tx.clone();
        tx.try_send(ledger.parcel()).unwrap();
        drop(rx.try_recv().unwrap());
        sleep(&mut rx);
        if shrinks {
            assert!(panicked(|| tx.shrink_to_fit()));
            assert_eq!(tx.len(), 0);
            sleep(&mut rx);
            assert_eq!(rx.stats().lanes_open, 0);
            assert!(panicked(|| tx.try_send(ledger.parcel())));
            drop(rx.try_recv().unwrap());
            sleep(&mut rx);
        }
        assert!(panicked(|| drop(tx)));
        sleep(&mut rx);
        assert_eq!(rx.stats().lanes_open, 0);
        assert!(panicked(|| drop(last)));
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(panics.0.load(SeqCst), if shrinks { 4 } else { 2 });
    }
}

/// A panic of a drop in a thread that is already panicking would end the process.
#[test]
fn wakers_panic_when_the_receiver_is_dropped_by_a_panic() {
    let ledger = Ledger::new(32);
    let (tx, rx) = Builder::new(4).first_ring(1).build();
    let (senders, panics, wakes) = waiting(&tx, &ledger);
    assert!(panicked(move || {
        let _rx = rx;
        panic!("the receiver's task panics")
    }));
    assert_eq!((panics.0.load(SeqCst), wakes.count()), (2, 4));
    drop(senders);
    ledger.check();
}

#[test]
fn a_waker_panics_when_a_mailbox_closes() {
    for bad_high in [false, true] {
        let (mut tx, mut rx) = MailboxBuilder::new(1, 1).build::<u32, u32>();
        tx.try_send_high(1).unwrap();
        tx.try_send_low(2).unwrap();
        let mut other = tx.clone();
        other.try_send_high(3).unwrap();
        other.try_send_low(4).unwrap();
        let ((panics, bad), (wakes, good)) = (panics(), Wakes::new());
        let (high, low) = if bad_high {
            (&bad, &good)
        } else {
            (&good, &bad)
        };
        {
            let mut high_send = pin!(tx.send_high(5));
            let mut low_send = pin!(other.send_low(6));
            assert!(poll(high_send.as_mut(), high).is_pending());
            assert!(poll(low_send.as_mut(), low).is_pending());
            assert!(panicked(|| rx.close()), "the panic comes through");
            assert_eq!((panics.0.load(SeqCst), wakes.count()), (1, 1));
            assert_eq!(now(high_send), Err(SendError(5)));
            assert!(now(low_send).is_err());
        }
        assert!(rx.is_closed());
        assert_eq!(rx.iter().count(), 4);
    }
}

// Senders that share a lane.

#[test]
fn a_waker_panics_of_those_that_wait_for_a_shared_lane() {
    let (tx, mut rx) = Builder::new(3).build();
    let tx = tx.shared();
    let permits = tx.try_reserve_many(3).unwrap();
    let (panics, bad) = panics();
    let ((first_wakes, first), (last_wakes, last)) = (Wakes::new(), Wakes::new());
    let mut sends = [1, 2, 3].map(|n| Box::pin(tx.send(n)));
    for (send, waker) in sends.iter_mut().zip([&first, &bad, &last]) {
        assert!(poll(send.as_mut(), waker).is_pending());
    }
    assert!(panicked(|| drop(permits)), "the panic comes through");
    assert_eq!(panics.0.load(SeqCst), 1);
    assert_eq!((first_wakes.count(), last_wakes.count()), (1, 1));
    // All three have room, whatever became of their wake-ups.
    for (send, waker) in sends.iter_mut().zip([&first, &bad, &last]) {
        assert_eq!(poll(send.as_mut(), waker), Poll::Ready(Ok(())));
    }
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
}
