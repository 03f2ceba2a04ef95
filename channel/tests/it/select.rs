//! Waiting for several receivers as a thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use lanemesh::{Message, Receiver, Select, Sender, TryRecvError, channel, mailbox};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 300 };

#[test]
fn what_is_ready_is_named_and_left_where_it_is() {
    let (mut a, mut rx_a) = channel(2);
    let (mut b, mut rx_b) = mailbox::<u8, u8>(2, 2);
    assert_eq!(
        Select::new().recv(&mut rx_a).recv(&mut rx_b).try_ready(),
        None
    );
    b.try_send_low(1).unwrap();
    for _ in 0..4 {
        assert_eq!(
            Select::new().recv(&mut rx_a).recv(&mut rx_b).try_ready(),
            Some(1)
        );
        assert_eq!(Select::new().recv(&mut rx_a).recv(&mut rx_b).ready(), 1);
        // The high class alone has nothing.
        assert_eq!(
            Select::new()
                .recv(&mut rx_a)
                .recv(&mut rx_b.high())
                .try_ready(),
            None
        );
        assert_eq!(Select::new().recv(&mut rx_b.low()).try_ready(), Some(0));
    }
    assert_eq!(rx_b.try_recv(), Ok(Message::Low(1)));
    a.try_send(2).unwrap();
    assert_eq!(Select::new().recv(&mut rx_b).recv(&mut rx_a).ready(), 1);
    assert_eq!(rx_a.try_recv(), Ok(2));
}

#[test]
fn a_closed_receiver_is_ready_once_it_is_drained_and_may_be_left_out() {
    let (mut a, mut rx_a) = channel(2);
    let (b, mut rx_b) = channel::<u8>(2);
    a.try_send(1).unwrap();
    drop(a);
    assert_eq!(Select::new().recv(&mut rx_a).recv(&mut rx_b).ready(), 0);
    assert_eq!(rx_a.try_recv(), Ok(1));
    assert_eq!(Select::new().recv(&mut rx_a).recv(&mut rx_b).ready(), 0);
    assert_eq!(rx_a.try_recv(), Err(TryRecvError::Closed));
    let select = Select::new().recv_if(false, &mut rx_a).recv(&mut rx_b);
    assert_eq!(select.ready_deadline(Instant::now()), None);
    drop(b);
    let select = Select::new().recv_if(false, &mut rx_a).recv(&mut rx_b);
    assert_eq!(select.ready(), 1);
}

#[test]
fn a_time_out_of_zero_looks_once() {
    let (mut tx, mut rx) = channel(1);
    assert_eq!(
        Select::new().recv(&mut rx).ready_timeout(Duration::ZERO),
        None
    );
    tx.try_send(1).unwrap();
    assert_eq!(
        Select::new().recv(&mut rx).ready_timeout(Duration::ZERO),
        Some(0)
    );
    assert_eq!(Select::new().ready_timeout(Duration::ZERO), None);
    let past = Instant::now();
    assert_eq!(Select::new().recv(&mut rx).ready_deadline(past), Some(0));
}

#[test]
fn a_wait_that_times_out_leaves_no_waker() {
    let (mut tx, mut rx) = channel(1);
    let (_other, mut rx_other) = channel::<u8>(1);
    fn wait(rx: &mut Receiver<u8>, other: &mut Receiver<u8>) -> Option<usize> {
        Select::new()
            .recv(rx)
            .recv(other)
            .ready_timeout(Duration::from_nanos(1))
    }
    assert_eq!(wait(&mut rx, &mut rx_other), None);
    let wakeups = rx.stats().wakeups;
    tx.try_send(1).unwrap();
    assert_eq!(wait(&mut rx, &mut rx_other), Some(0));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.stats().wakeups, wakeups, "it did not sleep any more");
}

#[test]
#[should_panic(expected = "a wait for no receiver would not end")]
fn a_wait_for_nothing_panics() {
    let (_tx, mut rx) = channel::<u8>(1);
    Select::new().recv_if(false, &mut rx).ready();
}

/// How often each of `count` receivers is named in a hundred rounds, in which `others` other waits come in between.
fn turns(count: usize, others: usize) -> Vec<usize> {
    let mut ends: Vec<_> = (0..count).map(|_| channel(1)).collect();
    for (tx, _) in &mut ends {
        tx.try_send(1).unwrap();
    }
    let mut named = vec![0; count];
    for _ in 0..100 {
        let mut select = Select::new();
        for (_, rx) in &mut ends {
            select = select.recv(rx);
        }
        named[select.ready()] += 1;
        for _ in 0..others {
            assert!(Select::new().recv(&mut ends[0].1).try_ready().is_some());
        }
    }
    named
}

#[test]
fn receivers_that_are_ready_take_turns() {
    for count in 1..6 {
        for others in 0..5 {
            let named = turns(count, others);
            let least = 100 / count / 2;
            assert!(
                named.iter().all(|&turns| turns >= least),
                "{count}, {others}: {named:?}"
            );
        }
    }
}

/// Everything that three threads send arrives, in the order of each, whichever receiver the thread is parked for.
#[test]
fn a_parked_thread_is_woken_by_each_of_its_receivers() {
    let (mut a, mut rx_a) = channel(2);
    let (mut b, mut rx_b) = mailbox(2, 2);
    // One message at a time: the next is sent when the one before has been received.
    let (done, turn) = mpsc::channel();
    let sender = thread::spawn(move || {
        for n in 0..ROUNDS {
            match n % 3 {
                0 => a.try_send(n).unwrap(),
                1 => b.try_send_high(n).unwrap(),
                _ => b.try_send_low(n).unwrap(),
            }
            turn.recv().unwrap();
        }
    });
    for n in 0..ROUNDS {
        let ready = Select::new().recv(&mut rx_a).recv(&mut rx_b).ready();
        let (expected, received) = match ready {
            0 => (0, rx_a.try_recv().unwrap()),
            _ => match rx_b.try_recv().unwrap() {
                Message::High(n) => (1, n),
                Message::Low(n) => (2, n),
            },
        };
        assert_eq!((n % 3, n), (expected, received));
        done.send(()).unwrap();
    }
    sender.join().unwrap();
    assert_eq!(Select::new().recv(&mut rx_a).ready(), 0);
    assert_eq!(rx_a.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn many_senders_to_many_receivers_lose_nothing() {
    let ends: Vec<(Sender<usize>, Receiver<usize>)> = (0..4).map(|_| channel(3)).collect();
    let (senders, mut receivers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    let threads: Vec<_> = senders
        .into_iter()
        .map(|mut tx| {
            thread::spawn(move || {
                for n in 0..ROUNDS {
                    tx.blocking_send(n).unwrap();
                }
            })
        })
        .collect();
    let mut next = [Some(0); 4];
    while next.iter().any(Option::is_some) {
        let mut select = Select::new();
        for (rx, next) in receivers.iter_mut().zip(next) {
            select = select.recv_if(next.is_some(), rx);
        }
        let index = select.ready();
        let expected = next[index].unwrap();
        match receivers[index].try_recv() {
            Ok(n) => {
                assert_eq!(n, expected);
                next[index] = Some(n + 1);
            }
            Err(error) => {
                assert_eq!((error, expected), (TryRecvError::Closed, ROUNDS));
                next[index] = None;
            }
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A close is a reason to wake up, too.
#[test]
fn last_sender_drop_while_select_waits() {
    for round in 0..ROUNDS / 10 {
        let (tx, mut rx) = channel::<u8>(1);
        let (_open, mut other) = channel::<u8>(1);
        let thread = thread::spawn(move || drop(tx));
        let select = Select::new().recv(&mut other).recv(&mut rx);
        assert_eq!(select.ready(), 1, "round {round}");
        thread.join().unwrap();
    }
}

#[test]
fn a_select_that_is_dropped_has_done_nothing() {
    let (mut tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let unused = catch_unwind(AssertUnwindSafe(|| {
        let _select = Select::new().recv(&mut rx);
        panic!("as intended");
    }));
    assert!(unused.is_err());
    assert_eq!(rx.try_recv(), Ok(1));
}
