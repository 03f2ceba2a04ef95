//! Promise 2, after many low-priority senders were dropped at once: their lanes are given up and
//! freed a few at a time, and a high-priority message comes in between.
//!
//! In a binary of its own: its global allocator sends a message when something is freed.
#![cfg(not(loom))]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
};

use lanemesh::{MailboxBuilder, MailboxSender, Message};

const GONE: usize = if cfg!(miri) { 300 } else { 10_000 };
/// The most frees per lane, times the lanes between two looks at the high class.
const BOUND: usize = 8 * 4;

thread_local! {
    /// Sends a high-priority message at the next free.
    static ARMED: RefCell<Option<MailboxSender<u32, u32>>> = const { RefCell::new(None) };
    /// The sender that has sent it, kept because dropping it here would free something.
    static FIRED: Cell<Option<MailboxSender<u32, u32>>> = const { Cell::new(None) };
    static FREES: Cell<usize> = const { Cell::new(0) };
}

struct Allocator;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` comes from `alloc` above, which took it from the system.
        unsafe { System.dealloc(memory, layout) };
        let _ = FREES.try_with(|frees| frees.set(frees.get() + 1));
        let armed =
            ARMED.try_with(|armed| armed.try_borrow_mut().ok().and_then(|mut tx| tx.take()));
        if let Ok(Some(mut tx)) = armed {
            tx.try_send_high(1).unwrap();
            FREES.set(0);
            FIRED.set(Some(tx));
        }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[test]
fn high_comes_between_the_lanes_of_senders_that_have_gone() {
    let (mut tx, mut rx) = MailboxBuilder::new(4, 4)
        .low(|low| low.shared_slots(0))
        .build();
    tx.try_send_high(0).unwrap();
    assert_eq!(rx.try_recv(), Ok(Message::High(0)));
    let mut senders: Vec<_> = (0..GONE).map(|_| tx.clone()).collect();
    for sender in &mut senders {
        sender.try_send_low(2).unwrap();
    }
    assert_eq!(rx.try_iter().count(), GONE);
    drop(senders);
    assert!(rx.stats().low.lanes_open > GONE / 2);
    ARMED.set(Some(tx));
    assert_eq!(rx.try_recv(), Ok(Message::High(1)));
    let frees = FREES.get();
    assert!(
        frees <= BOUND,
        "{frees} frees before the high-priority message"
    );
    assert!(rx.try_recv().is_err());
    drop(FIRED.take());
    // The receiver lingers over the last one.
    assert!(rx.stats().low.lanes_open <= 1);
}
