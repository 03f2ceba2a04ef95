//! Numbers of a store.

use crate::engine::{Engine, QueueStats};

/// A copy of the numbers of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Those of its queues.
    pub queues: Vec<QueueStats>,
    /// Syncs since the start.
    pub syncs: u64,
    /// Writes that were made for all who waited, since the start.
    pub batches: u64,
    /// Messages that were stored since the start. Divided by [`batches`](Self::batches), the mean batch.
    pub stored: u64,
    /// Messages of the largest batch.
    pub largest_batch: u64,
    /// Bytes that were written since the start.
    pub written: u64,
    /// Bytes that the log takes on disk, with the segments that wait to be used.
    pub disk: u64,
    /// Bytes of records that are needed: queued messages and dead letters.
    pub live: u64,
    /// Why the store is poisoned, if it is.
    pub poisoned: Option<String>,
}

impl StoreStats {
    /// The numbers of a queue.
    pub fn queue(&self, name: &str) -> Option<&QueueStats> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// These numbers, which the journal counts, with those of the engine; without queues.
    pub(super) fn with(&self, engine: &Engine) -> Self {
        let writer = engine.writer();
        Self {
            syncs: writer.syncs,
            written: writer.written,
            disk: writer.size(),
            live: writer.live(),
            poisoned: engine.poisoned().map(|text| text.to_string()),
            ..self.clone()
        }
    }

    /// Publishes the numbers through the `metrics` facade, labelled with the queue and the class.
    ///
    /// Gauges: `lanemesh_durable_depth`, `lanemesh_durable_in_flight`, `lanemesh_durable_oldest_seconds`,
    /// `lanemesh_durable_dead_letters`, `lanemesh_durable_disk_bytes`, `lanemesh_durable_live_bytes`,
    /// `lanemesh_durable_poisoned`. Counters: `lanemesh_durable_redelivered_total`,
    /// `lanemesh_durable_duplicates_total`, `lanemesh_durable_expired_total`,
    /// `lanemesh_durable_syncs_total`, `lanemesh_durable_batches_total`,
    /// `lanemesh_durable_stored_total`, `lanemesh_durable_written_bytes_total`.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        use metrics::{counter, gauge};
        for queue in &self.queues {
            for (class, stats) in [("high", &queue.high), ("low", &queue.low)] {
                let labels = [("queue", queue.name.clone()), ("class", class.to_owned())];
                gauge!("lanemesh_durable_depth", &labels).set((stats.ready + stats.delayed) as f64);
                gauge!("lanemesh_durable_in_flight", &labels).set(stats.in_flight as f64);
                gauge!("lanemesh_durable_oldest_seconds", &labels).set(stats.oldest_age as f64);
            }
            let labels = [("queue", queue.name.clone())];
            gauge!("lanemesh_durable_dead_letters", &labels).set(queue.dead_letters as f64);
            counter!("lanemesh_durable_redelivered_total", &labels).absolute(queue.redelivered);
            counter!("lanemesh_durable_duplicates_total", &labels).absolute(queue.duplicates);
            counter!("lanemesh_durable_expired_total", &labels).absolute(queue.expired);
        }
        gauge!("lanemesh_durable_disk_bytes").set(self.disk as f64);
        gauge!("lanemesh_durable_live_bytes").set(self.live as f64);
        gauge!("lanemesh_durable_poisoned").set(f64::from(self.poisoned.is_some()));
        counter!("lanemesh_durable_syncs_total").absolute(self.syncs);
        counter!("lanemesh_durable_batches_total").absolute(self.batches);
        counter!("lanemesh_durable_stored_total").absolute(self.stored);
        counter!("lanemesh_durable_written_bytes_total").absolute(self.written);
    }
}
