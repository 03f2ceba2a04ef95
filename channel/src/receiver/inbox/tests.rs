//! A sender's waker panics where the receiver wakes it. Here a sender waits while its lane is
//! empty, which outside of tests takes a race.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Wake, Waker},
};

use super::{Inbox, Sleep};
use crate::{
    Builder,
    fan_in::{FanIn, handle::FanInRef, lane::tx::LaneTx},
    sync::wake_all::WakeAll,
};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

type Message = Arc<u32>;

/// An inbox, and the token that its messages hold.
struct Receiving {
    inbox: Inbox<Message>,
    messages: Vec<Message>,
}

impl Receiving {
    fn new(builder: Builder) -> Self {
        Self {
            inbox: Inbox::new(FanInRef::new(builder.first_ring(1).0)),
            messages: (0..10).map(Arc::new).collect(),
        }
    }

    fn lane(&self) -> LaneTx<Message> {
        self.inbox.fan_in.open_lane().unwrap()
    }

    fn send(&self, lane: &mut LaneTx<Message>, messages: std::ops::Range<usize>) {
        for message in &self.messages[messages] {
            let FanIn { ready, config, .. } = &*self.inbox.fan_in;
            assert!(lane.send_ring(ready, config, message.clone()).is_ok());
        }
    }

    fn next(&mut self) -> Option<u32> {
        self.inbox.try_next().map(|message| *message)
    }

    /// Makes `lane` wait, then runs `f`, which must wake its waker.
    #[track_caller]
    fn panics<R>(&mut self, lane: &mut LaneTx<Message>, f: impl FnOnce(&mut Inbox<Message>) -> R) {
        self.inbox.fan_in.ready.expect_waiting();
        assert!(lane.wait(&Waker::from(Arc::new(Panics))));
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut self.inbox)));
        assert!(result.is_err(), "the panic comes through");
    }

    /// Checks that the lane still works, and that each message was dropped.
    #[track_caller]
    fn end(mut self, mut lane: LaneTx<Message>) {
        self.send(&mut lane, 8..9);
        assert_eq!(self.next(), Some(8));
        assert_eq!(self.next(), None);
        assert_eq!(sleep(&mut self.inbox), Sleep::Asleep);
        self.send(&mut lane, 9..10);
        assert_eq!(self.next(), Some(9));
        assert!(
            lane.close(&self.inbox.fan_in.ready, &mut WakeAll::default())
                .is_none()
        );
        assert_eq!(self.next(), None);
        assert_eq!(sleep(&mut self.inbox), Sleep::Asleep);
        assert_eq!(self.inbox.stats().depth, 0);
        for message in self.messages {
            assert_eq!(Arc::strong_count(&message), 1, "{message} is left");
        }
    }
}

/// Sleeps or finds the channel closed; messages found meanwhile are left.
fn sleep(inbox: &mut Inbox<Message>) -> Sleep {
    for _ in 0..100 {
        let sleep = inbox.sleep(Waker::noop());
        if matches!(sleep, Sleep::Asleep | Sleep::Closed) || inbox.has_next() {
            return sleep;
        }
    }
    panic!("it never sleeps")
}

#[test]
fn where_half_of_the_lane_was_taken() {
    let mut rx = Receiving::new(Builder::new(8));
    let mut lane = rx.lane();
    rx.send(&mut lane, 0..8);
    assert_eq!(
        (rx.next(), rx.next(), rx.next()),
        (Some(0), Some(1), Some(2))
    );
    // The message that was just taken is lost in the panic.
    rx.panics(&mut lane, Inbox::try_next);
    assert_eq!(rx.inbox.stats().messages, 4);
    for n in 4..8 {
        assert_eq!(rx.next(), Some(n));
    }
    assert_eq!(rx.next(), None);
    rx.end(lane);
}

#[test]
fn where_half_of_the_lane_was_taken_in_one_batch() {
    let mut rx = Receiving::new(Builder::new(8));
    let mut lane = rx.lane();
    rx.send(&mut lane, 0..8);
    let mut got = Vec::new();
    rx.panics(&mut lane, |inbox| inbox.try_next_many(&mut got, 8));
    assert_eq!(got.len(), 4);
    assert_eq!(rx.inbox.try_next_many(&mut got, 8), 4);
    assert_eq!(got, rx.messages[..8]);
    drop(got);
    rx.end(lane);
}

#[test]
fn where_the_receiver_goes_on_to_another_lane() {
    let mut rx = Receiving::new(Builder::new(8).burst(2));
    let (mut lane, mut other) = (rx.lane(), rx.lane());
    rx.send(&mut lane, 0..4);
    rx.send(&mut other, 4..8);
    // The list is taken newest first.
    assert_eq!((rx.next(), rx.next()), (Some(4), Some(5)));
    assert_eq!((rx.next(), rx.next()), (Some(0), Some(1)));
    rx.panics(&mut lane, Inbox::try_next);
    let rest = [6, 7, 2, 3].map(Some);
    assert_eq!([rx.next(), rx.next(), rx.next(), rx.next()], rest);
    assert_eq!(rx.next(), None);
    assert!(
        other
            .close(&rx.inbox.fan_in.ready, &mut WakeAll::default())
            .is_none()
    );
    rx.end(lane);
}

#[test]
fn where_the_receiver_lingers() {
    let mut rx = Receiving::new(Builder::new(8));
    let mut lane = rx.lane();
    rx.send(&mut lane, 0..1);
    assert_eq!(rx.next(), Some(0));
    rx.panics(&mut lane, Inbox::try_next);
    rx.send(&mut lane, 1..3);
    assert_eq!((rx.next(), rx.next(), rx.next()), (Some(1), Some(2), None));
    rx.end(lane);
}

#[test]
fn where_the_receiver_gives_a_lane_up_to_sleep() {
    let mut rx = Receiving::new(Builder::new(8));
    let mut lane = rx.lane();
    rx.send(&mut lane, 0..1);
    assert_eq!((rx.next(), rx.next()), (Some(0), None));
    rx.panics(&mut lane, sleep);
    rx.send(&mut lane, 1..2);
    assert_eq!((rx.next(), rx.next()), (Some(1), None));
    rx.end(lane);
}

/// The message came between the receiver's last look and its giving the lane up.
#[test]
fn where_the_receiver_takes_a_lane_back_that_it_gave_up_to_sleep() {
    let mut rx = Receiving::new(Builder::new(8));
    let mut lane = rx.lane();
    rx.send(&mut lane, 0..1);
    assert_eq!((rx.next(), rx.next()), (Some(0), None));
    rx.send(&mut lane, 1..3);
    rx.panics(&mut lane, |inbox| inbox.sleep(Waker::noop()));
    assert_eq!((rx.next(), rx.next(), rx.next()), (Some(1), Some(2), None));
    rx.end(lane);
}

#[test]
fn where_the_receiver_gives_a_lane_up_for_another() {
    let mut rx = Receiving::new(Builder::new(8));
    let (mut lane, mut other) = (rx.lane(), rx.lane());
    rx.send(&mut lane, 0..1);
    assert_eq!((rx.next(), rx.next()), (Some(0), None));
    rx.send(&mut other, 1..3);
    rx.panics(&mut lane, Inbox::try_next);
    rx.send(&mut lane, 3..4);
    let mut got = [rx.next(), rx.next(), rx.next()];
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3].map(Some));
    assert_eq!(rx.next(), None);
    assert!(
        other
            .close(&rx.inbox.fan_in.ready, &mut WakeAll::default())
            .is_none()
    );
    rx.end(lane);
}

#[test]
fn where_the_channel_closes() {
    let mut rx = Receiving::new(Builder::new(8).burst(1));
    let mut lanes = [rx.lane(), rx.lane(), rx.lane(), rx.lane()];
    // One lane was put off, one is current, one is next, and one is on the list.
    for (n, lane) in lanes.iter_mut().enumerate() {
        if n == 3 {
            assert_eq!((rx.next(), rx.next()), (Some(4), Some(2)));
        }
        rx.send(lane, 2 * n..2 * n + 2);
    }
    for lane in &mut lanes {
        assert!(lane.wait(&Waker::from(Arc::new(Panics))));
    }
    let closed = catch_unwind(AssertUnwindSafe(|| rx.inbox.close()));
    assert!(closed.is_err(), "the panic comes through");
    rx.inbox.close();
    let mut got = [0; 6].map(|_| rx.next().unwrap());
    got.sort_unstable();
    assert_eq!(got, [0, 1, 3, 5, 6, 7]);
    assert_eq!(rx.next(), None);
    assert_eq!(sleep(&mut rx.inbox), Sleep::Closed);
    for lane in lanes {
        lane.close(&rx.inbox.fan_in.ready, &mut WakeAll::default());
    }
    for message in rx.messages {
        assert_eq!(Arc::strong_count(&message), 1, "{message} is left");
    }
}

/// Unfenced lanes take other paths.
#[cfg(all(
    feature = "membarrier",
    any(target_os = "linux", target_os = "android"),
    not(miri)
))]
mod unfenced {
    use super::*;

    /// An inbox with an unfenced lane from which it has taken messages.
    fn unfenced(capacity: usize) -> (Receiving, LaneTx<Message>) {
        crate::register_membarrier().unwrap();
        let mut rx = Receiving::new(Builder::new(capacity).burst(2).unfenced_after(1));
        let mut lane = rx.lane();
        rx.send(&mut lane, 0..3);
        assert_eq!(
            (rx.next(), rx.next(), rx.next()),
            (Some(0), Some(1), Some(2))
        );
        assert!(rx.inbox.fences.is_active());
        (rx, lane)
    }

    #[test]
    fn where_the_receiver_lingers_over_an_unfenced_lane() {
        let (mut rx, mut lane) = unfenced(64);
        rx.panics(&mut lane, Inbox::try_next);
        rx.send(&mut lane, 3..5);
        assert_eq!((rx.next(), rx.next(), rx.next()), (Some(3), Some(4), None));
        rx.end(lane);
    }

    #[test]
    fn where_the_receiver_goes_on_from_an_unfenced_lane() {
        let (mut rx, mut lane) = unfenced(64);
        let mut other = rx.lane();
        rx.send(&mut other, 3..5);
        rx.panics(&mut lane, Inbox::try_next);
        assert_eq!((rx.next(), rx.next(), rx.next()), (Some(3), Some(4), None));
        rx.send(&mut lane, 5..7);
        assert_eq!((rx.next(), rx.next(), rx.next()), (Some(5), Some(6), None));
        other.close(&rx.inbox.fan_in.ready, &mut WakeAll::default());
        rx.end(lane);
    }
}
