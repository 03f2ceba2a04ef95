//! The project's own mailbox: a mesh of lanes with a priority class, as it is.

use lanemesh::{MailboxReceiver, MailboxSender, TrySendError};

use super::{Mailbox, Message, Observed, Receiver, Refused, Sender};

/// The lanemesh mailbox.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mesh;

/// The receiving half, with room to receive into.
#[derive(Debug)]
pub struct MeshReceiver<H, L> {
    receiver: MailboxReceiver<H, L>,
    taken: Vec<lanemesh::Message<H, L>>,
}

impl Mailbox for Mesh {
    const NAME: &'static str = "mesh";
    const PER_SENDER: bool = true;
    type Sender<H: Send + 'static, L: Send + 'static> = MailboxSender<H, L>;
    type Receiver<H: Send + 'static, L: Send + 'static> = MeshReceiver<H, L>;

    fn mailbox<H: Send + 'static, L: Send + 'static>(
        high: usize,
        low: usize,
    ) -> (Self::Sender<H, L>, Self::Receiver<H, L>) {
        let (sender, receiver) = lanemesh::mailbox(high, low);
        (
            sender,
            MeshReceiver {
                receiver,
                taken: Vec::new(),
            },
        )
    }
}

fn refused<T>(error: TrySendError<T>) -> Refused<T> {
    match error {
        TrySendError::Full(message) => Refused::Full(message),
        TrySendError::Closed(message) => Refused::Closed(message),
    }
}

impl<H: Send + 'static, L: Send + 'static> Sender<H, L> for MailboxSender<H, L> {
    fn try_send_high(&mut self, message: H) -> Result<(), Refused<H>> {
        Self::try_send_high(self, message).map_err(refused)
    }

    fn try_send_low(&mut self, message: L) -> Result<(), Refused<L>> {
        Self::try_send_low(self, message).map_err(refused)
    }

    fn try_send_low_many(&mut self, messages: &mut Vec<L>) -> Result<usize, Refused<()>> {
        self.try_send_vec_low(messages)
            .map_err(|_| Refused::Closed(()))
    }
}

impl<H, L> MeshReceiver<H, L> {
    fn hand_over(&mut self, into: &mut Vec<Message<H, L>>) {
        into.extend(self.taken.drain(..).map(|message| match message {
            lanemesh::Message::High(message) => Message::High(message),
            lanemesh::Message::Low(message) => Message::Low(message),
        }));
    }
}

impl<H: Send + 'static, L: Send + 'static> Receiver<H, L> for MeshReceiver<H, L> {
    async fn recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        let taken = self.receiver.recv_many(&mut self.taken, limit).await;
        self.hand_over(into);
        taken
    }

    fn try_recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        let taken = self
            .receiver
            .try_recv_many(&mut self.taken, limit)
            .unwrap_or(0);
        self.hand_over(into);
        taken
    }

    fn observe(&self) -> Observed {
        let stats = self.receiver.stats();
        Observed {
            high_depth: stats.high.depth,
            low_depth: stats.low.depth,
            sleeps: stats.high.wakeups + stats.low.wakeups,
        }
    }
}
