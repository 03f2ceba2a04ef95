//! A subscriber that forwards events through the channel that emits them. It is set for the process, which is why
//! this is a binary of its own.
#![cfg(all(feature = "tracing", not(loom)))]

use std::{
    cell::Cell,
    sync::{Once, OnceLock},
};

use lanemesh::{SharedSender, channel};
use tracing::{Event, Level, Metadata, Subscriber, span};

static SENDER: OnceLock<SharedSender<&'static str>> = OnceLock::new();

thread_local! {
    /// Whether events of this thread are forwarded: the senders that are made for it would be counted, too.
    static FORWARDS: Cell<bool> = const { Cell::new(false) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static EVENTS: Cell<usize> = const { Cell::new(0) };
    static WARNINGS: Cell<usize> = const { Cell::new(0) };
}

struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        EVENTS.set(EVENTS.get() + 1);
        if *event.metadata().level() == Level::WARN {
            WARNINGS.set(WARNINGS.get() + 1);
        }
        // What it does itself emits events too.
        if !FORWARDS.get() || DEPTH.get() > 2 {
            return;
        }
        DEPTH.set(DEPTH.get() + 1);
        if let Some(tx) = SENDER.get() {
            let _ = tx.try_send(event.metadata().name());
            let _ = tx.sender().try_send("its own lane");
            let _ = tx.sender().shared().try_send("a lane to be shared");
        }
        DEPTH.set(DEPTH.get() - 1);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn subscribe() {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Forward).unwrap());
}

/// A clone for each message is told of once for each channel, and only if there are many in a row.
#[test]
fn senders_of_one_message_each_are_told_of_once() {
    subscribe();
    let warnings = |senders: usize, others: usize| {
        let (mut tx, mut rx) = channel(8);
        let before = WARNINGS.get();
        for n in 0..senders {
            tx.clone().try_send(1).unwrap();
            if others > 0 && n % others == 0 {
                let mut other = tx.clone();
                other.try_send(2).unwrap();
                other.try_send(3).unwrap();
            }
            tx.try_send(4).unwrap();
            assert!(rx.try_iter().count() >= 2);
        }
        assert_eq!(rx.stats().brief_lanes, senders as u64);
        WARNINGS.get() - before
    };
    assert_eq!(warnings(63, 0), 0);
    assert_eq!(warnings(64, 0), 1);
    assert_eq!(warnings(300, 0), 1);
    assert_eq!(warnings(300, 60), 0);
    // The clones of a shared sender have one lane.
    let (tx, mut rx) = channel(8);
    let tx = tx.shared();
    let before = WARNINGS.get();
    for _ in 0..100 {
        tx.clone().try_send(1).unwrap();
        assert_eq!(rx.try_iter().count(), 1);
    }
    assert_eq!((rx.stats().brief_lanes, WARNINGS.get()), (0, before));
}

/// monarch#3690: the subscriber waited for the lock under which it was called.
#[test]
fn a_subscriber_sends_through_the_sender_that_emits() {
    let (tx, mut rx) = channel(64);
    let other = tx.clone();
    assert!(SENDER.set(tx.shared()).is_ok());
    FORWARDS.set(true);
    subscribe();
    tracing::info!("an event of the program");
    for _ in 0..10 {
        let shared = other.clone().shared();
        shared.try_send("sent").unwrap();
        let mut own = shared.sender();
        own.try_send("sent").unwrap();
        drop((shared, own));
        // Not all: that a lane has ended is an event, and so there is always more.
        assert_eq!(rx.try_iter().take(20).count(), 20);
    }
    rx.close();
    while rx.try_recv().is_ok() {}
    drop(rx);
    assert!(EVENTS.get() > 10);
}
