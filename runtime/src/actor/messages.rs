//! An actor's messages as they lie in its mailbox.

use crate::{actor::Actor, envelope::Envelope};

pub(crate) type High<A> = Envelope<<A as Actor>::HighPriorityMsg>;
pub(crate) type Low<A> = Envelope<<A as Actor>::LowPriorityMsg>;
