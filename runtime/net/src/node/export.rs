//! The actors of this node that others can look up.

use std::{any::Any, sync::Arc};

use lanemesh_runtime::{ActorHandle, SharedHandle, edge::Outlet};

use crate::{
    access::{Access, covers},
    error::refusal,
    lane::{Landing, Left},
    link::{Link, Open, OwnLane},
    media::Sink,
    remote::{Remote, common_version},
    wire::{Codec, Codecs, decode},
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
    /// Of those that have no grant of their own.
    rights: Access,
    grants: Vec<(String, Access)>,
    /// Takes low-priority messages that may be lost, which come without credit.
    is_loose: bool,
    /// Takes frames that come by RTP.
    frames: Option<Sink>,
}

impl ExportOptions {
    /// Every node, messages of both classes, no stops.
    pub fn new() -> Self {
        Self {
            peers: None,
            rights: Access::ALL,
            grants: Vec::new(),
            is_loose: false,
            frames: None,
        }
    }

    pub(crate) fn with_loose(mut self) -> Self {
        self.is_loose = true;
        self
    }

    /// Frames of sections go there.
    pub(crate) fn with_frames(mut self, sink: Sink) -> Self {
        self.frames = Some(sink);
        self
    }

    /// Only the nodes of these names, and those that have a [`grant`](Self::grant).
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
        self.rights.stop = true;
        self
    }
}

impl ExportOptions {
    /// What the node of this name may do, in place of what all may. A name that ends with `*` is for all names that begin
    /// like it. The first grant for a node counts.
    pub fn grant(mut self, node: impl Into<String>, access: Access) -> Self {
        self.grants.push((node.into(), access));
        self
    }

    fn access(&self, node: &str) -> Access {
        let mut grants = self.grants.iter();
        if let Some((_, access)) = grants.find(|(pattern, _)| covers(pattern, node)) {
            return *access;
        }
        match &self.peers {
            Some(peers) if !peers.iter().any(|known| known == node) => Access::NONE,
            _ => self.rights,
        }
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

    /// `allowed` is the most that the peer may do.
    fn open(
        &self,
        link: &Arc<Link>,
        open: &Open<'_>,
        allowed: Access,
    ) -> Result<OwnLane, (u8, String)>;

    /// Gives a message that may be lost to the actor, if that takes such, the peer may send to it, and there is room.
    /// Returns whether it is in the mailbox.
    fn loose(&self, link: &Link, codec: Codec, payload: &[u8], allowed: Access) -> bool;

    /// Where frames of the peer go, if it may send them, and this takes such.
    fn sink(&self, link: &Link, name: &str, allowed: Access) -> Result<Sink, (u8, String)>;

    fn as_any(&self) -> &dyn Any;
}

pub(super) struct Export<A: Remote> {
    handle: SharedHandle<A>,
    options: ExportOptions,
    left: Arc<Left<A>>,
}

impl<A: Remote> Export<A> {
    pub(super) fn new(handle: &ActorHandle<A>, options: ExportOptions) -> Self {
        let handle = handle.clone().shared();
        let left = Arc::default();
        Self {
            handle,
            options,
            left,
        }
    }

    pub(super) fn handle(&self) -> ActorHandle<A> {
        self.handle.handle()
    }
}

impl<A: Remote> Exported for Export<A> {
    fn is_alive(&self) -> bool {
        self.handle.is_alive()
    }

    fn open(
        &self,
        link: &Arc<Link>,
        open: &Open<'_>,
        allowed: Access,
    ) -> Result<OwnLane, (u8, String)> {
        let peer = &*link.peer().name;
        let rights = self.options.access(peer).and(allowed);
        if rights == Access::NONE {
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
        let Some(codec) = Codecs::OWN.common(open.codecs) else {
            let text = format!("{} and {peer} have no codec in common", open.name);
            return Err((refusal::MISMATCH, text));
        };
        let outlet = self.left.take(link.peer(), open.lane);
        let outlet = outlet.unwrap_or_else(|| Outlet::new(self.handle.handle()));
        let (outlet, has_room) = ((outlet, &self.left), open.codecs.has_room());
        let landing = Landing::open(link, open.lane, codec, outlet, rights, has_room);
        Ok(OwnLane {
            version,
            codec,
            landing,
        })
    }

    fn loose(&self, link: &Link, codec: Codec, payload: &[u8], allowed: Access) -> bool {
        let rights = self.options.access(&link.peer().name).and(allowed);
        if !(self.options.is_loose && rights.low) {
            return false;
        }
        match decode::<A::LowPriorityMsg>(codec, payload) {
            Ok((message, answers)) => {
                // Nobody could be answered.
                answers.is_empty() && self.handle().try_send_low(message).is_ok()
            }
            Err(error) => {
                tracing::debug!(%error, "a message that may be lost is wrong");
                false
            }
        }
    }

    fn sink(&self, link: &Link, name: &str, allowed: Access) -> Result<Sink, (u8, String)> {
        let peer = &*link.peer().name;
        if !self.options.access(peer).and(allowed).low {
            let text = format!("{name} is not exported to {peer}");
            return Err((refusal::DENIED, text));
        }
        let sink = self.options.frames.clone();
        sink.ok_or_else(|| (refusal::MISMATCH, format!("{name} is no track")))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
