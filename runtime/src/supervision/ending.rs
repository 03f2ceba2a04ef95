//! The end of a group, as its members report it: what a member leaves, and what those who wait for the
//! end find at their next look.

use crate::{
    exit::{ExitNotice, ExitReason},
    id::ActorId,
    supervision::incidents::Incidents,
};

/// The end of a member for good.
pub(crate) struct MemberEnd {
    pub(crate) reason: ExitReason,
    /// Whether nothing but its clean-up has failed: then the incidents have it.
    pub(crate) is_clean_up_only: bool,
    /// Whether it was killed.
    pub(crate) is_killed: bool,
    /// How many messages were left in its mailbox.
    pub(crate) left: u64,
    /// What has gone wrong with its own children.
    pub(crate) incidents: Option<Incidents>,
}

impl MemberEnd {
    /// Whether there is nothing to report.
    pub(super) fn is_clean(&self) -> bool {
        !self.reason.is_failure() && !self.is_killed && self.left == 0 && self.incidents.is_none()
    }
}

/// Which of its siblings a member ends after, and before.
#[derive(Default)]
pub(crate) struct EndOrder {
    pub(crate) after: Vec<ActorId>,
    pub(crate) before: Vec<ActorId>,
}

/// Notices for which there is room at once when the end of a group begins.
const NOTICES: usize = 1024;

/// What has happened in a group that ends since the last look.
#[derive(Default)]
pub(crate) struct Left {
    /// The members that have left, if their order matters.
    pub(crate) orders: Vec<u64>,
    /// What the owner is told of them.
    pub(crate) exits: Vec<ExitNotice>,
    /// How many members still live.
    pub(crate) living: usize,
}

/// The end of a group, once it has begun. Whoever waits for it is woken for the first member that
/// leaves after a look and for the last one, not for each: until then the notices wait here.
pub(super) struct Ending {
    /// Whether somebody was woken since the last look.
    is_told: bool,
    /// Whether [`Left::orders`] are wanted.
    keeps_order: bool,
    left: Left,
}

impl Ending {
    /// `notices` is for how many members the owner is told of their exits.
    pub(super) fn new(keeps_order: bool, notices: usize) -> Self {
        let mut left = Left::default();
        left.exits.reserve(notices.min(NOTICES));
        Self {
            is_told: false,
            keeps_order,
            left,
        }
    }

    /// A member has left. Returns whether it is the first one since the last look.
    pub(super) fn note(&mut self, order: u64, notice: Option<ExitNotice>) -> bool {
        if self.keeps_order {
            self.left.orders.push(order);
        }
        self.left.exits.extend(notice);
        !std::mem::replace(&mut self.is_told, true)
    }

    /// A look: adds what has happened since the one before.
    pub(super) fn take(&mut self, left: &mut Left) {
        self.is_told = false;
        move_to(&mut left.orders, &mut self.left.orders);
        move_to(&mut left.exits, &mut self.left.exits);
    }
}

/// Moves all there is; the allocated memory goes to and fro.
fn move_to<T>(into: &mut Vec<T>, from: &mut Vec<T>) {
    if into.is_empty() && !from.is_empty() {
        std::mem::swap(into, from);
    } else {
        into.append(from);
    }
}
