//! A bound by weight: never above the limit, nobody forgotten, and every message accounted for.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use lanemesh::{
    Builder, Message, TryWeighError, WeighError, Weighed, WeightLimit, channel, mailbox,
};
use proptest::{collection::vec, prelude::*};

use crate::common::{self, Wakes};

/// A message of a weight of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heavy(usize);

fn limit(max: usize) -> WeightLimit<Heavy> {
    WeightLimit::new(max, |message| message.0)
}

#[test]
fn messages_weigh_no_more_than_the_limit_together() {
    for max in [1, 2, 3, 100, (1 << 29) - 1, 1 << 29, usize::MAX] {
        let limit = limit(max);
        assert!(limit.max() <= max && limit.max() > max / 2, "{max}");
        assert_eq!(limit.available(), limit.max());
        // The whole, and one more.
        let whole = limit.try_weigh(Heavy(limit.max())).unwrap();
        assert_eq!((whole.weight(), limit.available()), (limit.max(), 0));
        assert_eq!(
            limit.try_weigh(Heavy(1)),
            Err(TryWeighError::Full(Heavy(1)))
        );
        assert_eq!(whole.into_inner(), Heavy(limit.max()));
        assert_eq!(limit.available(), limit.max());
        if let Some(more) = limit.max().checked_add(1) {
            assert_eq!(
                limit.try_weigh(Heavy(more)),
                Err(TryWeighError::TooHeavy(Heavy(more)))
            );
            assert_eq!(
                common::now(limit.weigh(Heavy(more))),
                Err(WeighError::TooHeavy(Heavy(more)))
            );
            assert_eq!(
                limit.blocking_weigh(Heavy(more)),
                Err(WeighError::TooHeavy(Heavy(more)))
            );
        }
        // Weightless messages count as well.
        let count = limit.max().min(10);
        let light: Vec<_> = (0..count)
            .map(|_| limit.try_weigh(Heavy(0)).unwrap())
            .collect();
        assert!(limit.available() <= limit.max() - count);
        drop(light);
        assert_eq!(limit.available(), limit.max());
    }
}

#[test]
fn a_large_limit_rounds_weights_up() {
    let limit = limit(1 << 31);
    assert_eq!(limit.max(), 1 << 31);
    let odd = limit.try_weigh(Heavy(9)).unwrap();
    assert!(odd.weight() >= 9 && odd.weight() < 9 + 8);
    assert_eq!(limit.available(), limit.max() - odd.weight());
}

/// The weight is that of the time when it was weighed.
#[test]
fn a_message_that_changes_gives_back_what_it_took() {
    let limit = limit(10);
    let mut message = limit.try_weigh(Heavy(4)).unwrap();
    message.0 = 9;
    assert_eq!((message.weight(), limit.available()), (4, 6));
    assert_eq!(message.into_inner(), Heavy(9));
    assert_eq!(limit.available(), 10);
}

#[test]
fn weight_comes_back_from_wherever_a_message_ends() {
    let limit = limit(100);
    let weigh = || limit.try_weigh(Heavy(10)).unwrap();
    // In a channel whose receiver is dropped.
    let (mut tx, rx) = Builder::new(4).build();
    (0..3).for_each(|_| tx.try_send(weigh()).unwrap());
    assert_eq!(limit.available(), 70);
    drop(rx);
    assert_eq!(limit.available(), 100);
    // In an error.
    let error = tx.try_send(weigh()).unwrap_err();
    assert_eq!(limit.available(), 90);
    assert_eq!(error.into_inner().into_inner(), Heavy(10));
    assert_eq!(limit.available(), 100);
    // In both classes of a mailbox, and in a shared lane.
    let (mut tx, rx) = mailbox(4, 4);
    tx.try_send_high(weigh()).unwrap();
    tx.try_send_low(weigh()).unwrap();
    let (shared, shared_rx) = channel(4);
    shared.shared().try_send(weigh()).unwrap();
    assert_eq!(limit.available(), 70);
    drop((tx, rx, shared_rx));
    assert_eq!(limit.available(), 100);
    // In a cancelled send.
    let (mut tx, _rx) = channel(1);
    tx.try_send(weigh()).unwrap();
    common::start_and_cancel(tx.send(weigh()));
    assert_eq!(limit.available(), 90);
}

#[test]
fn a_limit_is_of_one_class_or_of_several_channels() {
    let low_only = limit(10);
    let (mut tx, mut rx) = mailbox::<u32, Weighed<Heavy>>(4, 4);
    tx.try_send_low(low_only.try_weigh(Heavy(10)).unwrap())
        .unwrap();
    assert!(low_only.try_weigh(Heavy(1)).unwrap_err().is_full());
    tx.try_send_high(1).unwrap();
    assert_eq!(rx.try_recv().unwrap(), Message::High(1));

    let both = limit(10);
    let ((mut first, mut first_rx), (mut second, _second_rx)) = (channel(4), channel(4));
    first.try_send(both.try_weigh(Heavy(6)).unwrap()).unwrap();
    second.try_send(both.try_weigh(Heavy(4)).unwrap()).unwrap();
    assert!(both.clone().try_weigh(Heavy(1)).unwrap_err().is_full());
    assert_eq!(first_rx.try_recv().unwrap().into_inner(), Heavy(6));
    assert_eq!(both.available(), 6);
}

#[test]
fn permits_keep_what_they_reserved_and_give_back_the_rest() {
    let limit = limit(10);
    let permit = limit.try_reserve(8).unwrap();
    assert_eq!((permit.weight(), limit.available()), (8, 2));
    assert!(limit.try_reserve(3).unwrap_err().is_full());
    assert!(limit.try_reserve(11).unwrap_err().is_too_heavy());
    let message = permit.attach(Heavy(5)).unwrap();
    assert_eq!((message.weight(), limit.available()), (5, 5));
    // More than was reserved, though it would fit.
    let permit = common::now(limit.reserve(2)).unwrap();
    assert_eq!(permit.attach(Heavy(3)), Err(WeighError::TooHeavy(Heavy(3))));
    assert_eq!(limit.available(), 5);
    drop(limit.blocking_reserve(5).unwrap());
    assert_eq!(limit.available(), 5);
}

#[test]
fn close_ends_waits_and_leaves_messages_alone() {
    let limit = limit(10);
    let held = limit.try_weigh(Heavy(10)).unwrap();
    let permit_waits = limit.reserve(1);
    let (mut waits, mut permit_waits) = (pin!(limit.weigh(Heavy(3))), pin!(permit_waits));
    let (wakes, waker) = Wakes::new();
    assert!(common::poll(waits.as_mut(), &waker).is_pending());
    assert!(common::poll(permit_waits.as_mut(), &waker).is_pending());
    let parked = {
        let limit = limit.clone();
        thread::spawn(move || limit.blocking_weigh(Heavy(4)))
    };
    limit.close();
    assert!(limit.is_closed());
    assert_eq!(wakes.count(), 2);
    assert_eq!(
        common::poll(waits.as_mut(), &waker),
        Poll::Ready(Err(WeighError::Closed(Heavy(3))))
    );
    assert!(common::poll(permit_waits.as_mut(), &waker).is_ready());
    assert_eq!(parked.join().unwrap(), Err(WeighError::Closed(Heavy(4))));
    assert_eq!(
        limit.try_weigh(Heavy(1)),
        Err(TryWeighError::Closed(Heavy(1)))
    );
    assert_eq!(held.into_inner(), Heavy(10));
    assert_eq!(limit.available(), 10);
}

/// Whoever waits for weight learns of a receiver that is dropped: what is in the channel gives its weight back.
#[test]
fn a_wait_for_weight_ends_when_the_receiver_is_dropped() {
    let limit = limit(10);
    let (mut tx, rx) = channel(4);
    tx.try_send(limit.try_weigh(Heavy(10)).unwrap()).unwrap();
    let mut waits = pin!(async { tx.send(limit.weigh(Heavy(5)).await.unwrap()).await });
    assert!(common::poll(waits.as_mut(), Waker::noop()).is_pending());
    drop(rx);
    match common::poll(waits.as_mut(), Waker::noop()) {
        Poll::Ready(Err(error)) => assert_eq!(error.into_inner().into_inner(), Heavy(5)),
        other => panic!("{other:?}"),
    }
    assert_eq!(limit.available(), 10);
}

/// A weight function that panics takes nothing.
#[test]
fn a_weight_function_that_panics_takes_nothing() {
    let limit = WeightLimit::new(10, |message: &Arc<()>| {
        assert!(Arc::strong_count(message) < 3, "as the test wants it");
        1
    });
    let message = Arc::new(());
    let third = (message.clone(), message.clone());
    let permit = limit.try_reserve(5).unwrap();
    let panics = |f: &mut dyn FnMut()| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err());
    };
    panics(&mut || drop(limit.try_weigh(message.clone())));
    assert_eq!(limit.available(), 5);
    let mut permit = Some(permit);
    panics(&mut || drop(permit.take().unwrap().attach(message.clone())));
    assert_eq!(limit.available(), 10);
    drop(third);
    assert_eq!(Arc::strong_count(&message), 1);
}

/// Senders of different weights in threads and a receiver that takes its time with each.
#[test]
fn threads_never_exceed_the_limit_and_lose_nothing() {
    const SENDERS: usize = 4;
    const MESSAGES: usize = if cfg!(miri) { 20 } else { 3_000 };
    const MAX: usize = 50;
    let limit = limit(MAX);
    let out = Arc::new(AtomicUsize::new(0));
    let (tx, mut rx) = channel::<(usize, Weighed<Heavy>)>(8);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (mut tx, limit, out) = (tx.clone(), limit.clone(), out.clone());
            thread::spawn(move || {
                for n in 0..MESSAGES {
                    let weight = 1 + (n * 7 + sender * 13) % MAX;
                    let message = limit.blocking_weigh(Heavy(weight)).unwrap();
                    let total = out.fetch_add(weight, Ordering::SeqCst) + weight;
                    assert!(total <= MAX, "{total}");
                    tx.blocking_send((sender, message)).unwrap();
                }
            })
        })
        .collect();
    drop(tx);
    let mut next = [0; SENDERS];
    while let Some((sender, message)) = rx.blocking_recv() {
        assert_eq!(message.0, 1 + (next[sender] * 7 + sender * 13) % MAX);
        next[sender] += 1;
        out.fetch_sub(message.weight(), Ordering::SeqCst);
        drop(message);
    }
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    assert_eq!(next, [MESSAGES; SENDERS]);
    assert_eq!(limit.available(), MAX);
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Try(usize),
    Wait(usize),
    Poll(usize),
    Cancel(usize),
    Free(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..14usize).prop_map(Op::Try),
        3 => (0..14usize).prop_map(Op::Wait),
        2 => any::<usize>().prop_map(Op::Poll),
        1 => any::<usize>().prop_map(Op::Cancel),
        4 => any::<usize>().prop_map(Op::Free),
    ]
}

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Weighed<Heavy>, WeighError<Heavy>>> + 'a>>;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 1000 })
    })]

    /// Against a ledger of what is out: never above the limit, the first who waits is served as soon as it fits, and waits
    /// end in the order in which they began.
    #[test]
    fn a_ledger_of_weights(max in 1..13usize, ops in vec(op(), 1..80)) {
        let limit = limit(max);
        let mut out: Vec<Weighed<Heavy>> = Vec::new();
        // In the order in which they began, with what each wants.
        let mut waits: VecDeque<(Wait<'_>, usize, Arc<Wakes>, Waker)> = VecDeque::new();
        for op in ops {
            match op {
                Op::Try(weight) => match limit.try_weigh(Heavy(weight)) {
                    Ok(message) => out.push(message),
                    Err(TryWeighError::TooHeavy(back)) => {
                        prop_assert_eq!(back, Heavy(weight));
                        prop_assert!(weight > max);
                    }
                    Err(TryWeighError::Full(_)) => {
                        let one_waits = waits.iter().any(|wait| wait.2.count() == 0);
                        prop_assert!(one_waits || weight.max(1) > limit.available());
                    }
                    Err(TryWeighError::Closed(_)) => panic!("it is open"),
                },
                Op::Wait(weight) => {
                    let mut wait: Wait<'_> = Box::pin(limit.weigh(Heavy(weight)));
                    let (wakes, waker) = Wakes::new();
                    match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                        Poll::Ready(Ok(message)) => {
                            let all_served = waits.iter().all(|wait| wait.2.count() > 0);
                            prop_assert!(all_served, "it has overtaken");
                            out.push(message);
                        }
                        Poll::Ready(Err(error)) => {
                            prop_assert!(error.is_too_heavy() && weight > max);
                        }
                        Poll::Pending => waits.push_back((wait, weight.max(1), wakes, waker)),
                    }
                }
                Op::Poll(index) if !waits.is_empty() => {
                    let index = index % waits.len();
                    let (wait, _, wakes, waker) = &mut waits[index];
                    let woken = wakes.count() > 0;
                    let polled = wait.as_mut().poll(&mut Context::from_waker(waker));
                    prop_assert_eq!(woken, polled.is_ready());
                    if let Poll::Ready(result) = polled {
                        out.push(result.unwrap());
                        waits.remove(index);
                    }
                }
                Op::Cancel(index) if !waits.is_empty() => {
                    let index = index % waits.len();
                    drop(waits.remove(index));
                }
                Op::Free(index) if !out.is_empty() => drop(out.swap_remove(index % out.len())),
                Op::Poll(_) | Op::Cancel(_) | Op::Free(_) => {}
            }
            // What is out, and what was granted to waits that have not learnt of it.
            let granted: usize = waits.iter().filter(|wait| wait.2.count() > 0).map(|wait| wait.1).sum();
            let used = granted + out.iter().map(Weighed::weight).sum::<usize>();
            prop_assert_eq!(limit.available(), max - used);
            let first = waits.iter().position(|wait| wait.2.count() == 0);
            if let Some(first) = first {
                prop_assert!(waits[first].1 > max - used, "the first who waits was forgotten");
                prop_assert!(waits.iter().skip(first).all(|wait| wait.2.count() == 0), "out of order");
            }
        }
        waits.clear();
        out.clear();
        prop_assert_eq!(limit.available(), max);
    }
}
