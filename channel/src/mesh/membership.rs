//! The receiving end of a mesh: how a receiver leaves, and hands on what it has.
//!
//! The order of the steps is what senders rely on: the receiver is taken out of the table, its channel is closed, it is
//! emptied, and what was in it is sent to others. So whoever finds the channel closed, or a message gone, finds the
//! change of the table as well.

use std::mem;

use super::{
    lanes::Class,
    rule::owner,
    table::{Member, Mesh, Ports},
};
use crate::{
    error::TryRecvError,
    sender::Sender,
    sync::{Arc, stall::Stall, wake_all::WakeAll},
};

pub(super) struct Membership<P: Ports> {
    pub(super) mesh: Arc<Mesh<P>>,
    pub(super) member: Arc<Member<P>>,
    has_left: bool,
    has_handed_on: bool,
}

impl<P: Ports> Membership<P> {
    pub(super) fn new(mesh: Arc<Mesh<P>>, member: Arc<Member<P>>) -> Self {
        Self {
            mesh,
            member,
            has_left: false,
            has_handed_on: false,
        }
    }

    /// Takes the receiver out of the table: new messages go to others.
    pub(super) fn leave(&mut self, all: &mut WakeAll) {
        if !mem::replace(&mut self.has_left, true) {
            self.mesh.leave(&self.member, true, all);
        }
    }

    /// Hands on messages of one class, in their order. Returns those for which there is no receiver.
    ///
    /// The receiver must have left. Called once for each class; [`end`](Self::end) follows.
    ///
    /// Each share goes through a lane that its receiver does not know yet, so it is accepted as a whole or not at all.
    pub(super) fn hand_on<T, C: Class<T, Ports = P>>(
        &self,
        messages: Vec<T>,
        all: &mut WakeAll,
    ) -> Vec<T> {
        let mut hand_over = HandOver::<T, C> {
            member: &self.member,
            lanes: Vec::new(),
        };
        let rule = C::rule(&self.mesh.rules);
        let mut rest = messages;
        let mut turn = 0;
        while !rest.is_empty() {
            let table = self.mesh.snapshot();
            let members = &table.members;
            if members.is_empty() {
                break;
            }
            let mut shares: Vec<Vec<T>> = members.iter().map(|_| Vec::new()).collect();
            for message in rest.drain(..) {
                let key = rule.key_of(&message);
                let at = key.and_then(|key| owner(key, members.iter().map(|member| member.id)));
                turn += usize::from(at.is_none());
                shares[at.unwrap_or(turn % members.len())].push(message);
            }
            for (member, mut share) in members.iter().zip(shares) {
                if share.is_empty() {
                    continue;
                }
                if let Some(mut lane) = C::port(&member.ports).open() {
                    all.run(|| lane.send_over_capacity(&mut share));
                    if !share.is_empty() {
                        // It is out of the table, or has only joined and closed by itself.
                        self.mesh.leave(member, false, all);
                    }
                    hand_over.lanes.push(lane);
                }
                rest.append(&mut share);
            }
            if self.mesh.is_hung_up() {
                break;
            }
        }
        rest
    }

    /// Whether the receiver has left, and `end` was not called.
    pub(super) fn is_leaving(&self) -> bool {
        self.has_left && !self.has_handed_on
    }

    /// After the messages of all classes have been handed on.
    pub(super) fn end(&mut self, all: &mut WakeAll) {
        self.has_handed_on = true;
        self.mesh.handed_on(&self.member, all);
    }
}

/// A receiver that has left and hands nothing on keeps no sender waiting.
impl<P: Ports> Drop for Membership<P> {
    fn drop(&mut self) {
        if self.is_leaving() {
            let mut all = WakeAll::default();
            self.member.ports.forget(&mut all);
            all.done();
        }
    }
}

/// Ends the hand-over even if a key cannot be found out because of a panic.
struct HandOver<'a, T, C: Class<T>> {
    member: &'a Member<C::Ports>,
    lanes: Vec<Sender<T>>,
}

impl<T, C: Class<T>> Drop for HandOver<'_, T, C> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        let lanes = mem::take(&mut self.lanes);
        C::port(&self.member.ports).hand_on(lanes, &mut all);
        all.done();
    }
}

/// All that a closed channel still has.
pub(super) fn drain<M>(mut try_recv: impl FnMut() -> Result<M, TryRecvError>) -> Vec<M> {
    let mut messages = Vec::new();
    let mut stall = Stall::new();
    loop {
        match try_recv() {
            Ok(message) => messages.push(message),
            Err(TryRecvError::Closed) => return messages,
            // A producer is between claiming a place and filling it.
            Err(TryRecvError::Empty) => stall.pause(),
        }
    }
}
