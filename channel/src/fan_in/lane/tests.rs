//! Sends whose ring cannot be allocated: every message is sent, given back or dropped, and the lane goes on.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use crate::{Builder, Receiver, Sender};

thread_local! {
    /// Rings that may be allocated before one cannot be.
    static RINGS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Called before a ring is allocated.
pub(super) fn allocate_ring() {
    let left = RINGS_LEFT.get();
    assert!(left > 0, "no memory for a ring");
    RINGS_LEFT.set(left - 1);
}

/// Whether the next ring is one for which there is no memory.
pub(super) fn is_out_of_memory() -> bool {
    RINGS_LEFT.get() == 0
}

/// Runs `f`, which panics when it has allocated `rings` rings and comes to the next.
fn run_out_after<R>(rings: usize, f: impl FnOnce() -> R) {
    RINGS_LEFT.set(rings);
    let result = catch_unwind(AssertUnwindSafe(f));
    RINGS_LEFT.set(usize::MAX);
    assert!(result.is_err(), "a ring was to be allocated");
}

/// A message that counts how many are alive.
struct Counted(u32, Rc<()>);

fn ends() -> (Sender<Counted>, Receiver<Counted>, impl FnMut() -> Counted) {
    let (tx, rx) = Builder::new(64).first_ring(2).shared_slots(0).build();
    let alive = Rc::new(());
    let mut next = 0;
    let message = move || {
        next += 1;
        Counted(next - 1, alive.clone())
    };
    (tx, rx, message)
}

/// Numbers of the messages received, with the count of all that are alive beside.
fn received(rx: &mut Receiver<Counted>) -> Vec<u32> {
    rx.try_iter().map(|message| message.0).collect()
}

#[test]
fn a_message_whose_ring_cannot_be_allocated_is_dropped_once() {
    for sent_before in [1, 3] {
        let (mut tx, mut rx, mut message) = ends();
        // The first goes with the lane itself.
        (0..sent_before).for_each(|_| drop(tx.try_send(message())));
        let lost = message();
        let alive = lost.1.clone();
        run_out_after(0, || tx.try_send(lost));
        assert_eq!(Rc::strong_count(&alive), 2 + sent_before as usize);
        assert!(tx.try_send(message()).is_ok());
        let expected: Vec<_> = (0..sent_before).chain([sent_before + 1]).collect();
        assert_eq!(received(&mut rx), expected);
        assert_eq!(Rc::strong_count(&alive), 2);
    }
}

#[test]
fn a_batch_whose_ring_cannot_be_allocated_is_sent_in_part_and_kept_for_the_rest() {
    let (mut tx, mut rx, mut message) = ends();
    let mut batch: Vec<_> = (0..20).map(|_| message()).collect();
    let alive = batch[0].1.clone();
    // Rings of 2 and 8 messages.
    run_out_after(2, || tx.try_send_vec(&mut batch));
    assert_eq!(
        batch.iter().map(|m| m.0).collect::<Vec<_>>(),
        (10..20).collect::<Vec<_>>()
    );
    assert_eq!(received(&mut rx), (0..10).collect::<Vec<_>>());
    assert_eq!(tx.try_send_vec(&mut batch), Ok(10));
    assert_eq!(received(&mut rx), (10..20).collect::<Vec<_>>());
    assert_eq!(Rc::strong_count(&alive), 2);
}

/// Messages of 2 KiB: 32 in each ring but the first ones.
type Large = [u16; 1024];

fn unbounded() -> (Sender<Large>, Receiver<Large>) {
    Builder::unbounded().first_ring(2).shared_slots(0).build()
}

#[test]
fn an_unbounded_lane_refuses_a_message_only_when_there_is_no_memory() {
    let (mut tx, mut rx) = unbounded();
    // In the slot, and in a ring of 2.
    (0..3).for_each(|n| tx.try_send([n; 1024]).unwrap());
    RINGS_LEFT.set(0);
    let refused = tx.try_send([3; 1024]).unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.into_inner()[1023], 3);
    // What the receiver takes makes room in the ring that is there.
    assert_eq!(rx.try_iter().map(|m| m[0]).collect::<Vec<_>>(), [0, 1, 2]);
    (4..6).for_each(|n| tx.try_send([n; 1024]).unwrap());
    assert!(tx.try_send([7; 1024]).unwrap_err().is_full());
    RINGS_LEFT.set(usize::MAX);
    tx.try_send([8; 1024]).unwrap();
    assert_eq!(rx.try_iter().map(|m| m[0]).collect::<Vec<_>>(), [4, 5, 8]);
}

#[test]
fn a_batch_through_many_rings_of_an_unbounded_lane_is_kept_for_the_rest_when_one_cannot_be_allocated()
 {
    let (mut tx, mut rx) = unbounded();
    let mut batch: Vec<Large> = (0..200).map(|n| [n; 1024]).collect();
    // Rings of 2, 8, 32 and 32 messages.
    run_out_after(4, || tx.try_send_vec(&mut batch));
    assert_eq!(batch.first().map(|m| m[0]), Some(74));
    assert_eq!(tx.len(), 74);
    assert_eq!(tx.try_send_vec(&mut batch), Ok(126));
    let received: Vec<_> = rx.try_iter().map(|m| m[0]).collect();
    assert_eq!(received, (0..200).collect::<Vec<_>>());
    assert!(tx.is_empty());
}

/// Whatever is left of a batch when the channel closes is with the sender or with the receiver.
#[test]
fn an_unbounded_lane_that_closes_within_a_batch_gives_the_rest_back() {
    for taken in [0, 1, 40, 150] {
        let (mut tx, mut rx) = unbounded();
        let mut batch: Vec<Large> = (0..150).map(|n| [n; 1024]).collect();
        assert_eq!(tx.try_send_vec(&mut batch), Ok(150));
        let mut received: Vec<_> = rx.try_iter().take(taken).map(|m| m[0]).collect();
        rx.close();
        batch.push([150; 1024]);
        assert!(tx.try_send_vec(&mut batch).is_err());
        assert_eq!(batch.len(), 1);
        received.extend(rx.try_iter().map(|m| m[0]));
        assert_eq!(received, (0..150).collect::<Vec<_>>());
    }
}
