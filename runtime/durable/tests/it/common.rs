//! What the tests share.

use std::time::{SystemTime, UNIX_EPOCH};

use lanemesh_durable::{Durable, DurableMessage, StoreOptions, disk::SimDisk};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Num(pub(crate) u64);

impl DurableMessage for Num {
    const NAME: &'static str = "num";
}

pub(crate) fn small() -> StoreOptions {
    StoreOptions::default()
        .segment_size(8 << 10)
        .max_in_flight(512)
}

pub(crate) fn open(disk: &SimDisk) -> Durable {
    Durable::open_on(disk.clone(), &small()).unwrap()
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}
