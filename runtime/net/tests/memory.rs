//! What 10,000 handles of actors on another node cost: while nothing was sent, and after each was used.
//!
//! A binary of its own: the allocator that counts is global, and both nodes are on its thread.

use std::time::Duration;

use lanemesh_net::{Config, Node, Remote, transport::InProcess};
use lanemesh_runtime::{ActorHandle, ActorResult, Context, Handler, spawn};

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

#[test]
fn ten_thousand_handles_cost_little() {
    let mut executor = tokio::runtime::Builder::new_current_thread();
    let executor = executor.enable_all().build().unwrap();
    let network = InProcess::default();
    let (home, away) = (node("home", &network), node("away", &network));
    let (counter, _child) = executor.block_on(async {
        let spawned = spawn(Counter(0));
        home.export("counter", &spawned.0).unwrap();
        home.bind("mem:home").await.unwrap();
        away.connect("mem:home").await.unwrap();
        spawned
    });
    let look_up = |count: usize| {
        executor.block_on(async {
            let mut handles = Vec::with_capacity(count);
            for _ in 0..count {
                handles.push(away.lookup::<Counter>("counter").await.unwrap());
            }
            handles
        })
    };
    drop(look_up(10)); // what is allocated once
    let mut handles: Vec<ActorHandle<Counter>> = Vec::new();
    let unused = allocation_counter::measure(|| handles = look_up(MANY)).bytes_current;
    let used = allocation_counter::measure(|| {
        executor.block_on(async {
            for handle in &mut handles {
                handle.tell(1).await.unwrap();
                handle.idle().await;
            }
            counter.idle().await;
        });
    });
    assert_eq!(counter.stats().messages(), MANY as u64);
    let unused = unused / MANY as i64;
    let used = unused + used.bytes_current / MANY as i64;
    println!("a handle with both ends of its lane: {unused} bytes unused, {used} bytes used");
    assert!(used <= 3 * 1024, "{used}");
    drop(handles);
}
