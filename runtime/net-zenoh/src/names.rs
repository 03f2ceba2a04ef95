//! Names of actors, each a liveliness token: which node has the actor that has a name in a scope.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanemesh_net::{
    ExportOptions, LookupError, PeerInfo, Remote,
    discovery::Discovering,
    names::{NameEnd, NameError, RegisterError},
};
use lanemesh_runtime::ActorHandle;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{
    calls::TokenGuard,
    live::{Holder, Later, Name, Token},
    nodes::Nodes,
};

/// Bytes of a scope, and of a name.
const MAX_LENGTH: (usize, usize) = (255, 1024);
/// Names of one node.
const MAX_NAMES: usize = 1 << 16;
/// How long [`Names::lookup`] waits for a link.
const LINK_TIME: Duration = Duration::from_secs(5);
/// The pause before a look-up is tried again of which nothing has changed.
const PAUSE: Duration = Duration::from_millis(500);

/// A node's part in the names. A clone is the same; when the last one is dropped, the names of this node are gone.
///
/// Unlike [`lanemesh_net::names`], which are told over the links of a node to all others, these need no links: a
/// look-up makes the link that it needs, and keeps it as long as the other node is there.
///
/// Of two actors with the same name that were registered in ignorance of each other, the one counts that was registered with
/// more knowledge of other names, and otherwise that of the later incarnation of a node; the other one is told that
/// it has lost the name. In a network that is cut in two each half may have an actor of the same name.
#[derive(Clone)]
pub struct Names(Arc<Inside>);

struct Inside {
    nodes: Nodes,
    registry: Arc<Registry>,
    /// Links to nodes that have actors which were looked up.
    links: Mutex<BTreeMap<PeerInfo, Discovering>>,
    judge: JoinHandle<()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.judge.abort();
        let ids: Vec<_> = self.registry.lock().own.keys().copied().collect();
        for id in ids {
            self.registry.end(id, NameEnd::Closed);
        }
    }
}

/// The names of this node.
struct Registry {
    nodes: Nodes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    own: BTreeMap<u64, Own>,
}

struct Own {
    name: Name,
    holder: Holder,
    ended: watch::Sender<Option<NameEnd>>,
    /// Until it is declared: none.
    token: Option<TokenGuard>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a registration, unless it has ended.
    fn end(&self, id: u64, why: NameEnd) {
        let own = self.lock().own.remove(&id);
        if let Some(own) = own {
            self.nodes.node().withdraw(&own.holder.export());
            own.ended.send_replace(Some(why));
            drop(own.token);
        }
    }

    /// Gives up the names that others have too and that count there.
    fn judge(&self) {
        let live = &self.nodes.hub().live;
        let lost: Vec<_> = {
            let state = self.lock();
            let lost = state.own.iter().filter_map(|(id, own)| {
                let greatest = live.holder(&own.name)?;
                (greatest > own.holder).then(|| (*id, greatest.peer()))
            });
            lost.collect()
        };
        for (id, peer) in lost {
            self.end(id, NameEnd::Lost(peer));
        }
    }
}

impl Names {
    /// Takes part in the names of the network.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn join(nodes: &Nodes) -> Self {
        let registry = Arc::new(Registry {
            nodes: nodes.clone(),
            state: Mutex::default(),
        });
        let (judging, mut changes) = (registry.clone(), nodes.hub().live.changes());
        let judge = tokio::spawn(async move {
            loop {
                judging.judge();
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Self(Arc::new(Inside {
            nodes: nodes.clone(),
            registry,
            links: Mutex::default(),
            judge,
        }))
    }

    /// Gives an actor of this node a name in a scope: each scope has names of its own. The name is the actor's
    /// until the registration is dropped, the actor ends, or another node turns out to have it.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`]; `Closed` also stands for what Zenoh reports.
    ///
    /// # Cancel safety
    ///
    /// The name is not registered then.
    pub async fn register<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        handle: &ActorHandle<A>,
    ) -> Result<Registration, RegisterError> {
        self.register_with(scope, name, handle, ExportOptions::new())
            .await
    }

    /// As [`register`](Self::register), with limits on who may do what.
    ///
    /// # Errors
    ///
    /// As for [`register`](Self::register).
    ///
    /// # Cancel safety
    ///
    /// As for [`register`](Self::register).
    pub async fn register_with<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<Registration, RegisterError> {
        if scope.len() > MAX_LENGTH.0 || name.len() > MAX_LENGTH.1 {
            return Err(RegisterError::TooLong);
        }
        let key = Name {
            scope: scope.into(),
            name: name.into(),
        };
        let Inside {
            nodes, registry, ..
        } = &*self.0;
        let (ended_tx, ended) = watch::channel(None);
        let (id, holder) = {
            let mut state = registry.lock();
            let me = &nodes.me().node;
            if state.own.values().any(|own| own.name == key) {
                return Err(RegisterError::Taken(me.clone()));
            }
            // What is left of an earlier life of this node does not count.
            let is_ours = |holder: &Holder| {
                holder.node.name == me.name && holder.node.incarnation <= me.incarnation
            };
            if let Some(holder) = nodes.hub().live.holder(&key)
                && !is_ours(&holder)
            {
                return Err(RegisterError::Taken(holder.peer()));
            }
            if state.own.len() >= MAX_NAMES {
                return Err(RegisterError::TooMany);
            }
            let id = state.next_id;
            state.next_id += 1;
            let holder = Holder {
                term: nodes.hub().live.greatest_term().saturating_add(1),
                node: Later {
                    incarnation: me.incarnation,
                    name: me.name.clone(),
                },
                id,
            };
            let own = Own {
                name: key.clone(),
                holder: holder.clone(),
                ended: ended_tx,
                token: None,
            };
            state.own.insert(id, own);
            (id, holder)
        };
        // From here on, its drop takes everything back.
        let mut registration = Registration {
            registry: registry.clone(),
            id,
            name: key.clone(),
            ended,
            monitor: None,
        };
        let exported = nodes.node().export_with(holder.export(), handle, options);
        exported.map_err(RegisterError::Export)?;
        let token = Token::Name(nodes.hub().inbox(), key, holder);
        let token = nodes.hub().declare(&token).await;
        let token = token.map_err(|error| {
            tracing::warn!(%error, "a name was not declared");
            RegisterError::Closed
        })?;
        if let Some(own) = registry.lock().own.get_mut(&id) {
            own.token = Some(token);
        }
        let (monitor, registry) = (handle.monitor(), registry.clone());
        registration.monitor = Some(tokio::spawn(async move {
            monitor.await;
            registry.end(id, NameEnd::Ended);
        }));
        Ok(registration)
    }

    /// On which node the actor is that has a name in a scope.
    pub fn holder(&self, scope: &str, name: &str) -> Option<PeerInfo> {
        let name = Name {
            scope: scope.into(),
            name: name.into(),
        };
        let holder = self.0.nodes.hub().live.holder(&name)?;
        Some(holder.peer())
    }

    /// The names in a scope, in order, and on which node each actor is.
    pub fn list(&self, scope: &str) -> Vec<(Arc<str>, PeerInfo)> {
        let names = self.0.nodes.hub().live.names(scope).into_iter();
        names
            .map(|(name, holder)| (name.name, holder.peer()))
            .collect()
    }

    /// A number that grows whenever names or nodes may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.nodes.hub().live.changes()
    }

    /// A handle of the actor that has a name in a scope, wherever it is. One of this node is a local one. If there is no link to
    /// the node, it is made, which may take 5 s.
    ///
    /// # Errors
    ///
    /// See [`NameError`].
    ///
    /// # Cancel safety
    ///
    /// The link may be made nevertheless.
    pub async fn lookup<A: Remote>(
        &self,
        scope: &str,
        name: &str,
    ) -> Result<ActorHandle<A>, NameError> {
        self.lookup_once(scope, name, Instant::now() + LINK_TIME)
            .await
    }

    /// As [`lookup`](Self::lookup), and tries again for some time while there is no such name or no link.
    ///
    /// # Errors
    ///
    /// See [`NameError`]: what the last attempt failed with.
    ///
    /// # Cancel safety
    ///
    /// As for [`lookup`](Self::lookup).
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
            let error = match self.lookup_once(scope, name, deadline).await {
                Ok(handle) => return Ok(handle),
                Err(NameError::Lookup(
                    error @ (LookupError::Mismatch(_) | LookupError::Denied(_)),
                )) => return Err(NameError::Lookup(error)),
                Err(error) => error,
            };
            let soon = deadline.min(Instant::now() + PAUSE);
            // Whether something has changed or not, it is tried again.
            let _ = timeout_at(soon, changes.changed()).await;
            if Instant::now() >= deadline {
                return Err(error);
            }
        }
    }

    async fn lookup_once<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<ActorHandle<A>, NameError> {
        let nodes = &self.0.nodes;
        let name = Name {
            scope: scope.into(),
            name: name.into(),
        };
        let holder = nodes.hub().live.holder(&name);
        let holder = holder.ok_or(NameError::Unknown)?;
        let peer = holder.peer();
        if peer != nodes.me().node {
            self.linked(&peer, deadline).await?;
        }
        let lookup = nodes.node().lookup(holder.export()).on(peer.name);
        lookup.await.map_err(NameError::Lookup)
    }

    /// Waits for a link to a node, and keeps one from now on.
    async fn linked(&self, peer: &PeerInfo, deadline: Instant) -> Result<(), NameError> {
        let node = self.0.nodes.node();
        let is_linked = || node.links().iter().any(|link| link.peer == *peer);
        let mut events = node.events();
        {
            let known = self.0.nodes.list();
            let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.retain(|peer, _| known.iter().any(|member| member.node == *peer));
            let Some(member) = known.into_iter().find(|member| member.node == *peer) else {
                return Err(NameError::Unreachable(peer.clone()));
            };
            let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
            links
                .entry(peer.clone())
                .or_insert_with(|| node.discover(addresses));
        }
        while !is_linked() {
            // An event that was missed is one that has come.
            if timeout_at(deadline, events.recv()).await.is_err() {
                return Err(NameError::Unreachable(peer.clone()));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("me", &self.0.nodes.me().node)
            .finish_non_exhaustive()
    }
}

/// The name of an actor. It is given up when this is dropped; the actor stays.
#[must_use = "a registration ends when it is dropped"]
pub struct Registration {
    registry: Arc<Registry>,
    id: u64,
    name: Name,
    ended: watch::Receiver<Option<NameEnd>>,
    monitor: Option<JoinHandle<()>>,
}

impl Registration {
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
        if let Some(monitor) = &self.monitor {
            monitor.abort();
        }
        self.registry.end(self.id, NameEnd::Dropped);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}
