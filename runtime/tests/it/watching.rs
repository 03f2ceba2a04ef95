//! Counters, histograms, trees, events, metrics.

use std::fmt::Write as _;

use lanemesh_runtime::{
    Actor, ActorId, ActorResult, Context, ExitReason, Restart, System,
    actor::Batch,
    builder,
    observe::{ActorEvent, Timing, publish_metrics},
    spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::Sink,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::oneshot;

use crate::common::{Control, Log, POISON, SECOND, Worker, hush};

fn at_once() -> Supervision {
    Supervision::new(Strategy::OneForOne)
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

#[tokio::test]
async fn counters_go_on_over_restarts() {
    hush();
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(at_once())
        .timing(Timing::Every(1))
        .spawn();
    for message in [1, POISON, 2, 3] {
        handle.send_low(message).await.unwrap();
    }
    handle.idle().await;
    handle.ask(Control::Sum, SECOND).await.unwrap();
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.high, stats.low, stats.messages()), (1, 4, 5));
    assert_eq!((stats.restarts, stats.failures, stats.depth), (1, 1, 0));
    assert!(stats.high_water >= 1);
    assert_eq!(stats.queueing.count(), 5);
    assert_eq!(stats.handling.count(), 4); // the handler that crashed has no `Handled` event
    assert!(stats.queueing.quantile(0.5) <= stats.queueing.max());
}

#[tokio::test]
async fn depth_is_seen_while_a_handler_waits() {
    let log = Log::default();
    let (mut handle, _child) = spawn(Worker::new("w", &log));
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    while handle.stats().depth > 0 {
        tokio::task::yield_now().await;
    }
    for message in 0..120 {
        handle.send_low(message).await.unwrap();
    }
    let stats = handle.stats();
    assert_eq!((stats.depth, stats.high_water), (120, 120));
    open.send(()).unwrap();
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.depth, stats.high_water), (0, 120));
}

#[tokio::test]
async fn high_water_of_a_short_burst_is_in_the_tree() {
    let system = System::new("sys");
    let log = Log::default();
    let (mut worker, _child) = system.spawn(Worker::new("w", &log));
    let (mut eventful, _other) = system.spawn(Eventful);
    for message in 0..100 {
        worker.send_low(message).await.unwrap();
        eventful.send_low(message).await.unwrap();
    }
    worker.idle().await;
    eventful.idle().await;
    for node in system.tree().children {
        let stats = node.stats;
        assert_eq!(stats.depth, 0);
        assert!(stats.high_water >= 90, "{} {}", node.name, stats.high_water);
    }
}

#[tokio::test]
async fn timing_can_be_off_or_sampled() {
    for (timing, expected) in [
        (Timing::Off, 0),
        (Timing::Every(10), 10),
        (Timing::Every(1), 100),
    ] {
        let (mut handle, _child) = builder(Sink::<(), u64>::new).timing(timing).spawn();
        for number in 0..100 {
            handle.send_low(number).await.unwrap();
        }
        handle.idle().await;
        assert_eq!(handle.stats().queueing.count(), expected, "{timing:?}");
    }
}

/// A parent of two sinks, one of which has a name that needs quoting.
struct Parent;

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for name in ["plain", "say \"hi\""] {
            let sink = builder(Sink::<(), ()>::new).name(name).keep_running();
            ctx.spawn(sink).1.detach();
        }
        Ok(())
    }
}

#[tokio::test]
async fn tree_as_data_text_dot_and_mermaid() {
    let system = System::new("sys");
    let (parent, _child) = system.spawn(builder(|| Parent).name("parent"));
    parent.idle().await;
    while system.tree().to_text().matches("running").count() < 4 {
        tokio::task::yield_now().await;
    }
    let tree = system.tree();
    assert_eq!((tree.len(), tree.children.len()), (4, 1));
    let parent = &tree.children[0];
    assert_eq!(
        (&*parent.name, parent.kind, parent.children.len()),
        ("parent", "Parent", 2)
    );
    let ids: Vec<u64> = std::iter::once(parent)
        .chain(&parent.children)
        .filter_map(|node| node.id.map(ActorId::as_u64))
        .collect();
    let [a, b, c] = ids[..] else {
        panic!("{ids:?}")
    };

    let mut text = String::new();
    for line in ["sys", "  parent", "    plain", "    say \"hi\""] {
        writeln!(text, "{line} running incarnation=1 high=0 low=0 depth=0").unwrap();
    }
    assert_eq!(tree.to_text(), text);
    assert_eq!(
        tree.to_dot(),
        format!(
            "digraph actors {{\n  node [shape=box];\n  root [label=\"sys\\nrunning\"];\n  \
             a{a} [label=\"parent\\nrunning\"];\n  root -> a{a};\n  \
             a{b} [label=\"plain\\nrunning\"];\n  a{a} -> a{b};\n  \
             a{c} [label=\"say \\\"hi\\\"\\nrunning\"];\n  a{a} -> a{c};\n}}\n"
        )
    );
    assert_eq!(
        tree.to_mermaid(),
        format!(
            "flowchart TD\n  root[\"sys<br/>running\"]\n  a{a}[\"parent<br/>running\"]\n  \
             root --> a{a}\n  a{b}[\"plain<br/>running\"]\n  a{a} --> a{b}\n  \
             a{c}[\"say #quot;hi#quot;<br/>running\"]\n  a{a} --> a{c}\n"
        )
    );
}

/// Takes batches and has events.
struct Eventful;

impl Actor for Eventful {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;
    const BATCH: usize = 8;
    const EVENTS: bool = true;

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        panic!("provoked")
    }

    async fn on_low_batch(&mut self, batch: &mut Batch<u64>, _: &mut Context<Self>) -> ActorResult {
        batch.clear();
        Ok(())
    }
}

#[tokio::test]
async fn event_monitor_hears_a_life() {
    hush();
    let log = Log::default();
    let heard = log.clone();
    let monitor = move |_: ActorId, event: ActorEvent| {
        heard.add(match event {
            ActorEvent::Starting { incarnation } => format!("starting {incarnation}"),
            ActorEvent::Ended { reason } => format!("ended: {reason}"),
            other => format!("{other:?}"),
        });
    };
    let (mut handle, child) = builder(|| Eventful)
        .restart(Restart::Permanent)
        .supervision(at_once())
        .events(monitor)
        .spawn();
    handle.send_low(1).await.unwrap();
    handle.idle().await;
    handle.send_high(()).await.unwrap();
    handle.idle().await;
    child.stop().await;
    assert_eq!(
        log.take(),
        [
            "starting 1",
            "Handling",
            "Handled",
            "Handling",
            "ended: panicked: provoked",
            "starting 2",
            "ended: stopped",
        ]
    );
}

#[tokio::test]
async fn panics_of_an_event_monitor_are_contained() {
    hush();
    let log = Log::default();
    let heard = log.clone();
    let monitor = move |_: ActorId, event: ActorEvent| {
        heard.add(format!("{event:?}"));
        panic!("provoked");
    };
    let (mut handle, child) = builder(|| Eventful)
        .restart(Restart::Permanent)
        .supervision(at_once())
        .events(monitor)
        .spawn();
    handle.send_low(1).await.unwrap();
    handle.send_high(()).await.unwrap();
    handle.idle().await;
    assert_eq!((handle.incarnation(), handle.stats().failures), (2, 1));
    let reason = child.stop().await;
    assert!(matches!(reason, ExitReason::Stopped), "{reason}");
    let ends = log.take().iter().filter(|e| e.contains("Ended")).count();
    assert_eq!(ends, 2);
}

#[tokio::test]
async fn metrics_as_prometheus_text() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let system = System::new("sys");
    let (mut handle, _child) =
        system.spawn(builder(Sink::<(), u64>::new).name("meter").low_capacity(2));
    for number in 0..2 {
        handle.try_send_low(number).unwrap();
    }
    handle.try_send_low(2).unwrap_err();
    handle.idle().await;
    metrics::with_local_recorder(&recorder, || publish_metrics(&system.tree()));
    let text = recorder.handle().render();
    for line in [
        "lanemesh_actor_messages_total{actor=\"meter\",kind=\"Sink<(), u64>\",class=\"low\"} 2",
        "lanemesh_actor_lost_total{actor=\"meter\",kind=\"Sink<(), u64>\",cause=\"rejected\"} 1",
        "lanemesh_actor_depth{actor=\"meter\",kind=\"Sink<(), u64>\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
