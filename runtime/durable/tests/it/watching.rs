//! Numbers: as values, in the runtime's tree, as metrics, as events.

use std::sync::{Arc, Mutex};

use lanemesh_durable::{Durable, DurableExt, QueueOptions, disk::SimDisk};
use lanemesh_runtime::{
    ActorId, System, builder,
    observe::{ActorEvent, Tree, publish_metrics},
    prelude::*,
    supervision::{Backoff, Supervision},
};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::common::{Num, open};

/// Fails with odd numbers.
struct Even;

impl Actor for Even {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Num;

    async fn on_low(&mut self, num: Num, _: &mut Context<Self>) -> ActorResult {
        match num.0.is_multiple_of(2) {
            true => Ok(()),
            false => Err(ActorError::msg("odd")),
        }
    }
}

fn gauge(tree: &Tree, name: &str) -> f64 {
    let found = tree.gauges.iter().find(|gauge| gauge.name == name);
    found
        .unwrap_or_else(|| panic!("{name} is not in {tree}"))
        .value
}

async fn dead_letters(store: &Durable, count: usize) {
    while store.dead_letters(None, 0, 9).await.unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn numbers_are_in_the_tree_and_the_metrics_and_events_are_told() {
    let store = open(&SimDisk::new());
    let system = System::new("shop");
    let supervision = Supervision::default()
        .intensity(1000, std::time::Duration::from_secs(1))
        .backoff(Backoff::none());
    let even = builder(|| Even)
        .name("even")
        .restart(Restart::Permanent)
        .supervision(supervision);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    let monitor = move |_: ActorId, event: ActorEvent| {
        log.lock().unwrap().push(format!("{event:?}"));
        assert!(
            !matches!(event, ActorEvent::DeadLetter { .. }),
            "a panic is caught"
        );
    };
    let even = even
        .durable_low(&store, "numbers")
        .queue_options(QueueOptions::default().max_attempts(2))
        .events(monitor);
    let (mut handle, _child) = even.spawn_by(|even| system.spawn(even)).await.unwrap();
    handle.low().tell(Num(2)).await.unwrap();
    let odd = handle.low().tell(Num(3)).await.unwrap().id;
    dead_letters(&store, 1).await;
    // The first is answered after the journal has handled all of that, the second after it has published it.
    for _ in 0..2 {
        assert_eq!(store.requeue(u64::MAX).await, Ok(false));
    }
    let tree = system.tree();
    let node = &tree.children[0];
    for (name, value) in [
        ("durable_low_depth", 0.0),
        ("durable_low_in_flight", 0.0),
        ("durable_low_oldest_seconds", 0.0),
        ("durable_high_depth", 0.0),
        ("durable_redelivered", 1.0),
        ("durable_dead_letters", 1.0),
        ("durable_store_stored", 2.0),
        ("durable_store_poisoned", 0.0),
    ] {
        assert_eq!(gauge(node, name), value, "{name} in {tree}");
    }
    for name in [
        "durable_store_syncs",
        "durable_store_batches",
        "durable_store_written_bytes",
    ] {
        assert!(gauge(node, name) >= 1.0, "{name} in {tree}");
    }
    assert!(
        tree.to_text().contains(" durable_dead_letters=1 "),
        "{tree}"
    );
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || publish_metrics(&tree));
    let text = recorder.handle().render();
    let line = "lanemesh_actor_gauge{actor=\"even\",kind=\"Even\",gauge=\"durable_redelivered\"} 1";
    assert!(text.contains(line), "{text}");
    let seen = seen.lock().unwrap();
    let expected = [
        format!("Redelivered {{ message: {odd}, attempt: 2 }}"),
        format!("DeadLetter {{ message: {odd} }}"),
    ];
    assert_eq!(*seen, expected);
}

#[tokio::test]
async fn the_numbers_of_a_store_are_published_as_metrics() {
    let store = open(&SimDisk::new());
    let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    for n in 0..3 {
        mail.enqueue_low(vec![n]).await.unwrap();
    }
    mail.enqueue_high(vec![9]).await.unwrap();
    let taken = mail.dequeue(2).await.unwrap();
    mail.retry(taken[0].id, None).await.unwrap();
    assert_eq!(mail.dequeue(1).await.unwrap()[0].attempt, 2);
    mail.reject(taken[1].id).await.unwrap();
    let stats = store.stats().await.unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || stats.publish_metrics());
    let text = recorder.handle().render();
    for line in [
        "lanemesh_durable_depth{queue=\"box\",class=\"low\"} 2",
        "lanemesh_durable_depth{queue=\"box\",class=\"high\"} 0",
        "lanemesh_durable_in_flight{queue=\"box\",class=\"high\"} 1",
        "lanemesh_durable_dead_letters{queue=\"box\"} 1",
        "lanemesh_durable_redelivered_total{queue=\"box\"} 1",
        "lanemesh_durable_duplicates_total{queue=\"box\"} 0",
        "lanemesh_durable_expired_total{queue=\"box\"} 0",
        "lanemesh_durable_stored_total 4",
        "lanemesh_durable_poisoned 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for name in [
        "lanemesh_durable_oldest_seconds",
        "lanemesh_durable_disk_bytes",
        "lanemesh_durable_live_bytes",
        "lanemesh_durable_syncs_total",
        "lanemesh_durable_batches_total",
        "lanemesh_durable_written_bytes_total",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}
