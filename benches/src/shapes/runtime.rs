//! `runtime`: actors.

use std::panic;
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

const SENDERS: &[usize] = &[1, 8];
/// Actors of a tree: a root, its branches, and the leaves of each branch; ten thousand and one.
const BRANCHES: usize = 100;
const LEAVES: usize = 99;
/// Work on each message of a flood: what one handler takes.
const WORK: Duration = Duration::from_micros(10);
/// Times that actors are started and told something.
const GENERATIONS: usize = 3;
/// How long to wait for the end of actors whose handles are gone; some outlive them.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
/// A flood is this many times as long as a run of `ask`, for the sake of its last percentile.
const LENGTH_FACTOR: u32 = 8;

const METRICS: &[Metric] = &[
    Metric {
        name: "ask p50",
        unit: Unit::Nanos,
    },
    Metric {
        name: "ask p99",
        unit: Unit::Nanos,
    },
    Metric {
        name: "question in a flood p50",
        unit: Unit::Nanos,
    },
    Metric {
        name: "question in a flood p99",
        unit: Unit::Nanos,
    },
    Metric {
        name: "spawn to first message",
        unit: Unit::Nanos,
    },
    Metric {
        name: "panic to first message",
        unit: Unit::Nanos,
    },
    Metric {
        name: "stop of a tree of 10,001",
        unit: Unit::Millis,
    },
    Metric {
        name: "an actor",
        unit: Unit::Bytes,
    },
];

/// The shape.
pub const SHAPE: Shape = Shape {
    name: "runtime",
    about: "`tell`: 1 or 8 tasks send to one actor, 1024 slots in its mailbox where it has a bound \
            (ractor's has none; actix is offered a message again after a yield; the lanes of lanemesh-runtime's \
            senders share them). `ask`: one task asks \
            one actor at a time. `question in a flood`: how long a question takes to be handled by an actor \
            with some 1024 messages waiting, each 10 µs of work; lanemesh-runtime's are of high priority, \
            the others have one queue; `actix` is asked on the actor's own thread, when that has let go of it, \
            which is no such flood. `spawn to first message`: actors are started and told something one \
            after the other, divided by their number once all have got it; the median of three times, of \
            which the second and third use the memory of those that have ended. `panic to first message`: \
            from telling a supervised actor to panic, in a message that no question overtakes, until its \
            successor answers; actix has no restart after a panic. `stop`: a root with 100 children with 99 \
            children each is told to stop; until the last is gone. `an actor`: bytes of heap of an idle actor \
            with a mailbox of 1024 slots that has answered once. `bare-tokio` is a task with a channel: a floor. \
            `workers` is the number of the executor's threads; an actix actor lives on one thread, so \
            `actix` has everything on one, and `actix-arbiter` the actors on a second.",
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
    /// Cells for `tell` by so many tasks, or for everything else.
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
    let delayed = flood::<A>(workers, effort.target * LENGTH_FACTOR)?;
    Ok(vec![
        asked.at(0.5),
        asked.at(0.99),
        delayed.at(0.5),
        delayed.at(0.99),
        spawn::<A>(workers, actors)?,
        restart::<A>(workers, panics)?,
        stop::<A>(workers, branches, leaves)?.as_secs_f64() * 1e3,
        bytes::<A>(workers, 1_000)?,
    ])
}

/// About `count` messages without an answer, from so many tasks to one actor.
///
/// # Errors
///
/// A [`Fault`] when the actor is told something else.
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
        // The question may overtake messages of other senders, so it is asked until all are there.
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

async fn answer(actor: &mut impl Handle, question: u64) -> Result<u64, Fault> {
    actor
        .ask(question)
        .await
        .ok_or_else(|| Fault::Failed("no answer".to_owned()))
}

/// The latencies of asking one actor for about so long.
///
/// # Errors
///
/// A [`Fault`] when an answer is missing or wrong.
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
                ensure(found == question, "the answer to another question")?;
                question += 1;
            }
            Ok(latencies)
        });
        joined(asker).await?
    })
}

/// How long asking one actor so many times takes.
///
/// # Errors
///
/// A [`Fault`] when an answer is missing or wrong.
pub fn ask_all<A: Actors>(workers: usize, count: u64) -> Result<Duration, Fault> {
    A::block_on(workers, async move {
        let mut actor = A::spawn(Worker::default(), 1).await;
        let asker = A::task(async move {
            let start = Instant::now();
            for question in 0..count {
                let found = answer(&mut actor, question).await?;
                ensure(found == question, "the answer to another question")?;
            }
            Ok(start.elapsed())
        });
        joined(asker).await?
    })
}

/// How long questions take to reach an actor that is told more than it can do, for about so long.
///
/// # Errors
///
/// A [`Fault`] when the actor is gone.
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
            // Pauses of 0 to 40 µs, so that questions come at any time of a handler.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            Flood::busy_wait(Duration::from_nanos((random >> 33) % 40_000));
            answer(&mut actor, flood.now()).await?;
        }
        // ORDERING: relaxed; a wish that the flooder sees soon.
        done.store(true, Ordering::Relaxed);
        joined(flooder).await??;
        Ok(flood.take_delays())
    })
}

/// Tells an actor one thing after the other, so that some 1024 always wait, until it is over.
async fn keep_flooded(
    mut actor: impl Handle,
    flood: Arc<Flood>,
    done: Arc<AtomicBool>,
) -> Result<(), Fault> {
    let mut told = 0;
    // ORDERING: relaxed; see `flood`.
    while !done.load(Ordering::Relaxed) {
        // One in hand, one on its way: bounded mailboxes are full before this counts.
        if told > flood.handled() + MAILBOX as u64 + 2 {
            tokio::task::yield_now().await;
            continue;
        }
        ensure(actor.tell(1).await, "an actor was gone")?;
        told += 1;
    }
    Ok(())
}

/// Nanoseconds from starting an actor to its first message, on average of so many: the median of a few times.
///
/// # Errors
///
/// A [`Fault`] when an actor is gone.
pub fn spawn<A: Actors>(workers: usize, actors: usize) -> Result<f64, Fault> {
    A::block_on(workers, async move {
        let mut times = Vec::new();
        for _ in 0..GENERATIONS {
            let counter = ActorCounter::new(actors);
            let starter = A::task(generation::<A>(counter.clone(), actors));
            times.push(joined(starter).await??);
            // Where the end of its handle ends an actor, wait for it: the next ones find its memory warm.
            let deadline = Instant::now() + DRAIN_TIMEOUT;
            while Arc::strong_count(&counter) > 1 && Instant::now() < deadline {
                tokio::task::yield_now().await;
            }
        }
        median(&times).ok_or(Fault::Failed("nothing was started".to_owned()))
    })
}

async fn generation<A: Actors>(counter: Arc<ActorCounter>, actors: usize) -> Result<f64, Fault> {
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

/// Nanoseconds from telling an actor to panic to the first answer of its successor, which knows nothing of
/// what its predecessor was told: the median of so many.
/// Not a number where there is no successor.
///
/// # Errors
///
/// A [`Fault`] when an actor is gone.
pub fn restart<A: Actors>(workers: usize, panics: usize) -> Result<f64, Fault> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = A::block_on(workers, async move {
        let Some(mut actor) = A::spawn_supervised().await else {
            return Ok(f64::NAN);
        };
        let mut latencies = Latencies::new();
        for _ in 0..panics {
            ensure(actor.tell(1).await, "an actor was gone")?;
            // A question may overtake what was told.
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
    });
    panic::set_hook(hook);
    result
}

/// How long a tree takes to stop: a root, its branches, the leaves of each.
///
/// # Errors
///
/// [`Fault::Failed`] when there is no executor.
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

/// Bytes of heap that an idle actor takes which has answered once.
///
/// # Errors
///
/// A [`Fault`] when an actor is gone.
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
