//! What a shard is connected to: the other shards and admission. Rooms are in [`rooms`](super::rooms).

use std::collections::VecDeque;
use std::sync::Arc;

use lanemesh_runtime::SendError;
use lanemesh_runtime::handle::{AnyRecipient, Recipient};

use super::Shard;
use super::outbox::Outbox;
use super::router::Interest;
use crate::ids::{ShardId, TrackId};
use crate::mailbox::Mailbox;
use crate::media::Layer;
use crate::messages::{AdmissionMessage, Claim, Control, Media, Rooms, ShardTag};
use crate::stats::{Counters, DropReason};

/// What an incarnation of a shard is connected to.
pub(crate) struct Wiring<M: Mailbox> {
    /// All shards, including this one, by their numbers.
    pub shards: Vec<M::Handle<Shard<M>>>,
    /// Admission.
    pub admission: AnyRecipient<AdmissionMessage>,
    /// Admission, for claims.
    pub claims: AnyRecipient<Claim>,
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
}

pub(super) struct Links<M: Mailbox> {
    here: ShardTag,
    shards: Vec<Outbox<Control, Media, M::Handle<Shard<M>>>>,
    admission: Option<(AnyRecipient<AdmissionMessage>, AnyRecipient<Claim>)>,
    /// Messages that admission had no room for.
    waiting: VecDeque<AdmissionMessage>,
}

impl<M: Mailbox> Links<M> {
    /// Messages to admission that may wait. If more pile up it has failed, and they are dropped.
    const MAX_WAITING: usize = 1 << 16;

    /// Before the shard has begun.
    pub(super) fn none(here: ShardTag) -> Self {
        Self {
            here,
            shards: Vec::new(),
            admission: None,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn new(
        here: ShardTag,
        shards: Vec<M::Handle<Shard<M>>>,
        admission: AnyRecipient<AdmissionMessage>,
        claims: AnyRecipient<Claim>,
    ) -> Self {
        Self {
            here,
            shards: shards.into_iter().map(Outbox::new).collect(),
            admission: Some((admission, claims)),
            waiting: VecDeque::new(),
        }
    }

    /// Sends a message to admission, at the latest when it has room.
    pub(super) fn admission(&mut self, message: AdmissionMessage) {
        if self.waiting.len() < Self::MAX_WAITING {
            self.waiting.push_back(message);
            self.flush_admission();
        }
    }

    fn flush_admission(&mut self) {
        let Some((admission, _)) = &mut self.admission else {
            return;
        };
        while let Some(message) = self.waiting.pop_front() {
            if let Err(SendError::Full(message)) = admission.try_send(message) {
                self.waiting.push_front(message);
                return;
            }
        }
    }

    /// Passes a claim to admission unless its mailbox is full: a real peer sends another STUN message.
    pub(super) fn try_claim(&mut self, ufrag: String, request: &[u8]) -> bool {
        let claim = Claim {
            ufrag,
            shard: self.here,
            request: request.into(),
        };
        let admission = self.admission.as_mut();
        admission.is_some_and(|(_, claims)| claims.try_send(claim).is_ok())
    }

    /// Stages media for another shard. It leaves with the next flush.
    pub(super) fn media(&mut self, shard: ShardId, media: Media) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.media.push(media);
        }
    }

    /// Tells the shard of a track's publisher whether its packets are wanted.
    pub(super) fn interest(&mut self, interest: Option<Interest>) {
        if let Some(Interest {
            track,
            owner,
            wanted,
        }) = interest
            && let Some(shard) = self.shards.get_mut(owner)
        {
            shard.control(Control::Interest(track, self.here, wanted));
        }
    }

    /// Asks the shard of a track's publisher for a keyframe.
    pub(super) fn keyframe(&mut self, owner: ShardId, track: TrackId, layer: Layer) {
        if owner != self.here.id
            && let Some(shard) = self.shards.get_mut(owner)
        {
            shard.control(Control::Keyframe(track, layer));
        }
    }

    /// Tells every other shard that a peer is gone.
    pub(super) fn forget(&mut self, ufrag: &str) {
        self.others(|| Control::Forget(ufrag.to_owned()));
    }

    /// Tells every other shard that this one was restarted.
    pub(super) fn restarted(&mut self) {
        let here = self.here;
        self.others(|| Control::Restarted(here));
    }

    fn others(&mut self, control: impl Fn() -> Control) {
        let here = self.here.id;
        let others = self.shards.iter_mut().enumerate();
        for (_, shard) in others.filter(|(shard, _)| *shard != here) {
            shard.control(control());
        }
    }

    /// Whether messages wait for room in a mailbox.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty() || self.shards.iter().any(Outbox::waits)
    }

    /// Sends staged messages while there is room.
    pub(super) fn flush(&mut self, counters: &mut Counters) {
        for shard in &mut self.shards {
            counters.drops.add(DropReason::Lane, shard.flush());
        }
        self.flush_admission();
    }
}
