//! The signalling actor: answers offers, and keeps a session until its peer's first valid STUN tells
//! which shard the kernel gives it to. It counts who is there, and refuses who is too many.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;
use tokio::sync::oneshot;

use crate::room;
use crate::router::ShardId;
use crate::session::build::{Refusal, Setup, Who};
use crate::session::signal::SourceOf;
use crate::session::{ParticipantId, Role, Session};
use crate::shard::Control;

/// How long an answered peer may take to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the lobby is told.
#[derive(Debug)]
pub enum LobbyMessage {
    /// Somebody wants to join.
    Join(Box<Join>, oneshot::Sender<Result<Joined, JoinError>>),
    /// A shard got a STUN message for a user name that it does not know.
    Claim {
        /// The user name.
        ufrag: String,
        /// The shard.
        shard: ShardId,
        /// The message.
        request: Box<[u8]>,
    },
    /// Somebody who joined by HTTP leaves.
    Leave {
        /// The secret name of what joined.
        resource: String,
        /// Whether it was there.
        reply: oneshot::Sender<bool>,
    },
    /// A peer is gone from its shard.
    Ended {
        /// Its user name.
        ufrag: String,
    },
    /// Nobody may join any more.
    Drain,
}

/// Who wants to join what.
#[derive(Debug)]
pub struct Join {
    /// The room.
    pub room: Arc<str>,
    /// The name that others see.
    pub name: Arc<str>,
    /// What for.
    pub role: Role,
    /// The SDP offer.
    pub offer: String,
    /// What the offer's media sections are.
    pub sources: Vec<SourceOf>,
}

/// A place in a room.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Who.
    pub id: ParticipantId,
    /// The SDP answer.
    pub answer: String,
    /// The secret name by which to leave.
    pub resource: String,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// The offer cannot be answered.
    Offer(Refusal),
    /// The room is full.
    RoomFull,
    /// The server is full.
    ServerFull,
    /// The server is about to stop.
    Draining,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(refusal) => refusal.fmt(f),
            Self::RoomFull => f.write_str("the room is full"),
            Self::ServerFull => f.write_str("the server is full"),
            Self::Draining => f.write_str("the server is about to stop"),
        }
    }
}

impl std::error::Error for JoinError {}

/// How many may come.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To a room.
    pub room: usize,
    /// To the server.
    pub server: usize,
}

#[derive(Debug)]
struct Guest {
    id: ParticipantId,
    room: Arc<str>,
    resource: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Waiting(Box<Session>, Instant),
    In(ShardId),
}

/// The actor.
#[derive(Debug)]
pub struct Lobby {
    setup: Setup,
    limits: Limits,
    next: u64,
    guests: HashMap<String, Guest>,
    draining: bool,
}

impl Lobby {
    /// An empty lobby.
    #[must_use]
    pub fn new(setup: Setup, limits: Limits) -> Self {
        Self {
            setup,
            limits,
            next: 1,
            guests: HashMap::new(),
            draining: false,
        }
    }

    /// Takes a message and says what follows.
    pub fn handle(&mut self, now: Instant, message: LobbyMessage, out: &mut Vec<room::Out>) {
        match message {
            LobbyMessage::Join(join, reply) => {
                let _ = reply.send(self.join(now, *join));
            }
            LobbyMessage::Claim {
                ufrag,
                shard,
                request,
            } => {
                self.claim(&ufrag, shard, &request, out);
            }
            LobbyMessage::Leave { resource, reply } => {
                let found = self
                    .guests
                    .iter()
                    .find(|(_, guest)| guest.resource == resource);
                let found = found.map(|(ufrag, guest)| (ufrag.clone(), guest.id, &guest.place));
                let _ = reply.send(found.is_some());
                match found {
                    Some((_, id, &Place::In(shard))) => out.push((shard, Control::Disconnect(id))),
                    Some((ufrag, _, Place::Waiting(..))) => {
                        self.guests.remove(&ufrag);
                    }
                    None => {}
                }
            }
            LobbyMessage::Ended { ufrag } => {
                self.guests.remove(&ufrag);
            }
            LobbyMessage::Drain => {
                self.draining = true;
                self.guests
                    .retain(|_, guest| matches!(guest.place, Place::In(_)));
            }
        }
    }

    /// Forgets those who did not come.
    pub fn tidy(&mut self, now: Instant) {
        self.guests.retain(|_, guest| match guest.place {
            Place::Waiting(_, since) => now.saturating_duration_since(since) < PATIENCE,
            Place::In(_) => true,
        });
    }

    fn join(&mut self, now: Instant, join: Join) -> Result<Joined, JoinError> {
        if self.draining {
            return Err(JoinError::Draining);
        }
        if self.guests.len() >= self.limits.server {
            return Err(JoinError::ServerFull);
        }
        if self
            .guests
            .values()
            .filter(|guest| guest.room == join.room)
            .count()
            >= self.limits.room
        {
            return Err(JoinError::RoomFull);
        }
        let id = ParticipantId(self.next);
        let who = Who {
            id,
            room: Arc::clone(&join.room),
            name: join.name,
            role: join.role,
        };
        let setup = &self.setup;
        let answered = catch_unwind(AssertUnwindSafe(|| {
            Session::answer_to(setup, who, &join.offer, join.sources, now)
        }));
        let (session, answer) = answered
            .unwrap_or(Err(Refusal::Malformed))
            .map_err(JoinError::Offer)?;
        self.next += 1;
        let resource = secret();
        let guest = Guest {
            id,
            room: join.room,
            resource: resource.clone(),
            place: Place::Waiting(Box::new(session), now),
        };
        let Place::Waiting(session, _) = &guest.place else {
            unreachable!("just made")
        };
        self.guests.insert(session.ufrag().to_owned(), guest);
        Ok(Joined {
            id,
            answer,
            resource,
        })
    }

    /// Gives a session to the shard that heard of its peer first.
    fn claim(&mut self, ufrag: &str, shard: ShardId, request: &[u8], out: &mut Vec<room::Out>) {
        let Some(guest) = self.guests.get_mut(ufrag) else {
            return;
        };
        match &guest.place {
            Place::Waiting(session, _) => {
                if !StunMessage::parse(request).is_ok_and(|request| session.verifies(&request)) {
                    return;
                }
            }
            &Place::In(there) => {
                if there != shard {
                    out.push((shard, Control::Redirect(ufrag.to_owned(), there)));
                }
                return;
            }
        }
        let place = std::mem::replace(&mut guest.place, Place::In(shard));
        if let Place::Waiting(session, _) = place {
            out.push((shard, Control::Adopt(session)));
        }
    }
}

/// A name that cannot be guessed.
fn secret() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
