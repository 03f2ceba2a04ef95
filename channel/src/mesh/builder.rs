//! Builders of meshes.

use super::{
    mailbox::{classes::PortPair, receiver::MailboxMeshReceiver, sender::MailboxMeshSender},
    receiver::MeshReceiver,
    rule::{Balance, Rule},
    sender::MeshSender,
    table::Mesh,
};
use crate::{
    builder::{Builder, MailboxBuilder},
    mailbox::sender::MailboxSender,
    sync::Arc,
};

/// Settings of a mesh, for [`MeshBuilder::build`].
///
/// # Examples
///
/// ```
/// use lanemesh::mesh::{Balance, MeshBuilder};
///
/// let builder = MeshBuilder::new(64)
///     .lanes(|lanes| lanes.first_ring(4))
///     .balance(Balance::LeastLoaded);
/// let (mut tx, mut rx) = builder.build();
/// tx.try_send("hello").unwrap();
/// assert_eq!(rx.try_recv(), Ok("hello"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MeshBuilder<T> {
    lanes: Builder,
    rule: Rule<T>,
}

impl<T> MeshBuilder<T> {
    /// Settings for lanes that hold exactly `lane_capacity` messages each, and for messages that go to the receivers by
    /// turns.
    ///
    /// # Panics
    ///
    /// Panics if `lane_capacity` is zero, or more than `isize::MAX / 2`.
    #[track_caller]
    pub fn new(lane_capacity: usize) -> Self {
        Self {
            lanes: Builder::new(lane_capacity),
            rule: Rule::new(Balance::default()),
        }
    }

    /// Changes the settings of the lanes to each receiver.
    pub fn lanes(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.lanes = change(self.lanes);
        self
    }

    /// Sets how messages without a key are spread; [`Balance::RoundRobin`] by default.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.rule.balance = balance;
        self
    }

    /// Sets what the key of a message is: all messages of one key go to one receiver, as long as receivers neither join
    /// nor leave. Messages for which it returns `None` have no key. [`key`](super::key) makes a key of anything that can
    /// be hashed; any other number does as well, without being hashed.
    ///
    /// It is called at each send, and for each message that a receiver hands on. If it panics then, the messages that
    /// the receiver had are dropped.
    pub fn by_key(mut self, key_of: impl Fn(&T) -> Option<u64> + Send + Sync + 'static) -> Self {
        self.rule.set_key(key_of);
        self
    }

    /// Makes a mesh with one sender and one receiver.
    ///
    /// # Panics
    ///
    /// Panics if the lanes have a [total capacity](Builder::total_capacity): those of a mesh have their own. Panics also
    /// if a lane's first ring cannot be allocated, as [`Builder::build`] does.
    #[track_caller]
    pub fn build(self) -> (MeshSender<T>, MeshReceiver<T>) {
        assert!(
            self.lanes.0.total == 0,
            "the lanes of a mesh cannot have a total capacity"
        );
        let (root, receiver) = self.lanes.build();
        let mesh = Arc::new(Mesh::new([root], self.rule, self.lanes));
        let member = mesh.snapshot().members[0].clone();
        let receiver = MeshReceiver::new(receiver, mesh.clone(), member);
        (MeshSender::first(mesh), receiver)
    }
}

/// Settings of a mesh with two priorities, for [`MailboxMeshBuilder::build`].
///
/// # Examples
///
/// ```
/// use lanemesh::{Message, mesh::MailboxMeshBuilder};
///
/// let builder = MailboxMeshBuilder::new(4, 64).low_by_key(|frame: &(u64, u32)| Some(frame.0));
/// let (mut tx, mut rx) = builder.build();
/// tx.try_send_low((7, 1)).unwrap();
/// tx.try_send_high("stop").unwrap();
/// assert_eq!(rx.try_recv(), Ok(Message::High("stop")));
/// assert_eq!(rx.try_recv(), Ok(Message::Low((7, 1))));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MailboxMeshBuilder<High, Low> {
    lanes: MailboxBuilder,
    high: Rule<High>,
    low: Rule<Low>,
}

impl<High, Low> MailboxMeshBuilder<High, Low> {
    /// Settings for a high and a low lane to each receiver, of exactly these capacities, and for messages that go to the
    /// receivers by turns.
    ///
    /// # Panics
    ///
    /// Panics if a capacity is zero, or more than `isize::MAX / 2`.
    #[track_caller]
    pub fn new(high_lane_capacity: usize, low_lane_capacity: usize) -> Self {
        Self {
            lanes: MailboxBuilder::new(high_lane_capacity, low_lane_capacity),
            high: Rule::new(Balance::default()),
            low: Rule::new(Balance::default()),
        }
    }

    /// Changes the settings of the lanes to each receiver.
    pub fn lanes(mut self, change: impl FnOnce(MailboxBuilder) -> MailboxBuilder) -> Self {
        self.lanes = change(self.lanes);
        self
    }

    /// Sets how messages of both classes that have no key are spread; [`Balance::RoundRobin`] by default.
    pub fn balance(mut self, balance: Balance) -> Self {
        (self.high.balance, self.low.balance) = (balance, balance);
        self
    }

    /// Sets what the key of a high-priority message is; see [`MeshBuilder::by_key`].
    pub fn high_by_key(
        mut self,
        key_of: impl Fn(&High) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.high.set_key(key_of);
        self
    }

    /// Sets what the key of a low-priority message is; see [`MeshBuilder::by_key`].
    pub fn low_by_key(
        mut self,
        key_of: impl Fn(&Low) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.low.set_key(key_of);
        self
    }

    /// Makes a mesh with one sender and one receiver.
    ///
    /// # Panics
    ///
    /// As [`MeshBuilder::build`].
    #[track_caller]
    pub fn build(self) -> (MailboxMeshSender<High, Low>, MailboxMeshReceiver<High, Low>) {
        self.lanes.assert_no_total();
        let (root, receiver) = self.lanes.build();
        let tx = self.build_over([root]);
        let mesh = tx.mesh().clone();
        let member = mesh.snapshot().members[0].clone();
        (tx, MailboxMeshReceiver::new(receiver, mesh, member))
    }

    /// Makes a mesh with one sender, to the receivers of mailboxes that exist already. None of them hands its messages
    /// on; for that, let it [`join`](MailboxMeshSender::join). One that closes is left out from then on.
    ///
    /// The mesh keeps the mailboxes open until its last sender is dropped. Without any,
    /// sends wait for the first receiver to [`join`](MailboxMeshSender::join).
    ///
    /// # Panics
    ///
    /// Panics if a class of a mailbox has a total capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh::mesh::MailboxMeshBuilder;
    ///
    /// let (first, mut first_rx) = lanemesh::mailbox::<(), u32>(1, 8);
    /// let (second, second_rx) = lanemesh::mailbox(1, 8);
    /// let mut tx = MailboxMeshBuilder::new(1, 8).build_over([first, second]);
    /// tx.try_send_low(1).unwrap();
    /// drop(second_rx);
    /// tx.try_send_low(2).unwrap();
    /// assert_eq!(first_rx.low().try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn build_over(
        self,
        receivers: impl IntoIterator<Item = MailboxSender<High, Low>>,
    ) -> MailboxMeshSender<High, Low> {
        let receivers = receivers
            .into_iter()
            .inspect(MailboxSender::assert_no_total);
        let mesh = Mesh::<PortPair<High, Low>>::new(receivers, (self.high, self.low), self.lanes);
        MailboxMeshSender::first(Arc::new(mesh))
    }
}
