//! Small tools that know nothing of actors.

pub(crate) mod histogram;
pub(crate) mod timer;
