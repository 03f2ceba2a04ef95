//! Rounds of restarts, as the hooks of their members see them.

use std::{
    sync::{Arc, OnceLock},
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
