//! What a shard is connected to: the other shards, the room and admission, each behind an [`Outbox`].

use std::convert::Infallible;

use super::outbox::Outbox;
use super::router::Interest;
use crate::ids::{ShardId, TrackId};
use crate::mailbox::{Mailbox, Sender};
use crate::media::Layer;
use crate::messages::{
    AdmissionMessage, AdmissionSender, Control, Media, RoomMessage, RoomSender, ShardReceiver,
    ShardSender,
};
use crate::stats::{Counters, DropReason};

/// What a shard is connected to when it starts.
pub(crate) struct Wiring<M: Mailbox> {
    /// The shard's number.
    pub here: ShardId,
    /// The shard's own mailbox.
    pub mailbox: ShardReceiver<M>,
    /// The mailboxes of all shards, including this one's, by their numbers.
    pub shards: Vec<ShardSender<M>>,
    /// The mailbox of the rooms.
    pub room: RoomSender<M>,
    /// The mailbox of admission.
    pub admission: AdmissionSender<M>,
}

impl<M: Mailbox> std::fmt::Debug for Wiring<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

pub(super) struct Links<M: Mailbox> {
    here: ShardId,
    shards: Vec<Outbox<Control, Media, ShardSender<M>>>,
    room: Outbox<RoomMessage, Infallible, RoomSender<M>>,
    admission: Outbox<AdmissionMessage, Infallible, AdmissionSender<M>>,
}

impl<M: Mailbox> Links<M> {
    pub(super) fn new(
        here: ShardId,
        shards: Vec<ShardSender<M>>,
        room: RoomSender<M>,
        admission: AdmissionSender<M>,
    ) -> Self {
        Self {
            here,
            shards: shards.into_iter().map(Outbox::new).collect(),
            room: Outbox::new(room),
            admission: Outbox::new(admission),
        }
    }

    pub(super) fn room(&mut self, message: RoomMessage) {
        self.room.control(message);
    }

    pub(super) fn admission(&mut self, message: AdmissionMessage) {
        self.admission.control(message);
    }

    /// Passes a claim to admission unless its mailbox is full: a real peer sends another STUN message.
    pub(super) fn try_claim(&mut self, claim: AdmissionMessage) -> bool {
        self.admission.sender.try_send_high(claim).is_ok()
    }

    /// Stages media for another shard. It leaves with the next flush.
    pub(super) fn media(&mut self, shard: ShardId, media: Media) {
        self.shards[shard].media.push(media);
    }

    /// Tells the shard of a track's publisher whether its packets are wanted.
    pub(super) fn interest(&mut self, interest: Option<Interest>) {
        if let Some(Interest {
            track,
            owner,
            wanted,
        }) = interest
        {
            self.shards[owner].control(Control::Interest(track, self.here, wanted));
        }
    }

    /// Asks the shard of a track's publisher for a keyframe.
    pub(super) fn keyframe(&mut self, owner: ShardId, track: TrackId, layer: Layer) {
        if owner != self.here {
            self.shards[owner].control(Control::Keyframe(track, layer));
        }
    }

    /// Tells every other shard that a peer is gone.
    pub(super) fn forget(&mut self, ufrag: &str) {
        for shard in (0..self.shards.len()).filter(|shard| *shard != self.here) {
            self.shards[shard].control(Control::Forget(ufrag.to_owned()));
        }
    }

    /// Whether messages wait for room in a mailbox.
    pub(super) fn waits(&self) -> bool {
        self.room.waits() || self.admission.waits() || self.shards.iter().any(Outbox::waits)
    }

    /// Sends staged messages while there is room.
    pub(super) fn flush(&mut self, counters: &mut Counters) {
        for shard in &mut self.shards {
            counters.drops.add(DropReason::Lane, shard.flush());
        }
        self.room.flush_control();
        self.admission.flush_control();
    }
}
