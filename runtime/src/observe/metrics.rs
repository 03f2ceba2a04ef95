//! Publishing a tree of actors through the `metrics` facade, for Prometheus and others.
//!
//! Publishing walks over a copy, as often as the program calls it. It costs a message nothing.

use metrics::{counter, gauge};

use crate::{observe::tree::Tree, util::histogram::Histogram};

/// Publishes the counters of every actor in the tree, labelled with its name and kind.
///
/// Counters: `lanemesh_actor_messages_total` (by `class`: high, low),
/// `lanemesh_actor_batches_total`, `lanemesh_actor_lost_total` (by `cause`: expired, dropped,
/// rejected), `lanemesh_actor_restarts_total`, `lanemesh_actor_failures_total`. Gauges:
/// `lanemesh_actor_depth`, `lanemesh_actor_high_water`, and `lanemesh_actor_queueing_seconds` and
/// `lanemesh_actor_handling_seconds` (by `quantile`), and `lanemesh_actor_gauge` for the gauges that are
/// attached to it (by `gauge`, the name).
///
/// Two actors with the same name and kind share their series. Default names are never reused, so
/// name actors that come and go: otherwise the number of series grows without bound.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{System, observe::publish_metrics, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new("server");
/// let (mut handle, _child) = system.spawn(Sink::<(), u64>::new());
/// handle.send_low(1).await?;
/// handle.idle().await;
/// publish_metrics(&system.tree()); // to the recorder that the program has installed
/// # Ok(()) }
/// ```
pub fn publish_metrics(tree: &Tree) {
    tree.walk(|node, _| {
        if node.id.is_none() {
            return;
        }
        let labels = [
            ("actor", node.name.to_string()),
            ("kind", node.kind.to_owned()),
        ];
        let with = |key: &'static str, value: &'static str| {
            let [actor, kind] = labels.clone();
            [actor, kind, (key, value.to_owned())]
        };
        let stats = &node.stats;
        let messages = "lanemesh_actor_messages_total";
        counter!(messages, &with("class", "high")).absolute(stats.high);
        counter!(messages, &with("class", "low")).absolute(stats.low);
        counter!("lanemesh_actor_batches_total", &labels).absolute(stats.batches);
        let lost = "lanemesh_actor_lost_total";
        counter!(lost, &with("cause", "expired")).absolute(stats.expired);
        counter!(lost, &with("cause", "dropped")).absolute(stats.dropped);
        counter!(lost, &with("cause", "rejected")).absolute(stats.rejected);
        counter!("lanemesh_actor_restarts_total", &labels).absolute(stats.restarts);
        counter!("lanemesh_actor_failures_total", &labels).absolute(stats.failures);
        gauge!("lanemesh_actor_depth", &labels).set(stats.depth as f64);
        gauge!("lanemesh_actor_high_water", &labels).set(stats.high_water as f64);
        for gauge in &node.gauges {
            gauge!("lanemesh_actor_gauge", &with("gauge", gauge.name)).set(gauge.value);
        }
        let quantiles = |name: &'static str, histogram: &Histogram| {
            for (label, quantile) in [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999)] {
                let seconds = histogram.quantile(quantile) as f64 / 1e9;
                gauge!(name, &with("quantile", label)).set(seconds);
            }
        };
        quantiles("lanemesh_actor_queueing_seconds", &stats.queueing);
        quantiles("lanemesh_actor_handling_seconds", &stats.handling);
    });
}
