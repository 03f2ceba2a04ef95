//! The promises of the crate's documentation, each with tests named after it.
//!
//! Promises 6 to 8 are about memory and are tested by `memory_access` and `allocation`.

mod budget;
mod drops;
mod high_first;
mod lock_free;
mod low_share;
mod ok_means_seen;
mod order;
mod poll_once;
mod send_budget;
mod send_sync;
mod unwind_safe;
mod wake_ups_of_receivers;
mod wake_ups_of_senders;
mod wakers_released;
