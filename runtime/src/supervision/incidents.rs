//! What goes wrong in a group and below it, for the report of the shutdown.

use std::{collections::BTreeMap, sync::Arc};

use crate::{cell::ActorCell, exit::ExitNotice, id::ActorId};

/// A list keeps this many entries; further ones are counted. A system whose actors fail for years
/// needs a constant amount of memory.
const LISTED: usize = 128;

/// Late actors, failures, and clean-ups that failed.
#[derive(Default)]
pub(crate) struct Incidents {
    pub(crate) late: BTreeMap<ActorId, Arc<str>>,
    /// Actors that failed for good, in the order of their ends.
    pub(crate) failed: Vec<ExitNotice>,
    /// Actors whose clean-up failed, in any incarnation, with the error of the clean-up.
    pub(crate) clean_up_failed: Vec<ExitNotice>,
    /// Failures that are in neither list because it was full.
    pub(crate) unlisted: u64,
}

impl Incidents {
    pub(crate) fn is_empty(&self) -> bool {
        self.late.is_empty()
            && self.failed.is_empty()
            && self.clean_up_failed.is_empty()
            && self.unlisted == 0
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

    pub(crate) fn merge(&mut self, others: Self) {
        self.late.extend(others.late);
        self.unlisted += others.unlisted;
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
