//! What goes wrong in a group and below it, and what is left, for the report of the shutdown.

use std::{collections::BTreeMap, sync::Arc};

use crate::{cell::ActorCell, exit::ExitNotice, id::ActorId};

/// A list keeps this many entries; further ones are counted. A system whose actors fail for years
/// needs a constant amount of memory.
const LISTED: usize = 128;

/// Late actors, failures, clean-ups that failed, and messages that were left.
#[derive(Default)]
pub(crate) struct Incidents {
    pub(crate) late: BTreeMap<ActorId, Arc<str>>,
    /// Actors that failed for good, in the order of their ends.
    pub(crate) failed: Vec<ExitNotice>,
    /// Actors whose clean-up failed, in any incarnation, with the error of the clean-up.
    pub(crate) clean_up_failed: Vec<ExitNotice>,
    /// Failures that are in neither list because it was full.
    pub(crate) unlisted: u64,
    /// Actors with messages in their mailbox at their end, and how many.
    pub(crate) left: Vec<(ActorId, Arc<str>, u64)>,
    /// Messages in mailboxes that are not in the list because it was full.
    pub(crate) left_unlisted: u64,
}

impl Incidents {
    pub(crate) fn is_empty(&self) -> bool {
        self.late.is_empty()
            && self.failed.is_empty()
            && self.clean_up_failed.is_empty()
            && self.unlisted == 0
            && self.left.is_empty()
    }

    pub(crate) fn late(&mut self, actor: &ActorCell) {
        self.late.insert(actor.id(), actor.name());
    }

    pub(crate) fn failed(&mut self, failure: ExitNotice) {
        add(&mut self.failed, failure, &mut self.unlisted);
    }

    pub(crate) fn clean_up_failed(&mut self, failure: ExitNotice) {
        add(&mut self.clean_up_failed, failure, &mut self.unlisted);
    }

    pub(crate) fn left(&mut self, actor: &ActorCell, messages: u64) {
        if messages > 0 {
            self.add_left((actor.id(), actor.name(), messages));
        }
    }

    fn add_left(&mut self, left: (ActorId, Arc<str>, u64)) {
        if self.left.len() < LISTED {
            self.left.push(left);
        } else {
            self.left_unlisted += left.2;
        }
    }

    pub(crate) fn merge(&mut self, others: Self) {
        self.late.extend(others.late);
        self.unlisted += others.unlisted;
        self.left_unlisted += others.left_unlisted;
        others.left.into_iter().for_each(|left| self.add_left(left));
        others
            .failed
            .into_iter()
            .for_each(|notice| self.failed(notice));
        for failure in others.clean_up_failed {
            self.clean_up_failed(failure);
        }
    }
}

fn add(list: &mut Vec<ExitNotice>, failure: ExitNotice, unlisted: &mut u64) {
    if list.len() < LISTED {
        list.push(failure);
    } else {
        *unlisted += 1;
    }
}
