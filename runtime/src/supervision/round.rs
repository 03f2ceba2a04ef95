//! A round of restarts, for the strategies that concern siblings.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    cell::{ActorCell, signal},
    exit::ExitReason,
    id::Phase,
    supervision::{
        group::{Decision, Group, Response, RoundEnd},
        rules::Restart,
    },
    util::timer::{from_now, later, pause},
};

/// How long a `started` hook holds up the siblings behind its actor: it may wait for one of them, as
/// it can at the first start, where all start at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// A killed child needs a moment to be gone, and at least this long on a busy machine.
const MOMENT: Duration = Duration::from_millis(100);

/// A child with a restart policy has failed: decides what it does next, and starts a round if need
/// be.
pub(crate) fn child_failed(group: &Arc<Group>, order: u64, reason: &ExitReason) -> Decision {
    match group.failed(order, reason) {
        Response::Decided(decision) => decision,
        Response::BeginRound(delay) => {
            // Not on the runtime of the failed child: it may end for good, and its worker thread with
            // it.
            let round = round(group.clone(), order, delay);
            match group.runtime() {
                Some(runtime) => drop(runtime.spawn(round)),
                None => drop(tokio::spawn(round)),
            }
            Decision::Await
        }
    }
}

/// Restarts the affected siblings of a failed child, until all are up or the restarts are used up.
/// Failures during the round are part of it.
///
/// A sibling that blocks its thread is late: the others do not wait for it, and it restarts when it
/// comes back.
async fn round(group: Arc<Group>, mut trigger: u64, mut delay: Duration) {
    loop {
        let mut affected = group.affected(trigger);
        let mut late = BTreeSet::new();
        for (order, cell, restart) in affected.iter().rev() {
            if !suspend(&group, cell, *restart).await {
                tracing::warn!(actor = %cell.name(), "late in a round of restarts: it blocks its thread");
                late.insert(*order);
                cell.raise(signal::RESUME);
            }
        }
        affected.retain(|(order, _, _)| !late.contains(order));
        if sleep_unless_stopping(&group, delay).await {
            return;
        }
        loop {
            resume_all(&group, &affected).await;
            match group.finish_round() {
                RoundEnd::Over => return,
                RoundEnd::Again {
                    trigger: next,
                    delay: next_delay,
                } => {
                    trigger = next;
                    delay = next_delay;
                    break;
                }
                RoundEnd::Spent(spent) => affected.retain(|(order, cell, _)| {
                    !spent.contains_key(order)
                        && (cell.phase() == Phase::Waiting || cell.signals() & signal::SUSPEND != 0)
                }),
            }
        }
    }
}

/// Starts the members in order until one fails again: it and those after it are left to the next
/// pass.
async fn resume_all(group: &Group, members: &[(u64, Arc<ActorCell>, Restart)]) {
    for (order, cell, restart) in members {
        if *restart == Restart::Temporary {
            continue;
        }
        group.restarting(*order);
        resume(group, cell).await;
        if group.is_stopping() || cell.phase() == Phase::Waiting {
            return;
        }
    }
}

/// Ends an incarnation; after the child's grace period it is killed. Returns whether it has ended.
async fn suspend(group: &Group, cell: &Arc<ActorCell>, restart: Restart) -> bool {
    let deadline = from_now(cell.grace());
    let bit = if restart == Restart::Temporary {
        signal::STOP
    } else {
        signal::SUSPEND
    };
    if cell.phase() != Phase::Waiting {
        if bit == signal::SUSPEND {
            cell.suspend(deadline);
        } else {
            cell.request_stop(deadline, bit);
        }
    }
    let _awaited = Awaited::new(group, cell);
    let down = || !cell.is_alive() || cell.phase() == Phase::Waiting || group.is_stopping();
    let wait = group.wait_until(down);
    let moment = (cell.grace() / 8).clamp(MOMENT, Duration::from_secs(1));
    let wait = tokio::time::timeout_at(later(deadline, moment), wait);
    wait.await.is_ok()
}

/// As long as it exists, the round waits for the end of a member.
struct Awaited<'a>(&'a Group);

impl<'a> Awaited<'a> {
    fn new(group: &'a Group, member: &Arc<ActorCell>) -> Self {
        group.set_awaited(Some(member.clone()));
        Self(group)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.set_awaited(None);
    }
}

/// Starts the next incarnation and waits until it runs, fails or ends; for [`PATIENCE`] at most.
async fn resume(group: &Group, cell: &Arc<ActorCell>) {
    let before = cell.incarnation();
    // One that was waiting for its own reasons may have started by itself.
    let is_down = cell.phase() == Phase::Waiting;
    if is_down {
        cell.raise(signal::RESUME);
    }
    let begun = group.wait_until(|| {
        let phase = cell.phase();
        let is_next = cell.incarnation() > before || !is_down;
        let begun = is_next && phase != Phase::Starting;
        begun || phase == Phase::Dead || group.is_stopping()
    });
    // If it fails later, there is another round.
    let _ = tokio::time::timeout(PATIENCE, begun).await;
}

/// Sleeps. Returns whether the group began to stop.
async fn sleep_unless_stopping(group: &Group, delay: Duration) -> bool {
    tokio::select! {
        biased;
        () = group.wait_until(|| group.is_stopping()) => true,
        () = pause(delay) => false,
    }
}
