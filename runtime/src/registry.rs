//! The names under which actors of one system can be looked up.
//!
//! A name belongs to an actor, not to an incarnation: it is taken before the actor starts, and free
//! again before anybody hears of its end. There is one registry for each system, and none for the
//! process.

use std::{
    any::Any,
    collections::{BTreeMap, btree_map},
    sync::{Arc, Mutex, Weak},
};

use crate::{error::LookupError, id::ActorId, util::lock::lock};

struct Entry {
    id: ActorId,
    /// The type of the actor, for errors.
    kind: &'static str,
    /// A handle, of a type that depends on the actor; none before the actor has one.
    handle: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Default)]
pub(crate) struct Registry(Mutex<BTreeMap<Arc<str>, Entry>>);

impl Registry {
    /// Takes a name. None if another actor has it.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        name: Arc<str>,
        id: ActorId,
        kind: &'static str,
    ) -> Option<Registration> {
        match lock(&self.0).entry(name.clone()) {
            btree_map::Entry::Occupied(_) => return None,
            btree_map::Entry::Vacant(vacant) => {
                let handle = None;
                vacant.insert(Entry { id, kind, handle });
            }
        }
        Some(Registration {
            registry: Arc::downgrade(self),
            name,
            id,
        })
    }

    /// A copy of the handle that is registered under `name`.
    pub(crate) fn look_up<H: Clone + 'static>(&self, name: &str) -> Result<H, LookupError> {
        let names = lock(&self.0);
        let entry = names.get(name).ok_or(LookupError::Unknown)?;
        let handle = entry.handle.as_ref().ok_or(LookupError::Unknown)?;
        let kind = entry.kind;
        let handle = handle.downcast_ref::<H>();
        handle.cloned().ok_or(LookupError::OtherType { kind })
    }

    /// The names, sorted.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        lock(&self.0).keys().cloned().collect()
    }
}

/// An actor's name in the registry. Dropping it frees the name.
pub(crate) struct Registration {
    registry: Weak<Registry>,
    name: Arc<str>,
    id: ActorId,
}

impl Registration {
    /// From now on the name leads to `handle`.
    pub(crate) fn set_handle(&self, handle: impl Any + Send + Sync) {
        if let Some(registry) = self.registry.upgrade()
            && let Some(entry) = lock(&registry.0).get_mut(&self.name)
        {
            entry.handle = Some(Box::new(handle));
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else {
            return;
        };
        let entry = {
            let mut names = lock(&registry.0);
            match names.get(&self.name) {
                Some(entry) if entry.id == self.id => names.remove(&self.name),
                _ => None,
            }
        };
        drop(entry); // the handle may be the last one, and wake the actor
    }
}
