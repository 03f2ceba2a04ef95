//! The place of a worker in the mesh of its pool. Only the workers of pools know that there is a mesh:
//! for all other actors nothing of it is compiled.

use lanemesh::{
    MailboxReceiver, Message,
    mesh::{HandedOn, MailboxMembership},
};

use crate::envelope::Envelope;

/// A message of a mailbox.
type Wrapped<H, L> = Message<Envelope<H>, Envelope<L>>;

/// What a worker does with its place in a mesh.
pub(crate) trait Membership<H, L>: Send {
    /// New messages go to others.
    fn leave(&mut self);

    /// Leaves, closes the receiver, and passes on what it has: `taken`, then what is in the mailbox.
    fn hand_on(
        self: Box<Self>,
        taken: Vec<Wrapped<H, L>>,
        mailbox: &mut MailboxReceiver<Envelope<H>, Envelope<L>>,
    ) -> HandedOn<Envelope<H>, Envelope<L>>;
}

impl<H: Send, L: Send> Membership<H, L> for MailboxMembership<Envelope<H>, Envelope<L>> {
    fn leave(&mut self) {
        MailboxMembership::leave(self);
    }

    fn hand_on(
        self: Box<Self>,
        taken: Vec<Wrapped<H, L>>,
        mailbox: &mut MailboxReceiver<Envelope<H>, Envelope<L>>,
    ) -> HandedOn<Envelope<H>, Envelope<L>> {
        MailboxMembership::hand_on(*self, taken, mailbox)
    }
}
