//! One bound for all lanes.

use std::{
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use lanemesh::{Builder, MailboxBuilder, Receiver, Sender, TrySendError};
use proptest::prelude::*;

const CLONES: usize = if cfg!(miri) { 50 } else { 50_000 };
const LARGE: usize = if cfg!(miri) { 400 } else { 5000 };

fn bounded<T>(total: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(1).total_capacity(total).build()
}

/// A bound on all lanes, and no shared slots: all messages go by lanes.
fn lanes_only<T>(total: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(1)
        .total_capacity(total)
        .shared_slots(0)
        .build()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn clones_share_one_bound() {
    for total in [1, 2, 16, CLONES / 50, CLONES - 1] {
        let (mut tx, mut rx) = bounded(total);
        let mut accepted = 0;
        for n in 0..CLONES {
            accepted += usize::from(tx.clone().try_send(n).is_ok());
        }
        assert_eq!(accepted, total);
        assert!(tx.try_send(0).is_err_and(|error| error.is_full()));
        assert_eq!(tx.remaining_capacity(), 0);
        assert_eq!(rx.len(), total);
        assert_eq!(rx.try_iter().count(), total);
        assert!(rx.try_recv().is_err());
        assert_eq!(tx.remaining_capacity(), total);
    }
}

#[test]
fn one_lane_takes_all_slots_and_gives_them_back() {
    for open in [bounded, lanes_only] {
        // From 256 on a lane borrows several at a time.
        for total in [1, 2, 3, 100, 255, 256, LARGE] {
            let (mut tx, mut rx) = open(total);
            for round in 0..3 {
                for n in 0..total {
                    tx.try_send(n)
                        .unwrap_or_else(|_| panic!("{n} of {total}, round {round}"));
                }
                assert!(tx.try_send(0).is_err_and(|error| error.is_full()));
                assert_eq!(rx.try_iter().count(), total);
                assert_eq!(tx.remaining_capacity(), total);
            }
        }
    }
}

#[test]
fn small_bounds_are_exact_after_each_message() {
    for open in [bounded, lanes_only] {
        for total in [1, 2, 10, 255] {
            let (mut tx, mut rx) = open(total);
            let mut other = tx.clone();
            for n in 0..total {
                tx.try_send(n).unwrap();
            }
            for n in 0..10 * total {
                assert!(other.try_send(n).is_err());
                rx.try_recv().unwrap();
                other.try_send(n).unwrap();
            }
        }
    }
}

#[test]
fn an_idle_lane_holds_no_slots() {
    const TOTAL: usize = 8192;
    let (mut tx, mut rx) = lanes_only(TOTAL);
    let mut other = tx.clone();
    // A busy lane borrows ahead.
    for n in 0..100 {
        tx.try_send(n).unwrap();
    }
    assert!(tx.remaining_capacity() < TOTAL - 100);
    while rx.try_recv().is_ok() {}
    assert_eq!(tx.remaining_capacity(), TOTAL);
    for n in 0..TOTAL {
        other.try_send(n).unwrap();
    }
    assert!(other.try_send(0).is_err());
    assert!(tx.try_send(0).is_err());
}

/// The number that the documentation of `total_capacity` gives.
#[test]
fn refused_only_when_fewer_are_free_than_busy_lanes_may_hold() {
    const TOTAL: usize = 8192;
    const LANES: usize = 20;
    let (tx, mut rx) = lanes_only(TOTAL);
    let mut senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    let mut waiting = 0;
    'full: loop {
        for sender in &mut senders {
            if sender.try_send(0).is_err() {
                break 'full;
            }
            waiting += 1;
        }
    }
    assert!(TOTAL - waiting <= (LANES + 2) * 31, "{waiting} of {TOTAL}");
    for _ in 0..100 {
        while senders[0].try_send(0).is_ok() {
            waiting += 1;
        }
        assert!(TOTAL - waiting <= (LANES + 2) * 31, "{waiting} of {TOTAL}");
        rx.try_recv().unwrap();
        waiting -= 1;
    }
}

#[test]
fn a_dropped_sender_leaves_its_messages_and_no_slots() {
    let (tx, mut rx) = lanes_only(8192);
    let mut other = tx.clone();
    for n in 0..40 {
        other.try_send(n).unwrap();
    }
    drop(other);
    assert_eq!(tx.remaining_capacity(), 8192 - 40);
    assert_eq!(rx.try_iter().count(), 40);
    assert_eq!(tx.remaining_capacity(), 8192);
}

#[test]
fn permits_and_staged_messages_hold_slots() {
    let (mut tx, mut rx) = bounded(2);
    let mut other = tx.clone();
    let permit = tx.try_reserve().unwrap();
    other.try_feed(1).unwrap();
    assert_eq!(other.remaining_capacity(), 0);
    assert!(other.try_feed(2).is_err());
    drop(permit);
    assert_eq!(other.remaining_capacity(), 1);
    tx.try_reserve().unwrap().send(3).unwrap();
    assert_eq!(other.remaining_capacity(), 0);
    other.flush().unwrap();
    let mut got: Vec<_> = rx.try_iter().collect();
    got.sort_unstable();
    assert_eq!(got, [1, 3]);
    assert_eq!(other.remaining_capacity(), 2);
}

#[test]
fn batches_are_cut_at_the_bound() {
    let (mut tx, mut rx) = bounded(100);
    let mut other = tx.clone();
    assert_eq!(tx.try_send_many(0..70), Ok(70));
    assert_eq!(tx.remaining_capacity(), 30);
    assert_eq!(other.try_send_many((0..70).filter(|n| n % 2 == 0)), Ok(30));
    assert_eq!(other.remaining_capacity(), 0);
    let mut into = Vec::new();
    assert_eq!(rx.try_recv_many(&mut into, 1000), Ok(100));
    assert!(rx.try_recv().is_err());
    assert_eq!(other.try_send_many((0..7).filter(|n| n % 2 == 0)), Ok(4));
    assert_eq!(other.remaining_capacity(), 96);
    let mut all = vec![0; 200];
    assert_eq!(tx.try_send_vec(&mut all), Ok(96));
    assert_eq!(all.len(), 104);
    assert_eq!(tx.try_send_many(0..), Ok(0));
}

#[test]
fn an_iterator_that_panics_keeps_no_slots() {
    let (mut tx, rx) = bounded(100);
    let messages = (0..).map(|n| if n < 3 { n } else { panic!("in the iterator") });
    let sent = std::panic::catch_unwind(AssertUnwindSafe(|| tx.try_send_many(messages)));
    assert!(sent.is_err());
    assert_eq!(rx.len(), 3);
    assert_eq!(tx.remaining_capacity(), 97);
}

#[test]
fn low_never_exhausts_high() {
    let (mut tx, mut rx) = MailboxBuilder::new(1, 1)
        .high_total_capacity(2)
        .low_total_capacity(3)
        .build::<u32, u32>();
    let mut other = tx.clone();
    for n in 0..3 {
        tx.try_send_low(n).unwrap();
    }
    assert!(other.try_send_low(3).is_err());
    other.try_send_high(1).unwrap();
    tx.try_send_high(2).unwrap();
    assert!(other.try_send_high(3).is_err());
    assert_eq!(rx.try_iter().count(), 5);
    assert_eq!(
        (
            tx.high().remaining_capacity(),
            tx.low().remaining_capacity()
        ),
        (2, 3)
    );
}

#[test]
fn waiting_senders_are_served_in_order() {
    let (mut tx, mut rx) = bounded(1);
    let mut senders: Vec<_> = (0..5).map(|_| tx.clone()).collect();
    tx.try_send(100).unwrap();
    let mut sends: Vec<_> = senders
        .iter_mut()
        .enumerate()
        .map(|(n, sender)| Box::pin(sender.send(n)))
        .collect();
    for send in &mut sends {
        assert!(poll(send.as_mut()).is_pending());
    }
    assert_eq!(rx.try_recv(), Ok(100));
    // The slot is granted: a newcomer does not overtake.
    assert!(tx.try_send(101).is_err());
    for n in 0..5 {
        for (m, send) in sends.iter_mut().enumerate().skip(n + 1).rev() {
            assert!(poll(send.as_mut()).is_pending(), "{m} before {n}");
        }
        assert!(poll(sends[n].as_mut()).is_ready());
        assert!(tx.try_send(101).is_err());
        assert_eq!(rx.try_recv(), Ok(n));
    }
    tx.try_send(101).unwrap();
}

#[test]
fn a_cancelled_wait_passes_on() {
    let (mut tx, mut rx) = bounded(1);
    let (mut a, mut b) = (tx.clone(), tx.clone());
    for granted in [false, true] {
        tx.try_send(0).unwrap();
        let mut first = Box::pin(a.send(1));
        let mut second = pin!(b.send(2));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        if granted {
            rx.try_recv().unwrap();
            drop(first);
        } else {
            drop(first);
            rx.try_recv().unwrap();
        }
        assert!(poll(second).is_ready());
        assert_eq!(rx.try_recv(), Ok(2));
        assert_eq!(tx.remaining_capacity(), 1);
    }
}

#[test]
fn a_wait_by_polls_ends_with_its_sender() {
    let (mut tx, mut rx) = bounded(1);
    for granted in [false, true] {
        let mut other = tx.clone();
        tx.try_send(0).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(other.poll_reserve(&mut cx).is_pending());
        if granted {
            rx.try_recv().unwrap();
            assert_eq!(tx.remaining_capacity(), 0);
        }
        drop(other);
        assert_eq!(rx.try_recv().is_ok(), !granted);
        assert_eq!(tx.remaining_capacity(), 1);
    }
    // What was granted is the sender's whatever it does next.
    let mut other = tx.clone();
    tx.try_send(0).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(other.poll_reserve(&mut cx).is_pending());
    rx.try_recv().unwrap();
    assert!(tx.try_send(1).is_err());
    other.try_send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(tx.remaining_capacity(), 1);
}

#[test]
fn a_cancelled_wait_of_a_shared_sender_passes_on() {
    let (mut tx, mut rx) = bounded(1);
    let shared = tx.clone().shared();
    for granted in [false, true] {
        tx.try_send(0).unwrap();
        let mut first = Box::pin(shared.send(1));
        let mut second = pin!(shared.send(2));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        if granted {
            rx.try_recv().unwrap();
            drop(first);
        } else {
            drop(first);
            rx.try_recv().unwrap();
        }
        assert!(poll(second).is_ready());
        assert_eq!(rx.try_recv(), Ok(2));
        tx.try_send(0).unwrap();
        let mut last = Box::pin(shared.send(3));
        assert!(poll(last.as_mut()).is_pending());
        assert_eq!(rx.try_recv(), Ok(0));
        drop(last);
        assert_eq!(tx.remaining_capacity(), 1);
    }
}

#[test]
fn close_ends_all_waits() {
    let (mut tx, mut rx) = bounded(1);
    let (mut a, mut b) = (tx.clone(), tx.clone());
    tx.try_send(0).unwrap();
    let (mut first, mut second) = (pin!(a.send(1)), pin!(b.reserve()));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    rx.close();
    assert!(matches!(poll(first), Poll::Ready(Err(error)) if error.0 == 1));
    assert!(matches!(poll(second), Poll::Ready(Err(_))));
    assert_eq!(tx.try_send(1), Err(TrySendError::Closed(1)));
    assert_eq!(tx.remaining_capacity(), 0);
    assert_eq!(rx.try_recv(), Ok(0));
}

#[test]
fn dropping_the_receiver_ends_waits_of_threads() {
    let (mut tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    let mut other = tx.clone();
    let waiting = thread::spawn(move || other.blocking_send(1));
    thread::yield_now();
    drop(rx);
    assert!(waiting.join().unwrap().is_err());
}

/// Counts the messages alive.
struct Live(Arc<AtomicUsize>);

impl Live {
    /// A message, and how many are alive with it.
    fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(live.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Half of the senders make a message only when they have a permit, so those alive are queued, but
/// for one in the receiver's hands.
#[test]
fn never_more_than_the_bound_among_threads() {
    const MESSAGES: usize = if cfg!(miri) { 20 } else { 20_000 };
    const SENDERS: usize = 4;
    for total in [1, 2, 7, 300, 5000] {
        let (tx, mut rx) = bounded(total);
        let live = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| {
                let (mut tx, live) = (tx.clone(), live.clone());
                thread::spawn(move || {
                    for _ in 0..MESSAGES {
                        // These wait among those that are counted.
                        if n % 2 == 0 {
                            tx.blocking_send(None).map_err(|_| ()).unwrap();
                            continue;
                        }
                        let permit = loop {
                            match tx.try_reserve() {
                                Ok(permit) => break permit,
                                Err(_) => thread::yield_now(),
                            }
                        };
                        let message = Some(Live::new(&live));
                        permit.send(message).map_err(|_| ()).unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        let mut count = 0;
        while let Some(message) = rx.blocking_recv() {
            count += 1;
            let alive = live.load(Ordering::SeqCst);
            assert!(alive <= total + 1, "{alive} of {total}");
            drop(message);
        }
        assert_eq!(count, SENDERS * MESSAGES);
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_arrive_from_tasks_that_wait() {
    const MESSAGES: usize = if cfg!(miri) { 10 } else { 2_000 };
    const SENDERS: usize = 13;
    for total in [1, 10, 100, 1000, 10_000] {
        let (tx, mut rx) = bounded(total);
        for n in 0..SENDERS {
            let mut tx = tx.clone();
            tokio::spawn(async move {
                for m in 0..MESSAGES {
                    tx.send((n, m)).await.unwrap();
                }
            });
        }
        drop(tx);
        let mut next = [0; SENDERS];
        while let Some((n, m)) = rx.recv().await {
            assert_eq!(next[n], m);
            next[n] += 1;
        }
        assert_eq!(next, [MESSAGES; SENDERS]);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Feed(usize),
    Flush(usize),
    Many(usize, usize),
    Reserve(usize),
    Recv(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let sender = 0..3usize;
    prop_oneof![
        4 => sender.clone().prop_map(Step::Send),
        1 => sender.clone().prop_map(Step::Feed),
        1 => sender.clone().prop_map(Step::Flush),
        2 => (sender.clone(), 1..40usize).prop_map(|(s, n)| Step::Many(s, n)),
        1 => sender.clone().prop_map(Step::Reserve),
        4 => (1..40usize).prop_map(Step::Recv),
        1 => sender.prop_map(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Against a queue a sender and a count; below 256 the bound is exact.
    #[test]
    fn as_the_model(
        total in prop_oneof![1..5usize, 5..255usize],
        slots in prop_oneof![Just(0usize), Just(62)],
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 30 } else { 200 }),
    ) {
        let (tx, mut rx) = Builder::new(1).total_capacity(total).shared_slots(slots).build();
        let mut senders: Vec<_> = (0..3).map(|_| (tx.clone(), 0)).collect();
        // By sender and generation, what was accepted and not taken; staged messages too, behind
        // the others.
        let mut model: Vec<((usize, usize), VecDeque<u32>)> = Vec::new();
        let mut staged = [0; 3];
        let mut next = 0;
        for step in steps {
            let used: usize = model.iter().map(|(_, queue)| queue.len()).sum();
            let free = total - used;
            prop_assert_eq!(tx.remaining_capacity(), free);
            let push = |model: &mut Vec<((usize, usize), VecDeque<u32>)>, key, message| {
                match model.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, queue)) => queue.push_back(message),
                    None => model.push((key, VecDeque::from([message]))),
                }
            };
            match step {
                Step::Send(s) => {
                    let key = (s, senders[s].1);
                    next += 1;
                    let sent = senders[s].0.try_send((key, next)).is_ok();
                    prop_assert_eq!(sent, free > 0);
                    if sent {
                        push(&mut model, key, next);
                        staged[s] = 0;
                    }
                }
                Step::Feed(s) => {
                    let key = (s, senders[s].1);
                    next += 1;
                    let fed = senders[s].0.try_feed((key, next)).is_ok();
                    prop_assert_eq!(fed, free > 0);
                    if fed {
                        push(&mut model, key, next);
                        staged[s] += 1;
                    }
                }
                Step::Flush(s) => {
                    senders[s].0.flush().unwrap();
                    staged[s] = 0;
                }
                Step::Many(s, count) => {
                    let key = (s, senders[s].1);
                    let messages = (0..count as u32).map(|n| (key, next + 1 + n));
                    let sent = senders[s].0.try_send_many(messages).unwrap();
                    prop_assert_eq!(sent, free.min(count));
                    for n in 0..sent as u32 {
                        push(&mut model, key, next + 1 + n);
                    }
                    next += count as u32;
                    staged[s] = 0;
                }
                Step::Reserve(s) => {
                    let permit = senders[s].0.try_reserve();
                    prop_assert_eq!(permit.is_ok(), free > 0);
                    drop(permit);
                }
                Step::Recv(limit) => {
                    let mut into = Vec::new();
                    let count = rx.try_recv_many(&mut into, limit).unwrap_or(0);
                    let there = used - staged.iter().sum::<usize>();
                    prop_assert_eq!(count, there.min(limit));
                    for (key, message) in into {
                        let queue = model.iter_mut().find(|(k, _)| *k == key);
                        let expected = queue.and_then(|(_, queue)| queue.pop_front());
                        prop_assert_eq!(expected, Some(message));
                    }
                    model.retain(|(_, queue)| !queue.is_empty());
                }
                Step::Drop(s) => {
                    let generation = senders[s].1 + 1;
                    senders[s] = (tx.clone(), generation);
                    staged[s] = 0;
                }
            }
        }
    }
}
