//! Hooks that an actor does not implement.

use std::{convert::Infallible, rc::Rc, time::Duration};

use lanemesh_runtime::{
    Actor, ActorHandle, AskError, Child, ExitReason, LocalActor, Reply, WorkerThread, builder,
    crash::{DeadLetter, Undelivered},
    local, spawn,
    testing::{Probed, probe},
};

struct Silent;

struct Urgent(#[expect(dead_code, reason = "its drop answers")] Reply<()>);

#[derive(Clone, Debug)]
struct Data;

impl Actor for Silent {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = Data;
}

/// Asserts that the actor failed, and that the error names each of `names`.
async fn assert_failed_naming(child: Child, names: [&str; 3]) {
    match child.await {
        ExitReason::Failed(error) => {
            let text = error.to_string();
            for name in names {
                assert!(text.contains(name), "{text:?} does not name {name:?}");
            }
        }
        reason => panic!("{reason}"),
    }
}

#[tokio::test(start_paused = true)]
async fn high_message_without_a_hook_fails_the_actor() {
    let (mut handle, child) = spawn(Silent);
    let answer = handle.ask(Urgent, Duration::from_secs(60)).await;
    assert_eq!(answer, Err(AskError::Crashed));
    assert_failed_naming(child, ["Silent", "high-priority", "Urgent"]).await;
}

#[tokio::test(start_paused = true)]
async fn low_message_without_a_hook_fails_the_actor() {
    let (mut handle, child) = spawn(Silent);
    handle.try_send_low(Data).unwrap();
    assert_failed_naming(child, ["Silent", "low-priority", "Data"]).await;
}

#[tokio::test(start_paused = true)]
async fn batch_without_a_hook_fails_the_actor() {
    struct InBatches;
    impl Actor for InBatches {
        type HighPriorityMsg = Infallible;
        type LowPriorityMsg = Data;
        const BATCH: usize = 8;
    }
    let (mut handle, child) = spawn(InBatches);
    handle.try_send_low(Data).unwrap();
    assert_failed_naming(child, ["InBatches", "low-priority", "Data"]).await;
}

#[tokio::test(start_paused = true)]
async fn message_without_a_hook_becomes_a_dead_letter_like_one_that_crashed() {
    struct OnlyLow;
    impl Actor for OnlyLow {
        type HighPriorityMsg = ();
        type LowPriorityMsg = Data;
    }
    type Letter = DeadLetter<(), Data>;
    let (to_probe, mut probe, _probe): (ActorHandle<_>, _, _) = probe::<Letter, ()>();
    let (mut handle, child) = builder(|| OnlyLow)
        .redeliver(0)
        .dead_letters(to_probe.high_recipient())
        .spawn();
    handle.try_send_low(Data).unwrap();
    let Ok(Probed::High(letter)) = probe.expect(Duration::from_secs(60)).await else {
        panic!("no dead letter")
    };
    assert_eq!(letter.why, Undelivered::Crashed);
    assert!(matches!(child.await, ExitReason::Failed(_)));
}

#[tokio::test]
async fn local_message_without_a_hook_fails_the_actor() {
    struct Quiet(#[expect(dead_code, reason = "it makes the actor local")] Rc<()>);
    impl LocalActor for Quiet {
        type HighPriorityMsg = Infallible;
        type LowPriorityMsg = Data;
    }
    let thread = WorkerThread::new("quiet").unwrap();
    let (mut handle, child) = local(|| Quiet(Rc::default())).on(&thread).spawn();
    handle.try_send_low(Data).unwrap();
    assert_failed_naming(child, ["Quiet", "low-priority", "Data"]).await;
}
