//! `priority`: the latency of control while data fills the channel.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::plan::{Cell, Effort, Metric, Shape, Value};
use crate::rig::executor::stay_on;
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::Tally;
use crate::rig::stats::{Latencies, Unit};
use crate::rivals::channels::{Attempt, Capacity};
use crate::rivals::two_class::{
    Class, TwoClass, TwoClassRx, TwoClassTx, TwoClassVisitor, visit_two_class,
};

const FLOODERS: &[usize] = &[1, 4, 16, 64];
/// Slots for data, in the whole channel.
const LOW: usize = 1_024;
/// Slots for control; there is one producer of control.
const HIGH: usize = 64;
/// Time in nanoseconds that a data message takes to handle: about what forwarding a media packet
/// takes.
const WORK: u64 = 1_000;
/// Time in nanoseconds between the starts of two bursts of control.
const BURST: u64 = 1_000_000;
/// Number of control messages of a burst.
pub const IN_BURST: u64 = 20;
/// Time in nanoseconds between the control messages of a burst.
const PERIOD: u64 = 10_000;
/// Time in nanoseconds before a burst at which the producers wake, to fill the channel again.
const LEAD: u64 = 200_000;
/// Time in nanoseconds between two attempts to send.
const PAUSE: u64 = 100;
/// Delay in nanoseconds in the benchmark's own code above which a thread has lost its core.
const STALL: u64 = 5_000;
/// How many times longer a run is than those of other shapes, so that p99.9 is stable.
const LENGTH_FACTOR: u32 = 4;

const METRICS: &[Metric] = &[
    Metric::new("p50", Unit::Nanos),
    Metric::new("p99", Unit::Nanos),
    Metric::new("p99.9", Unit::Nanos),
    Metric::new("messages", Unit::Count),
];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "priority",
    about: "Latency of a control message, from the time at which it was due, while 1 to 64 data \
            producers keep the channel full. One thread acts for all producers in turn, each with \
            its own handle, and never waits for room. The receiving task, on another core, spends \
            1 µs on every data message. Control is due in bursts of 20, 10 µs apart, once per \
            millisecond, and is retried while there is no room; between bursts the producers sleep \
            for less time than the queue lasts. There are 1024 slots for data and 64 for control; \
            a single queue has the sum of both. `tokio-pair` is one tokio channel for each class \
            with a biased `select!`; the other peers have one queue. A control message is left \
            out, for every subject alike, if it was in flight while a thread lost its core for \
            more than 5 µs in the benchmark's own code; `messages` is the number of those that \
            count. If none would remain, all count.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        flooders: 0,
    };
    for flooders in effort.choose(FLOODERS, &[8]) {
        visit.flooders = *flooders;
        visit_two_class(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    flooders: usize,
}

impl TwoClassVisitor for Visit {
    fn visit<F: TwoClass>(&mut self) {
        let flooders = self.flooders;
        let params = vec![("flooders", Value::from(flooders))];
        let run = move |effort: Effort| {
            let length = (effort.target * LENGTH_FACTOR).as_nanos() as u64;
            let latencies = flood::<F>(flooders, (length / BURST).max(2))?;
            let mut readings = [0.5, 0.99, 0.999]
                .map(|quantile| latencies.at(quantile))
                .to_vec();
            readings.push(latencies.count() as f64);
            Ok(readings)
        };
        self.cells
            .push(Cell::readings::<F>(SHAPE.name, params, METRICS, run));
    }
}

/// Start and end of an event, in nanoseconds since the start of the run.
type Span = (u64, u64);

/// Floods a channel for `bursts` bursts of control, and returns the latencies of control.
///
/// # Errors
///
/// A [`Fault`] if messages of either class are lost.
pub fn flood<F: TwoClass>(flooders: usize, bursts: u64) -> Result<Latencies, Fault> {
    let high = Capacity {
        total: HIGH,
        lane: HIGH,
    };
    let (mut producers, rx) = F::open(high, Capacity::split(LOW, flooders), flooders + 1);
    let control = producers
        .pop()
        .ok_or(Fault::Failed("the channel has no producer".to_owned()))?;
    let barrier = Barrier::new(2);
    let clock = Clock(Instant::now());
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            stay_on(0);
            barrier.wait();
            let runtime = Builder::new_current_thread()
                .build()
                .map_err(|error| Fault::Failed(format!("the executor did not start: {error}")))?;
            Ok(runtime.block_on(consume(rx, clock)))
        });
        // Not on the calling thread: it must stay unpinned, because threads inherit the pinning.
        let producer = scope.spawn(|| {
            stay_on(1);
            barrier.wait();
            produce(producers, control, clock, bursts)
        });
        let sent = producer
            .join()
            .map_err(|_| Fault::Panicked("the producer thread".to_owned()))?;
        let received = receiver
            .join()
            .map_err(|_| Fault::Panicked("the receiver thread".to_owned()))??;
        let sent = sent?;
        Tally::check(sent.high, received.high)?;
        Tally::check(sent.low, received.low)?;
        ensure(
            sent.high.count() == bursts * IN_BURST,
            "a control message was not sent",
        )?;
        let mut stalls = sent.stalls;
        stalls.extend(received.stalls);
        Ok(outside_stalls(&received.controls, &stalls))
    })
}

/// The latencies of the messages that were not in flight during a stall; if there are none, of all.
fn outside_stalls(controls: &[Span], stalls: &[Span]) -> Latencies {
    let is_stalled =
        |(due, received): &Span| stalls.iter().any(|(from, to)| from < received && due < to);
    let all_stalled = controls.iter().all(is_stalled);
    let mut latencies = Latencies::new();
    for control @ (due, received) in controls {
        if all_stalled || !is_stalled(control) {
            latencies.record(received.saturating_sub(*due));
        }
    }
    latencies
}

#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    #[inline]
    fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    /// Waits for `nanos` nanoseconds; returns the time and, if the thread lost its core, the stall.
    #[inline]
    fn busy_wait(self, nanos: u64) -> (u64, Option<Span>) {
        let start = self.now();
        loop {
            let now = self.now();
            if now >= start + nanos {
                return (now, (now > start + nanos + STALL).then_some((start, now)));
            }
        }
    }
}

/// What one end has sent or received.
#[derive(Default)]
struct Seen {
    high: Tally,
    low: Tally,
    controls: Vec<Span>,
    stalls: Vec<Span>,
}

async fn consume(mut rx: impl TwoClassRx, clock: Clock) -> Seen {
    let mut seen = Seen::default();
    while let Some(message) = rx.recv().await {
        match message {
            Class::High(due) => {
                seen.controls.push((due, clock.now()));
                seen.high.add(due);
            }
            Class::Low(stamp) => {
                seen.low.add(stamp);
                let (_, stall) = clock.busy_wait(WORK);
                seen.stalls.extend(stall);
            }
        }
    }
    seen
}

fn produce<X: TwoClassTx>(
    mut flooders: Vec<X>,
    mut control: X,
    clock: Clock,
    bursts: u64,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    // The first burst is due late enough for the other thread to have started.
    let begin = clock.now() + 2 * BURST;
    let mut stamp = 0;
    for burst in 0..bursts {
        let mut due = begin + burst * BURST;
        let end = due + IN_BURST * PERIOD;
        let wake = due - LEAD;
        thread::sleep(Duration::from_nanos(wake.saturating_sub(clock.now())));
        let woken = clock.now();
        if woken > wake + LEAD / 2 {
            seen.stalls.push((wake, woken));
        }
        while due < end {
            for flooder in &mut flooders {
                match flooder.try_low(stamp) {
                    Attempt::Sent => {
                        seen.low.add(stamp);
                        stamp += 1;
                    }
                    Attempt::Full => {}
                    Attempt::Closed => {
                        return Err(Fault::Failed("a channel closed early".to_owned()));
                    }
                }
                let (now, stall) = clock.busy_wait(PAUSE);
                seen.stalls.extend(stall);
                if due < end && now >= due && control.try_high(due).sent() {
                    seen.high.add(due);
                    due += PERIOD;
                }
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_under_way_in_a_stall_are_left_out() {
        let controls = [(10, 20), (30, 90), (50, 60), (100, 110)];
        let latencies = outside_stalls(&controls, &[(55, 58), (20, 25)]);
        assert_eq!(latencies.count(), 2);
        assert_eq!(latencies.at(1.0), 10.0);
    }

    #[test]
    fn all_messages_count_when_none_was_untroubled() {
        let latencies = outside_stalls(&[(10, 20), (30, 90)], &[(0, 100)]);
        assert_eq!(latencies.count(), 2);
    }
}
