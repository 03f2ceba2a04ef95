//! How groups end: siblings side by side or one after the other, deep trees, and failures on the
//! way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorId, ActorResult, Context, ExitNotice, ExitReason,
    IntoBuilder, Restart, System, builder, spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::simulate,
};

use crate::common::{Log, SECOND};

/// Needs some time for its clean-up.
struct Tidy {
    name: &'static str,
    takes: Duration,
    log: Log,
    count: Arc<AtomicU32>,
}

impl Tidy {
    fn new(takes: Duration, count: &Arc<AtomicU32>) -> Self {
        Self {
            name: "",
            takes,
            log: Log::default(),
            count: count.clone(),
        }
    }
}

impl Actor for Tidy {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(self.takes).await;
        self.log.add(self.name);
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Starts this many children, which need some time for their clean-up.
struct Parent {
    children: u32,
    takes: Duration,
    count: Arc<AtomicU32>,
}

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for _ in 0..self.children {
            let child = Tidy::new(self.takes, &self.count).into_builder();
            ctx.spawn(child.keep_running()).1.detach();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn siblings_clean_up_side_by_side() {
    const COUNT: u32 = 2_000;
    let takes = Duration::from_millis(50);
    let count = Arc::new(AtomicU32::new(0));
    let system = System::new("s");
    for _ in 0..COUNT {
        let actor = Tidy::new(takes, &count).into_builder().keep_running();
        system.spawn(actor).1.detach();
    }
    let parent = Parent {
        children: COUNT,
        takes,
        count: count.clone(),
    };
    let (parent, child) = system.spawn(parent);
    child.detach();
    parent.idle().await;
    let report = system.shutdown(SECOND).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(count.load(Ordering::SeqCst), 2 * COUNT);
    assert!(report.took < 3 * takes, "{report}");
}

/// A link of a chain: each has one child, and counts its clean-up.
struct Link {
    below: u32,
    /// The last one never stops by itself.
    is_stubborn: bool,
    count: Arc<AtomicU32>,
}

impl Actor for Link {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if self.below > 0 {
            let link = Self {
                below: self.below - 1,
                is_stubborn: self.is_stubborn,
                count: self.count.clone(),
            };
            let (handle, child) = ctx.spawn(link.into_builder().keep_running());
            child.detach();
            if self.below > 1 || !self.is_stubborn {
                handle.idle().await;
            }
        } else if self.is_stubborn {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn deep_chain_shares_one_deadline() {
    for (is_stubborn, below, cleaned) in [(false, 1_000, 1_001), (true, 300, 300)] {
        let count = Arc::new(AtomicU32::new(0));
        let system = System::new("s");
        let link = Link {
            below,
            is_stubborn,
            count: count.clone(),
        };
        let (handle, child) = system.spawn(link);
        child.detach();
        handle.idle().await;
        let report = system.shutdown(5 * SECOND).await;
        assert_eq!(count.load(Ordering::SeqCst), cleaned, "{report}");
        assert_eq!(report.late.len(), usize::from(is_stubborn), "{report}");
        assert!(report.took <= 5 * SECOND);
    }
}

fn tidy(name: &'static str, takes: Duration, log: &Log) -> Tidy {
    Tidy {
        name,
        log: log.clone(),
        ..Tidy::new(takes, &Arc::default())
    }
}

#[tokio::test(start_paused = true)]
async fn declared_order_holds() {
    let log = Log::default();
    let system = System::new("s");
    let start = |name, takes| {
        tidy(name, takes, &log)
            .into_builder()
            .keep_running()
            .name(name)
    };
    let (third, _third) = system.spawn(start("third", Duration::ZERO));
    let (second, _second) = system.spawn(start("second", SECOND / 10).before(&third));
    let (first, _first) = system.spawn(start("first", SECOND / 5).before(&second));
    let (_last, _last_child) = system.spawn(start("last", SECOND / 20).after(&third).after(&first));
    let (_alone, _alone_child) = system.spawn(start("alone", SECOND / 10));
    let report = system.shutdown(10 * SECOND).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["alone", "first", "second", "third", "last"]);
    assert!(report.took < SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn members_that_wait_for_each_other_end() {
    let log = Log::default();
    let system = System::new("s");
    let start = |name| {
        tidy(name, Duration::ZERO, &log)
            .into_builder()
            .keep_running()
    };
    let (a, _a) = system.spawn(start("a"));
    let (b, _b) = system.spawn(start("b").after(&a));
    let (_c, _c_child) = system.spawn(start("c").after(&b).before(&a));
    let report = system.shutdown(10 * SECOND).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take().len(), 3);
    assert!(report.took < SECOND);
}

/// Never stops by itself.
struct Stubborn;

impl Actor for Stubborn {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_late_actor_has_time_to_clean_up() {
    let log = Log::default();
    let system = System::new("s");
    let stubborn = builder(|| Stubborn).name("stubborn").grace(60 * SECOND);
    let (stubborn, _child) = system.spawn(stubborn);
    let after = tidy("after", SECOND / 10, &log).into_builder();
    let (_after, _after_child) = system.spawn(after.keep_running().after(&stubborn));
    let report = system.shutdown(8 * SECOND).await;
    assert_eq!(log.take(), ["after"]);
    assert_eq!(report.late.len(), 1, "{report}");
    assert_eq!(&*report.late[0].name, "stubborn");
    assert!(report.took <= 8 * SECOND, "{report}");
}

/// Fails once, at the message 3.
struct FailsOnce {
    handled: Log,
}

impl Actor for FailsOnce {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_low(&mut self, number: u64, ctx: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(SECOND / 100).await;
        if number == 3 && ctx.incarnation() == 1 {
            return Err(ActorError::msg("a bad message"));
        }
        self.handled.add(number.to_string());
        Ok(())
    }
}

/// Has three children that fail once each.
struct Family {
    strategy: Strategy,
    log: Log,
}

impl Actor for Family {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.supervise(rules(self.strategy));
        for _ in 0..3 {
            let log = self.log.clone();
            let child = builder(move || FailsOnce {
                handled: log.clone(),
            });
            let (handle, child) = ctx.spawn(child.restart(Restart::Permanent).keep_running());
            child.detach();
            fill(handle).await;
        }
        Ok(())
    }
}

fn rules(strategy: Strategy) -> Supervision {
    Supervision::new(strategy)
        .intensity(10, SECOND)
        .backoff(Backoff::none())
}

async fn fill(mut handle: ActorHandle<FailsOnce>) {
    for number in 0..10 {
        handle.send_low(number).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failure_during_a_drain_costs_its_restart_only() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let log = Log::default();
        let system = System::supervised("s", rules(strategy));
        for _ in 0..3 {
            let log = log.clone();
            let actor = builder(move || FailsOnce {
                handled: log.clone(),
            });
            let (handle, child) = system.spawn(actor.restart(Restart::Permanent));
            child.detach();
            fill(handle).await;
        }
        let report = system.drain(10 * SECOND).await;
        assert!(report.is_clean(), "{strategy:?}: {report}");
        assert!(report.took < SECOND / 2, "{strategy:?}: {report}");
        assert!(log.take().len() >= 27, "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failure_during_the_drain_of_a_parent_costs_its_restart_only() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let log = Log::default();
        let family = Family {
            strategy,
            log: log.clone(),
        };
        let (_handle, child) = spawn(family.into_builder().grace(10 * SECOND));
        let begun = tokio::time::Instant::now();
        let reason = child.drain().await;
        assert!(matches!(reason, ExitReason::Stopped), "{reason}");
        assert!(begun.elapsed() < SECOND / 2, "{strategy:?}");
        assert!(log.take().len() >= 27, "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_of_a_drain_survives_a_restart() {
    struct Slow;
    impl Actor for Slow {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn on_low(&mut self, (): (), ctx: &mut Context<Self>) -> ActorResult {
            if ctx.incarnation() == 1 {
                return Err(ActorError::msg("the first one"));
            }
            std::future::pending().await
        }
    }
    let system = System::supervised("s", rules(Strategy::OneForOne));
    let slow = builder(|| Slow).restart(Restart::Permanent).name("slow");
    let (mut handle, child) = system.spawn(slow);
    for _ in 0..2 {
        handle.send_low(()).await.unwrap();
    }
    let report = system.drain(SECOND).await;
    assert!(matches!(child.await, ExitReason::Killed));
    assert_eq!(report.late.len(), 1, "{report}");
    assert!(report.took <= SECOND + Duration::from_millis(2), "{report}");
}

/// Ends by itself, when it is asked, a little later, with an error, or not at all.
struct Nestling {
    way: u64,
    takes: Duration,
}

impl Actor for Nestling {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        match self.way {
            0 | 1 => {}
            2 => tokio::time::sleep(self.takes).await,
            3 => return Err(ActorError::msg("told to fail")),
            _ => std::future::pending().await,
        }
        Ok(())
    }
}

/// Has children of all ways, and hears of their exits.
#[derive(Clone, Default)]
struct Nest {
    seed: u64,
    children: Arc<Mutex<Vec<(ActorId, u64)>>>,
    heard: Arc<Mutex<Vec<ActorId>>>,
    heard_at_end: Arc<AtomicU32>,
}

impl Actor for Nest {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for child in 0..self.seed % 13 {
            let way = (self.seed / 13 + child * child) % 5;
            let takes = Duration::from_millis(child % 3);
            let mut nestling = Nestling { way, takes }.into_builder().grace(SECOND / 100);
            if way != 0 {
                nestling = nestling.keep_running();
            }
            let (_, child) = ctx.spawn(nestling);
            self.children.lock().unwrap().push((child.id(), way));
            child.detach();
        }
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.heard.lock().unwrap().push(notice.id);
        tokio::task::yield_now().await; // others leave meanwhile
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        let heard = self.heard.lock().unwrap().len() as u32;
        self.heard_at_end.store(heard, Ordering::SeqCst);
        Ok(())
    }
}

/// Over random schedules: the end of the group begins before, while or after children end.
#[test]
fn parent_hears_of_each_child_once_before_its_own_clean_up() {
    for seed in 0..400 {
        let nest = Nest {
            seed,
            ..Nest::default()
        };
        let owned = nest.clone();
        let report = simulate(seed, async move {
            let system = System::new("s");
            let (handle, child) = system.spawn(owned);
            child.detach();
            match seed % 3 {
                0 => {}
                1 => tokio::task::yield_now().await,
                _ => handle.idle().await,
            }
            system.shutdown(SECOND).await
        });
        let report = report.unwrap();
        let mut heard = nest.heard.lock().unwrap().clone();
        let children = nest.children.lock().unwrap().clone();
        assert_eq!(
            nest.heard_at_end.load(Ordering::SeqCst),
            heard.len() as u32,
            "{seed}"
        );
        heard.sort();
        let mut all: Vec<_> = children.iter().map(|(id, _)| *id).collect();
        all.sort();
        assert_eq!(heard, all, "{seed}");
        let count = |which: u64| children.iter().filter(|(_, way)| *way == which).count();
        assert_eq!(report.late.len(), count(4), "{seed}: {report}");
        assert_eq!(report.clean_up_failed.len(), count(3), "{seed}: {report}");
    }
}
