//! The lanes of one sender to the receivers of a mesh, in one class: which one a message takes, and which has to wait.
//!
//! The order of a key is kept by an invariant: *all messages of one sender and key that have not been received are in one
//! place*, a lane to one receiver, or a hand-over. So a message whose key has moved to another receiver waits until those
//! before it have been received: until the lane to the former receiver has drained as far as it was filled when the
//! sender learned of the change, or, if the former receiver has left, until all hand-overs are complete.

use std::{marker::PhantomData, mem};

use super::{
    handover::Port,
    rule::{Balance, Rule, owner},
    table::{Member, Mesh, Ports, Snapshot},
};
use crate::{
    error::TrySendError,
    sender::{Sender, budget::SendBudget},
    sync::{Arc, mutant, wake_all::WakeAll},
};

/// One class of messages, as the ports and the rules have it.
pub(super) trait Class<T>: Sized {
    type Ports: Ports;

    fn port(ports: &Self::Ports) -> &Port<T>;
    fn rule(rules: &<Self::Ports as Ports>::Rules) -> &Rule<T>;
}

/// Earlier tables that a sender keeps at most, because messages that were sent by them may not have been received. They
/// say which keys may go on; without them every key waits.
const PAST: usize = 8;

pub(super) type MeshOf<C, T> = Mesh<<C as Class<T>>::Ports>;
pub(super) type MemberOf<C, T> = Member<<C as Class<T>>::Ports>;

pub(super) struct Lanes<T, C: Class<T>> {
    pub(super) snapshot: Arc<Snapshot<C::Ports>>,
    /// One for each member of the snapshot, in its order.
    pub(super) lanes: Vec<Lane<T>>,
    /// Whose turn it is.
    next: usize,
    /// Earlier snapshots by which messages with keys were sent that may not have been received.
    past: Vec<Arc<Snapshot<C::Ports>>>,
    /// There were more of them than are kept, so a key may have belonged to any receiver.
    has_forgotten: bool,
    pub(super) budget: SendBudget,
    class: PhantomData<fn() -> C>,
}

pub(super) struct Lane<T> {
    id: u64,
    /// Opened by the first message.
    pub(super) sender: Option<Sender<T>>,
    /// Messages from before the last change of the table may be in it.
    is_unsettled: bool,
    /// Messages sent since that change.
    since: usize,
}

/// Why a message was not sent.
pub(super) enum Refusal<M> {
    /// There is no receiver.
    Closed,
    /// There is no room in the lane of this index, to which its key belongs; or in any.
    Full(Option<usize>),
    /// Earlier messages of its key are in the lane of this index.
    Behind(usize),
    /// Earlier messages of its key may be in this hand-over.
    HandOver(Arc<M>),
}

impl<T> Lane<T> {
    fn new(id: u64) -> Self {
        Self {
            id,
            sender: None,
            is_unsettled: false,
            since: 0,
        }
    }

    /// Whether all messages from before the last change have been received, or the receiver has closed: then it has left.
    pub(super) fn is_settled(&mut self) -> bool {
        if self.is_unsettled {
            let since = self.since;
            let is_behind = |lane: &mut Sender<T>| !lane.is_closed() && lane.backlog() > since;
            self.is_unsettled = self.sender.as_mut().is_some_and(is_behind);
        }
        !self.is_unsettled
    }
}

impl<T, C: Class<T>> Lanes<T, C> {
    pub(super) fn new(mesh: &MeshOf<C, T>) -> Self {
        let snapshot = mesh.snapshot();
        let lanes = snapshot.members.iter().map(|member| Lane::new(member.id));
        Self {
            lanes: lanes.collect(),
            snapshot,
            next: 0,
            past: Vec::new(),
            has_forgotten: false,
            budget: SendBudget::new(None),
            class: PhantomData,
        }
    }

    /// The number of messages that no receiver has taken out of this sender's lanes.
    pub(super) fn len(&self) -> usize {
        let senders = self.lanes.iter().filter_map(|lane| lane.sender.as_ref());
        senders.map(Sender::len).sum()
    }

    /// Looks whether the table has changed.
    #[inline]
    pub(super) fn look(&mut self, mesh: &MeshOf<C, T>) {
        if !mesh.is_current(self.snapshot.version) {
            self.update(mesh);
        }
    }

    #[cold]
    fn update(&mut self, mesh: &MeshOf<C, T>) {
        let old = mem::replace(&mut self.snapshot, mesh.snapshot());
        let mut former = mem::take(&mut self.lanes);
        let mut keep = |member: &Arc<MemberOf<C, T>>| {
            let at = former.iter().position(|lane| lane.id == member.id);
            at.map_or_else(|| Lane::new(member.id), |at| former.swap_remove(at))
        };
        self.lanes = self.snapshot.members.iter().map(&mut keep).collect();
        if self.next >= self.lanes.len() {
            self.next = 0;
        }
        if C::rule(&mesh.rules).has_keys() {
            for lane in &mut self.lanes {
                lane.is_unsettled = lane.sender.is_some();
                lane.since = 0;
            }
            if self.past.len() < PAST {
                self.past.push(old);
            } else {
                self.has_forgotten = true;
            }
        }
        // What is left of the former lanes leads to receivers that have left: they hand on what is in them.
    }

    /// Sends a message if there is room for it, and nothing that must come before it.
    #[inline]
    pub(super) fn try_send(
        &mut self,
        mesh: &MeshOf<C, T>,
        message: T,
    ) -> Result<(), TrySendError<T>> {
        match self.offer(mesh, message) {
            Ok(()) => Ok(()),
            Err((message, Refusal::Closed)) => Err(TrySendError::Closed(message)),
            Err((message, _)) => Err(TrySendError::Full(message)),
        }
    }

    /// Sends a message, or returns it with the reason.
    pub(super) fn offer(
        &mut self,
        mesh: &MeshOf<C, T>,
        mut message: T,
    ) -> Result<(), (T, Refusal<MemberOf<C, T>>)> {
        loop {
            self.look(mesh);
            if self.lanes.is_empty() {
                // One that has no receiver yet waits for the first.
                let has_ended = self.snapshot.has_ended;
                let refusal = if has_ended {
                    Refusal::Closed
                } else {
                    Refusal::Full(None)
                };
                return Err((message, refusal));
            }
            let rule = C::rule(&mesh.rules);
            let (first, keyed) = match rule.key_of(&message) {
                Some(key) => match self.lane_of(mesh, key) {
                    Ok(at) => (at, true),
                    Err(refusal) => return Err((message, refusal)),
                },
                None => (self.lane_by_balance(rule.balance), false),
            };
            let candidates = if keyed { 1 } else { self.lanes.len() };
            let mut closed = None;
            for at in (first..self.lanes.len()).chain(0..first).take(candidates) {
                match self.push(at, message) {
                    Ok(()) if keyed => return Ok(()),
                    Ok(()) => {
                        self.next = if at + 1 == self.lanes.len() {
                            0
                        } else {
                            at + 1
                        };
                        return Ok(());
                    }
                    Err(TrySendError::Full(back)) => message = back,
                    Err(TrySendError::Closed(back)) => {
                        message = back;
                        closed = Some(at);
                        break;
                    }
                }
            }
            match closed {
                Some(at) => self.forget_closed(mesh, at),
                None => return Err((message, Refusal::Full(keyed.then_some(first)))),
            }
        }
    }

    /// Sends a message to the receiver of this index.
    #[inline]
    fn push(&mut self, at: usize, message: T) -> Result<(), TrySendError<T>> {
        let lane = &mut self.lanes[at];
        let sender = match &mut lane.sender {
            Some(sender) => sender,
            none => match C::port(&self.snapshot.members[at].ports).open() {
                Some(sender) => none.insert(sender),
                None => return Err(TrySendError::Closed(message)),
            },
        };
        sender.try_send(message)?;
        lane.since += 1;
        Ok(())
    }

    /// Forgets a receiver that was found closed. One that leaves is taken out of the table before it closes; one that
    /// only joined may close by itself.
    #[cold]
    fn forget_closed(&mut self, mesh: &MeshOf<C, T>, at: usize) {
        let member = self.snapshot.members[at].clone();
        let mut all = WakeAll::default();
        mesh.leave(&member, false, &mut all);
        all.done();
    }

    /// Where a message without a key goes if there is room.
    #[inline]
    fn lane_by_balance(&mut self, balance: Balance) -> usize {
        match balance {
            Balance::RoundRobin => self.next,
            Balance::LeastLoaded => {
                let (turn, count) = (self.next, self.lanes.len());
                let load = |lane: &mut Lane<T>| lane.sender.as_mut().map_or(0, Sender::backlog);
                let loads = self.lanes.iter_mut().map(load).enumerate();
                let least = loads.min_by_key(|(at, load)| (*load, (at + count - turn) % count));
                least.map_or(0, |(at, _)| at)
            }
        }
    }

    /// The lane to the receiver of a key, if no earlier message of the key is anywhere else.
    #[inline]
    fn lane_of(&mut self, mesh: &MeshOf<C, T>, key: u64) -> Result<usize, Refusal<MemberOf<C, T>>> {
        loop {
            let Some(at) = owner(key, self.lanes.iter().map(|lane| lane.id)) else {
                return Err(Refusal::Closed);
            };
            if self.past.is_empty() {
                return Ok(at);
            }
            let before = self.what_comes_before(key, at);
            // Whoever drained a lane may have left with its messages.
            if mutant("look_again") || mesh.is_current(self.snapshot.version) {
                if before.is_settled {
                    self.past.clear();
                    self.has_forgotten = false;
                }
                return before.refusal.map_or(Ok(at), Err);
            }
            self.update(mesh);
        }
    }

    /// What has to be received before a message of the key may be sent through the lane of this index.
    #[cold]
    fn what_comes_before(&mut self, key: u64, at: usize) -> Before<MemberOf<C, T>> {
        let mut is_settled = true;
        for lane in &mut self.lanes {
            is_settled &= lane.is_settled();
        }
        let hand_over = self.hand_over();
        if is_settled && hand_over.is_none() {
            return Before {
                is_settled: true,
                refusal: None,
            };
        }
        let id = self.lanes[at].id;
        let owners = self.past.iter().filter_map(|past| {
            let former = owner(key, past.members.iter().map(|member| member.id))?;
            Some(past.members[former].id)
        });
        let mut has_left = self.has_forgotten;
        let mut behind = None;
        for former in owners.filter(|former| *former != id) {
            match self.lanes.iter().position(|lane| lane.id == former) {
                Some(at) if self.lanes[at].is_unsettled => behind = Some(at),
                Some(_) => {}
                None => has_left = true,
            }
        }
        if self.has_forgotten {
            let other = |(other, lane): &(usize, &Lane<T>)| *other != at && lane.is_unsettled;
            behind = self.lanes.iter().enumerate().find(other).map(|(at, _)| at);
        }
        // Messages of a receiver that has left may have been handed on more than once, so all hand-overs count.
        let hand_over = hand_over.filter(|_| has_left).map(Refusal::HandOver);
        Before {
            is_settled: false,
            refusal: hand_over.or(behind.map(Refusal::Behind)),
        }
    }

    /// A hand-over that is not complete.
    fn hand_over(&self) -> Option<Arc<MemberOf<C, T>>> {
        let is_open = |member: &&Arc<MemberOf<C, T>>| !C::port(&member.ports).check();
        self.snapshot.leaving.iter().find(is_open).cloned()
    }
}

/// What has to be received before a message may be sent.
struct Before<M> {
    /// Nothing that was sent before the last change of the table is left.
    is_settled: bool,
    refusal: Option<Refusal<M>>,
}
