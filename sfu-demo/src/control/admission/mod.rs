//! Admission: answers offers within the join limits, and keeps each session until the peer's first valid STUN message
//! shows to which shard the kernel delivers its datagrams.
//!
//! It never waits for a shard. When it is restarted, sessions that have not connected are lost, and the shards say whose
//! they have.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lanemesh_runtime::{Actor, ActorResult, AskError, Context, Reply};
use str0m::ice::StunMessage;

use super::shards::Shards;
use crate::ids::{ParticipantId, PersonId, ShardId, secret};
use crate::mailbox::{Mailbox, Refused, Sender};
use crate::messages::{
    AdmissionMessage, Adoption, Answered, Claim, Control, FromSocket, Guest, Join, JoinError,
    Joined, PageLink, ShardTag,
};
use crate::net::tcp::Arrived;
use crate::session::{Patch, Patched};
use crate::shard::Shard;

mod guests;

pub use guests::Limits;
#[cfg(test)]
pub(crate) use guests::OPENING;
use guests::{Entry, GuestState, Guests, Waiting};

/// How often timeouts are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a peer that has connected by TCP is given to connect by UDP.
const HEAD_START: Duration = Duration::from_millis(250);
/// TCP connections that are kept for a guest who has not connected.
const MAX_CONNECTIONS: usize = 4;
/// How often each shard is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_millis(500);
/// How long a shard may take to give one. With the interval, a shard that hangs is reported within two seconds.
const PING_TIMEOUT: Duration = Duration::from_millis(1200);
/// How long a shard must hang until the kernel delivers nothing to it any more. What its peers send is lost from then on,
/// so this is longer than a busy machine keeps a thread waiting, and shorter than a new peer tries to connect.
const STEER_AFTER: Duration = Duration::from_secs(8);

/// What the page of a session is told that another one of the same participant has replaced: it does not come back by
/// itself, or two pages would replace each other for ever.
const REPLACED: &str = "replaced";

/// What outlives an incarnation of admission.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// Participants so far: no number is given twice.
    participants: AtomicU64,
    /// Numbers people, so that nobody learns from the number by which secret the server knows them.
    people: RandomState,
    draining: AtomicBool,
    stopping: AtomicBool,
    /// Claims that led to nothing.
    claims_refused: AtomicU64,
}

impl Lasting {
    /// Whether joins are refused.
    pub(crate) fn is_draining(&self) -> bool {
        // ORDERING: a flag alone.
        self.draining.load(Ordering::Relaxed)
    }

    /// Refuses joins from now on.
    pub(crate) fn drain(&self) {
        // ORDERING: a flag alone.
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server has begun to stop: sessions end because of that, and not by a fault.
    pub(crate) fn is_stopping(&self) -> bool {
        // ORDERING: as in `stop`.
        self.stopping.load(Ordering::Acquire)
    }

    /// Says that the server stops.
    pub(crate) fn stop(&self) {
        // ORDERING: before what ends the sessions. Who sees that they have ended, through any channel, sees this too.
        self.stopping.store(true, Ordering::Release);
    }

    fn refuse_claim(&self) {
        // ORDERING: a count alone.
        self.claims_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many claims have led to nothing.
    pub(crate) fn claims_refused(&self) -> u64 {
        // ORDERING: a count alone.
        self.claims_refused.load(Ordering::Relaxed)
    }

    /// The number of the next participant.
    pub(crate) fn next_participant(&self) -> ParticipantId {
        // ORDERING: only the uniqueness of the number matters, and the RMW guarantees it.
        ParticipantId(self.participants.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Who a participant is: the same person as in the other sessions of its principal in the room.
    pub(crate) fn person(&self, id: ParticipantId, join: &Join) -> PersonId {
        let who = join.principal.as_ref().ok_or(id);
        PersonId(self.people.hash_one((&join.room, who)))
    }
}

/// A shard, as admission knows it.
#[derive(Debug, Clone, Copy)]
struct View {
    incarnation: u32,
    /// It has not answered in time, and since when it has said nothing.
    hangs: Option<Instant>,
    /// The kernel delivers nothing to it.
    avoided: bool,
    /// It was asked for a sign of life, and has not answered.
    asked: bool,
    asked_at: Instant,
    /// Its guests are known.
    counted: bool,
}

/// The guests of a server.
pub(crate) struct Admission<M: Mailbox> {
    /// Whether peers can connect by UDP.
    udp: bool,
    lasting: Arc<Lasting>,
    shards: Arc<Shards<M>>,
    handles: Vec<M::Handle<Shard<M>>>,
    views: Vec<View>,
    next_shard: ShardId,
    guests: Guests,
    /// Whoever waits until nobody is left.
    drained: Vec<Reply<()>>,
    incarnation: u32,
}

impl<M: Mailbox> Admission<M> {
    /// No guests.
    #[must_use]
    pub(crate) fn new(
        udp: bool,
        limits: Limits,
        lasting: Arc<Lasting>,
        shards: Arc<Shards<M>>,
    ) -> Self {
        let view = View {
            incarnation: 0,
            hangs: None,
            avoided: false,
            asked: false,
            asked_at: Instant::now(),
            counted: true,
        };
        Self {
            udp,
            lasting,
            handles: shards.handles(),
            views: vec![view; shards.len()],
            shards,
            next_shard: 0,
            guests: Guests::new(limits),
            drained: Vec::new(),
            incarnation: 1,
        }
    }

    /// Sends without waiting. Gives the message back if there is no room.
    fn send(&mut self, shard: ShardId, control: Control) -> Result<(), Control> {
        match self.handles.get_mut(shard) {
            Some(handle) => handle.try_send_high(control).map_err(Refused::into_inner),
            None => Err(control),
        }
    }

    /// How long to wait for UDP before a peer is assigned a shard by TCP. UDP is preferred, and lets the kernel choose the
    /// shard.
    fn head_start(&self) -> Duration {
        if self.udp { HEAD_START } else { Duration::ZERO }
    }

    /// The shard for the next peer that the kernel has not assigned one: in turn, but none that hangs.
    fn choose_shard(&mut self) -> ShardId {
        let count = self.views.len();
        let turns = (1..=count).map(|step| (self.next_shard + step) % count);
        let next = (self.next_shard + 1) % count;
        self.next_shard = turns
            .clone()
            .find(|shard| self.views[*shard].hangs.is_none())
            .unwrap_or(next);
        self.next_shard
    }

    /// Forgets guests who did not connect in time, and assigns a shard to those who connected by TCP only.
    fn forget_late(&mut self, now: Instant) {
        for ufrag in self.guests.forget_late(now, self.head_start()) {
            let shard = self.choose_shard();
            self.hand_over(&ufrag, shard);
        }
    }

    /// Keeps a signed connection for a waiting guest, or passes it to the guest's shard, which checks the signature
    /// itself.
    fn connect(&mut self, now: Instant, ufrag: &str, connection: Box<Arrived>) {
        let Some(entry) = self.guests.get_mut(ufrag) else {
            return;
        };
        match &mut entry.state {
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
                    self.forget_late(now);
                }
            }
            &mut GuestState::In { shard, .. } => {
                // If there is no room, the peer connects again.
                let _ = self.send(shard, Control::Connect(connection));
            }
        }
    }

    fn join(&mut self, now: Instant, answered: Answered) -> Result<Joined, JoinError> {
        let Answered {
            join,
            session,
            answer,
        } = answered;
        if self.lasting.is_draining() {
            return Err(JoinError::Draining);
        }
        self.guests.make_room(now, &join)?;
        let (id, tag) = (session.id, session.tag().to_owned());
        let guest = Guest {
            id,
            ufrag: session.ufrag().to_owned(),
            room: join.room,
            address: join.address,
            principal: join.principal,
            role: join.role,
            resource: secret(),
        };
        let resource = guest.resource.clone();
        let waiting = Waiting {
            session,
            since: now,
            connections: Vec::new(),
            connected: None,
            page: None,
        };
        let state = GuestState::Waiting(Box::new(waiting));
        self.guests.insert(Entry::new(Arc::new(guest), state));
        Ok(Joined {
            id,
            answer,
            resource,
            tag,
        })
    }

    /// Changes the ICE session of a guest who waits, or has its shard do it.
    fn patch(
        &mut self,
        resource: &str,
        room: Option<&str>,
        patch: Box<Patch>,
        reply: Reply<Option<Patched>>,
    ) {
        let found = self.guests.by_resource(resource, room);
        let Some(entry) = found.and_then(|ufrag| self.guests.get_mut(&ufrag)) else {
            return drop(reply.send(None));
        };
        let id = entry.guest.id;
        match &mut entry.state {
            GuestState::Waiting(waiting) => {
                drop(reply.send(Some(waiting.session.patch(Instant::now(), &patch))));
            }
            &mut GuestState::In { shard, .. } => {
                // If there is no room, the reply is dropped, and the request is answered as one too many.
                let _ = self.send(shard, Control::Patch(id, patch, reply));
            }
        }
    }

    /// The page of a session has connected, perhaps again.
    fn attach(&mut self, resource: &str, page: PageLink) -> Option<ParticipantId> {
        let ufrag = self.guests.by_resource(resource, None)?;
        let entry = self.guests.get_mut(&ufrag)?;
        let id = entry.guest.id;
        match &mut entry.state {
            GuestState::Waiting(waiting) => waiting.page = Some(page),
            &mut GuestState::In { shard, .. } => {
                let attached = Control::Page(id, FromSocket::Attached(page));
                // If there is no room, the page connects again.
                self.send(shard, attached).ok()?;
            }
        }
        Some(id)
    }

    /// Ends a session, or forgets a guest who waits. The shard says when the session has ended.
    fn end(&mut self, ufrag: &str) {
        let Some(entry) = self.guests.get_mut(ufrag) else {
            return;
        };
        let id = entry.guest.id;
        let why = entry.replaced.then_some(REPLACED);
        match &mut entry.state {
            GuestState::Waiting(_) => self.guests.remove(ufrag),
            GuestState::In { shard, ending } => {
                *ending = true;
                let shard = *shard;
                let told = self.send(shard, Control::Disconnect(id, why)).is_ok();
                if told
                    && let Some(entry) = self.guests.get_mut(ufrag)
                    && let GuestState::In { ending, .. } = &mut entry.state
                {
                    *ending = false;
                }
            }
        }
    }

    /// Hands a session over to the shard that received a valid STUN message of its peer first.
    fn claim(&mut self, claim: &Claim) {
        let Claim {
            ufrag,
            shard,
            request,
        } = claim;
        if !self.meet(*shard) {
            return self.lasting.refuse_claim();
        }
        match self.guests.get_mut(ufrag).map(|entry| &entry.state) {
            Some(GuestState::Waiting(waiting))
                if StunMessage::parse(request)
                    .is_ok_and(|request| waiting.session.verifies(&request)) =>
            {
                self.hand_over(ufrag, shard.id);
            }
            Some(&GuestState::In { shard: there, .. }) => {
                if there != shard.id {
                    let _ = self.send(shard.id, Control::Redirect(ufrag.clone(), there));
                }
            }
            _ => self.lasting.refuse_claim(),
        }
    }

    /// Hands a session and its connections over to a shard. If that has no room, the guest goes on waiting: the peer sends
    /// another STUN message.
    fn hand_over(&mut self, ufrag: &str, shard: ShardId) {
        if self.views[shard].incarnation == 0 {
            return; // It has not begun.
        }
        for earlier in self.guests.replace_earlier(ufrag) {
            self.end(&earlier);
        }
        let (to, by) = (self.views[shard].incarnation, self.incarnation);
        let Some(entry) = self.guests.get_mut(ufrag) else {
            return;
        };
        let state = GuestState::In {
            shard,
            ending: false,
        };
        let GuestState::Waiting(waiting) = std::mem::replace(&mut entry.state, state) else {
            return;
        };
        let waiting = *waiting;
        let adoption = Adoption {
            session: waiting.session,
            guest: Arc::clone(&entry.guest),
            page: waiting.page,
            to,
            by,
        };
        match self.send(shard, Control::Adopt(Box::new(adoption))) {
            Ok(()) => {
                for connection in waiting.connections {
                    let _ = self.send(shard, Control::Connect(Box::new(connection)));
                }
            }
            Err(Control::Adopt(adoption)) => {
                if let Some(entry) = self.guests.get_mut(ufrag) {
                    entry.state = GuestState::Waiting(Box::new(Waiting {
                        session: adoption.session,
                        page: adoption.page,
                        since: waiting.since,
                        connections: waiting.connections,
                        connected: waiting.connected,
                    }));
                }
            }
            Err(_) => self.guests.remove(ufrag),
        }
    }

    /// Whether a shard's incarnation is the latest. If it is new, the guests of earlier ones are gone.
    fn meet(&mut self, shard: ShardTag) -> bool {
        let Some(view) = self.views.get_mut(shard.id) else {
            return false;
        };
        let known = view.incarnation;
        if shard.incarnation > known {
            view.incarnation = shard.incarnation;
            if known > 0 {
                view.counted = true;
                self.guests.lost(shard.id);
            }
        }
        shard.incarnation >= known
    }

    /// Asks shards for a sign of life, and once more what they may not have heard.
    fn tick(&mut self, now: Instant, ctx: &mut Context<Self>) {
        self.forget_late(now);
        self.steer(now);
        for ufrag in self.guests.ending() {
            self.end(&ufrag);
        }
        for shard in 0..self.views.len() {
            let view = &mut self.views[shard];
            if view.asked || now.saturating_duration_since(view.asked_at) < PING_INTERVAL {
                continue;
            }
            (view.asked, view.asked_at) = (true, now);
            if !view.counted {
                let _ = self.send(shard, Control::CountGuests(self.incarnation));
            }
            let actor = self.shards.actor(shard).clone();
            ctx.pipe_high(async move {
                let answer = actor.ask(Control::Ping, PING_TIMEOUT).await;
                // A shard that is restarted is alive.
                let answered = matches!(answer, Ok(()) | Err(AskError::Crashed));
                AdmissionMessage::Pinged(shard, answered)
            });
        }
    }

    /// A shard has answered, or not.
    fn pinged(&mut self, shard: ShardId, answered: bool) {
        let view = &mut self.views[shard];
        view.asked = false;
        if view.hangs.is_none() == answered {
            return;
        }
        if answered {
            view.hangs = None;
            tracing::info!(shard, "goes on");
        } else {
            view.hangs = Some(view.asked_at);
            tracing::error!(shard, "hangs: it gets no new peers");
        }
    }

    /// Shards that have hung for long get no datagrams. What their peers send goes to others meanwhile, and is lost there.
    fn steer(&mut self, now: Instant) {
        let mut changed = false;
        for view in &mut self.views {
            let hung = view.hangs.map(|since| now.saturating_duration_since(since));
            let avoided = hung.is_some_and(|hung| hung >= STEER_AFTER);
            changed |= std::mem::replace(&mut view.avoided, avoided) != avoided;
        }
        if changed {
            self.shards.steer(|shard| !self.views[shard].avoided);
        }
    }

    fn drain(&mut self, reply: Reply<()>) {
        self.lasting.drain();
        self.guests.forget_waiting();
        self.drained.push(reply);
    }

    /// Tells those who wait for it that nobody is left.
    fn tell_drained(&mut self) {
        let known = self
            .views
            .iter()
            .all(|view| view.counted || view.hangs.is_some());
        if known && self.guests.is_empty() {
            for reply in self.drained.drain(..) {
                let _ = reply.send(());
            }
        }
    }
}

impl<M: Mailbox> Actor for Admission<M> {
    type HighPriorityMsg = AdmissionMessage;
    type LowPriorityMsg = Claim;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.send_high_interval(TICK, || AdmissionMessage::Tick);
        self.incarnation = ctx.incarnation();
        if self.incarnation > 1 {
            tracing::warn!(incarnation = self.incarnation, "admission was restarted");
            // Those that hang will be found again.
            self.shards.steer(|_| true);
            for shard in 0..self.views.len() {
                self.views[shard].counted = false;
                // Repeated until it has answered.
                let _ = self.send(shard, Control::CountGuests(self.incarnation));
            }
        }
        Ok(())
    }

    async fn on_high(&mut self, message: AdmissionMessage, ctx: &mut Context<Self>) -> ActorResult {
        let now = Instant::now();
        match message {
            AdmissionMessage::Join(answered, reply) => {
                drop(reply.send(self.join(now, *answered)));
            }
            AdmissionMessage::Connect { ufrag, connection } => {
                self.connect(now, &ufrag, connection);
            }
            AdmissionMessage::Find(resource, reply) => {
                let found = self.guests.by_resource(&resource, None);
                drop(reply.send(found.is_some()));
            }
            AdmissionMessage::Attach(resource, page, reply) => {
                drop(reply.send(self.attach(&resource, page)));
            }
            AdmissionMessage::Patch {
                resource,
                room,
                patch,
                reply,
            } => self.patch(&resource, room.as_deref(), patch, reply),
            AdmissionMessage::Leave {
                resource,
                room,
                reply,
            } => {
                let found = self.guests.by_resource(&resource, room.as_deref());
                drop(reply.send(found.is_some()));
                if let Some(ufrag) = found {
                    self.end(&ufrag);
                }
            }
            AdmissionMessage::Ended { shard, ufrag } => {
                if self.meet(shard) {
                    self.guests.ended(&ufrag);
                }
            }
            AdmissionMessage::Restarted(shard) => _ = self.meet(shard),
            AdmissionMessage::Guests(shard, guests) => {
                if self.meet(shard) {
                    self.views[shard.id].counted = true;
                    self.guests.found(shard, guests);
                }
            }
            AdmissionMessage::Drain(reply) => self.drain(reply),
            AdmissionMessage::Tick => self.tick(now, ctx),
            AdmissionMessage::Pinged(shard, answered) => self.pinged(shard, answered),
            AdmissionMessage::Hung(reply) => {
                let hung = self.views.iter().map(|view| view.hangs.is_some());
                drop(reply.send(hung.collect()));
            }
            #[cfg(test)]
            AdmissionMessage::Fault => panic!("a fault in the code of admission"),
        }
        self.tell_drained();
        Ok(())
    }

    async fn on_low(&mut self, claim: Claim, _: &mut Context<Self>) -> ActorResult {
        self.claim(&claim);
        self.tell_drained();
        Ok(())
    }
}
