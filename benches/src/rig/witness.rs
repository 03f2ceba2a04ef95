//! Stalls of the machine, which no subject is to blame for, and latencies without them.
//!
//! A [`Witness`] keeps a thread on each core that is measured. The thread sleeps for short times with
//! real-time priority: if it wakes late, then not because another thread had the core, but because
//! the machine did not run at all, for example while the host of a virtual machine ran another one.
//! It does not see that another process took the core from a measured thread; a shape that cares
//! looks for that itself. Where the system does not grant the priority, nobody watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::rig::executor::stay_on;
use crate::rig::stats::Latencies;

/// Time in nanoseconds between two looks at the clock.
const PERIOD: u64 = 250_000;
/// Lateness in nanoseconds from which the machine counts as stalled: several times what it takes to
/// wake a thread on an idle core.
const LATE: u64 = 50_000;
/// Time in nanoseconds around a stall during which a message that is due may suffer from it.
const MARGIN: u64 = 20_000;
/// The same around a wake-up of the witness, which takes a few microseconds.
const OWN_MARGIN: u64 = 10_000;

/// Number of messages that are enough for a percentile of 99.9.
const ENOUGH: usize = 1_000;

/// Start and end of an event, in nanoseconds since the start of the run.
pub type Span = (u64, u64);

/// Nanoseconds since the start of a run.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time since the start.
    #[inline]
    pub fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Threads that watch cores until they are told to stop.
#[derive(Debug)]
pub struct Witness {
    done: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Option<Seen>>>,
}

/// What a witness has seen.
#[derive(Debug, Default)]
struct Seen {
    stalls: Vec<Span>,
    /// When the witness itself had the core.
    own: Vec<Span>,
}

/// The spans of a run that say nothing about a subject.
#[derive(Debug, Default)]
pub struct Stalls {
    /// When the machine or the benchmark's own code stalled.
    stalls: Vec<Span>,
    /// When a witness had the core.
    own: Vec<Span>,
}

impl Witness {
    /// Starts to watch the cores with these indices.
    pub fn watch(cores: &[usize], clock: Clock) -> Witness {
        let done = Arc::new(AtomicBool::new(false));
        let watchers = cores
            .iter()
            .map(|core| {
                let (core, done) = (*core, done.clone());
                thread::spawn(move || watch(core, clock, &done))
            })
            .collect();
        Witness { done, watchers }
    }

    /// Stops the threads, and returns what they have seen.
    pub fn stop(self) -> Stalls {
        // ORDERING: relaxed; the watchers only need to see it eventually, and are joined.
        self.done.store(true, Ordering::Relaxed);
        let mut all = Stalls::default();
        for seen in self
            .watchers
            .into_iter()
            .filter_map(|watcher| watcher.join().ok()?)
        {
            all.stalls.extend(seen.stalls);
            all.own.extend(seen.own);
        }
        all
    }
}

/// Watches a core until `done`; `None` if the system does not grant the priority.
fn watch(core: usize, clock: Clock, done: &AtomicBool) -> Option<Seen> {
    stay_on(core);
    take_priority()?;
    let mut seen = Seen::default();
    let mut due = clock.now() + PERIOD;
    loop {
        thread::sleep(Duration::from_nanos(due.saturating_sub(clock.now())));
        let woken = clock.now();
        if woken > due + LATE {
            seen.stalls.push((due, woken));
        }
        seen.own.push((due.min(woken), clock.now()));
        due = woken + PERIOD;
        // ORDERING: relaxed; see `Witness::stop`.
        if done.load(Ordering::Relaxed) {
            return Some(seen);
        }
    }
}

/// Gives the calling thread the lowest real-time priority; `None` if the system refuses.
#[cfg(unix)]
fn take_priority() -> Option<()> {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };

    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy).ok()
}

#[cfg(not(unix))]
fn take_priority() -> Option<()> {
    None
}

impl Stalls {
    /// Adds stalls that the benchmark's own code has seen.
    pub fn extend(&mut self, stalls: impl IntoIterator<Item = Span>) {
        self.stalls.extend(stalls);
    }

    /// Number of separate stalls.
    pub fn count(&self) -> usize {
        merged(self.stalls.clone()).len()
    }

    /// The latencies of the messages that were not due around a stall, or while a witness had the
    /// core; if those are fewer than half and fewer than 1000, of all. The second part is the number left out.
    ///
    /// The first part of a message's span is when it was due, the second when it was received. Only
    /// the first decides: if a message were left out because it was in flight during a stall, slow
    /// messages would be left out more often than fast ones.
    pub fn leave_out(&self, messages: &[Span]) -> (Latencies, u64) {
        let widened = |spans: &[Span], margin| {
            let spans = spans.iter();
            let widened = spans.map(|(from, to)| (from.saturating_sub(margin), to + margin));
            widened.collect::<Vec<Span>>()
        };
        let spans = [
            widened(&self.stalls, MARGIN),
            widened(&self.own, OWN_MARGIN),
        ]
        .concat();
        let spans = merged(spans);
        let is_troubled = |(due, _): &Span| {
            let next = spans.partition_point(|(_, end)| end <= due);
            spans.get(next).is_some_and(|(start, _)| start <= due)
        };
        let troubled = messages
            .iter()
            .filter(|message| is_troubled(message))
            .count();
        let take_all = messages.len() - troubled < ENOUGH.min(messages.len() / 2);
        let mut latencies = Latencies::new();
        for message in messages {
            if take_all || !is_troubled(message) {
                latencies.record(message.1.saturating_sub(message.0));
            }
        }
        (latencies, if take_all { 0 } else { troubled as u64 })
    }
}

/// The spans in order, with those that overlap made one.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalls(stalls: &[Span], own: &[Span]) -> Stalls {
        Stalls {
            stalls: stalls.to_vec(),
            own: own.to_vec(),
        }
    }

    #[test]
    fn messages_due_around_a_stall_are_left_out() {
        // Due, in microseconds, and received 5 µs later.
        let messages = |due: &[u64]| -> Vec<Span> {
            due.iter()
                .map(|due| (due * 1_000, due * 1_000 + 5_000))
                .collect()
        };
        let stalls = stalls(
            &[(100_000, 200_000), (150_000, 160_000)],
            &[(500_000, 502_000)],
        );
        assert_eq!(stalls.count(), 1);
        let fine = messages(&[0, 79, 221, 300, 489, 513]);
        assert_eq!(stalls.leave_out(&fine).1, 0);
        let troubled = messages(&[81, 99, 150, 219, 491, 511]);
        let (latencies, left_out) = stalls.leave_out(&[fine, troubled].concat());
        assert_eq!((latencies.count(), left_out), (6, 6));
    }

    #[test]
    fn slow_message_counts_although_the_machine_stalled_before_it_arrived() {
        let stalls = stalls(&[(100_000, 200_000)], &[]);
        let (latencies, left_out) = stalls.leave_out(&[(10_000, 300_000), (250_000, 250_001)]);
        assert_eq!((latencies.count(), left_out), (2, 0));
    }

    #[test]
    fn all_messages_count_when_most_were_troubled() {
        let (latencies, left_out) = stalls(&[(0, 100)], &[]).leave_out(&[(10, 20), (30, 90)]);
        assert_eq!((latencies.count(), left_out), (2, 0));
    }

    #[test]
    fn a_thousand_messages_are_enough() {
        // The margin after the stall ends when 10,000 messages have been due.
        let (stall, margin) = (50_000, MARGIN - 10_000);
        let left_out = |count: u64| {
            let due = (0..count).map(|index| stall + margin + index);
            let messages: Vec<Span> = due.map(|due| (due, due + 1)).collect();
            stalls(&[(0, stall)], &[]).leave_out(&messages).1
        };
        assert_eq!(left_out(11_000), 10_000);
        assert_eq!(left_out(10_999), 0);
    }

    #[test]
    fn overlapping_spans_become_one() {
        assert_eq!(
            merged(vec![(5, 9), (0, 6), (2, 3), (10, 11)]),
            [(0, 9), (10, 11)]
        );
    }

    #[test]
    fn witness_looks_at_the_clock_at_least_once() {
        let seen = Witness::watch(&[0], Clock::start()).stop();
        // Nobody watches where the priority is refused.
        let granted = thread::spawn(take_priority).join().unwrap().is_some();
        assert_eq!(granted, !seen.own.is_empty());
        let in_order = |spans: &[Span]| spans.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        assert!(in_order(&seen.own) && in_order(&seen.stalls), "{seen:?}");
        assert!(seen.stalls.iter().all(|(due, woken)| woken - due > LATE));
    }
}
