//! Handles may be used across `catch_unwind`: all are unwind-safe for messages that are not. That a channel goes on after
//! a panic inside it is shown by `panicking_wakers`, `drops` and `reentrancy`.

use std::{
    cell::Cell,
    panic::{RefUnwindSafe, UnwindSafe, catch_unwind},
};

use lanemesh::{
    ClassIter, ClassReceiver, ClassTryIter, IntoIter, Iter, MailboxIntoIter, MailboxIter,
    MailboxReceiver, MailboxSender, MailboxTryIter, OwnedPermit, Permit, Permits, Receiver, Sender,
    SharedMailboxSender, SharedOwnedPermit, SharedPermit, SharedPermits, SharedSender, TryIter,
    WeakMailboxSender, WeakSender, WeakSharedMailboxSender, WeakSharedSender, WeightLimit,
    WeightPermit, channel,
    mesh::{
        MailboxMembership, MailboxMeshReceiver, MailboxMeshSender, MeshReceiver, MeshSender,
        WeakMeshSender,
    },
};

/// Neither `UnwindSafe` nor `RefUnwindSafe`.
type Message = (&'static mut u8, Cell<u8>);

const fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

const _: () = {
    unwind_safe::<Sender<Message>>();
    unwind_safe::<SharedSender<Message>>();
    unwind_safe::<WeakSender<Message>>();
    unwind_safe::<WeakSharedSender<Message>>();
    unwind_safe::<Permit<'_, Message>>();
    unwind_safe::<Permits<'_, Message>>();
    unwind_safe::<OwnedPermit<Message>>();
    unwind_safe::<SharedPermit<'_, Message>>();
    unwind_safe::<SharedPermits<'_, Message>>();
    unwind_safe::<SharedOwnedPermit<Message>>();
    unwind_safe::<Receiver<Message>>();
    unwind_safe::<Iter<'_, Message>>();
    unwind_safe::<TryIter<'_, Message>>();
    unwind_safe::<IntoIter<Message>>();
    unwind_safe::<MailboxSender<Message, Message>>();
    unwind_safe::<SharedMailboxSender<Message, Message>>();
    unwind_safe::<WeakMailboxSender<Message, Message>>();
    unwind_safe::<WeakSharedMailboxSender<Message, Message>>();
    unwind_safe::<MailboxReceiver<Message, Message>>();
    unwind_safe::<ClassReceiver<'_, Message>>();
    unwind_safe::<MailboxIter<'_, Message, Message>>();
    unwind_safe::<MailboxTryIter<'_, Message, Message>>();
    unwind_safe::<MailboxIntoIter<Message, Message>>();
    unwind_safe::<ClassIter<'_, Message>>();
    unwind_safe::<ClassTryIter<'_, Message>>();
    unwind_safe::<WeightLimit<Message>>();
    unwind_safe::<WeightPermit<Message>>();
    unwind_safe::<MeshSender<Message>>();
    unwind_safe::<WeakMeshSender<Message>>();
    unwind_safe::<MeshReceiver<Message>>();
    unwind_safe::<MailboxMeshSender<Message, Message>>();
    unwind_safe::<MailboxMeshReceiver<Message, Message>>();
    unwind_safe::<MailboxMembership<Message, Message>>();
};

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
