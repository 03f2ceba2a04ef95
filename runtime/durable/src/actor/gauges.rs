//! The numbers of a durable actor's queue, for its node of the runtime's tree.

use std::sync::atomic::{AtomicU64, Ordering};

use lanemesh_runtime::observe::Gauges;

use crate::{
    engine::{ClassStats, QueueStats, now},
    journal::StoreStats,
};

/// Those of the queue, then those of the store. The ages are kept as the times since which they count.
const NAMES: [&str; 19] = [
    "durable_high_oldest_seconds",
    "durable_low_oldest_seconds",
    "durable_high_depth",
    "durable_high_in_flight",
    "durable_low_depth",
    "durable_low_in_flight",
    "durable_bytes",
    "durable_redelivered",
    "durable_expired",
    "durable_duplicates",
    "durable_dead_letters",
    "durable_store_syncs",
    "durable_store_batches",
    "durable_store_stored",
    "durable_store_largest_batch",
    "durable_store_written_bytes",
    "durable_store_disk_bytes",
    "durable_store_live_bytes",
    "durable_store_poisoned",
];
/// How many of these are ages.
const AGES: usize = 2;

/// The numbers as the journal has published them last. Neither it nor those who read them wait.
#[derive(Debug, Default)]
pub(super) struct QueueGauges([AtomicU64; NAMES.len()]);

impl QueueGauges {
    pub(super) fn publish(&self, queue: &QueueStats, store: &StoreStats) {
        let QueueStats { high, low, .. } = queue;
        // Of a queue that nobody takes from, the journal tells nothing for a long time.
        let oldest = |class: &ClassStats| match class.ready {
            0 => 0,
            _ => (now() / 1000).saturating_sub(class.oldest_age),
        };
        let values = [
            oldest(high),
            oldest(low),
            (high.ready + high.delayed) as u64,
            high.in_flight as u64,
            (low.ready + low.delayed) as u64,
            low.in_flight as u64,
            high.bytes + low.bytes,
            queue.redelivered,
            queue.expired,
            queue.duplicates,
            queue.dead_letters as u64,
            store.syncs,
            store.batches,
            store.stored,
            store.largest_batch,
            store.written,
            store.disk,
            store.live,
            u64::from(store.poisoned.is_some()),
        ];
        for (gauge, value) in self.0.iter().zip(values) {
            // ORDERING: statistics; no other data depends on them.
            gauge.store(value, Ordering::Relaxed);
        }
    }
}

impl Gauges for QueueGauges {
    fn read(&self, gauge: &mut dyn FnMut(&'static str, f64)) {
        for (index, (name, value)) in NAMES.iter().zip(&self.0).enumerate() {
            // ORDERING: statistics; no other data depends on them.
            let value = match (index < AGES, value.load(Ordering::Relaxed)) {
                (true, 0) => 0,
                (true, since) => (now() / 1000).saturating_sub(since),
                (false, value) => value,
            };
            gauge(name, value as f64);
        }
    }
}
