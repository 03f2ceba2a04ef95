//! Numbers that an actor's node of the tree shows besides its counters.

use std::{fmt, sync::Arc};

use super::ActorCell;
use crate::util::lock::lock;

/// Numbers of an actor that others keep, such as those of a mailbox on disk. See
/// [`ActorHandle::attach_gauges`](crate::ActorHandle::attach_gauges).
pub trait Gauges: Send + Sync + 'static {
    /// Gives the name and the present value of each number, in any order. It is called by whoever makes a
    /// [`Tree`](crate::observe::Tree), and must be fast.
    fn read(&self, gauge: &mut dyn FnMut(&'static str, f64));
}

/// One of an actor's [`Gauges`], as it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl ActorCell {
    /// Attaches gauges, in place of those before. An actor that has ended has none.
    pub(crate) fn attach_gauges(&self, gauges: Arc<dyn Gauges>) {
        let replaced = {
            let mut inner = lock(&self.inner);
            match self.exit.get() {
                None => inner.coordination().gauges.replace(gauges),
                Some(_) => Some(gauges),
            }
        };
        drop(replaced);
    }

    /// Reads the gauges, without a lock.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let gauges = match &lock(&self.inner).coordination {
            Some(coordination) => coordination.gauges.clone(),
            None => None,
        };
        let mut values = Vec::new();
        if let Some(gauges) = gauges {
            gauges.read(&mut |name, value| values.push(Gauge { name, value }));
        }
        values
    }
}
