//! A pool of workers: jobs go to a worker that has room, keyed jobs stay in order, a crash costs one job.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorResult, Context, System,
    patterns::Pool,
    supervision::{Backoff, Strategy, Supervision},
};

struct Worker {
    done: Arc<AtomicU64>,
    last: u64,
}

enum Job {
    Number(u64),
    Ordered(u64),
    Bad,
}

impl Actor for Worker {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Job;

    async fn on_low(&mut self, job: Job, _: &mut Context<Self>) -> ActorResult {
        match job {
            Job::Number(number) => drop(self.done.fetch_add(number, Ordering::Relaxed)),
            Job::Ordered(number) => {
                assert_eq!(number, self.last + 1);
                self.last = number;
            }
            Job::Bad => panic!("a bad job"),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::panic::set_hook(Box::new(|_| {})); // one panic is intended
    let rules = Supervision::new(Strategy::OneForOne).backoff(Backoff::none());
    let system = System::supervised("jobs", rules);
    let done = Arc::new(AtomicU64::new(0));
    let counter = done.clone();
    let (mut pool, mut children) = Pool::builder("worker", move |_index| Worker {
        done: counter.clone(),
        last: 0,
    })
    .by_key(|job| matches!(job, Job::Ordered(_)).then_some("alice"))
    .spawn_in(&system, 4);

    for number in 1..=1_000 {
        if number == 500 {
            pool.send_low(Job::Bad).await?;
        }
        pool.send_low(Job::Number(number)).await?;
    }
    pool.idle().await;
    println!("sum {} by {:?}", done.load(Ordering::Relaxed), pool.names());
    assert_eq!(done.load(Ordering::Relaxed), 500_500);
    let restarts: u64 = pool.workers().map(|worker| worker.stats().restarts).sum();
    assert_eq!(
        restarts, 1,
        "the bad job restarted one worker, and only that job is gone"
    );

    for number in 1..=100 {
        pool.send_low(Job::Ordered(number)).await?;
    }
    pool.idle().await;

    // The pool grows, and shrinks: a worker that ends hands on what it has not begun.
    children.push(pool.add_worker_in(&system)?);
    for number in 1..=1_000 {
        pool.send_low(Job::Number(number)).await?;
    }
    drop(children.remove(0));
    pool.idle().await;
    assert_eq!(done.load(Ordering::Relaxed), 2 * 500_500);
    println!("{}", system.tree());
    assert!(system.drain(Duration::from_secs(5)).await.is_clean());
    Ok(())
}
