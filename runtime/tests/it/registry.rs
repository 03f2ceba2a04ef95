//! Names within a system.

use lanemesh_runtime::{
    Actor, ActorResult, Context, ExitReason, LookupError, Reply, Restart, SpawnError, System,
    builder,
    supervision::{Backoff, Supervision},
    testing::Sink,
};

use crate::common::{Control, Log, SECOND, Worker, hush};

type Meter = Sink<(), u64>;

#[tokio::test]
async fn name_leads_to_the_actor_through_restarts_until_its_end() {
    hush();
    let log = Log::default();
    let rules = Supervision::default().backoff(Backoff::none());
    let system = System::supervised("system", rules);
    let worker = builder(Worker::factory("w", &log)).registered("worker");
    let (handle, child) = system.spawn(worker.restart(Restart::Permanent));
    let id = handle.id();
    drop(handle); // the registry keeps it running
    let worker = system.look_up::<Worker>("worker").unwrap();
    assert_eq!((worker.id(), &*worker.name()), (id, "worker"));
    worker.send_high(Control::Panic).await.unwrap();
    worker.send_low(7).await.unwrap();
    worker.idle().await;
    let again = system.look_up::<Worker>("worker").unwrap();
    assert_eq!(again.incarnation(), 2);
    assert_eq!(again.ask(Control::Sum, SECOND).await, Ok(7));
    assert_eq!(system.registered(), ["worker".into()]);

    let monitor = again.monitor();
    drop(child);
    assert!(matches!(monitor.await, ExitReason::Stopped));
    let gone = system.look_up::<Worker>("worker");
    assert_eq!(
        gone.err(),
        Some(LookupError::Unknown),
        "free when the end is told"
    );
    let next = builder(Worker::factory("w", &log)).registered("worker");
    let (next, _child) = system.spawn(next);
    assert_eq!(system.look_up::<Worker>("worker").unwrap().id(), next.id());
}

#[tokio::test]
async fn name_is_given_once_and_belongs_to_one_type() {
    let system = System::new("system");
    let other = System::new("other");
    let (_, first) = system.spawn(builder(Meter::new).registered("meter"));
    let second = system.try_spawn(builder(Meter::new).registered("meter"));
    assert_eq!(second.err(), Some(SpawnError::NameTaken));
    assert_eq!(system.tree().children.len(), 1, "nothing was started");
    let (_, elsewhere) = other.spawn(builder(Meter::new).registered("meter"));
    let wrong = system.look_up::<Worker>("meter").err();
    let kind = std::any::type_name::<Meter>();
    assert_eq!(wrong, Some(LookupError::OtherType { kind }));
    assert_eq!(
        wrong.unwrap().to_string(),
        format!("the actor under this name is of type {kind}")
    );
    let ours = system.look_up::<Meter>("meter").unwrap();
    assert_ne!(ours.id(), other.look_up::<Meter>("meter").unwrap().id());
    // By whichever end, and also one that never began.
    ours.kill();
    assert!(matches!(first.await, ExitReason::Killed));
    assert_eq!(system.registered().len(), 0);
    drop(elsewhere);
    let alone = builder(Meter::new).registered("meter").try_spawn();
    assert_eq!(alone.err(), Some(SpawnError::NoSystem));
}

#[tokio::test]
async fn name_is_free_again_when_the_start_is_refused() {
    struct Parent;
    impl Actor for Parent {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
            let late = ctx.try_spawn(builder(Meter::new).registered("late"));
            assert_eq!(late.err(), Some(SpawnError::Closing));
            let (refused, _child) = ctx.spawn(builder(Meter::new).registered("late"));
            assert!(!refused.is_alive());
            assert_eq!(
                ctx.look_up::<Meter>("late").err(),
                Some(LookupError::Unknown)
            );
            Ok(())
        }
    }
    let system = System::new("system");
    let (_handle, child) = system.spawn(Parent);
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    assert_eq!(system.registered().len(), 0);
    assert!(system.shutdown(SECOND).await.is_clean());
}

/// Finds its sibling and its own child by name.
struct Finder;

impl Actor for Finder {
    type HighPriorityMsg = Reply<Vec<u64>>;
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.spawn(builder(Meter::new).registered("grandchild"))
            .1
            .detach();
        Ok(())
    }

    async fn on_high(&mut self, reply: Reply<Vec<u64>>, ctx: &mut Context<Self>) -> ActorResult {
        let mut ids = Vec::new();
        for name in ["sibling", "grandchild"] {
            ids.push(ctx.look_up::<Meter>(name)?.id().as_u64());
        }
        ids.push(ctx.look_up::<Self>("finder")?.id().as_u64());
        drop(reply.send(ids));
        Ok(())
    }
}

#[tokio::test]
async fn names_are_those_of_the_whole_tree() {
    let system = System::new("system");
    let (sibling, _sibling) = system.spawn(builder(Meter::new).registered("sibling"));
    let (mut finder, child) = system.spawn(builder(|| Finder).registered("finder"));
    let ids = finder.ask(|reply| reply, SECOND).await.unwrap();
    let grandchild = system.look_up::<Meter>("grandchild").unwrap();
    let expected = [sibling.id(), grandchild.id(), finder.id()];
    assert_eq!(ids, expected.map(|id| id.as_u64()));
    let names: Vec<_> = system.registered();
    assert_eq!(
        names,
        ["finder".into(), "grandchild".into(), "sibling".into()]
    );
    child.stop().await;
    assert_eq!(system.registered(), ["sibling".into()]);

    let (mut outside, outside_child) = lanemesh_runtime::spawn(Lost);
    let lost = outside.ask(|reply| reply, SECOND).await;
    assert_eq!(lost, Ok(Some(LookupError::NoSystem)));
    outside_child.stop().await;
}

/// Looks for somebody without a system.
struct Lost;

impl Actor for Lost {
    type HighPriorityMsg = Reply<Option<LookupError>>;
    type LowPriorityMsg = ();

    async fn on_high(
        &mut self,
        reply: Reply<Option<LookupError>>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        drop(reply.send(ctx.look_up::<Meter>("meter").err()));
        Ok(())
    }
}
