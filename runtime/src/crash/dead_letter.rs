//! Dead letters: messages that no handler will finish.
//!
//! They are opt-in. The message that a handler had at a crash is gone with the handler, and its asker
//! gets [`AskError::Crashed`](crate::AskError::Crashed); the messages queued behind it stay. With
//! [`Builder::redeliver`](crate::Builder::redeliver) there is a copy of it.

use std::{collections::VecDeque, fmt, sync::Arc};

use lanemesh::{MailboxReceiver, Message, TryRecvError};

use crate::{
    cell::ActorCell,
    crash::{ahead::Ahead, custody::Custody, membership::Membership, stash::Stash},
    envelope::Envelope,
    id::ActorId,
};

/// Why a message was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undelivered {
    /// Its deadline had passed when the loop reached it.
    Expired,
    /// The handler crashed with it: as often as redelivery allows, or before the actor ended.
    Crashed,
    /// It was queued when the actor ended for good.
    Left,
}

/// A message that was not handled, with its circumstances.
///
/// # Examples
///
/// The sender of a channel is a recipient. Actors that report to one channel get a clone each.
///
/// ```
/// use lanemesh_runtime::{
///     ActorResult, Context, Handler, Message, builder,
///     crash::{DeadLetter, Undelivered},
/// };
///
/// struct Parser;
///
/// impl Handler for Parser {
///     type Msg = String;
///
///     async fn handle(&mut self, text: String, _: &mut Context<Self>) -> ActorResult {
///         text.parse::<u32>()?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (dead, mut letters) = lanemesh::channel::<DeadLetter<String, String>>(64);
/// let parser = builder(|| Parser).redeliver(0).dead_letters(dead.clone());
/// let (mut parser, _child) = parser.name("parser").spawn();
/// parser.tell("seven".to_owned()).await?;
/// let letter = letters.recv().await.ok_or("no letter")?;
/// assert_eq!((&*letter.name, letter.why), ("parser", Undelivered::Crashed));
/// assert_eq!(letter.message, Message::Low("seven".to_owned()));
/// # Ok(()) }
/// ```
pub struct DeadLetter<H, L> {
    /// The actor that it was sent to.
    pub actor: ActorId,
    /// The actor's name: given to its builder, or made of its type and identity.
    pub name: Arc<str>,
    /// The message, in the class that it was sent in.
    pub message: Message<H, L>,
    /// Why it was not handled.
    pub why: Undelivered,
}

impl<H, L> fmt::Debug for DeadLetter<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("actor", &self.actor)
            .field("name", &self.name)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

/// Where dead letters go. The function returns whether the letter was accepted.
pub(crate) struct DeadLetters<H, L>(Box<dyn FnMut(DeadLetter<H, L>) -> bool + Send>);

impl<H, L> DeadLetters<H, L> {
    pub(crate) fn new(send: impl FnMut(DeadLetter<H, L>) -> bool + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends a message of `actor` as a dead letter. Returns whether it was accepted.
    pub(crate) fn send(
        &mut self,
        actor: &ActorCell,
        message: Message<H, L>,
        why: Undelivered,
    ) -> bool {
        (self.0)(DeadLetter {
            actor: actor.id(),
            name: actor.name(),
            message,
            why,
        })
    }
}

/// All messages that an actor still has when it ends for good.
pub(crate) struct Remaining<'a, H, L> {
    pub(crate) custody: Option<&'a mut Custody<H, L>>,
    pub(crate) stash: Option<&'a mut Stash<H, L>>,
    /// The rest of a batch.
    pub(crate) batch: VecDeque<Envelope<L>>,
    pub(crate) ahead: &'a mut Ahead<Envelope<L>>,
    pub(crate) mailbox: &'a mut MailboxReceiver<Envelope<H>, Envelope<L>>,
    /// Of a worker of a pool: others get its messages.
    pub(crate) membership: Option<Box<dyn Membership<H, L>>>,
}

impl<H, L> Remaining<'_, H, L> {
    /// Passes on every message, in the order in which they would have been handled, except those that other workers of
    /// a pool got: returns how many. The mailbox must be closed; `pass_on` must not panic.
    pub(crate) fn drain(mut self, pass_on: &mut dyn FnMut(Message<H, L>, Undelivered)) -> usize {
        if let Some(custody) = &mut self.custody {
            for message in custody.take_crashed() {
                pass_on(message, Undelivered::Crashed);
            }
        }
        let membership = self.membership.take();
        let mut for_others = Vec::new();
        self.each_taken(&mut |message| {
            if was_begun(&message) {
                // Other workers would not know how often it was redelivered.
                pass_on(open(message), Undelivered::Crashed);
            } else if membership.is_some() {
                for_others.push(message);
            } else {
                pass_on(open(message), Undelivered::Left);
            }
        });
        if let Some(membership) = membership {
            let handed_on = membership.hand_on(for_others, self.mailbox);
            for message in handed_on.left {
                pass_on(open(message), Undelivered::Left);
            }
            return handed_on.count;
        }
        loop {
            match self.mailbox.try_recv() {
                Ok(message) => pass_on(open(message), Undelivered::Left),
                // A sender is about to put a message into the place that it has claimed.
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Closed) => return 0,
            }
        }
    }

    /// Passes on what was taken out of the mailbox and not handled.
    fn each_taken(&mut self, pass_on: &mut dyn FnMut(Message<Envelope<H>, Envelope<L>>)) {
        if let Some(message) = (self.custody.as_mut()).and_then(|custody| custody.in_hand.take()) {
            pass_on(message);
        }
        if let Some(stash) = &mut self.stash {
            for message in stash.take_all() {
                pass_on(message);
            }
        }
        while let Some(message) = self.batch.pop_front() {
            pass_on(Message::Low(message));
        }
        while let Some(message) = self.ahead.pop() {
            pass_on(Message::Low(message));
        }
    }
}

/// Whether a handler has crashed with the message.
fn was_begun<H, L>(message: &Message<Envelope<H>, Envelope<L>>) -> bool {
    let attempts = match message {
        Message::High(envelope) => envelope.attempts(),
        Message::Low(envelope) => envelope.attempts(),
    };
    attempts > 0
}

/// A message without its envelope.
fn open<H, L>(message: Message<Envelope<H>, Envelope<L>>) -> Message<H, L> {
    match message {
        Message::High(envelope) => Message::High(envelope.message),
        Message::Low(envelope) => Message::Low(envelope.message),
    }
}
