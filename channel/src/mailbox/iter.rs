//! Iterators over the messages of a mailbox, or of one class alone.

use super::{Message, class_receiver::ClassReceiver, receiver::MailboxReceiver};

impl<High, Low> MailboxReceiver<High, Low> {
    /// Iterates over messages until the mailbox is closed and drained, blocking the thread for
    /// each. High-priority messages come first, as [`recv`](Self::recv) has it.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh::Message;
    ///
    /// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(1, 1);
    /// tx.try_send_low(1).unwrap();
    /// tx.try_send_high("stop").unwrap();
    /// drop(tx);
    /// for message in &mut rx {
    ///     match message {
    ///         Message::High(command) => assert_eq!(command, "stop"),
    ///         Message::Low(packet) => assert_eq!(packet, 1),
    ///     }
    /// }
    /// ```
    pub fn iter(&mut self) -> MailboxIter<'_, High, Low> {
        MailboxIter { receiver: self }
    }

    /// Iterates over the messages that are there, without waiting.
    pub fn try_iter(&mut self) -> MailboxTryIter<'_, High, Low> {
        MailboxTryIter { receiver: self }
    }
}

/// Iterator that blocks for each message of a mailbox; see [`MailboxReceiver::iter`].
#[derive(Debug)]
pub struct MailboxIter<'a, High, Low> {
    receiver: &'a mut MailboxReceiver<High, Low>,
}

impl<High, Low> Iterator for MailboxIter<'_, High, Low> {
    type Item = Message<High, Low>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.blocking_recv()
    }
}

/// Iterator over the messages that are there; see [`MailboxReceiver::try_iter`].
#[derive(Debug)]
pub struct MailboxTryIter<'a, High, Low> {
    receiver: &'a mut MailboxReceiver<High, Low>,
}

impl<High, Low> Iterator for MailboxTryIter<'_, High, Low> {
    type Item = Message<High, Low>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.try_recv().ok()
    }
}

/// Owning iterator that blocks for each message until the mailbox is closed and drained.
#[derive(Debug)]
pub struct MailboxIntoIter<High, Low> {
    receiver: MailboxReceiver<High, Low>,
}

impl<High, Low> Iterator for MailboxIntoIter<High, Low> {
    type Item = Message<High, Low>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.blocking_recv()
    }
}

impl<High, Low> IntoIterator for MailboxReceiver<High, Low> {
    type Item = Message<High, Low>;
    type IntoIter = MailboxIntoIter<High, Low>;

    fn into_iter(self) -> Self::IntoIter {
        MailboxIntoIter { receiver: self }
    }
}

impl<'a, High, Low> IntoIterator for &'a mut MailboxReceiver<High, Low> {
    type Item = Message<High, Low>;
    type IntoIter = MailboxIter<'a, High, Low>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> ClassReceiver<'a, T> {
    /// Iterates over messages of this class until it is closed and drained, blocking the thread for
    /// each.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(1, 8);
    /// tx.try_send_high("stop").unwrap();
    /// tx.low().try_send_many(0..3).unwrap();
    /// assert_eq!(rx.low().try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// drop(tx);
    /// assert_eq!(rx.high().iter().collect::<Vec<_>>(), ["stop"]);
    /// ```
    pub fn iter(self) -> ClassIter<'a, T> {
        ClassIter { class: self }
    }

    /// Iterates over the messages of this class that are there, without waiting.
    pub fn try_iter(self) -> ClassTryIter<'a, T> {
        ClassTryIter { class: self }
    }
}

/// Iterator that blocks for each message of one class; see [`ClassReceiver::iter`].
#[derive(Debug)]
pub struct ClassIter<'a, T> {
    class: ClassReceiver<'a, T>,
}

impl<T> Iterator for ClassIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.class.blocking_recv()
    }
}

/// Iterator over the messages of one class that are there; see [`ClassReceiver::try_iter`].
#[derive(Debug)]
pub struct ClassTryIter<'a, T> {
    class: ClassReceiver<'a, T>,
}

impl<T> Iterator for ClassTryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.class.try_recv().ok()
    }
}

impl<'a, T> IntoIterator for ClassReceiver<'a, T> {
    type Item = T;
    type IntoIter = ClassIter<'a, T>;

    fn into_iter(self) -> ClassIter<'a, T> {
        self.iter()
    }
}
