//! Ownership, stops, exit notices, links, systems.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, CrashPolicy, ExitNotice, ExitReason,
    IntoBuilder, SendError, System, builder,
    handle::{AnyRecipient, Recipient},
    spawn,
    testing::Sink,
};

use crate::common::{Control, Log, SECOND, Worker, hush};

/// A node of a tree, with `width` children on each of `depth` levels below it.
struct Node {
    depth: u32,
    width: usize,
    stopped: Arc<AtomicUsize>,
    children: Vec<(ActorHandle<Node>, Child)>,
}

impl Actor for Node {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if self.depth > 0 {
            for _ in 0..self.width {
                let node = Node {
                    depth: self.depth - 1,
                    width: self.width,
                    stopped: self.stopped.clone(),
                    children: Vec::new(),
                };
                self.children.push(ctx.spawn(node));
            }
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.stopped.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tree_of_ten_thousand_stops_within_its_deadline() {
    let stopped = Arc::new(AtomicUsize::new(0));
    let system = System::new("tree");
    // 1 + 21 + 441 + 9,261 = 9,724 nodes, and 276 leaves beside them.
    let node = |depth| Node {
        depth,
        width: 21,
        stopped: stopped.clone(),
        children: Vec::new(),
    };
    let (_root, child) = system.spawn(node(3).into_builder().grace(30 * SECOND));
    child.detach();
    let leaves: Vec<_> = (0..276).map(|_| system.spawn(node(0))).collect();
    while system.tree().len() < 10_001 {
        tokio::task::yield_now().await;
    }
    let report = system.shutdown(Duration::from_secs(30)).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(stopped.load(Ordering::SeqCst), 10_000);
    drop(leaves);
}

#[tokio::test]
async fn children_stop_in_reverse_order_before_their_parent() {
    struct Parent {
        log: Log,
    }
    impl Actor for Parent {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
            for name in ["a", "b", "c"] {
                let (_, child) = ctx.spawn(
                    builder(Worker::factory(name, &self.log))
                        .name(name)
                        .keep_running(),
                );
                child.detach();
            }
            Ok(())
        }
        async fn on_child_exit(
            &mut self,
            notice: ExitNotice,
            _: &mut Context<Self>,
        ) -> ActorResult {
            self.log.add(format!("heard {}", notice.name));
            Ok(())
        }
        async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
            self.log.add("parent stopped");
            Ok(())
        }
    }
    let log = Log::default();
    let (handle, child) = spawn(Parent { log: log.clone() });
    handle.idle().await;
    while child.tree().to_text().matches("running").count() < 4 {
        tokio::task::yield_now().await;
    }
    log.take();
    child.stop().await;
    let stops: Vec<_> = log
        .take()
        .into_iter()
        .filter(|entry| entry.contains("stopped"))
        .collect();
    assert_eq!(
        stops,
        [
            "c stopped: stopped",
            "b stopped: stopped",
            "a stopped: stopped",
            "parent stopped"
        ]
    );
}

#[tokio::test]
async fn dropped_child_handle_stops_the_child() {
    let (handle, child) = spawn(Sink::<(), ()>::new());
    drop(child);
    assert!(matches!(handle.monitor().await, ExitReason::Stopped));

    let (handle, child) = spawn(Sink::<(), ()>::new());
    child.detach();
    handle.idle().await;
    assert!(handle.is_alive());
    let monitor = handle.monitor();
    drop(handle);
    assert!(matches!(monitor.await, ExitReason::Normal));
}

#[tokio::test]
async fn drain_handles_what_is_queued_and_takes_no_more() {
    let log = Log::default();
    let (mut handle, child) = spawn(Worker::new("w", &log));
    let (open, gate) = tokio::sync::oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    for _ in 0..10 {
        handle.send_low(1).await.unwrap();
    }
    let watch = handle.clone();
    let drained = tokio::spawn(child.drain());
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    assert!(matches!(drained.await.unwrap(), ExitReason::Stopped));
    assert_eq!(watch.stats().low, 10);
    assert!(handle.send_low(1).await.is_err());
}

/// Watches others by its policy.
struct Watcher {
    peers: Vec<(ActorHandle<Worker>, CrashPolicy)>,
    log: Log,
}

impl Actor for Watcher {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for (peer, policy) in &self.peers {
            ctx.watch(peer, *policy);
        }
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} {}", notice.name, notice.reason));
        Ok(())
    }
}

#[tokio::test]
async fn crash_policies_of_watched_peers() {
    hush();
    let log = Log::default();
    let worker = |name| spawn(builder(Worker::factory(name, &log)).name(name));
    let (mut linked, _linked_child) = worker("linked");
    let (mut other, _other_child) = worker("other");
    let (dead, dead_child) = worker("dead");
    dead_child.stop().await;
    log.take();
    let watching = Log::default();
    let (watcher, child) = spawn(Watcher {
        peers: vec![
            (linked.clone(), CrashPolicy::Fail),
            (other.clone(), CrashPolicy::Compensate),
            (dead.clone(), CrashPolicy::Fail), // already ended, but not by a failure
        ],
        log: watching.clone(),
    });
    watcher.idle().await;
    assert_eq!(watching.take(), ["dead stopped"]);
    other.send_high(Control::Fail).await.unwrap();
    other.monitor().await;
    watcher.idle().await;
    assert_eq!(watching.take(), ["other failed: told to fail"]);
    assert!(watcher.is_alive());
    linked.send_high(Control::Panic).await.unwrap();
    let reason = child.await;
    assert!(
        matches!(&reason, ExitReason::Linked { peer, .. } if *peer == linked.id()),
        "{reason}"
    );
}

/// Links itself to its peers, and removes one of the links.
struct Linker {
    linked: ActorHandle<Worker>,
    unlinked: ActorHandle<Worker>,
}

impl Actor for Linker {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.link(&self.linked);
        ctx.link(&self.unlinked);
        ctx.unwatch(&self.unlinked);
        Ok(())
    }
}

#[tokio::test]
async fn link_fails_with_its_peer_until_it_is_taken_back() {
    hush();
    let log = Log::default();
    let (mut linked, _linked_child) = spawn(Worker::new("linked", &log));
    let (mut unlinked, unlinked_child) = spawn(Worker::new("unlinked", &log));
    let (linker, child) = spawn(Linker {
        linked: linked.clone(),
        unlinked: unlinked.clone(),
    });
    linker.idle().await;
    assert_eq!((linked.watchers(), unlinked.watchers()), (1, 0));
    unlinked.send_high(Control::Panic).await.unwrap();
    unlinked_child.await;
    linker.idle().await;
    assert!(linker.is_alive());
    linked.send_high(Control::Panic).await.unwrap();
    let reason = child.await;
    assert!(matches!(&reason, ExitReason::Linked { peer, .. } if *peer == linked.id()));
    assert!(matches!(reason.root_cause(), ExitReason::Panicked(_)));
}

#[tokio::test]
async fn nothing_grows_under_churn() {
    let log = Log::default();
    let (peer, _child) = spawn(Worker::new("peer", &log));
    peer.idle().await;
    for _ in 0..1_000 {
        // Monitors come and go, and so do actors that watch.
        let mut monitor = peer.monitor();
        let pending = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut monitor).poll(cx).is_pending())
        });
        assert!(pending.await);
        let (watcher, child) = spawn(Watcher {
            peers: vec![(peer.clone(), CrashPolicy::Compensate)],
            log: log.clone(),
        });
        watcher.idle().await;
        assert_eq!(peer.watchers(), 2);
        child.stop().await;
    }
    assert_eq!(peer.watchers(), 0);

    // Neither does a parent's list of children.
    let system = System::new("s");
    for _ in 0..1_000 {
        let (_, child) = system.spawn(Sink::<(), ()>::new());
        child.stop().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(system.tree().len(), 1);
}

#[tokio::test]
async fn runtime_that_goes_away_ends_its_actors() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let handle = runtime.block_on(async {
            let (handle, child) = spawn(Sink::<(), ()>::new());
            child.detach();
            handle.idle().await;
            handle
        });
        drop(runtime);
        sender.send(handle).unwrap();
    })
    .join()
    .unwrap();
    let handle = receiver.recv().unwrap();
    assert!(matches!(handle.monitor().await, ExitReason::Killed));
}

#[tokio::test]
async fn actor_given_by_value_is_not_restarted() {
    hush();
    let (mut handle, child) = spawn(Worker::new("w", &Log::default()));
    handle.send_high(Control::Panic).await.unwrap();
    assert!(matches!(child.await, ExitReason::Panicked(_)));
    assert_eq!(handle.incarnation(), 1);
}

/// A message that panics when it is dropped without being handled.
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        panic!("provoked by a drop");
    }
}

/// A recipient of dead letters that has no room: they are dropped.
struct NoRoom;

impl<M: 'static> Recipient<M> for NoRoom {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        Err(SendError::Full(message))
    }

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), SendError<()>>> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        Box::new(NoRoom)
    }
}

#[tokio::test]
async fn the_end_is_reported_though_the_drop_of_a_message_panics() {
    hush();
    let sink = builder(Sink::<(), Touchy>::new).dead_letters(NoRoom);
    let (handle, child) = sink.spawn();
    let mut other = handle.clone();
    other.try_send_low(Touchy).unwrap();
    handle.stop();
    assert!(matches!(child.await, ExitReason::Stopped));
    assert!(matches!(handle.monitor().await, ExitReason::Stopped));
}

/// An actor whose own drop panics.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("provoked by a drop");
    }
}

impl Actor for Brittle {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();
}

#[test]
fn the_end_is_reported_though_the_executor_drops_an_actor_whose_drop_panics() {
    hush();
    let executor = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let first = executor();
    let (handle, child) = first.block_on(async {
        let (handle, child) = spawn(Brittle);
        handle.idle().await;
        (handle, child)
    });
    drop(first);
    executor().block_on(async {
        assert!(matches!(child.await, ExitReason::Killed));
        assert!(!handle.is_alive());
    });
}
