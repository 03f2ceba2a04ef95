//! The account of single messages, and what a report says of them. The schedules of `ledger` found
//! these.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitNotice, ExitReason, IntoBuilder, Message, Restart,
    System, WorkerThread,
    actor::Batch,
    builder,
    crash::{DeadLetter, Undelivered},
    spawn,
    supervision::{Backoff, Health, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::sleep};

use crate::common::{Log, SECOND, hush};

fn rules() -> Supervision {
    Supervision::default()
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

/// What happens to a message at its handler or drop.
#[derive(Clone, Debug)]
enum Job {
    Note(u32),
    Crash,
    Hang,
    /// Panics when it is dropped.
    Bomb,
}

impl Drop for Job {
    fn drop(&mut self) {
        let is_bomb = matches!(self, Self::Bomb) && !std::thread::panicking();
        assert!(!is_bomb, "provoked by a drop");
    }
}

/// Handles jobs, one by one or in batches.
struct Clerk<const B: usize> {
    log: Log,
}

impl<const B: usize> Clerk<B> {
    fn factory(log: &Log) -> impl FnMut() -> Self + Send + 'static {
        let log = log.clone();
        move || Self { log: log.clone() }
    }

    async fn handle(&mut self, job: Job) -> ActorResult {
        match &job {
            Job::Note(number) => self.log.add(number.to_string()),
            Job::Crash => return Err(ActorError::msg("told to fail")),
            Job::Hang => std::future::pending().await,
            Job::Bomb => {}
        }
        Ok(())
    }
}

impl<const B: usize> Actor for Clerk<B> {
    type HighPriorityMsg = Job;
    type LowPriorityMsg = Job;
    const BATCH: usize = B;

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        self.log.add("started");
        Ok(())
    }

    async fn on_high(&mut self, job: Job, _: &mut Context<Self>) -> ActorResult {
        self.handle(job).await
    }

    async fn on_low(&mut self, job: Job, _: &mut Context<Self>) -> ActorResult {
        self.handle(job).await
    }

    async fn on_low_batch(&mut self, batch: &mut Batch<Job>, _: &mut Context<Self>) -> ActorResult {
        for job in batch.drain() {
            self.handle(job).await?;
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add("stopped");
        Ok(())
    }
}

/// Starts children by the factory, hangs at its message, and notes their ends.
struct Parent<F> {
    child: F,
    log: Log,
}

impl<A: Actor, F> Actor for Parent<F>
where
    F: FnMut() -> lanemesh_runtime::Builder<A> + Send + 'static,
{
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.spawn((self.child)()).1.detach();
        Ok(())
    }

    async fn on_low(&mut self, (): (), _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} left", notice.left));
        Err(ActorError::msg("told to fail"))
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }
}

async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn failure_is_counted_while_the_next_incarnation_is_idle() {
    let log = Log::default();
    let clerk = builder(Clerk::<1>::factory(&log)).restart(Restart::Permanent);
    let (mut handle, child) = clerk.supervision(rules()).spawn();
    for crashes in 1..4 {
        handle.send_high(Job::Crash).await.unwrap();
        // It has nothing to do but to start again.
        handle.idle().await;
        let stats = handle.stats();
        assert_eq!((stats.failures, stats.high), (crashes, crashes));
    }
    child.stop().await;
    assert_eq!(handle.stats().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn report_tells_how_many_messages_were_left_in_whose_mailbox() {
    let system = System::new("s");
    let log = Log::default();
    let clerk = builder(Clerk::<1>::factory(&log)).name("clerk");
    let (mut handle, child) = system.spawn(clerk.grace(Duration::from_millis(10)));
    let (_idle, idle) = system.spawn(builder(Sink::<(), ()>::new));
    handle.try_send_low(Job::Hang).unwrap();
    for number in 0..5 {
        handle.try_send_low(Job::Note(number)).unwrap();
    }
    settle().await;
    handle.try_send_high(Job::Note(5)).unwrap();
    let report = system.shutdown(SECOND).await;
    // The one that it was handling is interrupted, the others are left.
    assert_eq!((report.left.len(), report.messages_left), (1, 6));
    assert_eq!(
        (&*report.left[0].name, report.left[0].messages),
        ("clerk", 6)
    );
    assert!(
        report
            .to_string()
            .contains("6 messages left in the mailbox of clerk")
    );
    let stats = handle.stats();
    assert_eq!((stats.low, stats.interrupted, stats.left), (1, 1, 6));
    drop((child, idle));
}

#[tokio::test(start_paused = true)]
async fn exit_notice_tells_how_many_messages_were_left() {
    let log = Log::default();
    let (send, handles) = std::sync::mpsc::channel();
    struct Keeper(
        Log,
        std::sync::mpsc::Sender<lanemesh_runtime::ActorHandle<Clerk<1>>>,
    );
    impl Actor for Keeper {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
            let (handle, child) = ctx.spawn(builder(Clerk::factory(&self.0)));
            child.detach();
            self.1.send(handle)?;
            Ok(())
        }
        async fn on_child_exit(
            &mut self,
            notice: ExitNotice,
            _: &mut Context<Self>,
        ) -> ActorResult {
            self.0.add(format!("{} left", notice.left));
            Ok(())
        }
    }
    let (_keeper, keeper) = spawn(Keeper(log.clone(), send));
    settle().await;
    let mut handle = handles.recv().unwrap();
    handle.try_send_low(Job::Hang).unwrap();
    handle.try_send_low(Job::Note(1)).unwrap();
    handle.try_send_low(Job::Note(2)).unwrap();
    settle().await;
    handle.stop();
    handle.monitor().await;
    settle().await;
    assert_eq!(log.take(), ["started", "2 left"]);
    keeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn message_that_crashes_too_often_is_counted_without_a_recipient() {
    for times in [0, 2] {
        let log = Log::default();
        let (mut handle, child) = builder(Clerk::<1>::factory(&log))
            .restart(Restart::Permanent)
            .supervision(rules())
            .redeliver(times)
            .spawn();
        handle.try_send_low(Job::Crash).unwrap();
        handle.idle().await;
        let stats = handle.stats();
        let again = u64::from(times);
        assert_eq!(
            (stats.low, stats.redelivered, stats.interrupted),
            (1, again, 1)
        );
        child.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_waits_to_come_again_at_the_end_is_counted_once() {
    let log = Log::default();
    let hour = Duration::from_secs(3_600);
    let (mut handle, child) = builder(Clerk::<1>::factory(&log))
        .restart(Restart::Permanent)
        .supervision(rules().backoff(Backoff::new(hour, hour)))
        .redeliver(5)
        .spawn();
    handle.try_send_low(Job::Crash).unwrap();
    settle().await;
    child.stop().await;
    let stats = handle.stats();
    assert_eq!((stats.low, stats.redelivered, stats.interrupted), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn messages_that_a_crashing_handler_has_drained_are_interrupted() {
    hush();
    let log = Log::default();
    let (mut handle, child) = builder(Clerk::<8>::factory(&log))
        .restart(Restart::Permanent)
        .supervision(rules())
        .spawn();
    let mut jobs = vec![Job::Note(1), Job::Crash, Job::Note(2), Job::Note(3)];
    handle.try_send_vec_low(&mut jobs).unwrap();
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.low, stats.interrupted, stats.left), (4, 4, 0));
    child.stop().await;
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_drop_of_an_expired_message_loses_none_of_its_batch() {
    hush();
    let log = Log::default();
    let (mut handle, child) = builder(Clerk::<8>::factory(&log))
        .restart(Restart::Permanent)
        .supervision(rules())
        .spawn();
    handle.set_expiry(Some(Duration::from_millis(5)));
    for job in [Job::Bomb, Job::Bomb] {
        handle.try_send_low(job).unwrap();
    }
    handle.set_expiry(None);
    for number in 0..3 {
        handle.try_send_low(Job::Note(number)).unwrap();
    }
    // Expires before the actor's task has its first turn.
    tokio::time::advance(Duration::from_millis(10)).await;
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.low, stats.expired), (3, 2));
    child.stop().await;
    assert_eq!(
        log.take(),
        ["started", "stopped", "started", "0", "1", "2", "stopped"]
    );
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_drop_of_a_message_that_is_left_keeps_the_other_letters() {
    hush();
    let log = Log::default();
    for copies in [false, true] {
        // One place for a letter: the others are dropped, which panics.
        let (letters, mut read) = lanemesh::channel::<DeadLetter<Job, Job>>(1);
        let (mut handle, child) = builder(Clerk::<1>::factory(&log))
            .dead_letters(letters)
            .spawn();
        if copies {
            handle.try_send_low(Job::Note(1)).unwrap();
        }
        handle.try_send_low(Job::Bomb).unwrap();
        handle.try_send_low(Job::Note(2)).unwrap();
        child.stop().await;
        let stats = handle.stats();
        assert_eq!(stats.dead_letters, 1);
        assert_eq!(stats.left, if copies { 2 } else { 1 });
        let letter = read.try_recv().unwrap();
        assert_eq!(letter.why, Undelivered::Left);
        match letter.message {
            Message::Low(job @ Job::Bomb) => std::mem::forget(job),
            Message::Low(job) => assert!(matches!(job, Job::Note(1))),
            Message::High(_) => panic!("an urgent letter"),
        }
    }
}

/// Hangs with a value whose drop panics.
struct Stuck {
    log: Log,
}

impl Actor for Stuck {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.log.add(number.to_string());
        if number == 0 {
            let _bomb = Job::Bomb;
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_drop_of_a_cancelled_hook_does_not_end_the_actor() {
    hush();
    let log = Log::default();
    let logged = log.clone();
    let (mut handle, child) = builder(move || Stuck {
        log: logged.clone(),
    })
    .restart(Restart::Permanent)
    .supervision(rules())
    .health(Health::every(Duration::from_millis(10)))
    .spawn();
    handle.try_send_low(0).unwrap();
    handle.try_send_low(1).unwrap();
    handle.idle().await;
    assert_eq!(log.take(), ["0", "1"]);
    assert_eq!((handle.incarnation(), handle.stats().interrupted), (2, 1));
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn parent_whose_hook_hangs_leaves_its_children_time_to_clean_up() {
    for drains in [false, true] {
        let log = Log::default();
        let system = System::new("s");
        let (clerks, logged) = (log.clone(), log.clone());
        let child = move || builder(Clerk::<1>::factory(&clerks)).grace(SECOND);
        let parent = builder(move || Parent {
            child: child.clone(),
            log: logged.clone(),
        });
        let (mut handle, parent) = system.spawn(parent.name("parent").grace(SECOND));
        handle.try_send_low(()).unwrap();
        settle().await;
        let report = if drains {
            system.drain(SECOND).await
        } else {
            system.shutdown(SECOND).await
        };
        assert_eq!(log.take(), ["started", "stopped"]);
        let late: Vec<_> = report
            .late
            .iter()
            .map(|late| late.name.to_string())
            .collect();
        assert_eq!(late, ["parent"]);
        drop(parent);
    }
}

#[tokio::test(start_paused = true)]
async fn actor_that_is_killed_after_a_failed_clean_up_is_late() {
    let log = Log::default();
    let system = System::new("s");
    let (clerks, logged) = (log.clone(), log.clone());
    let child = move || builder(Clerk::<1>::factory(&clerks));
    let parent = builder(move || Parent {
        child: child.clone(),
        log: logged.clone(),
    });
    let (_handle, parent) = system.spawn(parent.name("parent"));
    settle().await;
    // `on_child_exit` fails, then `stopped` hangs.
    let report = system.shutdown(SECOND).await;
    assert_eq!(log.take(), ["started", "stopped", "0 left"]);
    assert_eq!(&*report.late[0].name, "parent");
    assert_eq!(&*report.clean_up_failed[0].name, "parent");
    drop(parent);
}

#[tokio::test(start_paused = true)]
async fn system_ends_at_its_deadline_even_if_a_member_blocks_its_thread() {
    /// Tells that it blocks, then waits for the gate.
    struct Blocked(Option<oneshot::Sender<()>>, std::sync::mpsc::Receiver<()>);
    impl Actor for Blocked {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn on_low(&mut self, (): (), _: &mut Context<Self>) -> ActorResult {
            drop(self.0.take());
            let _ = self.1.recv();
            Ok(())
        }
    }
    let thread = WorkerThread::new("blocked").unwrap();
    let system = System::new("s");
    let (open, gate) = std::sync::mpsc::channel();
    let (blocks, blocked) = oneshot::channel();
    let actor = Blocked(Some(blocks), gate).into_builder().on(&thread);
    let (mut handle, child) = system.spawn(actor);
    handle.try_send_low(()).unwrap();
    // An error: it was dropped in the handler.
    assert!(blocked.await.is_err());
    let report = system.shutdown(SECOND).await;
    assert!(report.took <= SECOND, "{:?}", report.took);
    assert_eq!(report.late.len(), 1);
    drop((open, child));
}
