//! Admission: answers offers within the join limits, and keeps each session until the peer's first valid STUN message
//! shows to which shard the kernel delivers its datagrams.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;
use tokio::sync::oneshot;

use super::actor::Tables;
use crate::ids::{ParticipantId, ShardId, secret};
use crate::messages::{
    AdmissionMessage, Answered, Control, Join, JoinError, Joined, Out, Principal,
};
use crate::net::tcp::Arrived;
use crate::session::{Patch, Patched, Role, Session};

/// How long a peer may take to connect after the answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a peer that has connected by TCP is given to connect by UDP.
const HEAD_START: Duration = Duration::from_millis(250);
/// TCP connections that are kept for a guest who has not connected.
const MAX_CONNECTIONS: usize = 4;
/// How long a guest who has not connected keeps a place that another wants.
const GRACE: Duration = Duration::from_secs(2);

/// The join limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Participants in a room.
    pub room: usize,
    /// Participants on the server.
    pub server: usize,
    /// Participants from one IPv4 address, or from one /64 of IPv6.
    pub address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: 64,
            server: 1024,
            address: usize::MAX,
        }
    }
}

#[derive(Debug)]
struct Guest {
    id: ParticipantId,
    room: Arc<str>,
    /// The address or network that it joined from; `None` from within the process.
    address: Option<IpAddr>,
    principal: Option<Principal>,
    role: Role,
    resource: String,
    state: GuestState,
}

#[derive(Debug)]
enum GuestState {
    Waiting(Box<Waiting>),
    In(ShardId),
}

/// A guest who has been answered and has not connected by UDP yet.
#[derive(Debug)]
struct Waiting {
    session: Session,
    since: Instant,
    /// Connections whose first frame is signed with the session's password.
    connections: Vec<Arrived>,
    connected: Option<Instant>,
}

impl Guest {
    fn waits(&self) -> bool {
        matches!(self.state, GuestState::Waiting(_))
    }
}

/// The guests of a server, and the settings of their sessions.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Whether peers can connect by UDP.
    udp: bool,
    limits: Limits,
    shards: usize,
    next_shard: ShardId,
    guests: HashMap<String, Guest>,
    draining: bool,
}

impl Admission {
    /// No guests, on a server with `shards` shards.
    #[must_use]
    pub(crate) fn new(udp: bool, limits: Limits, shards: usize) -> Self {
        Self {
            udp,
            limits,
            shards,
            next_shard: 0,
            guests: HashMap::new(),
            draining: false,
        }
    }

    /// Forgets guests who did not connect in time, and assigns a shard to those who connected by TCP only.
    fn forget_late(&mut self, now: Instant, out: &mut Vec<Out>) {
        let head_start = self.head_start();
        let mut late = Vec::new();
        self.guests.retain(|ufrag, guest| {
            let GuestState::Waiting(waiting) = &guest.state else {
                return true;
            };
            let since = |since: Instant| now.saturating_duration_since(since);
            if waiting.connected.is_some_and(|at| since(at) >= head_start) {
                late.push(ufrag.clone());
            }
            since(waiting.since) < PATIENCE
        });
        for ufrag in late {
            self.next_shard = (self.next_shard + 1) % self.shards;
            self.hand_over(&ufrag, self.next_shard, out);
        }
    }

    /// How long to wait for UDP before a peer is assigned a shard by TCP. UDP is preferred, and lets the kernel choose the
    /// shard.
    fn head_start(&self) -> Duration {
        if self.udp { HEAD_START } else { Duration::ZERO }
    }

    /// Keeps a signed connection for a waiting guest, or passes it to the guest's shard, which checks the signature
    /// itself.
    fn connect(&mut self, now: Instant, ufrag: &str, connection: Box<Arrived>, out: &mut Vec<Out>) {
        let Some(guest) = self.guests.get_mut(ufrag) else {
            return;
        };
        match &mut guest.state {
            GuestState::Waiting(waiting) => {
                let signed = connection.inbox.peek().ok().flatten().is_some_and(|frame| {
                    let message = StunMessage::parse(frame);
                    message.is_ok_and(|message| waiting.session.verifies(&message))
                });
                if !signed || waiting.connections.len() >= MAX_CONNECTIONS {
                    return;
                }
                waiting.connections.push(*connection);
                waiting.connected.get_or_insert(now);
                if self.head_start().is_zero() {
                    self.forget_late(now, out);
                }
            }
            &mut GuestState::In(shard) => out.push((shard, Control::Connect(connection))),
        }
    }

    fn join(&mut self, now: Instant, answered: Answered) -> Result<Joined, JoinError> {
        let Answered {
            join,
            session,
            answer,
        } = answered;
        if self.draining {
            return Err(JoinError::Draining);
        }
        self.make_room(now, &join)?;
        let (id, tag) = (session.id, session.tag().to_owned());
        let (resource, ufrag) = (secret(), session.ufrag().to_owned());
        let guest = Guest {
            id,
            room: join.room,
            address: join.address,
            principal: join.principal,
            role: join.role,
            resource: resource.clone(),
            state: GuestState::Waiting(Box::new(Waiting {
                session,
                since: now,
                connections: Vec::new(),
                connected: None,
            })),
        };
        self.guests.insert(ufrag, guest);
        Ok(Joined {
            id,
            answer,
            tag,
            resource,
        })
    }

    /// Finds a place for a join within the limits, if necessary that of a guest who has not connected.
    ///
    /// Who returns takes the place of its earlier session. Guests of one address who have not connected have a quarter of
    /// a room at most, so that it cannot fill the room with answers that nobody takes up.
    fn make_room(&mut self, now: Instant, join: &Join) -> Result<(), JoinError> {
        let replaced = usize::from(
            self.earlier(&join.room, join.role, &join.principal)
                .is_some(),
        );
        if let Some(address) = join.address {
            let here = |guest: &&Guest| guest.address == Some(address);
            if self.guests.values().filter(here).count()
                >= self.limits.address.saturating_add(replaced)
            {
                return Err(JoinError::AddressFull);
            }
        }
        let full = |this: &Self| this.guests.len() >= this.limits.server + replaced;
        if full(self) && !self.forget_crowd(now, |_| true) {
            return Err(JoinError::ServerFull);
        }
        let in_room = |guest: &Guest| guest.room == join.room;
        let count = self.guests.values().filter(|it| in_room(it)).count();
        if count >= self.limits.room + replaced && !self.forget_crowd(now, in_room) {
            return Err(JoinError::RoomFull);
        }
        let waits =
            |guest: &Guest| in_room(guest) && guest.address == join.address && guest.waits();
        let waiting = self.guests.values().filter(|it| waits(it)).count();
        let crowded = join.address.is_some() && waiting >= (self.limits.room / 4).max(2);
        if crowded && !self.forget_oldest(now, waits) {
            return Err(JoinError::AddressFull);
        }
        Ok(())
    }

    /// Among some guests, forgets the oldest who waits of the address with most of them, if it has more than one.
    fn forget_crowd(&mut self, now: Instant, among: impl Fn(&Guest) -> bool) -> bool {
        let mut waiting: HashMap<IpAddr, usize> = HashMap::new();
        let guests = self.guests.values();
        for guest in guests.filter(|guest| among(guest) && guest.waits()) {
            if let Some(address) = guest.address {
                *waiting.entry(address).or_default() += 1;
            }
        }
        let most = waiting.into_iter().max_by_key(|&(_, count)| count);
        let Some((address, 2..)) = most else {
            return false;
        };
        self.forget_oldest(now, |guest| among(guest) && guest.address == Some(address))
    }

    /// Among some guests, forgets the one who has waited longest, if that is longer than [`GRACE`].
    fn forget_oldest(&mut self, now: Instant, among: impl Fn(&Guest) -> bool) -> bool {
        let waiting = self.guests.iter().filter_map(|(ufrag, guest)| {
            let GuestState::Waiting(waiting) = &guest.state else {
                return None;
            };
            let late = now.saturating_duration_since(waiting.since) >= GRACE;
            (late && among(guest)).then_some((waiting.since, ufrag))
        });
        let oldest = waiting.min().map(|(_, ufrag)| ufrag.clone());
        oldest.is_some_and(|ufrag| self.guests.remove(&ufrag).is_some())
    }

    /// The user name of the session that a principal has in a room already.
    fn earlier(
        &self,
        room: &Arc<str>,
        role: Role,
        principal: &Option<Principal>,
    ) -> Option<String> {
        let principal = principal.as_ref()?;
        let mut guests = self.guests.iter();
        let same = |guest: &Guest| {
            guest.room == *room && guest.role == role && guest.principal.as_ref() == Some(principal)
        };
        let earlier = guests.find(|(_, guest)| same(guest));
        earlier.map(|(ufrag, _)| ufrag.clone())
    }

    /// The user name of the session with a resource, if it is in `room`; `None` is any.
    fn by_resource(&self, resource: &str, room: Option<&str>) -> Option<String> {
        let found = self.guests.iter().find(|(_, guest)| {
            let in_room = room.is_none_or(|room| *guest.room == *room);
            guest.resource == resource && in_room
        });
        found.map(|(ufrag, _)| ufrag.clone())
    }

    /// Changes the ICE session of a guest who waits, or has its shard do it.
    fn patch(
        &mut self,
        resource: &str,
        room: Option<&str>,
        patch: Box<Patch>,
        reply: oneshot::Sender<Option<Patched>>,
        out: &mut Vec<Out>,
    ) {
        let found = self.by_resource(resource, room);
        let guest = found.and_then(|ufrag| self.guests.get_mut(&ufrag));
        let id = guest.as_ref().map(|guest| guest.id);
        match (guest.map(|guest| &mut guest.state), id) {
            (Some(GuestState::Waiting(waiting)), _) => {
                let _ = reply.send(Some(waiting.session.patch(&patch)));
            }
            (Some(&mut GuestState::In(shard)), Some(id)) => {
                out.push((shard, Control::Patch(id, patch, reply)));
            }
            _ => _ = reply.send(None),
        }
    }

    /// Ends a session, or forgets a guest who waits. The shard says when the session has ended.
    fn end(&mut self, ufrag: &str, out: &mut Vec<Out>) {
        match self.guests.get(ufrag).map(|guest| (guest.id, &guest.state)) {
            Some((id, &GuestState::In(shard))) => out.push((shard, Control::Disconnect(id))),
            Some((_, GuestState::Waiting(_))) => _ = self.guests.remove(ufrag),
            None => {}
        }
    }

    /// Hands a session over to the shard that received a valid STUN message of its peer first.
    fn claim(&mut self, ufrag: &str, shard: ShardId, request: &[u8], out: &mut Vec<Out>) {
        let Some(guest) = self.guests.get_mut(ufrag) else {
            return;
        };
        match &guest.state {
            GuestState::Waiting(waiting) => {
                let request = StunMessage::parse(request);
                if !request.is_ok_and(|request| waiting.session.verifies(&request)) {
                    return;
                }
            }
            &GuestState::In(there) => {
                if there != shard {
                    out.push((shard, Control::Redirect(ufrag.to_owned(), there)));
                }
                return;
            }
        }
        self.hand_over(ufrag, shard, out);
    }

    /// Ends the earlier session of who has now connected again.
    fn replace_earlier(&mut self, ufrag: &str, out: &mut Vec<Out>) {
        let Some(guest) = self.guests.remove(ufrag) else {
            return;
        };
        if let Some(earlier) = self.earlier(&guest.room, guest.role, &guest.principal) {
            self.end(&earlier, out);
            // A third session ends the second, not the first once more.
            if let Some(earlier) = self.guests.get_mut(&earlier) {
                earlier.principal = None;
            }
        }
        self.guests.insert(ufrag.to_owned(), guest);
    }

    /// Hands a session and its connections over to a shard.
    fn hand_over(&mut self, ufrag: &str, shard: ShardId, out: &mut Vec<Out>) {
        self.replace_earlier(ufrag, out);
        let Some(guest) = self.guests.get_mut(ufrag) else {
            return;
        };
        if let GuestState::Waiting(waiting) =
            std::mem::replace(&mut guest.state, GuestState::In(shard))
        {
            out.push((shard, Control::Adopt(Box::new(waiting.session))));
            let connections = waiting.connections.into_iter().map(Box::new);
            out.extend(connections.map(|connection| (shard, Control::Connect(connection))));
        }
    }
}

impl Tables for Admission {
    type Message = AdmissionMessage;

    const BURST: usize = 16;
    const EXPIRY_INTERVAL: Option<Duration> = Some(Duration::from_millis(100));

    fn handle(&mut self, now: Instant, message: AdmissionMessage, out: &mut Vec<Out>) {
        match message {
            AdmissionMessage::Join(join, reply) => {
                let _ = reply.send(self.join(now, *join));
            }
            AdmissionMessage::Claim {
                ufrag,
                shard,
                request,
            } => {
                self.claim(&ufrag, shard, &request, out);
            }
            AdmissionMessage::Connect { ufrag, connection } => {
                self.connect(now, &ufrag, connection, out);
            }
            AdmissionMessage::Patch {
                resource,
                room,
                patch,
                reply,
            } => self.patch(&resource, room.as_deref(), patch, reply, out),
            AdmissionMessage::Leave {
                resource,
                room,
                reply,
            } => {
                let found = self.by_resource(&resource, room.as_deref());
                let _ = reply.send(found.is_some());
                if let Some(ufrag) = found {
                    self.end(&ufrag, out);
                }
            }
            AdmissionMessage::Ended { ufrag } => {
                self.guests.remove(&ufrag);
            }
            AdmissionMessage::Drain => {
                self.draining = true;
                self.guests
                    .retain(|_, guest| matches!(guest.state, GuestState::In(_)));
            }
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.forget_late(now, out);
    }
}
