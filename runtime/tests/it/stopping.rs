//! Stops and drains by one deadline: grace periods, clean-up, and late actors.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, ExitNotice, ExitReason, IntoBuilder, SpawnError,
    System, WorkerThread, builder, spawn,
};
use tokio::sync::oneshot;

use crate::common::{Log, SECOND, Worker};

/// Does not stop when asked.
struct Stubborn;

impl Actor for Stubborn {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_stop_in_time_is_killed_and_reported() {
    let log = Log::default();
    let system = System::new("s");
    let (_worker, worker) = system.spawn(builder(Worker::factory("w", &log)).name("w"));
    let (mut stubborn, child) = system.spawn(builder(|| Stubborn).name("stubborn"));
    stubborn.send_high(()).await.unwrap();
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    let report = system.shutdown(10 * SECOND).await;
    assert!(begun.elapsed() <= 11 * SECOND);
    assert!(matches!(child.await, ExitReason::Killed));
    assert_eq!(report.late.len(), 1);
    assert_eq!(&*report.late[0].name, "stubborn");
    drop(worker);
}

/// Cleans up with an await.
struct Tidy {
    log: Log,
}

impl Actor for Tidy {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.log.add("tidied");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn stubborn_actor_takes_its_own_grace_and_leaves_the_others_time_to_clean_up() {
    // Its grace period ends long before the deadline, or long after it: then time is reserved for others.
    for (grace, took) in [(SECOND, SECOND), (60 * SECOND, 30 * SECOND)] {
        let log = Log::default();
        let system = System::new("s");
        let (_tidy, _tidy_child) = system.spawn(Tidy { log: log.clone() });
        let stubborn = builder(|| Stubborn).name("stubborn").grace(grace);
        let (mut stubborn, _stubborn_child) = system.spawn(stubborn);
        stubborn.send_high(()).await.unwrap();
        tokio::task::yield_now().await;
        let report = system.shutdown(30 * SECOND).await;
        assert!(report.took >= took - took / 8 && report.took < took + SECOND);
        assert_eq!(report.late.len(), 1, "{report}");
        assert_eq!(&*report.late[0].name, "stubborn");
        assert_eq!(log.take(), ["tidied"]);
    }
}

/// Blocks its thread until the sender goes away.
struct Blocker;

impl Actor for Blocker {
    type HighPriorityMsg = (oneshot::Sender<()>, mpsc::Receiver<()>);
    type LowPriorityMsg = ();

    async fn on_high(
        &mut self,
        (blocks, gate): Self::HighPriorityMsg,
        _: &mut Context<Self>,
    ) -> ActorResult {
        blocks.send(()).unwrap();
        let _ = gate.recv();
        Ok(())
    }
}

/// Starts two siblings, the second on its own thread.
struct Landlord {
    log: Log,
    worker_thread: WorkerThread,
    share: Arc<Mutex<Option<ActorHandle<Blocker>>>>,
}

impl Actor for Landlord {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let log = self.log.clone();
        let (_, child) = ctx.spawn(Tidy { log }.into_builder().keep_running());
        child.detach();
        let blocker = Blocker
            .into_builder()
            .name("blocker")
            .on(&self.worker_thread);
        let (handle, child) = ctx.spawn(blocker);
        child.detach();
        *self.share.lock().unwrap() = Some(handle);
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add("landlord");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn who_blocks_its_thread_is_reported_and_the_others_clean_up() {
    let (log, worker_thread) = (Log::default(), WorkerThread::new("blocked").unwrap());
    let block = async |mut handle: ActorHandle<Blocker>| {
        let (open, gate) = mpsc::channel();
        let (blocks, blocked) = oneshot::channel();
        handle.send_high((blocks, gate)).await.unwrap();
        blocked.await.unwrap();
        open
    };

    let system = System::new("s");
    let (_tidy, _tidy_child) = system.spawn(Tidy { log: log.clone() });
    let blocker = Blocker.into_builder().name("blocker").on(&worker_thread);
    let (handle, _child) = system.spawn(blocker);
    let open = block(handle).await;
    let report = system.shutdown(10 * SECOND).await;
    assert_eq!(report.late.len(), 1, "{report}");
    assert_eq!(&*report.late[0].name, "blocker");
    assert_eq!(log.take(), ["tidied"]);
    drop(open);

    // The same among children.
    let (system, share) = (System::new("s"), Arc::default());
    let landlord = Landlord {
        log: log.clone(),
        worker_thread,
        share: Arc::clone(&share),
    };
    let (landlord, _child) = system.spawn(landlord);
    landlord.idle().await;
    let handle = share.lock().unwrap().take().unwrap();
    let open = block(handle).await;
    let report = system.shutdown(10 * SECOND).await;
    assert_eq!(report.late.len(), 1, "{report}");
    assert_eq!(&*report.late[0].name, "blocker");
    assert_eq!(log.take(), ["tidied", "landlord"]);
    drop(open);
}

#[tokio::test(start_paused = true)]
async fn late_grandchild_is_reported_and_parents_clean_up_in_time() {
    struct Middle {
        log: Log,
    }
    impl Actor for Middle {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
            let (mut stubborn, child) = ctx.spawn(builder(|| Stubborn).name("deep"));
            stubborn.send_high(()).await?;
            child.detach();
            Ok(())
        }
        async fn on_child_exit(
            &mut self,
            notice: ExitNotice,
            _: &mut Context<Self>,
        ) -> ActorResult {
            self.log.add(format!("heard {}", notice.reason));
            Ok(())
        }
        async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
            self.log.add("cleaned up");
            Ok(())
        }
    }
    let log = Log::default();
    let system = System::new("s");
    let (handle, _child) = system.spawn(Middle { log: log.clone() });
    handle.idle().await;
    tokio::task::yield_now().await;
    let report = system.shutdown(SECOND).await;
    assert_eq!(log.take(), ["heard killed", "cleaned up"]);
    assert_eq!(report.late.len(), 1);
    assert_eq!(&*report.late[0].name, "deep");
    assert!(report.took <= SECOND);
}

/// Takes a second for each message.
struct Slow {
    log: Log,
}

impl Actor for Slow {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(SECOND).await;
        self.log.add(number.to_string());
        Ok(())
    }
}

/// Starts a slow child, or a parent of one, and gives it ten messages.
struct SlowParent {
    depth: u32,
    log: Log,
}

impl Actor for SlowParent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let log = self.log.clone();
        if self.depth > 0 {
            let depth = self.depth - 1;
            let parent = SlowParent { depth, log }.into_builder().keep_running();
            let (handle, child) = ctx.spawn(parent);
            child.detach();
            handle.idle().await;
            return Ok(());
        }
        let (mut slow, child) = ctx.spawn(Slow { log }.into_builder().keep_running());
        child.detach();
        for number in 0..10 {
            slow.send_low(number).await?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn drain_gives_children_the_deadline_not_their_grace() {
    for depth in [0, 1] {
        let log = Log::default();
        let system = System::new("s");
        let (handle, _child) = system.spawn(SlowParent {
            depth,
            log: log.clone(),
        });
        handle.idle().await;
        // Each has five seconds to stop, but there are ten seconds of work.
        let report = system.drain(60 * SECOND).await;
        assert!(report.is_clean(), "{report}");
        let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(log.take(), expected);
    }
}

/// Would start a child while it stops.
struct Late {
    had_children: bool,
    outcome: Option<oneshot::Sender<Option<SpawnError>>>,
}

impl Actor for Late {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if self.had_children {
            ctx.spawn(Stubborn).1.detach();
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
        let outcome = ctx.try_spawn(Stubborn).err();
        if let Some(asked) = self.outcome.take() {
            let _ = asked.send(outcome);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_stops_takes_no_more_children() {
    for had_children in [true, false] {
        let (outcome, told) = oneshot::channel();
        let (mut handle, child) = spawn(Late {
            had_children,
            outcome: Some(outcome),
        });
        handle.send_high(()).await.unwrap();
        handle.stop();
        assert_eq!(
            told.await.unwrap(),
            Some(SpawnError::Closing),
            "{had_children}"
        );
        assert!(matches!(child.await, ExitReason::Stopped));
    }
}
