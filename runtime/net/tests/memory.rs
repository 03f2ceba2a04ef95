//! What 10,000 actors on another node cost: while they are known and not used, as handles by which nothing was sent, and
//! after each was used.
//!
//! A binary of its own: the allocator that counts is global. It counts what this thread allocates; the other node has
//! a thread of its own.

use std::time::Duration;

use lanemesh_net::{Config, Known, Node, Remote, transport::InProcess};
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

/// The node with the actor, on a thread of its own. It goes on to the next step with each signal, and returns what it has
/// allocated in each.
struct Home {
    thread: std::thread::JoinHandle<[i64; 2]>,
    next: [oneshot::Sender<()>; 2],
}

fn home(network: &InProcess) -> Home {
    let network = network.clone();
    let ([looked_up_tx, used_tx], [looked_up, used]) = {
        let (one, other) = (oneshot::channel(), oneshot::channel());
        ([one.0, other.0], [one.1, other.1])
    };
    let (tell, told) = std::sync::mpsc::channel();
    let run = move || {
        let executor = executor();
        let home = node("home", &network);
        let (counter, _child) = executor.block_on(async {
            let (counter, child) = spawn(Counter(0));
            home.export("counter", &counter).unwrap();
            home.bind("mem:home").await.unwrap();
            (counter, child)
        });
        tell.send(()).unwrap();
        let unused = allocation_counter::measure(|| executor.block_on(looked_up).unwrap());
        let used = allocation_counter::measure(|| executor.block_on(used).unwrap());
        assert_eq!(counter.stats().messages(), MANY as u64);
        [unused, used].map(|step| step.bytes_current)
    };
    let thread = std::thread::spawn(run);
    told.recv().unwrap();
    Home {
        thread,
        next: [looked_up_tx, used_tx],
    }
}

fn executor() -> tokio::runtime::Runtime {
    let mut executor = tokio::runtime::Builder::new_current_thread();
    executor.enable_all().build().unwrap()
}

#[test]
fn ten_thousand_handles_cost_little() {
    let network = InProcess::default();
    let home = home(&network);
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
    executor.block_on(async {
        while away.links()[0].lanes_opened > 0 {
            tokio::task::yield_now().await;
        }
    });
    let tasks = || executor.metrics().num_alive_tasks();
    let tasks_before = tasks();
    let mut known: Vec<Known<Counter>> = Vec::new();
    let known_bytes = allocation_counter::measure(|| {
        let name = |number| away.lookup(format!("counter/{number}")).on("home");
        known = (0..MANY).map(|number| name(number).later()).collect();
    });
    let known_bytes = known_bytes.bytes_current;
    let mut handles: Vec<ActorHandle<Counter>> = Vec::new();
    let unused = allocation_counter::measure(|| handles = look_up(MANY)).bytes_current;
    assert_eq!(
        tasks(),
        tasks_before,
        "a handle that is not used has no task"
    );
    let [looked_up, end] = home.next;
    looked_up.send(()).unwrap();
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
    assert_eq!(tasks(), tasks_before + MANY, "one that is used has one");
    end.send(()).unwrap();
    let [at_home_unused, at_home_used] = home.thread.join().unwrap();
    let each = |bytes: i64| bytes / MANY as i64;
    let known = each(known_bytes);
    let (unused, used) = (each(unused), each(unused + used.bytes_current));
    let home_unused = each(at_home_unused);
    let home_used = each(at_home_unused + at_home_used);
    println!(
        "an actor on another node that is known: {known} bytes; its handle: {unused} bytes unused, {used} used; \
         at the actor's node {home_unused} and {home_used}; {} of it are the handle itself",
        size_of::<ActorHandle<Counter>>()
    );
    assert!(known <= 300, "{known}");
    assert!(unused <= 1792, "{unused}");
    assert!(used <= 2688, "{used}"); // of the 3 KiB that are promised
    assert!(home_unused <= 768, "{home_unused}");
    assert!(home_used <= 896, "{home_used}");
}
