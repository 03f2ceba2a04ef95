//! The task that empties an outbox: it takes messages in their order, sends them until they are confirmed, and
//! acknowledges them then.
//!
//! It promises that the numbers which it sends rise, but for those that it sends again. That is what lets the inbox
//! drop what it knows by the last number alone.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lanemesh_durable::{Delivery, Mailbox, StoreError, Terms};
use lanemesh_net::{Node, Remote};
use lanemesh_runtime::{Actor, ActorHandle};
use tokio::{sync::watch, time::sleep};

use crate::{
    options::OutboxOptions,
    wire::{Answer, Batch, Failure, Item, TYPE},
};

/// Bytes of a frame that an item takes besides its own, at most.
const ITEM: usize = 24;

/// Where messages come from, and where they go.
pub(crate) struct Route {
    pub(crate) mailbox: Mailbox,
    pub(crate) node: Node,
    /// The name of the node.
    pub(crate) target: Arc<str>,
    pub(crate) inbox: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) producer: u128,
    pub(crate) options: OutboxOptions,
}

/// What has become of an outbox's messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) confirmed: u64,
    pub(crate) rejected: u64,
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<Arc<str>>,
}

/// An inbox, as it is seen from here.
struct Far;

impl Actor for Far {
    type HighPriorityMsg = Batch;
    type LowPriorityMsg = Batch;
}

impl Remote for Far {
    const TYPE: &'static str = TYPE;
}

struct Sender {
    route: Route,
    far: Option<ActorHandle<Far>>,
    progress: watch::Sender<Progress>,
    is_closing: watch::Receiver<bool>,
}

/// A message that was taken out and is not confirmed.
struct Held {
    delivery: Delivery,
    /// Nobody can have seen it.
    is_new: bool,
}

/// Nothing more is sent: the outboxes or their store are closed.
struct Over;

/// Sends until all outboxes are closed, or their store. Keeps `claim` until then.
pub(crate) fn start<C: Send + 'static>(
    route: Route,
    is_closing: &watch::Sender<bool>,
    claim: C,
) -> watch::Receiver<Progress> {
    let (progress, receiver) = watch::channel(Progress::default());
    let sender = Sender {
        route,
        far: None,
        progress,
        is_closing: is_closing.subscribe(),
    };
    tokio::spawn(async move {
        sender.run().await;
        drop(claim);
    });
    receiver
}

impl Sender {
    async fn run(mut self) {
        let mut is_closing = self.is_closing.clone();
        loop {
            let limit = self.route.options.batch;
            let taken = tokio::select! {
                biased;
                _ = is_closing.wait_for(|is_closing| *is_closing) => return,
                taken = self.route.mailbox.dequeue(limit) => taken,
            };
            let taken = match taken {
                Ok(taken) => taken,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, inbox = %self.route.inbox, "an outbox ends");
                    return;
                }
            };
            let held = taken.into_iter().map(|delivery| Held {
                is_new: delivery.attempt == 1,
                delivery,
            });
            let mut held: VecDeque<_> = held.collect();
            let sent = tokio::select! {
                biased;
                _ = is_closing.wait_for(|is_closing| *is_closing) => Err(Over),
                sent = self.send_all(&mut held) => sent,
            };
            if let Err(Over) = sent {
                // For whoever opens the outbox again, in the same order.
                for Held { delivery, .. } in held {
                    let _ = self
                        .route
                        .mailbox
                        .retry(delivery.id, Some(Duration::ZERO))
                        .await;
                }
                return;
            }
        }
    }

    /// Sends what is held until nothing is.
    ///
    /// When it is cancelled, what is left in `held` is not acknowledged, but for what was confirmed a moment ago.
    async fn send_all(&mut self, held: &mut VecDeque<Held>) -> Result<(), Over> {
        while !held.is_empty() {
            let count = self.count(held);
            let answer = self.ask(held, count).await;
            let failure = match answer {
                Ok(answer) => self.settle(held, count, answer).await?,
                Err(failure) => {
                    self.far = None; // another link may be up
                    Some(failure)
                }
            };
            held.iter_mut()
                .take(count)
                .for_each(|held| held.is_new = false);
            let Some(failure) = failure else {
                continue;
            };
            let mut failures = 0;
            self.progress.send_modify(|progress| {
                progress.failures = progress.failures.saturating_add(1);
                progress.last_failure = Some(failure.as_str().into());
                failures = progress.failures;
            });
            let Route { inbox, target, .. } = &self.route;
            tracing::debug!(%inbox, %target, %failure, failures, "messages are sent again");
            sleep(self.pause(failures)).await;
        }
        Ok(())
    }

    /// How many messages go at once: of one class, and no more than a frame holds.
    fn count(&self, held: &VecDeque<Held>) -> usize {
        let limit = self.route.node.config().max_frame / 2;
        let is_high = held.front().is_some_and(|first| first.delivery.is_high);
        let mut bytes = 0;
        let fits = held.iter().take_while(|held| {
            bytes += held.delivery.payload.len() + ITEM;
            held.delivery.is_high == is_high && bytes <= limit
        });
        fits.count().max(1)
    }

    async fn ask(&mut self, held: &VecDeque<Held>, count: usize) -> Result<Answer, String> {
        let Route {
            node,
            target,
            inbox,
            kind,
            producer,
            options,
            ..
        } = &self.route;
        let far = match &mut self.far {
            Some(far) => far,
            none => {
                let lookup = node.lookup::<Far>(inbox.clone()).on(target.clone());
                none.insert(lookup.await.map_err(|error| error.to_string())?)
            }
        };
        let batch = |reply| Batch {
            producer: *producer,
            kind: (*kind).to_owned(),
            items: held
                .iter()
                .take(count)
                .map(|held| item(&held.delivery))
                .collect(),
            reply,
        };
        let answer = match held.front() {
            Some(first) if first.delivery.is_high => far.ask(batch, options.timeout).await,
            _ => far.ask_low(batch, options.timeout).await,
        };
        answer.map_err(|error| error.to_string())
    }

    /// Acknowledges what was confirmed. Returns why the rest was not.
    async fn settle(
        &mut self,
        held: &mut VecDeque<Held>,
        count: usize,
        answer: Answer,
    ) -> Result<Option<String>, Over> {
        let mailbox = &mut self.route.mailbox;
        let confirmed = answer.confirmed.min(count);
        for held in held.iter().take(confirmed) {
            let Delivery {
                id,
                is_high,
                payload,
                ..
            } = &held.delivery;
            if !held.is_new || !answer.known.contains(id) {
                continue;
            }
            // Its number is that of another message: it was a dead letter, or the store is a copy of an earlier one.
            tracing::warn!(id, inbox = %self.route.inbox, "a message gets a new number");
            let terms = Terms::new().key(id.to_le_bytes());
            let again = mailbox.enqueue_with(payload.clone(), *is_high, terms);
            again.await.map_err(|_| Over)?;
        }
        let ids: Vec<_> = held
            .iter()
            .take(confirmed)
            .map(|held| held.delivery.id)
            .collect();
        mailbox.ack(&ids).await.map_err(|_| Over)?;
        held.drain(..confirmed);
        let mut failure = None;
        let mut rejected = 0;
        match answer.failure {
            None if confirmed == count => {}
            None => failure = Some("nothing was said of some messages".to_owned()),
            Some(Failure::Later(text)) => failure = Some(text),
            Some(Failure::Never(text)) => {
                if let Some(Held { delivery, .. }) = held.pop_front() {
                    tracing::error!(id = delivery.id, inbox = %self.route.inbox, error = text, "a message is a dead letter");
                    mailbox.reject(delivery.id).await.map_err(|_| Over)?;
                    rejected = 1;
                }
            }
        }
        self.progress.send_modify(|progress| {
            progress.confirmed += confirmed as u64;
            progress.rejected += rejected;
            if confirmed > 0 {
                progress.failures = 0;
            }
        });
        Ok(failure)
    }

    /// The pause after this many failures: doubled with each, half of it random.
    fn pause(&self, failures: u32) -> Duration {
        let OutboxOptions {
            backoff,
            max_backoff,
            ..
        } = self.route.options;
        let factor = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let whole = backoff.saturating_mul(factor).min(max_backoff);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

fn item(delivery: &Delivery) -> Item {
    let (version, bytes) = match delivery.payload.split_first_chunk() {
        Some((version, bytes)) => (u32::from_le_bytes(*version), bytes.to_vec()),
        None => (0, Vec::new()), // not stored by an outbox: the inbox cannot read it
    };
    Item {
        number: delivery.id,
        version,
        bytes,
    }
}
