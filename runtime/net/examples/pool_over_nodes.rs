//! Work over three processes, one of which is killed: its open jobs go to the others, and none is lost.
//!
//! Delivery over a link is at most once, so a job whose answer has not come when its node is gone may or
//! may not have been done. The program gives it to another worker, which is right for jobs that may be
//! done twice. It starts itself as the three workers.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanemesh_net::{Node, Remote};
use lanemesh_runtime::{ActorHandle, ActorResult, Context, Handler, Reply, spawn};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};

const SECRET: [u8; 16] = *b"known to us all.";
const JOBS: u64 = 300;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Counts the steps of the Collatz sequence, and how many jobs it has done.
struct Worker;

#[derive(Serialize, Deserialize)]
struct Job {
    number: u64,
    steps: Reply<u64>,
}

impl Handler for Worker {
    type Msg = Job;

    async fn handle(&mut self, job: Job, _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(Duration::from_millis(2)).await; // as if it were much work
        drop(job.steps.send(steps(job.number))); // the asker may be gone
        Ok(())
    }
}

impl Remote for Worker {
    const TYPE: &'static str = "example/worker";
}

fn steps(mut number: u64) -> u64 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) {
            number / 2
        } else {
            3 * number + 1
        };
        steps += 1;
    }
    steps
}

/// A worker's process: says where it listens, and ends with its standard input.
async fn work(name: &str) -> Outcome<()> {
    let node = Node::builder(name).secret(SECRET).build();
    let (worker, _child) = spawn(Worker);
    node.export("worker", &worker)?;
    println!("{}", node.bind("tcp://127.0.0.1:0").await?);
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(end).await??;
    Ok(())
}

fn start(name: &str) -> Outcome<(Child, String)> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    let output = process.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut address)?;
    Ok((process, address.trim().to_owned()))
}

/// Gives jobs to one worker until there are none, or the worker is gone: then its job goes back.
async fn employ(
    mut worker: ActorHandle<Worker>,
    jobs: queue::Queue,
    done: mpsc::Sender<(u64, u64)>,
) -> u64 {
    let mut count = 0;
    while let Some(number) = jobs.take() {
        let job = |steps| Job { number, steps };
        match worker.ask(job, Duration::from_secs(10)).await {
            Ok(steps) => {
                count += 1;
                if done.send((number, steps)).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                println!("job {number}: {error}");
                jobs.put(number);
                break;
            }
        }
    }
    count
}

/// The jobs that nobody has.
mod queue {
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone)]
    pub(crate) struct Queue(Arc<Mutex<Vec<u64>>>);

    impl Queue {
        pub(crate) fn new(jobs: impl IntoIterator<Item = u64>) -> Self {
            Self(Arc::new(Mutex::new(jobs.into_iter().collect())))
        }

        pub(crate) fn take(&self) -> Option<u64> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
        }

        pub(crate) fn put(&self, job: u64) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(job);
        }
    }
}

async fn lead() -> Outcome<()> {
    let names = ["one", "two", "three"];
    let mut processes = Vec::new();
    let node = Node::builder("lead").secret(SECRET).build();
    let jobs = queue::Queue::new(1..=JOBS);
    let (done, mut results) = mpsc::channel(16);
    let mut employed = JoinSet::new();
    for name in names {
        let (process, address) = start(name)?;
        processes.push(process);
        node.connect(&address).await?;
        let worker = node.lookup::<Worker>("worker").on(name).await?;
        // Two asks at a time, so that no worker waits for the network.
        for handle in [worker.clone(), worker] {
            employed.spawn(employ(handle, jobs.clone(), done.clone()));
        }
    }
    drop(done);
    let mut seen = 0;
    while let Some((number, result)) = results.recv().await {
        assert_eq!(result, steps(number));
        seen += 1;
        if seen == JOBS / 3 {
            println!("worker two is killed after {seen} jobs");
            processes[1].kill()?;
        }
    }
    let counts = employed.join_all().await;
    assert_eq!(seen, JOBS, "no job is lost");
    println!("{JOBS} jobs done, by the two hands of each worker: {counts:?}");
    for mut process in processes {
        drop(process.stdin.take());
        process.wait()?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    match std::env::args().nth(1) {
        Some(name) => work(&name).await,
        None => lead().await,
    }
}
