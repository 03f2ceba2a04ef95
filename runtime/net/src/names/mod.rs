//! Names of actors that all members know: look-ups that need not say on which node.
//!
//! Each node keeps its own entries, and tells them to every member; there is no node that all depend on.
//! An entry counts as long as its node is a member, so it is a lease that the link renews, and that ends
//! [`MemberOptions::down_after`](crate::members::MemberOptions::down_after) after the last link did. The view of a node
//! is that of its links: in a network that is cut in two, each half may give the same name to another actor. Once
//! the halves know of each other the entry that was made with knowledge of the other counts, else that of the
//! later incarnation of a node; the other one is told that it has lost the name.

mod actor;
mod directory;
mod entry;
mod error;
mod group;
mod registration;
mod rendezvous;
mod singleton;

use std::{fmt, sync::Arc, time::Duration};

use lanemesh_runtime::{ActorHandle, Child, spawn};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, timeout_at},
};

use self::{
    actor::{Announcer, EXPORT, Listener},
    directory::Directory,
    entry::{Key, Kind},
};
pub use self::{
    error::{NameEnd, NameError, RegisterError},
    group::{Group, Pick},
    registration::Registration,
    rendezvous::rendezvous,
    singleton::{Singleton, SingletonOptions},
};
use crate::{
    error::{ExportError, LookupError},
    event::PeerInfo,
    members::Membership,
    node::{ExportOptions, Node},
    remote::Remote,
    task::Task,
};

/// How a node keeps names.
#[derive(Clone, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct NameOptions {
    max_names: usize,
}

impl NameOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { max_names: 1 << 16 }
    }

    /// How many entries this node may have, and how many it takes note of for each other node. Default 65,536.
    pub fn max_names(mut self, count: usize) -> Self {
        self.max_names = count;
        self
    }
}

impl Default for NameOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A node's part in the names. A clone is the same; when the last one is dropped, the names of this node
/// are gone.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_net::{
///     Node, Remote,
///     members::{MemberOptions, Membership},
///     names::Names,
///     transport::InProcess,
/// };
/// use lanemesh_runtime::{prelude::*, spawn};
///
/// struct Doubler;
///
/// impl Handler for Doubler {
///     type Msg = (u64, Reply<u64>);
///
///     async fn handle(&mut self, (number, reply): Self::Msg, _: &mut Context<Self>) -> ActorResult {
///         drop(reply.send(2 * number)); // the asker may be gone
///         Ok(())
///     }
/// }
///
/// impl Remote for Doubler {
///     const TYPE: &'static str = "example/doubler";
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = InProcess::default();
/// let [a, b] = ["a", "b"].map(|name| Node::builder(name).transport("mem", network.clone()).build());
/// let join = |node: &Node, addresses: &[String]| -> Result<Names, lanemesh_net::ExportError> {
///     Names::join(&Membership::join(node, MemberOptions::new(addresses))?)
/// };
/// let (at_a, at_b) = (join(&a, &[a.bind("mem:a").await?])?, join(&b, &[])?);
/// b.connect("mem:a").await?;
///
/// let (doubler, _child) = spawn(Doubler);
/// let _registration = at_a.register("maths", "doubler", &doubler)?;
/// let second = Duration::from_secs(1);
/// let mut doubler = at_b.lookup_within::<Doubler>("maths", "doubler", 60 * second).await?;
/// assert_eq!(doubler.ask(|reply| (21, reply), second).await?, 42);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Names(Arc<Inside>);

struct Inside {
    node: Node,
    membership: Membership,
    directory: Arc<Directory>,
    _announcer: Task,
    _actor: Child,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.node.withdraw(EXPORT);
        self.directory.close(); // registrations withdraw their actors
    }
}

impl Names {
    /// Takes part in the names of the members, with the defaults of [`NameOptions`].
    ///
    /// # Errors
    ///
    /// [`ExportError::NameTaken`] if the node does so already.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn join(membership: &Membership) -> Result<Self, ExportError> {
        Self::join_with(membership, &NameOptions::new())
    }

    /// As [`join`](Self::join), with other limits.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join).
    pub fn join_with(membership: &Membership, options: &NameOptions) -> Result<Self, ExportError> {
        let node = membership.node().clone();
        let directory = Directory::new(node.info().clone(), options.max_names);
        let directory = Arc::new(directory);
        let announcer = Arc::new(Announcer::new(node.clone(), directory.clone()));
        let (listener, child) = spawn(Listener(announcer.clone()));
        node.export(EXPORT, &listener)?;
        Ok(Self(Arc::new(Inside {
            node,
            membership: membership.clone(),
            directory,
            _announcer: Task::spawn(announcer.run(membership.clone())),
            _actor: child,
        })))
    }

    /// Gives an actor of this node a name in a scope: each scope has names of its own. The name is the
    /// actor's until the registration is dropped, the actor ends, or another node turns out to have it.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`].
    pub fn register<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        handle: &ActorHandle<A>,
    ) -> Result<Registration, RegisterError> {
        self.register_with(scope, name, handle, ExportOptions::new())
    }

    /// As [`register`](Self::register), with limits on who may do what.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`].
    pub fn register_with<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<Registration, RegisterError> {
        let key = Key::new(Kind::Name, scope, name);
        self.enter(key, handle, options)
    }

    fn enter<A: Remote>(
        &self,
        key: Key,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<Registration, RegisterError> {
        let Inside {
            node, directory, ..
        } = &*self.0;
        Registration::new(node, directory, key, handle, options)
    }

    /// A handle of the actor that has a name in a scope, wherever it is. One of this node is a local one.
    ///
    /// # Errors
    ///
    /// See [`NameError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled look-up has no effect.
    pub async fn lookup<A: Remote>(
        &self,
        scope: &str,
        name: &str,
    ) -> Result<ActorHandle<A>, NameError> {
        let key = Key::new(Kind::Name, scope, name);
        let holder = self.0.directory.holder(&key);
        let (holder, is_reachable) = holder.ok_or(NameError::Unknown)?;
        if !is_reachable {
            return Err(NameError::Unreachable(holder.peer()));
        }
        let lookup = self.0.node.lookup(holder.export()).on(holder.node.clone());
        lookup.await.map_err(NameError::Lookup)
    }

    /// As [`lookup`](Self::lookup), and tries again for some time while there is no such name or its node
    /// is not reachable.
    ///
    /// # Errors
    ///
    /// See [`NameError`]: what the last attempt failed with.
    ///
    /// # Cancel safety
    ///
    /// A cancelled look-up has no effect.
    pub async fn lookup_within<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        time: Duration,
    ) -> Result<ActorHandle<A>, NameError> {
        let deadline = Instant::now() + time;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let error = match self.lookup(scope, name).await {
                Ok(handle) => return Ok(handle),
                Err(NameError::Lookup(
                    error @ (LookupError::Mismatch(_) | LookupError::Denied(_)),
                )) => return Err(NameError::Lookup(error)),
                Err(error) => error,
            };
            let pause = self.0.node.config().max_backoff;
            let soon = deadline.min(Instant::now() + pause);
            // Whether something has changed or not, it is tried again.
            let _ = timeout_at(soon, changes.changed()).await;
            if Instant::now() >= deadline {
                return Err(error);
            }
        }
    }

    /// On which node the actor is that has a name in a scope.
    pub fn holder(&self, scope: &str, name: &str) -> Option<PeerInfo> {
        let holder = self.0.directory.holder(&Key::new(Kind::Name, scope, name));
        holder.map(|(holder, _)| holder.peer())
    }

    /// The names in a scope, in order, and on which node each actor is.
    pub fn list(&self, scope: &str) -> Vec<(Arc<str>, PeerInfo)> {
        self.0.directory.list(Kind::Name, scope)
    }

    /// A number that grows whenever names or members may have changed.
    pub fn changes(&self) -> Receiver<u64> {
        self.0.directory.changes()
    }

    /// The membership that it goes by.
    pub fn membership(&self) -> &Membership {
        &self.0.membership
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("node", self.0.node.info())
            .finish_non_exhaustive()
    }
}
