//! `priority`: the latency of control while data fills the channel.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::plan::{Cell, Effort, Metric, Shape, Value};
use crate::rig::executor::stay_on;
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::{Latencies, Unit};
use crate::rig::witness::{Clock, Span, Witness};
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
/// Core of the receiving task.
const RECEIVER: usize = 0;
/// Core of the producers.
const PRODUCER: usize = 1;
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
    Metric::new("left out", Unit::Count),
    Metric::new("stalls", Unit::Count),
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
            a single queue has the sum of both. A `-pair` is one channel for each class with a \
            biased select (crossbeam's blocks its thread; kanal's keeps two receive \
            futures, since a `select!` that drops them loses messages); `async-priority-channel` is one \
            heap, which does not keep the order of data; the other peers have one queue. A control \
            message is left out, for every subject alike, if it was due during a stall or less than \
            20 µs before or after one. A stall is a time in which a thread lost its core for more \
            than 5 µs in the benchmark's own code, or in which a witness, a real-time thread on \
            each of the two cores that looks at the clock every 250 µs, woke more than 50 µs late; \
            messages due while the witness itself had the core are left out too. `messages` is the \
            number of those that count, `left out` that of the others, `stalls` that of the \
            stalls. If fewer than half and fewer than 1000 would count, all do.",
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
            let outcome = flood::<F>(flooders, (length / BURST).max(2))?;
            let mut readings = [0.5, 0.99, 0.999]
                .map(|quantile| outcome.latencies.at(quantile))
                .to_vec();
            let counts = [outcome.latencies.count(), outcome.left_out, outcome.stalls];
            readings.extend(counts.map(|count| count as f64));
            Ok(readings)
        };
        self.cells
            .push(Cell::readings::<F>(SHAPE.name, params, METRICS, run));
    }
}

/// What a flood has measured.
#[derive(Debug)]
pub struct Outcome {
    /// The latencies of control.
    pub latencies: Latencies,
    /// Number of control messages that were left out because of a stall.
    pub left_out: u64,
    /// Number of stalls.
    pub stalls: u64,
}

/// Floods a channel for `bursts` bursts of control, and returns the latencies of control.
///
/// # Errors
///
/// A [`Fault`] if messages of either class are lost.
pub fn flood<F: TwoClass>(flooders: usize, bursts: u64) -> Result<Outcome, Fault> {
    let high = Capacity {
        total: HIGH,
        lane: HIGH,
    };
    let (mut producers, rx) = F::open(high, Capacity::split(LOW, flooders), flooders + 1);
    let control = producers
        .pop()
        .ok_or(Fault::Failed("the channel has no producer".to_owned()))?;
    let barrier = Barrier::new(2);
    let clock = Clock::start();
    let witness = Witness::watch(&[RECEIVER, PRODUCER], clock);
    let (sent, received) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            stay_on(RECEIVER);
            barrier.wait();
            let runtime = Builder::new_current_thread()
                .build()
                .map_err(|error| Fault::Failed(format!("the executor did not start: {error}")))?;
            Ok(runtime.block_on(consume(rx, flooders, clock)))
        });
        // Not on the calling thread: it must stay unpinned, because threads inherit the pinning.
        let producer = scope.spawn(|| {
            stay_on(PRODUCER);
            barrier.wait();
            produce(producers, control, clock, bursts)
        });
        let sent = producer
            .join()
            .unwrap_or_else(|_| Err(Fault::Panicked("the producer thread".to_owned())));
        let received = receiver
            .join()
            .unwrap_or_else(|_| Err(Fault::Panicked("the receiver thread".to_owned())));
        (sent, received)
    });
    let mut stalls = witness.stop();
    let (sent, received) = (sent?, received?);
    if F::IN_ORDER {
        received.high.check(sent.high)?;
        received.low.check(sent.low)?;
    } else {
        received.high.check_in_any_order(sent.high)?;
        received.low.check_in_any_order(sent.low)?;
    }
    ensure(
        sent.high.count() == bursts * IN_BURST,
        "a control message was not sent",
    )?;
    stalls.extend(sent.stalls.into_iter().chain(received.stalls));
    let (latencies, left_out) = stalls.leave_out(&received.controls);
    Ok(Outcome {
        latencies,
        left_out,
        stalls: stalls.count() as u64,
    })
}

/// Waits for `nanos` nanoseconds; returns the time and, if the thread lost its core, the stall.
#[inline]
fn busy_wait(clock: Clock, nanos: u64) -> (u64, Option<Span>) {
    let start = clock.now();
    loop {
        let now = clock.now();
        if now >= start + nanos {
            return (now, (now > start + nanos + STALL).then_some((start, now)));
        }
    }
}

/// What the producers have sent.
#[derive(Default)]
struct Sent {
    high: Tally,
    low: Tally,
    stalls: Vec<Span>,
}

/// What the receiver has received.
struct Received {
    high: Arrivals<u64>,
    low: Arrivals<u64>,
    controls: Vec<Span>,
    stalls: Vec<Span>,
}

async fn consume(rx: impl TwoClassRx, flooders: usize, clock: Clock) -> Received {
    let mut received = Received {
        high: Arrivals::from(1),
        low: Arrivals::from(flooders),
        controls: Vec::new(),
        stalls: Vec::new(),
    };
    rx.for_each(|message| match message {
        Class::High(due) => {
            received.controls.push((due, clock.now()));
            received.high.add(due);
        }
        Class::Low(stamp) => {
            received.low.add(stamp);
            let (_, stall) = busy_wait(clock, WORK);
            received.stalls.extend(stall);
        }
    })
    .await;
    received
}

fn produce<X: TwoClassTx>(
    flooders: Vec<X>,
    mut control: X,
    clock: Clock,
    bursts: u64,
) -> Result<Sent, Fault> {
    let mut seen = Sent::default();
    let mut flooders: Vec<(X, u64)> = flooders
        .into_iter()
        .enumerate()
        .map(|(index, tx)| (tx, u64::source(index)))
        .collect();
    // The first burst is due late enough for the other thread to have started.
    let begin = clock.now() + 2 * BURST;
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
            for (flooder, source) in &mut flooders {
                let mut next = *source;
                let stamp = u64::next(&mut next);
                match flooder.try_low(stamp) {
                    Attempt::Sent => {
                        seen.low.add(stamp);
                        *source = next;
                    }
                    Attempt::Full => {}
                    Attempt::Closed => {
                        return Err(Fault::Failed("a channel closed early".to_owned()));
                    }
                }
                let (now, stall) = busy_wait(clock, PAUSE);
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
