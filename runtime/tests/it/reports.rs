//! What a system reports: who failed, and whose clean-up failed.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitReason, IntoBuilder, Restart, System, builder,
    supervision::{Backoff, Supervision},
};

use crate::common::SECOND;

/// Fails at a message, in its clean-up, or both.
#[derive(Clone, Copy)]
struct Flaky {
    in_clean_up: bool,
}

impl Actor for Flaky {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_low(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("at a message"))
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        if self.in_clean_up {
            return Err(ActorError::msg("in the clean-up"));
        }
        Ok(())
    }
}

/// Has a flaky child.
struct Parent {
    child: Flaky,
    fails: bool,
}

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let child = self.child.into_builder().name("child").keep_running();
        let (mut handle, child) = ctx.spawn(child);
        child.detach();
        if self.fails {
            handle.send_low(()).await?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_reports_a_clean_up_that_fails() {
    let system = System::new("s");
    let flaky = Flaky { in_clean_up: true };
    let (handle, _child) = system.spawn(flaky.into_builder().name("flaky"));
    let parent = Parent {
        child: flaky,
        fails: false,
    };
    let (parent, _parent) = system.spawn(parent);
    handle.idle().await;
    parent.idle().await;
    let report = system.shutdown(SECOND).await;
    assert!(!report.is_clean(), "{report}");
    assert!(report.failed.is_empty(), "{report}");
    let mut names: Vec<_> = report
        .clean_up_failed
        .iter()
        .map(|failure| (&*failure.name, failure.reason.to_string()))
        .collect();
    names.sort();
    let error = "failed: in the clean-up".to_owned();
    assert_eq!(names, [("child", error.clone()), ("flaky", error)]);
    let text = report.to_string();
    assert!(
        text.contains("the clean-up of flaky failed: in the clean-up"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn failure_for_good_is_told_and_reported() {
    for in_clean_up in [false, true] {
        let system = System::new("s");
        let flaky = Flaky { in_clean_up };
        let (mut handle, _child) = system.spawn(flaky.into_builder().name("flaky"));
        handle.send_low(()).await.unwrap();
        let failure = tokio::time::timeout(SECOND, system.failed()).await.unwrap();
        assert_eq!(failure.root_cause().to_string(), "failed: at a message");
        let report = system.shutdown(SECOND).await;
        assert!(!report.is_clean(), "{report}");
        assert_eq!(&*report.failed[0].name, "flaky");
        assert_eq!(report.failed.len(), 1);
        assert_eq!(report.clean_up_failed.len(), usize::from(in_clean_up));
    }
}

#[tokio::test(start_paused = true)]
async fn failure_of_a_descendant_is_reported() {
    let system = System::new("s");
    let parent = Parent {
        child: Flaky { in_clean_up: false },
        fails: true,
    };
    let (parent, _child) = system.spawn(parent);
    parent.idle().await;
    tokio::time::sleep(SECOND).await;
    let report = system.shutdown(SECOND).await;
    assert_eq!(&*report.failed[0].name, "child");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn clean_up_that_fails_before_a_restart_is_reported() {
    let rules = Supervision::default().backoff(Backoff::none());
    let system = System::supervised("s", rules);
    let flaky = builder(|| Flaky { in_clean_up: true }).restart(Restart::Permanent);
    let (mut handle, _child) = system.spawn(flaky);
    handle.send_low(()).await.unwrap();
    handle.idle().await;
    assert_eq!(handle.incarnation(), 2);
    let report = system.shutdown(SECOND).await;
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.clean_up_failed.len(), 2, "one in each incarnation");
}

#[tokio::test(start_paused = true)]
async fn report_lists_a_limited_number_of_failures() {
    let system = System::new("s");
    for _ in 0..200 {
        let (mut handle, _child) = system.spawn(Flaky { in_clean_up: false });
        handle.send_low(()).await.unwrap();
        handle.monitor().await;
    }
    let report = system.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.failed.len(), report.unlisted), (128, 72));
    assert!(!report.is_clean());
}
