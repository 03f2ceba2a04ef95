//! Handles may be used across `catch_unwind`: all are unwind-safe for messages that are not. That a channel goes on after
//! a panic inside it is shown by `panicking_wakers`, `drops` and `reentrancy`.

use std::{
    cell::Cell,
    panic::{RefUnwindSafe, UnwindSafe, catch_unwind},
};

use lanemesh::{
    ClassReceiver, IntoIter, Iter, MailboxReceiver, MailboxSender, Permit, Receiver, Sender,
    SharedMailboxSender, SharedSender, TryIter, WeakMailboxSender, WeakSender, channel, mailbox,
};

/// Neither `UnwindSafe` nor `RefUnwindSafe`.
type Message = (&'static mut u8, Cell<u8>);

const fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

const _: () = {
    unwind_safe::<Sender<Message>>();
    unwind_safe::<SharedSender<Message>>();
    unwind_safe::<WeakSender<Message>>();
    unwind_safe::<Permit<'_, Message>>();
    unwind_safe::<Receiver<Message>>();
    unwind_safe::<Iter<'_, Message>>();
    unwind_safe::<TryIter<'_, Message>>();
    unwind_safe::<IntoIter<Message>>();
    unwind_safe::<MailboxSender<Message, Message>>();
    unwind_safe::<SharedMailboxSender<Message, Message>>();
    unwind_safe::<WeakMailboxSender<Message, Message>>();
    unwind_safe::<MailboxReceiver<Message, Message>>();
    unwind_safe::<ClassReceiver<'_, Message>>();
};

/// Their types have no names.
#[test]
fn the_iterators_of_a_mailbox_are_unwind_safe() {
    fn check<T: UnwindSafe + RefUnwindSafe>(_: T) {}
    let (_tx, mut rx) = mailbox::<Message, Message>(1, 1);
    check(rx.iter());
    check(rx.try_iter());
}

#[test]
fn handles_move_into_a_closure_that_panics() {
    let (mut tx, mut rx) = channel(4);
    let weak = tx.downgrade();
    let panicked = catch_unwind(move || {
        tx.try_send(1).unwrap();
        panic!("a task panics");
    });
    assert!(panicked.is_err());
    assert!(weak.upgrade().is_none(), "the sender was dropped");
    let received = catch_unwind(move || rx.try_iter().collect::<Vec<_>>());
    assert_eq!(received.unwrap(), [1]);
}
