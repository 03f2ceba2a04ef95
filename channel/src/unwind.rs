//! Handles may be used across `catch_unwind`, whatever their messages are.
//!
//! Foreign code that may panic runs inside a handle in five places: a waker, the drop of a message, the iterator of a
//! batch, the function that says the key of a message in a mesh, and an allocation. Before each of them the lane, the list and the counts are what they are between two calls,
//! so a panic leaves no broken invariant behind: tests in `panicking_wakers`, `drops` and `reentrancy` go on with the
//! channel after each. A message is not looked at through a handle, so it does not matter whether it is unwind-safe:
//! one that was sent by a thread that has panicked since is received as it was sent, as with any channel.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::{
    ClassIter, ClassReceiver, ClassTryIter, IntoIter, Iter, MailboxIntoIter, MailboxIter,
    MailboxReceiver, MailboxSender, MailboxTryIter, OwnedPermit, Permit, Permits, Receiver, Sender,
    SharedMailboxSender, SharedOwnedPermit, SharedPermit, SharedPermits, SharedSender, TryIter,
    WeakMailboxSender, WeakSender, WeakSharedMailboxSender, WeakSharedSender, WeightLimit,
    WeightPermit,
    mesh::{
        MailboxMembership, MailboxMeshReceiver, MailboxMeshSender, MeshReceiver, MeshSender,
        WeakMeshSender,
    },
};

#[cfg(feature = "sink")]
use crate::SharedSink;

/// Implements both traits.
macro_rules! unwind_safe {
    ($($handle:ident<$($lifetime:lifetime,)? $($message:ident),+>)*) => {
        $(
            impl<$($lifetime,)? $($message),+> UnwindSafe for $handle<$($lifetime,)? $($message),+> {}
            impl<$($lifetime,)? $($message),+> RefUnwindSafe for $handle<$($lifetime,)? $($message),+> {}
        )*
    };
}

unwind_safe! {
    Sender<T>
    SharedSender<T>
    WeakSender<T>
    WeakSharedSender<T>
    Permit<'a, T>
    Permits<'a, T>
    OwnedPermit<T>
    SharedPermit<'a, T>
    SharedPermits<'a, T>
    SharedOwnedPermit<T>
    Receiver<T>
    Iter<'a, T>
    TryIter<'a, T>
    IntoIter<T>
    MailboxSender<High, Low>
    SharedMailboxSender<High, Low>
    WeakMailboxSender<High, Low>
    WeakSharedMailboxSender<High, Low>
    MailboxReceiver<High, Low>
    ClassReceiver<'a, T>
    ClassIter<'a, T>
    ClassTryIter<'a, T>
    MailboxIter<'a, High, Low>
    MailboxTryIter<'a, High, Low>
    MailboxIntoIter<High, Low>
    WeightLimit<T>
    WeightPermit<T>
    MeshSender<T>
    WeakMeshSender<T>
    MeshReceiver<T>
    MailboxMeshSender<High, Low>
    MailboxMeshReceiver<High, Low>
    MailboxMembership<High, Low>
}

#[cfg(feature = "sink")]
unwind_safe! {
    SharedSink<T>
}
