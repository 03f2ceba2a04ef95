//! The actors of this node that others can look up.

use std::{any::Any, sync::Arc};

use lanemesh_runtime::{ActorHandle, SharedHandle};

use crate::{
    error::refusal,
    lane::{Landing, Rights},
    link::{Link, Open, OwnLane},
    remote::{Remote, common_version},
};

/// Who may reach an exported actor, and how.
///
/// # Examples
///
/// ```
/// use lanemesh_net::ExportOptions;
///
/// let options = ExportOptions::new().only(["gateway"]).without_low().with_stop();
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct ExportOptions {
    peers: Option<Vec<String>>,
    rights: Rights,
}

impl ExportOptions {
    /// Every node, messages of both classes, no stops.
    pub fn new() -> Self {
        Self {
            peers: None,
            rights: Rights {
                high: true,
                low: true,
                orders: false,
            },
        }
    }

    /// Only the nodes of these names.
    pub fn only<N: Into<String>>(mut self, peers: impl IntoIterator<Item = N>) -> Self {
        self.peers = Some(peers.into_iter().map(Into::into).collect());
        self
    }

    /// No high-priority messages: one ends the sender's lane.
    pub fn without_high(mut self) -> Self {
        self.rights.high = false;
        self
    }

    /// No low-priority messages: one ends the sender's lane.
    pub fn without_low(mut self) -> Self {
        self.rights.low = false;
        self
    }

    /// Other nodes may `stop`, `drain` and `kill` the actor. Without this, an attempt ends their lane.
    pub fn with_stop(mut self) -> Self {
        self.rights.orders = true;
        self
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// An exported actor, whatever its type.
pub(super) trait Exported: Send + Sync {
    fn is_alive(&self) -> bool;

    fn open(&self, link: &Arc<Link>, open: &Open<'_>) -> Result<OwnLane, (u8, String)>;

    fn as_any(&self) -> &dyn Any;
}

pub(super) struct Export<A: Remote> {
    handle: SharedHandle<A>,
    options: ExportOptions,
}

impl<A: Remote> Export<A> {
    pub(super) fn new(handle: &ActorHandle<A>, options: ExportOptions) -> Self {
        let handle = handle.clone().shared();
        Self { handle, options }
    }

    pub(super) fn handle(&self) -> ActorHandle<A> {
        self.handle.handle()
    }
}

impl<A: Remote> Exported for Export<A> {
    fn is_alive(&self) -> bool {
        self.handle.is_alive()
    }

    fn open(&self, link: &Arc<Link>, open: &Open<'_>) -> Result<OwnLane, (u8, String)> {
        let peer = &*link.peer().name;
        if let Some(peers) = &self.options.peers
            && !peers.iter().any(|known| known == peer)
        {
            let text = format!("{} is not exported to {peer}", open.name);
            return Err((refusal::DENIED, text));
        }
        if open.kind != A::TYPE {
            let text = format!("{} is of type {}, not {}", open.name, A::TYPE, open.kind);
            return Err((refusal::MISMATCH, text));
        }
        let Some(version) = common_version(&A::VERSIONS, open.versions) else {
            let (start, end) = open.versions;
            let text = format!(
                "{} has the versions {:?} of {}, and {peer} has {start}..={end}",
                open.name,
                A::VERSIONS,
                A::TYPE,
            );
            return Err((refusal::MISMATCH, text));
        };
        let rights = self.options.rights;
        let landing = Landing::open(link, open.lane, self.handle.handle(), rights);
        Ok(OwnLane { version, landing })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
