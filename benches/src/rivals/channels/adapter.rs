//! The macro that writes the trait implementations of an adapter.

/// Adapts a channel: declares its subject and forwards every operation to the channel's own.
///
/// The lines have a fixed order. `send` and `recv` make it a channel for tasks, `blocking_send` and
/// `blocking_recv` one for threads; either pair may be absent. The batch operations are optional:
/// without them, a batch is sent or received message by message.
///
/// `self` is the channel's own sender or receiver. Write calls with the full path, as in
/// `kanal::Sender::try_send(self, item)`: the adapter's method takes `&mut self`, so that
/// `self.try_send(item)` would call it instead of the channel's.
///
/// A result of `try_send` that matches neither pattern means that the receiver is gone. A role stands
/// in parentheses after the name, a constant of the subject in brackets.
macro_rules! adapter {
    (
        $(#[$doc:meta])*
        $subject:ident = $name:literal $(($role:ident))? $([$constant:ident = $value:expr])*,
        for<$T:ident> ($Tx:ty, $Rx:ty);
        open($slots:ident) => $open:expr;
        try_send($try_tx:ident, $try_item:ident) => $try_send:expr,
            $sent:pat => Sent, $full:pat $(if $is_full:expr)? => Full;
        $(try_send_batch($batch_tx:ident, $batch:ident) => $try_send_batch:block)?
        try_recv($try_rx:ident) => $try_recv:expr;
        $(try_recv_batch($batch_rx:ident, $into:ident, $limit:ident) => $try_recv_batch:block)?
        $(
            send($tx:ident, $item:ident) => $send:expr;
            recv($rx:ident) => $recv:expr;
        )?
        $(
            blocking_send($blocking_tx:ident, $blocking_item:ident) => $blocking_send:expr;
            blocking_recv($blocking_rx:ident) => $blocking_recv:expr;
        )?
    ) => {
        $crate::rivals::channels::adapter::subject! {
            $(#[$doc])*
            $subject = $name $(($role))? $([$constant = $value])*, for<$T> ($Tx, $Rx);
            open($slots) => $open;
        }

        impl<$T: Payload> TryTx<$T> for $Tx {
            #[inline]
            fn try_send(&mut $try_tx, $try_item: $T) -> Attempt {
                match $try_send {
                    $sent => Attempt::Sent,
                    $full $(if $is_full)? => Attempt::Full,
                    _ => Attempt::Closed,
                }
            }

            $(
                fn try_send_batch(&mut $batch_tx, $batch: &mut Vec<$T>) {
                    $try_send_batch
                }
            )?
        }

        impl<$T: Payload> TryRx<$T> for $Rx {
            #[inline]
            fn try_recv(&mut $try_rx) -> Option<$T> {
                $try_recv
            }

            $(
                fn try_recv_batch(&mut $batch_rx, $into: &mut Vec<$T>, $limit: usize) {
                    $try_recv_batch
                }
            )?
        }

        $(
            impl<$T: Payload> AsyncTx<$T> for $Tx {
                #[inline]
                async fn send(&mut $tx, $item: $T) -> bool {
                    $send
                }
            }

            impl<$T: Payload> AsyncRx<$T> for $Rx {
                #[inline]
                async fn recv(&mut $rx) -> Option<$T> {
                    $recv
                }
            }
        )?

        $(
            impl<$T: Payload> BlockingTx<$T> for $Tx {
                #[inline]
                fn blocking_send(&mut $blocking_tx, $blocking_item: $T) -> bool {
                    $blocking_send
                }
            }

            impl<$T: Payload> BlockingRx<$T> for $Rx {
                #[inline]
                fn blocking_recv(&mut $blocking_rx) -> Option<$T> {
                    $blocking_recv
                }
            }
        )?
    };
}

/// Declares a subject and opens its channel. This is all that a second subject with the same sender
/// and receiver types needs.
macro_rules! subject {
    (
        $(#[$doc:meta])*
        $subject:ident = $name:literal $(($role:ident))? $([$constant:ident = $value:expr])*,
        for<$T:ident> ($Tx:ty, $Rx:ty);
        open($slots:ident) => $open:expr;
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $subject;

        impl Subject for $subject {
            const NAME: &'static str = $name;
            $(const ROLE: $crate::rivals::Role = $crate::rivals::Role::$role;)?
            $(const $constant: bool = $value;)*
            const WITHOUT_MEMBARRIER: Option<&'static str> =
                $crate::rivals::channels::adapter::without_membarrier!($name $($role)?);
        }

        impl<$T: Payload> Family<$T> for $subject {
            type Tx = $Tx;
            type Rx = $Rx;

            fn open($slots: Capacity, producers: usize) -> (Vec<$Tx>, $Rx) {
                let (tx, rx) = $open;
                (handles(tx, producers), rx)
            }
        }
    };
}

/// The name of the row without membarrier: only a channel of the project's own has one.
macro_rules! without_membarrier {
    ($name:literal Ours) => {
        Some(concat!($name, "-no-membarrier"))
    };
    ($name:literal $($role:ident)?) => {
        None
    };
}

pub(super) use {adapter, subject, without_membarrier};
