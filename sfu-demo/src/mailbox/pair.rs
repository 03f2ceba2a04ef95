//! A mailbox made of two channels, one for each priority, as users of a channel without priorities would build it.
//! Control is checked before every burst of media.

use std::fmt;
use std::future::Future;

use super::{Message, Observed, Receiver, Refused, Sender};

/// Media messages received before control is checked again.
const BURST: usize = 8;

/// A bounded channel.
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// The sending half.
    type Tx<T: Send + 'static>: Tx<T>;
    /// The receiving half.
    type Rx<T: Send + 'static>: Rx<T>;

    /// Makes a channel for `capacity` messages.
    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>);
}

/// The sending half of a [`Channel`].
pub trait Tx<T>: Clone + Send + 'static {
    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// If the channel is full or closed.
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>>;
}

/// Why a channel returned no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// There is none now.
    Empty,
    /// There is none, and none can come.
    Closed,
}

/// The receiving half of a [`Channel`].
pub trait Rx<T>: Send + 'static {
    /// Receives a message without waiting.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn try_recv(&mut self) -> Result<T, Nothing>;

    /// Waits for a message; `None` when the channel is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Implementations must not lose a message when the future is dropped.
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;

    /// The number of messages in the channel, or 0 if the channel does not report it.
    fn depth(&self) -> usize;
}

/// The sending half of a pair.
pub struct PairSender<C: Channel, H: Send + 'static, L: Send + 'static> {
    high: C::Tx<H>,
    low: C::Tx<L>,
}

/// The receiving half of a pair.
pub struct PairReceiver<C: Channel, H: Send + 'static, L: Send + 'static> {
    high: C::Rx<H>,
    low: C::Rx<L>,
    high_closed: bool,
    low_closed: bool,
    sleeps: u64,
}

/// Makes a mailbox of two channels.
pub fn mailbox<C: Channel, H: Send + 'static, L: Send + 'static>(
    high: usize,
    low: usize,
) -> (PairSender<C, H, L>, PairReceiver<C, H, L>) {
    let (high_tx, high_rx) = C::channel(high);
    let (low_tx, low_rx) = C::channel(low);
    let sender = PairSender {
        high: high_tx,
        low: low_tx,
    };
    let receiver = PairReceiver {
        high: high_rx,
        low: low_rx,
        high_closed: false,
        low_closed: false,
        sleeps: 0,
    };
    (sender, receiver)
}

impl<C: Channel, H: Send + 'static, L: Send + 'static> Clone for PairSender<C, H, L> {
    fn clone(&self) -> Self {
        Self {
            high: self.high.clone(),
            low: self.low.clone(),
        }
    }
}

impl<C: Channel, H: Send + 'static, L: Send + 'static> fmt::Debug for PairSender<C, H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairSender").finish_non_exhaustive()
    }
}

impl<C: Channel, H: Send + 'static, L: Send + 'static> fmt::Debug for PairReceiver<C, H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairReceiver").finish_non_exhaustive()
    }
}

impl<C: Channel, H: Send + 'static, L: Send + 'static> Sender<H, L> for PairSender<C, H, L> {
    fn try_send_high(&mut self, message: H) -> Result<(), Refused<H>> {
        self.high.try_send(message)
    }

    fn try_send_low(&mut self, message: L) -> Result<(), Refused<L>> {
        self.low.try_send(message)
    }

    fn try_send_low_many(&mut self, messages: &mut Vec<L>) -> Result<usize, Refused<()>> {
        let mut sent = 0;
        let mut stopped = None;
        let mut unsent = None;
        for message in messages.drain(..) {
            if stopped.is_some() {
                unsent.get_or_insert_with(Vec::new).push(message);
                continue;
            }
            match self.low.try_send(message) {
                Ok(()) => sent += 1,
                Err(Refused::Full(message)) => {
                    stopped = Some(false);
                    unsent = Some(vec![message]);
                }
                Err(Refused::Closed(message)) => {
                    stopped = Some(true);
                    unsent = Some(vec![message]);
                }
            }
        }
        if let Some(unsent) = unsent {
            *messages = unsent;
        }
        if stopped == Some(true) {
            Err(Refused::Closed(()))
        } else {
            Ok(sent)
        }
    }
}

impl<C: Channel, H: Send + 'static, L: Send + 'static> Receiver<H, L> for PairReceiver<C, H, L> {
    async fn recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        loop {
            let taken = self.try_recv_many(into, limit);
            if taken > 0 || limit == 0 {
                return taken;
            }
            if self.high_closed && self.low_closed {
                return 0;
            }
            self.sleeps += 1;
            let (high_open, low_open) = (!self.high_closed, !self.low_closed);
            tokio::select! {
                biased;
                message = self.high.recv(), if high_open => match message {
                    Some(message) => into.push(Message::High(message)),
                    None => { self.high_closed = true; continue }
                },
                message = self.low.recv(), if low_open => match message {
                    Some(message) => into.push(Message::Low(message)),
                    None => { self.low_closed = true; continue }
                },
            }
            return 1 + self.try_recv_many(into, limit - 1);
        }
    }

    fn try_recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        let mut taken = 0;
        loop {
            while taken < limit && !self.high_closed {
                match self.high.try_recv() {
                    Ok(message) => into.push(Message::High(message)),
                    Err(Nothing::Empty) => break,
                    Err(Nothing::Closed) => {
                        self.high_closed = true;
                        break;
                    }
                }
                taken += 1;
            }
            let before = taken;
            while taken < limit && taken - before < BURST && !self.low_closed {
                match self.low.try_recv() {
                    Ok(message) => into.push(Message::Low(message)),
                    Err(Nothing::Empty) => break,
                    Err(Nothing::Closed) => {
                        self.low_closed = true;
                        break;
                    }
                }
                taken += 1;
            }
            if taken - before < BURST {
                return taken;
            }
        }
    }

    fn observe(&self) -> Observed {
        Observed {
            high_depth: self.high.depth(),
            low_depth: self.low.depth(),
            sleeps: self.sleeps,
        }
    }
}
