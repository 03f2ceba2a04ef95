//! What 10,000 handles of actors on another node cost: while nothing was sent, and after each was used.
//!
//! A binary of its own: the allocator that counts is global. It counts what this thread allocates; the other node has
//! a thread of its own.

use std::time::Duration;

use lanemesh_net::{Config, Node, Remote, transport::InProcess};
use lanemesh_runtime::{ActorHandle, ActorResult, Context, Handler, spawn};
use tokio::sync::oneshot;

const MANY: usize = 10_000;
const PATIENT: Duration = Duration::from_secs(3600);

struct Counter(u64);

impl Handler for Counter {
    type Msg = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0 += number;
        Ok(())
    }
}

impl Remote for Counter {
    const TYPE: &'static str = "test/counter";
}

fn node(name: &str, network: &InProcess) -> Node {
    let config = Config {
        suspected_after: PATIENT,
        dead_after: PATIENT,
        lookup_timeout: PATIENT,
        ..Config::default()
    };
    let node = Node::builder(name).config(config);
    node.transport("mem", network.clone()).build()
}

/// The node with the actor, on a thread of its own, until the sender is dropped.
fn home(network: &InProcess) -> (std::thread::JoinHandle<()>, oneshot::Sender<()>) {
    let network = network.clone();
    let (end, ended) = oneshot::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let home = move || {
        executor().block_on(async {
            let home = node("home", &network);
            let (counter, _child) = spawn(Counter(0));
            home.export("counter", &counter).unwrap();
            home.bind("mem:home").await.unwrap();
            tell.send(()).unwrap();
            let _ = ended.await; // an error is the end, too
            assert_eq!(counter.stats().messages(), MANY as u64);
        });
    };
    let home = std::thread::spawn(home);
    told.recv().unwrap();
    (home, end)
}

fn executor() -> tokio::runtime::Runtime {
    let mut executor = tokio::runtime::Builder::new_current_thread();
    executor.enable_all().build().unwrap()
}

#[test]
fn ten_thousand_handles_cost_little() {
    let network = InProcess::default();
    let (home, end) = home(&network);
    let executor = executor();
    let away = node("away", &network);
    let look_up = |count: usize| {
        executor.block_on(async {
            let mut handles = Vec::with_capacity(count);
            for _ in 0..count {
                handles.push(away.lookup::<Counter>("counter").await.unwrap());
            }
            handles
        })
    };
    executor.block_on(async { away.connect("mem:home").await.unwrap() });
    drop(look_up(10)); // what is allocated once
    let mut handles: Vec<ActorHandle<Counter>> = Vec::new();
    let unused = allocation_counter::measure(|| handles = look_up(MANY)).bytes_current;
    let used = allocation_counter::measure(|| {
        executor.block_on(async {
            for handle in &mut handles {
                handle.tell(1).await.unwrap();
            }
            for handle in &handles {
                handle.idle().await;
            }
        });
    });
    let unused = unused / MANY as i64;
    let used = unused + used.bytes_current / MANY as i64;
    println!("a handle of an actor on another node: {unused} bytes unused, {used} bytes used");
    assert!(unused <= 2560, "{unused}");
    assert!(used <= 3 * 1024, "{used}");
    drop(handles);
    drop(end);
    home.join().unwrap();
}
