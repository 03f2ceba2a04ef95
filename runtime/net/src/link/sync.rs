//! What the outbox and an open lane share between tasks is under these; the models have those of loom in their place.

pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};
