//! Tools that know nothing of actors. Nothing here imports another folder of the crate.

pub(crate) mod blocking;
pub(crate) mod executor;
pub(crate) mod histogram;
pub(crate) mod lock;
pub(crate) mod panic;
pub(crate) mod random;
pub(crate) mod timer;
pub(crate) mod type_name;
