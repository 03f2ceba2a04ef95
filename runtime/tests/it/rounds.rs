//! Rounds of restarts, as the hooks of their members see them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Context, Restart, System, builder,
    supervision::{Backoff, Strategy, Supervision},
};

use crate::common::{Control, Log, SECOND, Worker};

/// Asks the sibling behind it before it starts.
struct Early {
    later: Arc<OnceLock<ActorHandle<Worker>>>,
    log: Log,
}

impl Actor for Early {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        let mut later = loop {
            if let Some(later) = self.later.get() {
                break later.clone();
            }
            tokio::task::yield_now().await;
        };
        let sum = later.ask(Control::Sum, SECOND).await?;
        self.log.add(format!("the later one has {sum}"));
        Ok(())
    }

    async fn on_low(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("told to fail"))
    }
}

#[tokio::test(start_paused = true)]
async fn started_may_ask_a_later_sibling_at_each_start() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::default();
        let later = Arc::new(OnceLock::new());
        let rules = Supervision::new(strategy).backoff(Backoff::none());
        let system = System::supervised("s", rules);
        let (asked, logged) = (later.clone(), log.clone());
        let early = builder(move || Early {
            later: asked.clone(),
            log: logged.clone(),
        });
        let (mut early, first) = system.spawn(early.restart(Restart::Permanent));
        let silent = Log::default();
        let worker = builder(Worker::factory("w", &silent)).restart(Restart::Permanent);
        let (worker, second) = system.spawn(worker);
        assert!(later.set(worker).is_ok());
        for incarnation in 1..4 {
            while log.all().len() < incarnation {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            early.try_send_low(()).unwrap();
        }
        early.idle().await;
        let report = system.shutdown(SECOND).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(log.take(), ["the later one has 0"; 4]);
        drop((first, second));
    }
}

/// Fails with its third message, the first time.
struct Third(Log, Arc<AtomicU32>);

impl Actor for Third {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        if number == 3 && self.1.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(ActorError::msg("told to fail"));
        }
        self.0.add(number.to_string());
        Ok(())
    }
}

/// Passes its messages on.
struct Before(ActorHandle<Third>);

impl Actor for Before {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.0.send_low(number).await?;
        Ok(())
    }
}

/// The producer waits for room at its consumer, which waits for the producer's incarnation to end.
#[tokio::test(start_paused = true)]
async fn round_in_mid_drain_that_cuts_a_sibling_off_does_not_end_it() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::default();
        let rules = Supervision::new(strategy).backoff(Backoff::none());
        let system = System::supervised("s", rules);
        let (logged, failures) = (log.clone(), Arc::default());
        let consumer = builder(move || Third(logged.clone(), Arc::clone(&failures)));
        let consumer = consumer.low_capacity(1).restart(Restart::Permanent);
        let (consumer, first) = system.spawn(consumer.redeliver(1));
        let to = consumer.clone();
        let producer = builder(move || Before(to.clone())).before(&consumer);
        let producer = producer.restart(Restart::Permanent).redeliver(1);
        // Shorter than it takes until the circle is seen.
        let (mut producer, second) = system.spawn(producer.grace(SECOND / 10));
        for number in 1..=9 {
            producer.try_send_low(number).unwrap();
        }
        let report = system.drain(60 * SECOND).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.messages_left, 0);
        let all: Vec<_> = (1..=9).map(|number| number.to_string()).collect();
        assert_eq!(log.take(), all);
        assert_eq!(producer.incarnation(), 2, "it was cut off");
        drop((first, second));
    }
}

/// Passes its messages on to one of its own kind, or to the last one.
struct Link(Option<ActorHandle<Link>>, Option<ActorHandle<Third>>);

impl Actor for Link {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        match (&mut self.0, &mut self.1) {
            (Some(next), _) => drop(next.send_low(number).await?),
            (None, Some(last)) => drop(last.send_low(number).await?),
            (None, None) => unreachable!("it has one of them"),
        }
        Ok(())
    }
}

/// Takes its time, and waits for nobody.
struct Slow(Log);

impl Actor for Slow {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_low(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(10 * SECOND).await;
        self.0.add("slow, and not cut off");
        Ok(())
    }
}

/// Each link waits for room at the next one, and that is down or waits itself: the round finds the circle that it is a part
/// of, and does not wait until the end of anybody's grace period.
#[tokio::test(start_paused = true)]
async fn round_is_not_held_up_by_members_that_wait_for_room_at_one_that_is_down() {
    const HOUR: Duration = Duration::from_secs(3600);
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for links in 1..5 {
            for drains in [false, true] {
                let log = Log::default();
                let rules = Supervision::new(strategy).backoff(Backoff::none());
                let system = System::supervised("s", rules.intensity(100, SECOND));
                let (logged, failures) = (log.clone(), Arc::default());
                let third = builder(move || Third(logged.clone(), Arc::clone(&failures)));
                let third = third.low_capacity(1).restart(Restart::Permanent);
                let (third, child) = system.spawn(third.redeliver(9).grace(HOUR));
                let mut children = vec![child];
                let mut first: Option<ActorHandle<Link>> = None;
                for _ in 0..links {
                    let (next, last) = (first.clone(), third.clone());
                    let link = builder(move || Link(next.clone(), Some(last.clone())));
                    let link = link.low_capacity(1).restart(Restart::Permanent);
                    let link = match &first {
                        Some(next) => link.before(next),
                        None => link.before(&third),
                    };
                    let (link, child) = system.spawn(link.redeliver(9).grace(HOUR));
                    children.push(child);
                    first = Some(link);
                }
                let slow = Log::default();
                let logged = slow.clone();
                let (mut busy, child) = system.spawn(
                    builder(move || Slow(logged.clone()))
                        .restart(Restart::Permanent)
                        .grace(HOUR),
                );
                children.push(child);
                busy.try_send_low(()).unwrap();
                tokio::task::yield_now().await;

                let begin = tokio::time::Instant::now();
                let mut first = first.unwrap();
                for number in 1..=20 {
                    // Not by an actor: it is no part of a circle.
                    first.send_low(number).await.unwrap();
                }
                if !drains {
                    first.idle().await;
                    third.idle().await;
                }
                let report = system.drain(2 * HOUR).await;
                assert!(report.is_clean(), "{report}");
                assert_eq!(report.messages_left, 0);
                let all: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
                let case = (strategy, links, drains);
                assert_eq!(log.take(), all, "{case:?}");
                assert_eq!(slow.take(), ["slow, and not cut off"]);
                assert!(third.incarnation() >= 2 && first.incarnation() >= 2);
                // One look at the circle for each link, and the slow one.
                let most = 15 * SECOND;
                assert!(begin.elapsed() < most, "{case:?}: {:?}", begin.elapsed());
                drop(children);
            }
        }
    }
}
