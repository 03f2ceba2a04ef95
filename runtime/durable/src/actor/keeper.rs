//! Between the journal and an actor's task.

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorId, SendError,
    crash::Keeper,
    observe::{ActorEvent, EventMonitor},
};

use crate::{
    actor::{
        classes::{Class, Classes},
        gauges::QueueGauges,
    },
    engine::{Hands, QueueStats, Stage, Taken},
    journal::{Claim, Client, Sink, StoreStats, Undelivered, Upkeep},
};

/// Notes in the actor's task what becomes of each message.
pub(super) struct JournalKeeper {
    client: Client,
    hands: Hands,
    claim: Claim,
    kept: Kept,
}

/// Whose messages a keeper keeps, once that actor was started.
pub(super) type Kept = Arc<OnceLock<ActorId>>;

impl JournalKeeper {
    pub(super) fn new(client: Client, claim: Claim, kept: Kept) -> Self {
        let hands = client.hands.clone();
        Self {
            client,
            hands,
            claim,
            kept,
        }
    }
}

impl Keeper for JournalKeeper {
    fn keeps_for(&mut self, actor: ActorId) {
        let _ = self.kept.set(actor); // it is told once
    }

    fn begin(&mut self, token: u32) {
        self.hands.advance(token, Stage::Started);
    }

    fn handled(&mut self, token: u32) {
        // From here on a kill of the process does not bring the message back.
        if let Some(id) = self.hands.advance(token, Stage::Done) {
            self.client.tell(Upkeep::Handled(id));
        }
    }

    fn failed(&mut self, token: u32) {
        // After the end of its store this reaches nobody.
        if let Some(word) = self.hands.get(token) {
            self.client.tell(Upkeep::Failed(word.id));
        }
    }
}

impl Drop for JournalKeeper {
    fn drop(&mut self) {
        self.client.tell(Upkeep::Detach(self.claim));
    }
}

/// Passes messages on to the lanes of an actor.
pub(super) struct ActorSink<A: Actor, C> {
    handle: ActorHandle<A>,
    gauges: Arc<QueueGauges>,
    monitor: Option<Box<dyn EventMonitor>>,
    classes: PhantomData<fn(C)>,
}

impl<A: Actor, C: Classes<A>> ActorSink<A, C> {
    /// Attaches gauges to the actor.
    pub(super) fn new(handle: ActorHandle<A>, monitor: Option<Box<dyn EventMonitor>>) -> Self {
        let gauges = Arc::new(QueueGauges::default());
        handle.attach_gauges(gauges.clone());
        Self {
            handle,
            gauges,
            monitor,
            classes: PhantomData,
        }
    }

    fn tell(&mut self, event: ActorEvent) {
        let id = self.handle.id();
        if let Some(monitor) = &mut self.monitor {
            let told = catch_unwind(AssertUnwindSafe(|| monitor.event(id, event)));
            if told.is_err() {
                tracing::warn!(actor = %id, "the event monitor panicked");
            }
        }
    }
}

impl<A: Actor, C> Drop for ActorSink<A, C> {
    fn drop(&mut self) {
        drop_foreign(self.monitor.take());
    }
}

impl<A: Actor, C: Classes<A>> Sink for ActorSink<A, C> {
    fn deliver(&mut self, message: Taken) -> Result<(), Undelivered> {
        let token = message.slot;
        let sent = match message.class {
            0 => {
                let message = decode::<_, C::High>(message).ok_or(Undelivered::Undecodable)?;
                let sent = self.handle.try_send_high_kept(message, token);
                sent.map_err(|error| error.map(drop_foreign))
            }
            _ => {
                let message = decode::<_, C::Low>(message).ok_or(Undelivered::Undecodable)?;
                let sent = self.handle.try_send_low_kept(message, token);
                sent.map_err(|error| error.map(drop_foreign))
            }
        };
        sent.map_err(|error| match error {
            SendError::Full(()) => Undelivered::Full,
            _ => Undelivered::Closed,
        })
    }

    fn is_closed(&self) -> bool {
        self.handle.is_closed() || !self.handle.is_alive()
    }

    fn redelivered(&mut self, message: u64, attempt: u32) {
        self.tell(ActorEvent::Redelivered { message, attempt });
    }

    fn died(&mut self, message: u64) {
        self.tell(ActorEvent::DeadLetter { message });
    }

    fn publish(&mut self, queue: &QueueStats, store: &StoreStats) {
        self.gauges.publish(queue, store);
    }
}

fn decode<M, C: Class<M>>(taken: Taken) -> Option<M> {
    let Taken {
        id,
        attempt,
        meta,
        payload,
        ..
    } = taken;
    let read = || C::read(&meta.type_name, meta.version, &payload, id, attempt);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(message)) => Some(message),
        Ok(Err(error)) => {
            tracing::warn!(id, %error, "a message cannot be read: it is a dead letter");
            None
        }
        Err(panic) => {
            drop_foreign(panic);
            let name = meta.type_name;
            tracing::warn!(
                id,
                name,
                "the reader of a message panicked: the message is a dead letter"
            );
            None
        }
    }
}

/// Drops a value of the user's. The journal's thread does not end by a panic of it.
fn drop_foreign<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::warn!("a value panicked when it was dropped");
    }
}
