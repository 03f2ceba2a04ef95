//! An entry of this node, as long as it is wanted.

use std::{fmt, sync::Arc};

use lanemesh_runtime::ActorHandle;
use tokio::sync::watch;

use super::{
    directory::Directory,
    entry::Key,
    error::{NameEnd, RegisterError},
};
use crate::{
    node::{ExportOptions, Node},
    remote::Remote,
    task::Task,
};

/// The name of an actor, or its place in a group. It is given up when this is dropped; the actor stays.
#[must_use = "a registration ends when it is dropped"]
pub struct Registration {
    node: Node,
    directory: Arc<Directory>,
    id: u64,
    export: String,
    ended: watch::Receiver<Option<NameEnd>>,
    _monitor: Task,
}

impl Registration {
    pub(super) fn new<A: Remote>(
        node: &Node,
        directory: &Arc<Directory>,
        key: Key,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<Self, RegisterError> {
        let made = directory.register(key, |holder| {
            node.export_with(holder.export(), handle, options)
        })?;
        let (id, export) = (made.holder.id, made.holder.export());
        let (monitor, ends) = (handle.monitor(), directory.clone());
        let monitor = Task::spawn(async move {
            monitor.await;
            ends.unregister(id, NameEnd::Ended);
        });
        Ok(Self {
            node: node.clone(),
            directory: directory.clone(),
            id,
            export,
            ended: made.ended,
            _monitor: monitor,
        })
    }

    /// Why it has ended, if it has.
    pub fn end(&self) -> Option<NameEnd> {
        self.ended.borrow().clone()
    }

    /// Waits for its end: among other things, this is how the loser of a name is told.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ended(&mut self) -> NameEnd {
        let ended = self.ended.wait_for(Option::is_some).await;
        // The sender is gone only after it has told.
        ended
            .map_or(None, |end| end.clone())
            .unwrap_or(NameEnd::Closed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.node.withdraw(&self.export);
        self.directory.unregister(self.id, NameEnd::Dropped);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("export", &self.export)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}
