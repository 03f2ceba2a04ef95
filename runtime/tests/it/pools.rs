//! Pools: which worker gets a job, and what becomes of jobs when workers crash, end and join.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorResult, Context, SendError, SpawnError, System, builder,
    patterns::{Balance, Pool},
    supervision::{Backoff, Strategy, Supervision},
};
use tokio::sync::oneshot;

use crate::common::hush;

const SECOND: Duration = Duration::from_secs(1);

/// A key and a number.
type Job = (u32, u32);

/// What was handled: by which worker, and the job.
type Handled = Arc<Mutex<Vec<(usize, Job)>>>;

struct Worker {
    index: usize,
    handled: Handled,
}

enum Control {
    /// Waits for the gate, within the handler.
    Block(oneshot::Receiver<()>),
    Panic,
}

impl Actor for Worker {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = Job;

    async fn on_high(&mut self, control: Control, _: &mut Context<Self>) -> ActorResult {
        match control {
            Control::Block(gate) => drop(gate.await),
            Control::Panic => panic!("on demand"),
        }
        Ok(())
    }

    async fn on_low(&mut self, job: Job, _: &mut Context<Self>) -> ActorResult {
        self.handled.lock().unwrap().push((self.index, job));
        Ok(())
    }
}

fn factory(handled: &Handled) -> impl FnMut(usize) -> Worker + Clone + Send + use<> {
    let handled = handled.clone();
    move |index| Worker {
        index,
        handled: handled.clone(),
    }
}

fn system() -> System {
    System::supervised(
        "s",
        Supervision::new(Strategy::OneForOne).backoff(Backoff::none()),
    )
}

/// Keeps a worker in its handler until the gate opens.
async fn block(pool: &mut Pool<Worker>, index: usize) -> oneshot::Sender<()> {
    let (open, gate) = oneshot::channel();
    let mut worker = pool.workers().nth(index).unwrap().clone();
    worker.send_high(Control::Block(gate)).await.unwrap();
    open
}

fn jobs(handled: &Handled) -> Vec<Job> {
    let mut jobs: Vec<Job> = handled
        .lock()
        .unwrap()
        .iter()
        .map(|(_, job)| *job)
        .collect();
    jobs.sort();
    jobs
}

#[tokio::test]
async fn jobs_of_a_key_stay_with_one_worker_in_order() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, _children) = Pool::builder("w", factory(&handled))
        .by_key(|job: &Job| Some(job.0))
        .spawn_in(&system, 3);
    for n in 0..100 {
        pool.send_low((n % 10, n)).await.unwrap();
    }
    pool.idle().await;
    let mut workers = HashMap::new();
    let mut last = HashMap::new();
    for (worker, (key, n)) in handled.lock().unwrap().iter() {
        assert_eq!(*workers.entry(*key).or_insert(*worker), *worker);
        assert!(last.insert(*key, *n).is_none_or(|last| last < *n));
    }
    assert_eq!(jobs(&handled).len(), 100);
}

#[tokio::test]
async fn a_job_goes_to_the_least_loaded_worker() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, _children) = Pool::builder("w", factory(&handled))
        .balance(Balance::LeastLoaded)
        .spawn_in(&system, 2);
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    for n in 0..4 {
        pool.send_low((0, n)).await.unwrap();
        // The second one handles what it has.
        pool.workers().nth(1).unwrap().idle().await;
    }
    let by_second = handled
        .lock()
        .unwrap()
        .iter()
        .filter(|(worker, _)| *worker == 1)
        .count();
    assert_eq!(by_second, 3);
    gate.send(()).unwrap();
    pool.idle().await;
    assert_eq!(jobs(&handled).len(), 4);
}

#[tokio::test]
async fn a_worker_that_ends_hands_its_jobs_on() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, mut children) = Pool::spawn_in(&system, "w", 2, factory(&handled));
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    for n in 0..10 {
        pool.send_low((0, n)).await.unwrap();
    }
    let first = pool.workers().next().unwrap().clone();
    first.stop();
    gate.send(()).unwrap();
    children.remove(0).await;
    assert_eq!(first.stats().handed_on, 5);
    pool.idle().await;
    assert_eq!(jobs(&handled), (0..10).map(|n| (0, n)).collect::<Vec<_>>());
    assert!(
        handled
            .lock()
            .unwrap()
            .iter()
            .all(|(worker, _)| *worker == 1)
    );
    pool.send_low((0, 10)).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_crashes_keeps_its_jobs() {
    hush();
    let handled = Handled::default();
    let system = system();
    let (mut pool, _children) = Pool::spawn_in(&system, "w", 2, factory(&handled));
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    for n in 0..10 {
        pool.send_low((0, n)).await.unwrap();
    }
    let mut first = pool.workers().next().unwrap().clone();
    first.send_high(Control::Panic).await.unwrap();
    gate.send(()).unwrap();
    pool.idle().await;
    assert_eq!(jobs(&handled).len(), 10);
    assert_eq!((first.stats().low, first.stats().handed_on), (5, 0));
    assert_eq!(first.stats().restarts, 1);
}

/// Its restarts are used up with jobs in its queue.
#[tokio::test]
async fn a_worker_that_fails_for_good_hands_its_jobs_on() {
    hush();
    let handled = Handled::default();
    let system = System::supervised(
        "s",
        Supervision::new(Strategy::OneForOne)
            .intensity(0, SECOND)
            .backoff(Backoff::none()),
    );
    let (mut pool, _children) = Pool::spawn_in(&system, "w", 2, factory(&handled));
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    for n in 0..10 {
        pool.send_low((0, n)).await.unwrap();
    }
    let mut first = pool.workers().next().unwrap().clone();
    first.send_high(Control::Panic).await.unwrap();
    gate.send(()).unwrap();
    first.monitor().await;
    pool.idle().await;
    assert_eq!(jobs(&handled).len(), 10);
    assert_eq!(first.stats().handed_on, 5);
}

#[tokio::test]
async fn a_drained_worker_handles_what_it_has_and_gets_no_more() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, mut children) = Pool::spawn_in(&system, "w", 2, factory(&handled));
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    for n in 0..4 {
        pool.send_low((0, n)).await.unwrap();
    }
    pool.workers().next().unwrap().drain();
    gate.send(()).unwrap();
    children.remove(0).await;
    for n in 4..8 {
        pool.send_low((0, n)).await.unwrap();
    }
    pool.idle().await;
    assert_eq!(jobs(&handled).len(), 8);
    let by_first = handled
        .lock()
        .unwrap()
        .iter()
        .filter(|(worker, _)| *worker == 0)
        .count();
    assert_eq!(by_first, 2);
}

#[tokio::test]
async fn a_worker_that_joins_gets_jobs_from_all_clones() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, mut children) = Pool::builder("w", factory(&handled))
        .workers(|worker| worker.low_capacity(1))
        .spawn_in(&system, 1);
    let gate = block(&mut pool, 0).await;
    tokio::task::yield_now().await;
    let mut clone = pool.clone();
    clone.send_low((0, 0)).await.unwrap();
    assert_eq!(clone.try_send_low((0, 1)), Err(SendError::Full((0, 1))));
    assert_eq!(
        clone
            .workers()
            .map(|worker| worker.stats().rejected)
            .sum::<u64>(),
        1
    );
    let waiting = tokio::spawn(async move {
        clone.send_low((0, 1)).await.unwrap();
        clone
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    children.push(pool.add_worker_in(&system).unwrap());
    let mut clone = waiting.await.unwrap();
    assert_eq!(clone.workers().count(), 2);
    assert_eq!(clone.names().len(), 2);
    gate.send(()).unwrap();
    pool.idle().await;
    assert_eq!(jobs(&handled), [(0, 0), (0, 1)]);
}

#[tokio::test]
async fn a_pool_is_closed_when_its_last_worker_has_ended() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, children) = Pool::spawn_in(&system, "w", 2, factory(&handled));
    for child in children {
        child.stop().await;
    }
    assert_eq!(pool.send_low((0, 0)).await, Err(SendError::Closed((0, 0))));
    assert!(matches!(
        pool.add_worker_in(&system),
        Err(SpawnError::PoolClosed)
    ));
    let (worker, _child) = system.spawn(builder({
        let mut factory = factory(&handled);
        move || factory(0)
    }));
    let mut pool = Pool::of(vec![worker]);
    assert!(matches!(
        pool.add_worker_in(&system),
        Err(SpawnError::NeedsFactory)
    ));
}

#[tokio::test]
async fn workers_end_with_the_last_clone_after_they_have_handled_all() {
    let handled = Handled::default();
    let system = system();
    let (mut pool, children) = Pool::spawn_in(&system, "w", 3, factory(&handled));
    for n in 0..30 {
        pool.send_low((0, n)).await.unwrap();
    }
    drop(pool);
    for child in children {
        assert!(!child.await.is_failure());
    }
    assert_eq!(jobs(&handled).len(), 30);
}

/// Workers join, crash, drain and are stopped, while jobs with keys are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_is_handled_once_and_in_the_order_of_its_key_by_each_worker() {
    const ROUNDS: u32 = 300;
    const CLONES: u32 = 3;
    const KEYS: u32 = 5;
    const WORKERS: usize = 4;

    hush();
    let handled = Handled::default();
    let system = System::supervised(
        "s",
        Supervision::new(Strategy::OneForOne)
            .intensity(1_000_000, SECOND)
            .backoff(Backoff::none()),
    );
    let (mut pool, mut children) = Pool::builder("w", factory(&handled))
        .by_key(|job: &Job| Some(job.0 % KEYS))
        .workers(|worker| worker.low_capacity(4))
        .spawn_in(&system, 2);
    let senders: Vec<_> = (0..CLONES)
        .map(|id| {
            let mut pool = pool.clone();
            tokio::spawn(async move {
                for n in 0..ROUNDS * KEYS {
                    // The sender is part of the key that the log tells apart, and not of that of the pool.
                    pool.send_low((id * KEYS + n % KEYS, n)).await.unwrap();
                }
            })
        })
        .collect();
    let mut turn = 0_usize;
    while senders.iter().any(|sender| !sender.is_finished()) {
        turn += 1;
        if children.len() < WORKERS {
            children.push(pool.add_worker_in(&system).unwrap());
        }
        let living: Vec<_> = pool
            .workers()
            .filter(|worker| worker.is_alive())
            .cloned()
            .collect();
        let mut worker = living[turn % living.len()].clone();
        if turn.is_multiple_of(2) {
            let _ = worker.send_high(Control::Panic).await;
        } else if children.len() > 2 {
            let child = children.remove(turn % children.len());
            if turn.is_multiple_of(3) {
                let id = child.id();
                pool.workers()
                    .find(|worker| worker.id() == id)
                    .unwrap()
                    .drain();
                child.detach();
            } else {
                child.stop().await;
            }
        }
        tokio::task::yield_now().await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    pool.idle().await;
    let handled = handled.lock().unwrap();
    let worker_of: HashMap<Job, usize> = handled
        .iter()
        .map(|(worker, job)| (*job, *worker))
        .collect();
    let (mut by_worker, mut newest) = (HashMap::new(), HashMap::new());
    for (worker, (key, n)) in handled.iter() {
        if let Some(last) = by_worker.insert((*worker, *key), *n) {
            assert!(last < *n, "in order in each worker");
        }
        let newest = newest.entry(*key).or_insert(*n);
        *newest = (*newest).max(*n);
        if n < newest {
            // Another worker took the next job of the key while this one still handled its last.
            assert_ne!(worker_of[&(*key, n + KEYS)], *worker);
        }
    }
    let mut all: Vec<Job> = handled.iter().map(|(_, job)| *job).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len() as u32, ROUNDS * KEYS * CLONES, "each job once");
    assert_eq!(handled.len() as u32, ROUNDS * KEYS * CLONES);
}
