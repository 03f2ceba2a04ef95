//! The seam for mailboxes that outlive the process: who keeps a message is told what becomes of it.

use crate::id::ActorId;

/// Keeps the messages of one actor outside of its mailbox, such as on disk.
///
/// The keeper sends each message with a token
/// ([`ActorHandle::try_send_low_kept`](crate::ActorHandle::try_send_low_kept)), and the actor's task
/// names the token when the handler gets the message and when the handler has ended. A message
/// whose token is never named was not handled: it was in the mailbox when the actor ended. Then the
/// keeper is dropped.
///
/// A message that [`wait_all`](crate::Context::wait_all) gathers into a batch is not named: the keeper
/// has it as not handled.
///
/// The calls are made in the actor's task, between messages: they must be fast and must not panic.
pub trait Keeper: Send + 'static {
    /// It is this actor whose messages it keeps; called once, by the spawn. A keeper that is dropped
    /// without that has kept nothing: its builder got another one, or was not spawned.
    fn keeps_for(&mut self, _actor: ActorId) {}

    /// The message goes to its handler now.
    fn begin(&mut self, token: u32);

    /// The handler has returned `Ok`.
    fn handled(&mut self, token: u32);

    /// The handler has returned an error, has panicked, or was cancelled.
    fn failed(&mut self, token: u32);
}

/// Flags the send time of an [`Envelope`](crate::envelope::Envelope) that is a token: a clock does
/// not get that far.
pub(crate) const KEPT: u64 = 1 << 63;
