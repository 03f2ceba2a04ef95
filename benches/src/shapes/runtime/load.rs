//! Actors with work queued: asked by many, drained, and restarted again and again.

use std::time::{Duration, Instant};

use super::steps::{answer, quietly};
use crate::rig::executor::joined;
use crate::rig::fault::{Fault, ensure};
use crate::rig::stats::{Latencies, median};
use crate::rivals::actors::{ActorCounter, Actors, COUNT, Flood, Handle, PANIC, Worker};

/// Number of tasks that ask one actor at the same time.
pub(super) const ASKERS: usize = 8;
/// Messages that a task tells the actor before each question.
pub(super) const TOLD: u64 = 7;
/// Messages queued at each actor that is drained.
pub(super) const QUEUED: u64 = 8;
/// Messages of a storm, queued at once.
const STORM: u64 = 1_000;
/// One message of a storm in so many makes the actor panic.
const EVERY: u64 = 10;
/// Number of storms and drains, of which the median is taken.
const ROUNDS: usize = 3;

/// How long answers take when `ASKERS` tasks ask one actor for about `length`, each of which tells
/// it `TOLD` messages before each question.
///
/// # Errors
///
/// A [`Fault`] if an answer is missing or wrong.
pub fn ask_under_load<A: Actors>(workers: usize, length: Duration) -> Result<Latencies, Fault> {
    A::block_on(workers, async move {
        let actor = A::spawn(Worker::default(), ASKERS).await;
        let askers: Vec<_> = (0..ASKERS)
            .map(|_| A::task(asker(actor.clone(), length)))
            .collect();
        let mut latencies = Latencies::new();
        for asker in askers {
            latencies.merge(&joined(asker).await??);
        }
        Ok(latencies)
    })
}

async fn asker(mut actor: impl Handle, length: Duration) -> Result<Latencies, Fault> {
    let mut latencies = Latencies::new();
    let begin = Instant::now();
    let mut question = 0;
    while question == 0 || begin.elapsed() < length {
        for message in 0..TOLD {
            ensure(actor.tell(message).await, "an actor was gone")?;
        }
        let start = Instant::now();
        let found = answer(&mut actor, question).await?;
        latencies.record(start.elapsed().as_nanos() as u64);
        ensure(found == question, "wrong answer")?;
        question += 1;
    }
    Ok(latencies)
}

/// How long it takes until `actors` actors with `QUEUED` messages each have handled them and ended:
/// the median of a few rounds.
///
/// # Errors
///
/// A [`Fault`] if an actor is gone, or has ended before it has handled all.
pub fn drain<A: Actors>(workers: usize, actors: usize) -> Result<Duration, Fault> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let round = A::block_on(workers, async move {
            joined(A::task(drain_all::<A>(actors))).await?
        });
        times.push(round?.as_secs_f64());
    }
    let time = median(&times).ok_or(Fault::Failed("no actor was drained".to_owned()))?;
    Ok(Duration::from_secs_f64(time))
}

async fn drain_all<A: Actors>(actors: usize) -> Result<Duration, Fault> {
    let (counter, flood) = (ActorCounter::new(actors), Flood::new(Duration::ZERO));
    let mut handles = Vec::with_capacity(actors);
    for _ in 0..actors {
        let mut actor = A::spawn(Worker::drained(&counter, &flood), 1).await;
        ensure(actor.tell(1).await, "an actor was gone")?;
        handles.push(actor);
    }
    counter.all_started().await;
    for actor in &mut handles {
        for _ in 1..QUEUED {
            ensure(actor.tell(1).await, "an actor was gone")?;
        }
    }
    let start = Instant::now();
    for actor in handles {
        A::drain(actor).await;
    }
    counter.all_stopped().await;
    let elapsed = start.elapsed();
    let sent = actors as u64 * QUEUED;
    let received = flood.handled();
    ensure_all(sent, received)?;
    Ok(elapsed)
}

fn ensure_all(sent: u64, received: u64) -> Result<(), Fault> {
    if sent == received {
        Ok(())
    } else {
        Err(Fault::Lost { sent, received })
    }
}

/// Nanoseconds from one restart to the next of an actor with `STORM` messages queued, one in
/// `EVERY` of which makes it panic: the median of a few storms. NaN if the runtime does not restart
/// actors, or loses their queues.
///
/// # Errors
///
/// A [`Fault`] if an actor is gone.
pub fn storm<A: Actors>(workers: usize) -> Result<f64, Fault> {
    if !A::KEEPS_QUEUE {
        return Ok(f64::NAN);
    }
    quietly(|| {
        A::block_on(workers, async move {
            let Some(actor) = A::spawn_supervised().await else {
                return Ok(f64::NAN);
            };
            joined(A::task(storms(actor))).await?
        })
    })
}

async fn storms(mut actor: impl Handle) -> Result<f64, Fault> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for message in 1..=STORM {
            let message = if message % EVERY == 0 { PANIC } else { message };
            ensure(actor.tell(message).await, "an actor was gone")?;
        }
        // No incarnation but the last one counts so many.
        for _ in 0..EVERY {
            ensure(actor.tell(1).await, "an actor was gone")?;
        }
        while actor.ask(COUNT).await != Some(EVERY) {
            tokio::task::yield_now().await;
        }
        times.push(start.elapsed().as_nanos() as f64 / (STORM / EVERY) as f64);
        // The next storm begins with a new incarnation.
        ensure(actor.tell(PANIC).await, "an actor was gone")?;
        while actor.ask(COUNT).await != Some(0) {
            tokio::task::yield_now().await;
        }
    }
    median(&times).ok_or(Fault::Failed("no actor was restarted".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::actors::{ActorsVisitor, visit_actors};

    struct All;

    impl ActorsVisitor for All {
        fn visit<A: Actors>(&mut self) {
            for workers in [1, 2].into_iter().filter(|workers| A::can_use(*workers)) {
                let asked = ask_under_load::<A>(workers, Duration::from_millis(5));
                assert!(asked.is_ok_and(|asked| asked.count() >= ASKERS as u64));
                let drained = drain::<A>(workers, 100);
                assert!(drained.is_ok(), "{}: {drained:?}", A::NAME);
                let restart = storm::<A>(workers);
                let restarts = A::RESTARTS && A::KEEPS_QUEUE;
                assert_eq!(restart.map(f64::is_nan), Ok(!restarts), "{}", A::NAME);
            }
        }
    }

    #[test]
    fn runtimes_under_load_lose_nothing() {
        visit_actors(&mut All);
    }
}
