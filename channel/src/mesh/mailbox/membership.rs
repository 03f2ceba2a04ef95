//! How a mailbox belongs to a mesh, apart from its receiver.

use std::fmt;

use super::classes::{HighClass, LowClass, PortPair};
use crate::{
    mailbox::{Message, receiver::MailboxReceiver},
    mesh::{
        membership::{Membership, drain},
        table::{Member, Mesh},
    },
    sync::{Arc, wake_all::WakeAll},
};

/// Says that the receiver of a mailbox is one of a mesh's, for code that has the [`MailboxReceiver`] itself.
///
/// Before the receiver closes or is dropped, it calls [`leave`](Self::leave) and [`hand_on`](Self::hand_on). Otherwise
/// its messages are its own until the end, and the mesh goes on without it when a sender finds it closed; messages of a
/// key may then overtake those that it still has.
pub struct MailboxMembership<High, Low> {
    pub(super) inner: Membership<PortPair<High, Low>>,
}

/// What became of the messages of a receiver that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOn<High, Low> {
    /// How many other receivers get.
    pub count: usize,
    /// Those for which there was no other receiver.
    pub left: Vec<Message<High, Low>>,
}

impl<High, Low> MailboxMembership<High, Low> {
    pub(super) fn new(
        mesh: Arc<Mesh<PortPair<High, Low>>>,
        member: Arc<Member<PortPair<High, Low>>>,
    ) -> Self {
        Self {
            inner: Membership::new(mesh, member),
        }
    }

    /// Leaves the mesh: new messages go to others, those with keys once the messages of this receiver have been
    /// [handed on](Self::hand_on), or this was dropped. The receiver may be closed then, and go on with what it has.
    ///
    /// If it was the last receiver, the mesh is closed.
    pub fn leave(&mut self) {
        let mut all = WakeAll::default();
        self.inner.leave(&mut all);
        all.done();
    }

    /// Leaves the mesh, closes the receiver, and hands to the others what it has: `first`, which it has taken out of its
    /// mailbox and not handled, then what is in the mailbox. Each message goes to the receiver that its key belongs to
    /// now, or, without a key, to one after the other. They go on top of the capacity of lanes.
    ///
    /// What it returns says how many others got, and has the messages that cannot be handed on: if this was the last
    /// receiver, or if all senders were dropped, so that others may have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh::{Message, mesh::MailboxMeshBuilder};
    ///
    /// let (mut tx, mut other) = MailboxMeshBuilder::new(1, 8).build();
    /// let (root, mut rx) = lanemesh::mailbox::<(), u32>(1, 8);
    /// let membership = tx.join(root).unwrap();
    /// for n in 0..4 {
    ///     tx.try_send_low(n).unwrap();
    /// }
    /// let taken = vec![rx.try_recv().unwrap()];
    /// let handed_on = membership.hand_on(taken, &mut rx);
    /// assert_eq!((handed_on.count, handed_on.left), (2, vec![]));
    /// let mut all: Vec<_> = other.low().try_iter().collect();
    /// all.sort();
    /// assert_eq!(all, [0, 1, 2, 3]);
    /// ```
    pub fn hand_on(
        mut self,
        first: Vec<Message<High, Low>>,
        receiver: &mut MailboxReceiver<High, Low>,
    ) -> HandedOn<High, Low> {
        let mut all = WakeAll::default();
        let handed_on = self.hand_on_with(first, receiver, &mut all);
        all.done();
        handed_on
    }

    pub(super) fn hand_on_with(
        &mut self,
        first: Vec<Message<High, Low>>,
        receiver: &mut MailboxReceiver<High, Low>,
        all: &mut WakeAll,
    ) -> HandedOn<High, Low> {
        self.inner.leave(all);
        all.run(|| receiver.close());
        let (mut high, mut low) = (Vec::new(), Vec::new());
        let rest = drain(|| receiver.try_recv());
        for message in first.into_iter().chain(rest) {
            match message {
                Message::High(message) => high.push(message),
                Message::Low(message) => low.push(message),
            }
        }
        let count = high.len() + low.len();
        if self.inner.is_leaving() {
            high = self.inner.hand_on::<High, HighClass<Low>>(high, all);
            low = self.inner.hand_on::<Low, LowClass<High>>(low, all);
            self.inner.end(all);
        }
        let high = high.into_iter().map(Message::High);
        let left: Vec<_> = high.chain(low.into_iter().map(Message::Low)).collect();
        HandedOn {
            count: count - left.len(),
            left,
        }
    }

    /// All that the receiver had was received by itself.
    #[cold]
    pub(super) fn end(&mut self) {
        if self.inner.is_leaving() {
            let mut all = WakeAll::default();
            self.inner
                .hand_on::<High, HighClass<Low>>(Vec::new(), &mut all);
            self.inner
                .hand_on::<Low, LowClass<High>>(Vec::new(), &mut all);
            self.inner.end(&mut all);
            all.done();
        }
    }
}

impl<High, Low> fmt::Debug for MailboxMembership<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxMembership").finish_non_exhaustive()
    }
}
