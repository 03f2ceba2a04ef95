//! `runtime`: the actor runtimes.

mod load;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::plan::{Cell, Effort, METRIC, Metric, Shape, Timing, Value};
use crate::rig::alloc;
use crate::rig::executor::{cores, joined};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Payload, Tally};
use crate::rig::stats::{Latencies, Unit, median};
use crate::rivals::actors::{
    ActorCounter, Actors, ActorsVisitor, COUNT, Flood, Handle, MAILBOX, SUM, Worker, visit_actors,
};

pub use self::load::{ask_under_load, drain, storm};
use self::steps::{answer, quietly};

const SENDERS: &[usize] = &[1, 8];
/// Children of a tree's root. With [`LEAVES`] children each, the tree has 10,001 actors.
const BRANCHES: usize = 100;
/// Children of each branch.
const LEAVES: usize = 99;
/// Time that each message of a flood takes to handle.
const WORK: Duration = Duration::from_micros(10);
/// Number of rounds in which actors are started and told something.
const SPAWN_ROUNDS: usize = 3;
/// Time to wait for actors to end after their handles are dropped; some runtimes keep them alive.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
/// How many times longer a flood is than a run of `ask`, so that p99 is stable.
const LENGTH_FACTOR: u32 = 8;

const METRICS: &[Metric] = &[
    Metric::new("ask p50", Unit::Nanos),
    Metric::new("ask p99", Unit::Nanos),
    Metric::new("question in a flood p50", Unit::Nanos),
    Metric::new("question in a flood p99", Unit::Nanos),
    Metric::new("ask under load p50", Unit::Nanos),
    Metric::new("ask under load p99", Unit::Nanos),
    Metric::new("spawn to first message", Unit::Nanos),
    Metric::new("panic to first message", Unit::Nanos),
    Metric::new("restart with 1,000 queued", Unit::Nanos),
    Metric::new("stop of a tree of 10,001", Unit::Millis),
    Metric::new("drain of 10,000", Unit::Millis),
    Metric::new("an actor", Unit::Bytes),
];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "runtime",
    about: "Actors that are told messages, asked questions, started, stopped, and restarted after \
            a panic. `workers` is the number of executor threads. An actix actor lives on one \
            thread: `actix` runs everything on one thread, `actix-arbiter` runs the actors on a \
            second. `bare-tokio` is a task with a channel: a floor.\n\n\
            - `tell`: 1 or 8 tasks send to one actor. Its mailbox has 1024 slots if it is bounded \
            (ractor's is not; on a full actix mailbox the sender yields and retries; with \
            lanemesh-runtime the senders' lanes share the slots).\n\
            - `ask`: one task asks one actor, one question at a time.\n\
            - `question in a flood`: time until a question is handled by an actor with about 1024 \
            messages waiting, each of which takes 10 µs. For lanemesh-runtime the question has \
            high priority; the others have one queue. `actix` is asked on the actor's own thread, \
            after the actor has yielded it, which is not the same flood.\n\
            - `ask under load`: eight tasks ask one actor, each of which tells it seven messages \
            before each question.\n\
            - `spawn to first message`: actors are started and told something, one after the \
            other; the time until all have received it, divided by their number. The median of \
            three rounds, of which the second and third reuse the memory of the actors before.\n\
            - `panic to first message`: time from telling a supervised actor to panic, in a \
            message that no question overtakes, until its successor answers. actix does not \
            restart an actor that panicked.\n\
            - `restart with 1,000 queued`: a supervised actor has 1,000 messages queued, one in ten \
            of which makes it panic; the time until its last successor has handled the last one, \
            divided by the panics. For runtimes whose queues survive restarts: kameo keeps its queue \
            over one, and loses what is left of it if the next incarnation panics too.\n\
            - `stop of a tree`: a root with 100 children, each with 99 children, is told to stop; \
            time until the last actor has ended.\n\
            - `drain of 10,000`: 10,000 actors (1,000 with `--quick`) have been told eight messages \
            each, and end when they have handled them; time until the last one has ended.\n\
            - `an actor`: bytes of heap of an idle actor with a mailbox of 1024 slots that has \
            answered once.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        workers: 0,
        senders: None,
    };
    let all_workers = [1, cores().max(2)];
    for workers in all_workers {
        for senders in effort.choose(SENDERS, &[2]) {
            visit = Visit {
                workers,
                senders: Some(*senders),
                ..visit
            };
            visit_actors(&mut visit);
        }
    }
    for workers in all_workers {
        visit = Visit {
            workers,
            senders: None,
            ..visit
        };
        visit_actors(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    workers: usize,
    /// Number of sending tasks of the cells for `tell`; `None` makes the cells for all other
    /// metrics.
    senders: Option<usize>,
}

impl ActorsVisitor for Visit {
    fn visit<A: Actors>(&mut self) {
        let workers = self.workers;
        if !A::can_use(workers) {
            return;
        }
        let cell = match self.senders {
            Some(senders) => {
                let params = vec![
                    (METRIC, Value::from("tell")),
                    ("workers", workers.into()),
                    ("senders", senders.into()),
                ];
                let run = move |count| tell::<A>(workers, senders, count);
                Cell::rate::<A>(SHAPE.name, params, Unit::NanosPerMessage, 10_000, run)
            }
            None => {
                let params = vec![("workers", Value::from(workers))];
                let run = move |effort| readings::<A>(workers, effort);
                Cell::readings::<A>(SHAPE.name, params, METRICS, run)
            }
        };
        self.cells.push(cell);
    }
}

fn readings<A: Actors>(workers: usize, effort: Effort) -> Result<Vec<f64>, Fault> {
    let (actors, branches, leaves, panics) = if effort.quick {
        (1_000, BRANCHES, LEAVES, 20)
    } else {
        (10_000, BRANCHES, LEAVES, 200)
    };
    let asked = ask::<A>(workers, effort.target)?;
    let loaded = ask_under_load::<A>(workers, effort.target)?;
    let delayed = flood::<A>(workers, effort.target * LENGTH_FACTOR)?;
    Ok(vec![
        asked.at(0.5),
        asked.at(0.99),
        delayed.at(0.5),
        delayed.at(0.99),
        loaded.at(0.5),
        loaded.at(0.99),
        spawn::<A>(workers, actors)?,
        restart::<A>(workers, panics)?,
        storm::<A>(workers)?,
        stop::<A>(workers, branches, leaves)?.as_secs_f64() * 1e3,
        drain::<A>(workers, actors)?.as_secs_f64() * 1e3,
        bytes::<A>(workers, 1_000)?,
    ])
}

/// Sends about `count` messages without an answer, from `senders` tasks to one actor.
///
/// # Errors
///
/// A [`Fault`] if the actor receives other messages than were sent.
pub fn tell<A: Actors>(workers: usize, senders: usize, count: u64) -> Result<Timing, Fault> {
    let share = (count / senders as u64).max(1);
    A::block_on(workers, async move {
        let mut actor = A::spawn(Worker::default(), senders).await;
        let start = Instant::now();
        let tasks: Vec<_> = (0..senders)
            .map(|index| {
                let mut actor = actor.clone();
                A::task(async move {
                    let mut source = u64::source(index);
                    let mut tally = Tally::default();
                    for _ in 0..share {
                        let message = u64::next(&mut source);
                        if !actor.tell(message).await {
                            break;
                        }
                        tally.add(message);
                    }
                    tally
                })
            })
            .collect();
        let mut sent = Tally::default();
        for task in tasks {
            sent.merge(joined(task).await?);
        }
        // The question may overtake messages of other senders; repeat it until all have arrived.
        while answer(&mut actor, COUNT).await? < sent.count() {
            tokio::task::yield_now().await;
        }
        let elapsed = start.elapsed();
        let received = answer(&mut actor, COUNT).await?;
        ensure(sent.count() == senders as u64 * share, "an actor was gone")?;
        if received != sent.count() {
            return Err(Fault::Lost {
                sent: sent.count(),
                received,
            });
        }
        if answer(&mut actor, SUM).await? != sent.sum() {
            return Err(Fault::Altered);
        }
        Ok(Timing {
            count: received,
            elapsed,
        })
    })
}

/// Asks one actor for about `length`, and returns the latencies.
///
/// # Errors
///
/// A [`Fault`] if an answer is missing or wrong.
pub fn ask<A: Actors>(workers: usize, length: Duration) -> Result<Latencies, Fault> {
    A::block_on(workers, async move {
        let mut actor = A::spawn(Worker::default(), 1).await;
        let asker = A::task(async move {
            let mut latencies = Latencies::new();
            let begin = Instant::now();
            let mut question = 0;
            while question == 0 || begin.elapsed() < length {
                let start = Instant::now();
                let found = answer(&mut actor, question).await?;
                latencies.record(start.elapsed().as_nanos() as u64);
                ensure(found == question, "wrong answer")?;
                question += 1;
            }
            Ok(latencies)
        });
        joined(asker).await?
    })
}

/// How long it takes to ask one actor `count` times.
///
/// # Errors
///
/// A [`Fault`] if an answer is missing or wrong.
pub fn ask_all<A: Actors>(workers: usize, count: u64) -> Result<Duration, Fault> {
    A::block_on(workers, async move {
        let mut actor = A::spawn(Worker::default(), 1).await;
        let asker = A::task(async move {
            let start = Instant::now();
            for question in 0..count {
                let found = answer(&mut actor, question).await?;
                ensure(found == question, "wrong answer")?;
            }
            Ok(start.elapsed())
        });
        joined(asker).await?
    })
}

/// Floods an actor for about `length`, and returns how long questions took to reach it.
///
/// # Errors
///
/// A [`Fault`] if the actor is gone.
pub fn flood<A: Actors>(workers: usize, length: Duration) -> Result<Latencies, Fault> {
    A::block_on(workers, async move {
        let flood = Flood::new(WORK);
        let mut actor = A::spawn(Worker::flooded(&flood), 1).await;
        let done = Arc::new(AtomicBool::new(false));
        let flooder = A::task(keep_flooded(actor.clone(), flood.clone(), done.clone()));
        while flood.handled() < MAILBOX as u64 {
            tokio::task::yield_now().await;
        }
        let begin = flood.now();
        let mut random = begin;
        while flood.now() - begin < length.as_nanos() as u64 {
            // Pause for 0 to 40 µs, so that questions arrive at any point of a handler.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            Flood::busy_wait(Duration::from_nanos((random >> 33) % 40_000));
            answer(&mut actor, flood.now()).await?;
        }
        // ORDERING: relaxed; the flooder only needs to see it eventually.
        done.store(true, Ordering::Relaxed);
        joined(flooder).await??;
        Ok(flood.take_delays())
    })
}

/// Keeps about 1024 messages waiting in an actor's mailbox until `done`.
async fn keep_flooded(
    mut actor: impl Handle,
    flood: Arc<Flood>,
    done: Arc<AtomicBool>,
) -> Result<(), Fault> {
    let mut told = 0;
    // ORDERING: relaxed; see `flood`.
    while !done.load(Ordering::Relaxed) {
        // One message may be in the handler and one in transit. A bounded mailbox fills up first.
        if told > flood.handled() + MAILBOX as u64 + 2 {
            tokio::task::yield_now().await;
            continue;
        }
        ensure(actor.tell(1).await, "an actor was gone")?;
        told += 1;
    }
    Ok(())
}

/// Nanoseconds from starting an actor to its first message: the mean over `actors`, and of that the
/// median over a few rounds.
///
/// # Errors
///
/// A [`Fault`] if an actor is gone.
pub fn spawn<A: Actors>(workers: usize, actors: usize) -> Result<f64, Fault> {
    A::block_on(workers, async move {
        let mut times = Vec::new();
        for _ in 0..SPAWN_ROUNDS {
            let counter = ActorCounter::new(actors);
            let starter = A::task(spawn_round::<A>(counter.clone(), actors));
            times.push(joined(starter).await??);
            // If dropping its handle ends an actor, wait for that, so that the next round reuses
            // its memory.
            let deadline = Instant::now() + DRAIN_TIMEOUT;
            while Arc::strong_count(&counter) > 1 && Instant::now() < deadline {
                tokio::task::yield_now().await;
            }
        }
        median(&times).ok_or(Fault::Failed("no actor was started".to_owned()))
    })
}

async fn spawn_round<A: Actors>(counter: Arc<ActorCounter>, actors: usize) -> Result<f64, Fault> {
    let mut handles = Vec::with_capacity(actors);
    let start = Instant::now();
    for _ in 0..actors {
        let mut actor = A::spawn(Worker::counted(&counter), 1).await;
        ensure(actor.tell(1).await, "an actor was gone")?;
        handles.push(actor);
    }
    counter.all_started().await;
    Ok(start.elapsed().as_nanos() as f64 / actors as f64)
}

/// Nanoseconds from telling an actor to panic to the first answer of its successor, which starts
/// with an empty tally: the median of `panics`. NaN if the runtime does not restart actors.
///
/// # Errors
///
/// A [`Fault`] if an actor is gone.
pub fn restart<A: Actors>(workers: usize, panics: usize) -> Result<f64, Fault> {
    quietly(|| {
        A::block_on(workers, async move {
            let Some(mut actor) = A::spawn_supervised().await else {
                return Ok(f64::NAN);
            };
            let mut latencies = Latencies::new();
            for _ in 0..panics {
                ensure(actor.tell(1).await, "an actor was gone")?;
                // The question may overtake the message.
                while answer(&mut actor, COUNT).await? == 0 {
                    tokio::task::yield_now().await;
                }
                let start = Instant::now();
                ensure(actor.crash().await, "an actor was gone")?;
                while actor.ask(COUNT).await != Some(0) {
                    tokio::task::yield_now().await;
                }
                latencies.record(start.elapsed().as_nanos() as u64);
            }
            Ok(latencies.at(0.5))
        })
    })
}

/// How long a tree takes to stop.
///
/// # Errors
///
/// [`Fault::Failed`] if the executor cannot be started.
pub fn stop<A: Actors>(workers: usize, branches: usize, leaves: usize) -> Result<Duration, Fault> {
    A::block_on(workers, async move {
        let counter = ActorCounter::new(1 + branches + branches * leaves);
        let tree = A::spawn_tree(branches, leaves, counter.clone()).await;
        counter.all_started().await;
        let start = Instant::now();
        A::stop_tree(tree).await;
        counter.all_stopped().await;
        Ok(start.elapsed())
    })
}

/// Bytes of heap of an idle actor that has answered once.
///
/// # Errors
///
/// A [`Fault`] if an actor is gone.
pub fn bytes<A: Actors>(workers: usize, actors: usize) -> Result<f64, Fault> {
    let work = async move {
        let mut handles = Vec::with_capacity(actors + 1);
        let mut first = A::spawn(Worker::default(), 1).await;
        answer(&mut first, 0).await?;
        let before = alloc::live();
        for _ in 0..actors {
            let mut actor = A::spawn(Worker::default(), 1).await;
            answer(&mut actor, 0).await?;
            handles.push(actor);
        }
        Ok((alloc::live() - before) as f64 / actors as f64)
    };
    alloc::measure(|| A::block_on(workers, work)).0
}
