//! The state that handlers share: senders to the actors, keys and rate limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::client::Client;
use super::connections::Connections;
use super::error::Error;
use super::limit::RateLimit;
use super::token::{Denied, Keys, OperatorToken};
use crate::ids::ParticipantId;
use crate::mailbox::{Mailbox, Sender, send_high};
use crate::messages::{
    AdmissionMessage, AdmissionSender, Answered, Control, Join, JoinError, Joined, Principal,
    RoomMessage, RoomSender, ShardSender,
};
use crate::net::gate::Gate;
use crate::session::build::{Identity, Refusal, Setup};
use crate::session::{Patch, Patched, Role, Session};
use crate::stats::Stats;

/// How long to wait for an actor's answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The state that handlers share.
pub(crate) struct App<M: Mailbox> {
    setup: Setup,
    /// The number of the next participant.
    next: AtomicU64,
    mailboxes: Mutex<Mailboxes<M>>,
    keys: Option<Keys>,
    operator: Option<OperatorToken>,
    joins: Mutex<RateLimit>,
    draining: AtomicBool,
    gate: Arc<Gate>,
    connections: Arc<Connections>,
}

/// Senders to the actors.
pub(crate) struct Mailboxes<M: Mailbox> {
    /// The sender to admission.
    pub admission: AdmissionSender<M>,
    /// The sender to the rooms.
    pub room: RoomSender<M>,
    /// The senders to the shards, by their numbers.
    pub shards: Vec<ShardSender<M>>,
}

impl<M: Mailbox> std::fmt::Debug for App<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl<M: Mailbox> std::fmt::Debug for Mailboxes<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}

impl<M: Mailbox> App<M> {
    /// The shared state. Without keys, no token is needed to join a room.
    #[must_use]
    pub(crate) fn new(
        setup: Setup,
        mailboxes: Mailboxes<M>,
        keys: Option<Keys>,
        operator: Option<OperatorToken>,
        joins: RateLimit,
        gate: Arc<Gate>,
        connections: Arc<Connections>,
    ) -> Arc<Self> {
        Arc::new(Self {
            setup,
            next: AtomicU64::new(1),
            mailboxes: Mutex::new(mailboxes),
            keys,
            operator,
            joins: Mutex::new(joins),
            draining: AtomicBool::new(false),
            gate,
            connections,
        })
    }

    /// Refuses joins from now on. The health check reports it.
    pub(crate) async fn drain(&self) {
        // ORDERING: a flag for the health check only; admission gets a message.
        self.draining.store(true, Ordering::Relaxed);
        let mut admission = self.lock().admission.clone();
        send_high(&mut admission, AdmissionMessage::Drain).await;
    }

    /// Tells the shards to close every session, and to stop then.
    pub(crate) async fn close_sessions(&self) {
        let mut shards = self.lock().shards.clone();
        for shard in &mut shards {
            send_high(shard, Control::Drain).await;
        }
    }

    /// Whether joins are refused.
    pub(super) fn is_draining(&self) -> bool {
        // ORDERING: see `drain`.
        self.draining.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Mailboxes<M>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn send_to_admission(&self, message: AdmissionMessage) -> bool {
        let mut mailboxes = self.lock();
        mailboxes.admission.try_send_high(message).is_ok()
    }

    pub(super) fn check_rate(&self, client: Client) -> Result<(), Error> {
        let mut joins = self.joins.lock().unwrap_or_else(PoisonError::into_inner);
        joins
            .try_acquire(Instant::now(), client.0)
            .map_err(Error::TooOften)
    }

    /// Checks that a token admits its bearer, and returns the principal that it names, if any.
    pub(super) fn admit(
        &self,
        token: Option<&str>,
        room: &str,
        role: Role,
    ) -> Result<Option<Principal>, Error> {
        match &self.keys {
            Some(keys) => keys
                .admit(token, room, role)
                .map(|claims| claims.sub.map(Principal::Subject))
                .map_err(Error::Denied),
            None => Ok(None),
        }
    }

    /// Whether rooms are protected by tokens.
    pub(super) fn needs_tokens(&self) -> bool {
        self.keys.is_some()
    }

    /// Statistics are for operators only. Where a request comes from proves nothing: a proxy on this machine brings
    /// those of the whole world.
    pub(super) fn require_operator(&self, token: Option<&str>) -> Result<(), Error> {
        let token = token.ok_or(Error::Denied(Denied::Missing))?;
        if self.operator.as_ref().is_some_and(|it| it.is(token)) {
            return Ok(());
        }
        let keys = self.keys.as_ref().ok_or(Error::Denied(Denied::Invalid))?;
        match keys.read(token) {
            Ok(claims) if claims.operator => Ok(()),
            Ok(_) => Err(Error::Denied(Denied::NoRight)),
            Err(denied) => Err(Error::Denied(denied)),
        }
    }

    /// Answers an offer. A panic in that refuses the offer only.
    fn answer(&self, mut join: Join) -> Result<Answered, JoinError> {
        if self.is_draining() {
            return Err(JoinError::Draining);
        }
        let identity = Identity {
            // ORDERING: none is needed: a counter that only has to give each number once.
            id: ParticipantId(self.next.fetch_add(1, Ordering::Relaxed)),
            room: Arc::clone(&join.room),
            name: Arc::clone(&join.name),
            role: join.role,
        };
        let sources = std::mem::take(&mut join.sources);
        let answered = catch_unwind(AssertUnwindSafe(|| {
            Session::answer_to(&self.setup, identity, &join.offer, sources, Instant::now())
        }));
        let (session, answer) = answered
            .unwrap_or(Err(Refusal::Malformed))
            .map_err(JoinError::Offer)?;
        Ok(Answered {
            join,
            session,
            answer,
        })
    }

    /// Changes an ICE session, if it is in `room`; `None` is any.
    pub(super) async fn patch(
        &self,
        resource: String,
        room: Option<String>,
        patch: Patch,
    ) -> Result<Patched, Error> {
        let (reply, answer) = oneshot::channel();
        if !self.send_to_admission(AdmissionMessage::Patch {
            resource,
            room,
            patch: Box::new(patch),
            reply,
        }) {
            return Err(Error::Busy);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(Some(patched))) => Ok(patched),
            Ok(Ok(None)) => Err(Error::NotFound),
            _ => Err(Error::Busy),
        }
    }

    pub(crate) async fn join(&self, join: Join) -> Result<Joined, Error> {
        let answered = Box::new(self.answer(join).map_err(Error::Join)?);
        let (reply, answer) = oneshot::channel();
        if !self.send_to_admission(AdmissionMessage::Join(answered, reply)) {
            return Err(Error::Busy);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => answer.map_err(Error::Join),
            _ => Err(Error::Busy),
        }
    }

    /// Ends a session, if it is in `room`; `None` is any room.
    pub(super) async fn leave(&self, resource: String, room: Option<String>) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        if !self.send_to_admission(AdmissionMessage::Leave {
            resource,
            room,
            reply,
        }) {
            return Err(Error::Busy);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Error::NotFound),
            _ => Err(Error::Busy),
        }
    }

    /// Collects the statistics of all actors.
    pub(crate) async fn observe(&self) -> Stats {
        let (mut shards, mut rooms) = (Vec::new(), None);
        {
            let mut mailboxes = self.lock();
            for shard in &mut mailboxes.shards {
                let (reply, answer) = oneshot::channel();
                if shard.try_send_high(Control::Observe(reply)).is_ok() {
                    shards.push(answer);
                }
            }
            let (reply, answer) = oneshot::channel();
            if mailboxes
                .room
                .try_send_high(RoomMessage::Observe(reply))
                .is_ok()
            {
                rooms = Some(answer);
            }
        }
        let mut stats = Stats {
            mailbox: M::NAME,
            tcp: self.gate.counters(),
            http: self.connections.counters(),
            ..Stats::default()
        };
        let deadline = tokio::time::Instant::now() + ANSWER;
        for answer in shards {
            if let Ok(Ok(shard)) = tokio::time::timeout_at(deadline, answer).await {
                stats.shards.push(shard);
            }
        }
        if let Some(answer) = rooms
            && let Ok(Ok(rooms)) = tokio::time::timeout_at(deadline, answer).await
        {
            stats.rooms = rooms;
        }
        stats
    }
}
