//! Figures relative to those of the best peer, and what they say.

use crate::rig::interval::{Estimate, paired_ratios};
use crate::rig::stats::Better;
use crate::rivals::Role;
use crate::runner::Entry;

/// How many times better `ours` is than `theirs`, run by run; `None` if one of them failed.
pub(super) fn ratios(ours: &Entry, theirs: &Entry) -> Option<Vec<f64>> {
    if ours.fault.is_some() || theirs.fault.is_some() {
        return None;
    }
    paired_ratios(&ours.runs, &theirs.runs, ours.unit.better())
}

/// The estimate of how many times better `ours` is than `theirs`.
pub(super) fn ratio(ours: &Entry, theirs: &Entry) -> Option<Estimate> {
    Estimate::of(&ratios(ours, theirs)?)
}

/// The peer with the best median in the same cell, among those whose names are `eligible`; `None` if
/// there is none or the unit is not compared.
///
/// It is chosen by the same runs that it is compared by, which favours the peers a little.
pub(super) fn best_peer<'a>(
    ours: &Entry,
    entries: &'a [Entry],
    eligible: impl Fn(&str) -> bool,
) -> Option<&'a Entry> {
    let peers = entries.iter().filter(|entry| {
        entry.role == Role::Peer
            && entry.fault.is_none()
            && eligible(entry.subject)
            && same_cell(ours, entry)
    });
    let measured = peers.filter_map(|entry| Some((entry, entry.median()?)));
    let best = measured.reduce(|a, b| {
        let is_better = match ours.unit.better() {
            Better::Higher => b.1 > a.1,
            Better::Lower => b.1 < a.1,
        };
        if is_better { b } else { a }
    });
    best.map(|(entry, _)| entry)
        .filter(|_| ours.unit.is_compared())
}

/// Whether two figures have the same shape, parameters and unit.
pub(super) fn same_cell(one: &Entry, other: &Entry) -> bool {
    one.shape == other.shape && one.params == other.params && one.unit == other.unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::entry;
    use crate::rig::fault::Fault;

    #[test]
    fn best_peer_is_neither_a_floor_nor_marked_nor_failed() {
        let ours = entry("lanemesh", Role::Ours, 1, 1.0);
        let mut entries = [
            entry("slow", Role::Peer, 1, 10.0),
            entry("fast", Role::Peer, 1, 20.0),
            entry("failed", Role::Peer, 1, 50.0),
            entry("marked", Role::Marked, 1, 60.0),
            entry("floor", Role::Floor, 1, 70.0),
            entry("elsewhere", Role::Peer, 2, 80.0),
        ];
        entries[2].fault = Some(Fault::Hung);
        let best = |except: &[&str]| {
            let peer = best_peer(&ours, &entries, |name| !except.contains(&name))?;
            Some(peer.subject)
        };
        assert_eq!(best(&[]), Some("fast"));
        assert_eq!(best(&["fast"]), Some("slow"));
        assert_eq!(best(&["fast", "slow"]), None);
    }

    #[test]
    fn runs_are_compared_in_pairs() {
        let mut ours = entry("lanemesh", Role::Ours, 1, 1.0);
        let mut theirs = entry("tokio", Role::Peer, 1, 1.0);
        // The machine slows down; the ratio stays.
        ours.runs = vec![20.0, 18.0, 16.0, 8.0, 4.0, 2.0];
        theirs.runs = vec![10.0, 9.0, 8.0, 4.0, 2.0, 1.0];
        assert_eq!(ratio(&ours, &theirs).unwrap().interval, Some((2.0, 2.0)));
        theirs.fault = Some(Fault::Hung);
        assert_eq!(ratio(&ours, &theirs), None);
    }
}
