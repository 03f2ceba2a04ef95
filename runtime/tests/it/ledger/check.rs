//! Balances the books at the end of a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lanemesh_runtime::{ActorId, ExitReason, crash::Undelivered, observe::ActorStats};

use super::{
    End,
    book::{Order, Pages, Sending},
    subject::read,
    world::World,
};

/// What tokio's timers add to a deadline.
const TICK: Duration = Duration::from_millis(2);

/// Timers count milliseconds: in less time than this the report does not wait for the actors that
/// were killed.
const SHORTEST: Duration = Duration::from_millis(50);

/// An actor at the end.
struct Ended {
    id: ActorId,
    stats: ActorStats,
    reason: Option<ExitReason>,
}

/// What the book knows of the messages of one actor.
#[derive(Default)]
struct Account {
    /// Messages that its handlers got.
    handled: u64,
    /// Further deliveries of such messages.
    again: u64,
    /// Messages that a handler has finished with.
    completed: u64,
    letters: BTreeMap<&'static str, u64>,
}

/// How often something has happened, by name.
type Seen = BTreeMap<&'static str, u64>;

/// Returns what is wrong.
pub(super) fn check(world: &World, end: &End, seen: &mut Seen) -> Vec<String> {
    let mut faults = Vec::new();
    read_letters(world);
    let actors: Vec<_> = {
        let mut records = world.records();
        let ended = records.iter_mut().map(|record| Ended {
            id: record.id,
            stats: record.stats(),
            reason: record.exit_reason(),
        });
        ended.collect()
    };
    {
        let pages = world.book.pages();
        count(&pages, &actors, seen);
        each_message(&pages, &mut faults);
        orders(&pages, &mut faults);
        accounts(&pages, &actors, &mut faults);
        clean_ups(&pages, &actors, &mut faults);
    }
    for actor in &actors {
        if actor.reason.is_none() {
            faults.push(format!("{} has not ended", actor.id));
        }
    }
    if let End::Report(report, grace) = end {
        let killed = world.book.pages().killed.clone();
        reports(report, *grace, &actors, &killed, &mut faults);
    }
    world.records().clear();
    world.topics.lock().unwrap().clear();
    world.pools.lock().unwrap().clear();
    let alive = world.book.alive();
    if !alive.is_empty() {
        faults.push(format!(
            "messages that exist still, or were dropped twice: {alive:?}"
        ));
    }
    faults
}

/// Counts what the scenarios are about, so that they do not lose it unnoticed.
fn count(pages: &Pages, actors: &[Ended], seen: &mut Seen) {
    let mut add = |what, count| *seen.entry(what).or_default() += count;
    for Ended { id, stats, .. } in actors {
        add("restarts", stats.restarts);
        add("messages handled again", stats.redelivered);
        add("messages interrupted", stats.interrupted);
        add("expired messages", stats.expired);
        add("dropped messages", stats.dropped);
        add("dead letters", stats.dead_letters);
        add("messages left", stats.left);
        add("jobs handed on", stats.handed_on);
        add("actors killed", u64::from(pages.killed.contains(id)));
    }
    let delivered = pages
        .entries
        .iter()
        .filter(|entry| !entry.deliveries.is_empty());
    for entry in delivered {
        add("stashed messages", u64::from(entry.stashed > 0));
        add("messages stashed again", u64::from(entry.stashed > 1));
        add("messages of sources", u64::from(entry.is_of_source));
        add("jobs with a key", u64::from(entry.path.order == Order::Key));
        add(
            "jobs without a key",
            u64::from(entry.path.order == Order::Any),
        );
    }
}

fn read_letters(world: &World) {
    for letters in world.letters.lock().unwrap().iter_mut() {
        while let Ok(letter) = letters.try_recv() {
            read(&world.book, letter);
        }
    }
}

/// The ends of a message exclude each other.
fn each_message(pages: &Pages, faults: &mut Vec<String>) {
    for (id, entry) in pages.entries.iter().enumerate() {
        let deliveries = entry.deliveries.len();
        let mut fault = |text: &str| faults.push(format!("message {id} {text}"));
        if matches!(
            entry.sending,
            Sending::Refused | Sending::Dropped | Sending::Unfinished
        ) && (deliveries > 0 || entry.letter.is_some())
        {
            fault(&format!("was not accepted ({:?}) and came", entry.sending));
        }
        if entry.completed > 1 {
            fault("was handled twice");
        }
        match entry.letter {
            Some(Undelivered::Crashed) if deliveries == 0 => fault("crashed without a handler"),
            Some(Undelivered::Crashed) if entry.completed > 0 => {
                fault("was handled and is a letter")
            }
            Some(Undelivered::Left | Undelivered::Expired) if deliveries > 0 => {
                fault("was handled, and left or expired");
            }
            _ => {}
        }
    }
}

/// First deliveries are in the order of the sends, on each path.
fn orders(pages: &Pages, faults: &mut Vec<String>) {
    let mut last = BTreeMap::new();
    for first in &pages.firsts {
        let entry = &pages.entries[first.item];
        if entry.stashed > 0 {
            continue;
        }
        let path = entry.path;
        let at = match path.order {
            Order::Lane if pages.workers.contains(&first.actor) => continue,
            Order::Lane => Some(first.actor),
            Order::Key => None,
            Order::Any => continue,
        };
        let before = last.insert((path, at), first.item);
        if let Some(before) = before
            && before > first.item
        {
            let deliveries = &pages.entries[before].deliveries;
            faults.push(format!(
                "{} got {} after {before} of {path:?}, which it got {} times",
                first.actor,
                first.item,
                deliveries.len()
            ));
        }
    }
}

fn accounts(pages: &Pages, actors: &[Ended], faults: &mut Vec<String>) {
    let mut books: BTreeMap<ActorId, Account> = BTreeMap::new();
    let mut letters_left = 0;
    for entry in &pages.entries {
        if entry.letter == Some(Undelivered::Left) {
            letters_left += 1;
        }
        let Some(actor) = entry.deliveries.first() else {
            continue;
        };
        let account = books.entry(*actor).or_default();
        account.handled += 1;
        account.again += entry.deliveries.len() as u64 - 1;
        account.completed += u64::from(entry.completed);
        if entry.letter == Some(Undelivered::Crashed) {
            *account.letters.entry("crashed").or_default() += 1;
        }
    }
    let (mut expired, mut left) = (0, 0);
    for Ended { id, stats, .. } in actors {
        let account = books.remove(id).unwrap_or_default();
        let crashed = account.letters.get("crashed").copied().unwrap_or(0);
        let mut compare = |what: &str, counted: u64, known: u64| {
            if counted != known {
                faults.push(format!(
                    "{id} counted {counted} {what}, and there are {known}"
                ));
            }
        };
        compare("handled", stats.messages(), account.handled);
        compare("handled again", stats.redelivered, account.again);
        let interrupted = account.handled - account.completed - crashed;
        compare("interrupted", stats.interrupted, interrupted);
        expired += stats.expired;
        left += stats.left;
    }
    if !books.is_empty() {
        faults.push("unknown actors have handled messages".to_owned());
    }
    let letters = pages.entries.iter().filter(|entry| entry.letter.is_some());
    let sent: u64 = actors.iter().map(|actor| actor.stats.dead_letters).sum();
    let letters = letters.count() as u64;
    if letters != sent {
        faults.push(format!("{sent} letters were counted, and {letters} came"));
    }
    let count = |sending: Sending| {
        let entries = pages.entries.iter();
        entries.filter(|entry| entry.sending == sending).count() as u64
    };
    let (accepted, unknown) = (count(Sending::Accepted), count(Sending::Unknown));
    let handled = pages
        .entries
        .iter()
        .filter(|entry| !entry.deliveries.is_empty());
    let ended = handled.count() as u64 + expired + left + letters_left;
    if ended < accepted || ended > accepted + unknown {
        faults.push(format!(
            "{accepted} (or up to {unknown} more) were accepted, and {ended} have ended: \
             {expired} expired, {left} were left, {letters_left} are letters of that"
        ));
    }
    let dropped: u64 = actors.iter().map(|actor| actor.stats.dropped).sum();
    if dropped != count(Sending::Dropped) {
        faults.push(format!("{dropped} drops were counted"));
    }
}

/// Every incarnation that has started is cleaned up, unless it was killed.
fn clean_ups(pages: &Pages, actors: &[Ended], faults: &mut Vec<String>) {
    for Ended { id, stats, reason } in actors {
        let (started, cleaned_up) = pages.incarnations.get(id).copied().unwrap_or_default();
        let is_killed = reason.as_ref().is_some_and(is_killed);
        // An incarnation that is killed before a restart is a failure.
        let is_killed = is_killed || pages.killed.contains(id);
        let killed = u64::from(is_killed) + stats.failures;
        if cleaned_up > started || u64::from(started - cleaned_up) > killed {
            faults.push(format!(
                "{id} started {started} times and cleaned up {cleaned_up} times: {reason:?}"
            ));
        }
    }
}

fn is_killed(reason: &ExitReason) -> bool {
    match reason {
        ExitReason::CleanUpFailed { error, .. } => matches!(**error, ExitReason::Killed),
        other => matches!(other, ExitReason::Killed),
    }
}

fn reports(
    report: &lanemesh_runtime::shutdown::ShutdownReport,
    grace: Duration,
    actors: &[Ended],
    killed: &BTreeSet<ActorId>,
    faults: &mut Vec<String>,
) {
    if report.took > grace + TICK {
        faults.push(format!("{:?} were over after {:?}", grace, report.took));
    }
    if grace < SHORTEST {
        return;
    }
    let left: u64 = actors.iter().map(|actor| actor.stats.left).sum();
    if report.messages_left != left {
        faults.push(format!(
            "the report has {} left, and there are {left}",
            report.messages_left
        ));
    }
    for Ended { id, stats, reason } in actors {
        let listed = report.left.iter().find(|left| left.id == *id);
        if listed.map_or(0, |left| left.messages) != stats.left {
            faults.push(format!(
                "the report says {listed:?}, and {id} left {}",
                stats.left
            ));
        }
        let Some(reason) = reason else {
            continue;
        };
        let is_late = report.late.iter().any(|late| late.id == *id);
        // One that is late may stop before it is killed.
        let on_purpose = killed.contains(id);
        if is_killed(reason) && !(is_late || on_purpose) {
            faults.push(format!(
                "the report does not say that {id} is late: {reason}"
            ));
        }
        if is_late && matches!(reason, ExitReason::Normal) {
            faults.push(format!("{id} ended normally and is late"));
        }
        let has_failed = report.failed.iter().any(|notice| notice.id == *id);
        let clean_up_failed = report.clean_up_failed.iter().any(|notice| notice.id == *id);
        if reason.is_failure() && !(is_late || has_failed || clean_up_failed || on_purpose) {
            faults.push(format!("the report is silent on {id}: {reason}"));
        }
        if has_failed && !reason.is_failure() {
            faults.push(format!("failed in the report: {id} {reason}"));
        }
        if matches!(reason, ExitReason::CleanUpFailed { .. })
            && !(is_late || clean_up_failed || on_purpose)
        {
            faults.push(format!("no failed clean-up in the report: {id} {reason}"));
        }
    }
}
