//! The state that handlers share: the actors, keys and rate limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lanemesh_runtime::{AskError, Reply, SharedHandle, Spawner};

use super::client::Client;
use super::connections::Connections;
use super::error::Error;
use super::limit::RateLimit;
use super::token::{Denied, Keys, OperatorToken};
use crate::control::admission::{Admission, Lasting};
use crate::control::rooms::RoomTable;
use crate::control::shards::Shards;
use crate::mailbox::Mailbox;
use crate::messages::{AdmissionMessage, Answered, Join, JoinError, Joined, Principal};
use crate::net::gate::Gate;
use crate::session::build::{Identity, Refusal, Setup};
use crate::session::{Patch, Patched, Role, Session};
use crate::stats::{ShardStats, Stats};

/// How long to wait for an actor's answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The state that handlers share.
pub(crate) struct App<M: Mailbox> {
    /// The settings that all sessions share.
    pub setup: Setup,
    /// Admission.
    pub admission: SharedHandle<Admission<M>>,
    /// The shards.
    pub shards: Arc<Shards<M>>,
    /// The rooms.
    pub rooms: Arc<RoomTable<M>>,
    /// What outlives an incarnation of admission.
    pub lasting: Arc<Lasting>,
    /// Starts the actors of pages.
    pub spawner: Spawner,
    /// Without keys, no token is needed to join a room.
    pub keys: Option<Keys>,
    /// The token that opens the statistics.
    pub operator: Option<OperatorToken>,
    /// The rate of joins.
    pub joins: Mutex<RateLimit>,
    /// The TCP connections for media.
    pub gate: Arc<Gate>,
    /// The HTTP connections.
    pub connections: Arc<Connections>,
}

impl<M: Mailbox> std::fmt::Debug for App<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl<M: Mailbox> App<M> {
    /// Refuses joins from now on, which the health check reports, and waits until the last participant has left.
    pub(crate) async fn drain(&self) {
        /// Asked again, in case admission is restarted.
        const PATIENCE: Duration = Duration::from_secs(3600);
        self.lasting.drain();
        loop {
            match self.admission.ask(AdmissionMessage::Drain, PATIENCE).await {
                Ok(()) | Err(AskError::Closed) => return,
                Err(error) => tracing::debug!(%error, "asks again"),
            }
        }
    }

    /// Whether joins are refused.
    pub(super) fn is_draining(&self) -> bool {
        self.lasting.is_draining()
    }

    /// Asks admission.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> AdmissionMessage,
    ) -> Result<R, Error> {
        let answer = self.admission.ask(question, ANSWER).await;
        answer.map_err(|error| {
            tracing::debug!(%error, "admission does not answer");
            Error::Busy
        })
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
        let id = self.lasting.next_participant();
        let identity = Identity {
            id,
            person: self.lasting.person(id, &join),
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
        let patch = |reply| AdmissionMessage::Patch {
            resource,
            room,
            patch: Box::new(patch),
            reply,
        };
        self.ask(patch).await?.ok_or(Error::NotFound)
    }

    pub(crate) async fn join(&self, join: Join) -> Result<Joined, Error> {
        let answered = Box::new(self.answer(join).map_err(Error::Join)?);
        let joined = self.ask(|reply| AdmissionMessage::Join(answered, reply));
        joined.await?.map_err(Error::Join)
    }

    /// Ends a session, if it is in `room`; `None` is any room.
    pub(super) async fn leave(&self, resource: String, room: Option<String>) -> Result<(), Error> {
        let leave = |reply| AdmissionMessage::Leave {
            resource,
            room,
            reply,
        };
        let found = self.ask(leave).await?;
        found.then_some(()).ok_or(Error::NotFound)
    }

    /// Which shards hang, by their numbers.
    pub(crate) async fn hung(&self) -> Vec<bool> {
        self.ask(AdmissionMessage::Hung).await.unwrap_or_default()
    }

    /// Collects the statistics of all actors.
    pub(crate) async fn observe(&self) -> Stats {
        let hung = self.hung().await;
        let mut stats = Stats {
            mailbox: M::NAME,
            tcp: self.gate.counters(),
            http: self.connections.counters(),
            claims_refused: self.lasting.claims_refused(),
            ..Stats::default()
        };
        for shard in 0..self.shards.len() {
            let hangs = hung.get(shard).is_some_and(|hangs| *hangs);
            let answer = match hangs {
                true => Err(AskError::Timeout),
                false => self.shards.observe(shard, ANSWER).await,
            };
            stats.shards.push(answer.unwrap_or(ShardStats {
                shard,
                hangs: true,
                ..ShardStats::default()
            }));
        }
        stats.rooms = self.rooms.observe(ANSWER).await;
        stats
    }
}
