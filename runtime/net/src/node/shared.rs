//! What the tasks of a node have together: its links, its exports, and who was here before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use lanemesh_runtime::ActorHandle;
use tokio::sync::{broadcast, oneshot, watch};

use super::{
    export::{Export, ExportOptions, Exported},
    handshake::{Identity, MAX_NAME, Verdict},
    pairing::{Claim, Pairing},
    refusals::Counts,
};
use crate::{
    access::Access,
    config::Config,
    error::{ConnectError, ExportError, refusal},
    event::{DownReason, Event, PeerInfo},
    lane::Directory,
    link::{Host, Link, Open, OwnLane},
    media::{Plane, Sink, Tracks},
    remote::Remote,
    token::Token,
    transport::{Connection, Transport},
    wire::Codec,
};

/// Events that a listener may be behind.
const EVENTS: usize = 1024;
/// Bytes that the name of an export may have.
const MAX_EXPORT_NAME: usize = 4096;

pub(crate) struct Shared {
    identity: Identity,
    pub(super) config: Arc<Config>,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    pub(super) pairing: Arc<Pairing>,
    /// The last incarnation of each node that was linked to.
    incarnations: Mutex<BTreeMap<Arc<str>, u64>>,
    exports: Mutex<BTreeMap<Arc<str>, Arc<dyn Exported>>>,
    /// The tokens of links whose peers came with one, by the numbers of the links.
    tokens: Mutex<HashMap<u64, Token>>,
    /// The sections of links that have some, by the numbers of the links.
    planes: Mutex<HashMap<u64, Arc<Plane>>>,
    pub(super) waiting: Mutex<HashMap<(PeerInfo, u64), Waiting>>,
    events: broadcast::Sender<Event>,
    changes: watch::Sender<u64>,
    is_closed: watch::Sender<bool>,
    next_link: AtomicU64,
    next_lane: AtomicU32,
    next_pump: AtomicU32,
    random: Mutex<fastrand::Rng>,
    pub(super) refusals: Counts,
}

/// A connection for high that waits for that for low.
pub(super) struct Waiting {
    pub(super) token: Option<Token>,
    /// With the right to make the link, and not welcomed yet; none if this node makes it.
    pub(super) low: oneshot::Sender<Option<(Connection, Claim)>>,
}

/// Links whose place another one has taken.
#[must_use]
pub(super) struct Replaced(Vec<Arc<Link>>);

impl Replaced {
    /// Ready when nothing more arrives by them.
    pub(super) async fn settled(self) {
        for link in self.0 {
            link.settled().await;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        identity: Identity,
        config: Config,
        transports: BTreeMap<String, Arc<dyn Transport>>,
        seed: Option<u64>,
    ) -> Self {
        assert!(
            !identity.me.name.is_empty() && identity.me.name.len() <= MAX_NAME,
            "the name of a node has 1 to 255 bytes"
        );
        Self {
            identity,
            config: Arc::new(config),
            transports,
            pairing: Arc::default(),
            incarnations: Mutex::default(),
            exports: Mutex::default(),
            tokens: Mutex::default(),
            planes: Mutex::default(),
            waiting: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            changes: watch::Sender::new(0),
            is_closed: watch::Sender::new(false),
            next_link: AtomicU64::new(1),
            next_lane: AtomicU32::new(0),
            next_pump: AtomicU32::new(1),
            random: Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            refusals: Counts::default(),
        }
    }

    pub(crate) fn me(&self) -> &PeerInfo {
        &self.identity.me
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether this node can prove who it is to strangers, as one that connects.
    pub(super) fn has_proof(&self) -> bool {
        self.identity.secret.is_some() || self.identity.token.is_some()
    }

    /// Whether strangers can prove to this node who they are.
    pub(super) fn asks_for_proof(&self) -> bool {
        self.identity.secret.is_some() || self.identity.token_key.is_some()
    }

    /// The transport of an address, and what follows the scheme. If strangers may be at the other end, the node
    /// `is_safe` from them, or it is an error.
    pub(super) fn transport<'a>(
        &self,
        address: &'a str,
        is_safe: bool,
    ) -> Result<(&str, &Arc<dyn Transport>, &'a str), ConnectError> {
        let unknown = || ConnectError::Address(address.to_owned());
        let (scheme, rest) = address.split_once(':').ok_or_else(unknown)?;
        let found = self.transports.get_key_value(scheme);
        let (scheme, transport) = found.ok_or_else(unknown)?;
        if !transport.is_private() && !is_safe {
            return Err(ConnectError::NoSecret);
        }
        Ok((scheme, transport, rest.strip_prefix("//").unwrap_or(rest)))
    }

    pub(super) fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        lock(&self.random)
    }

    // --- links --------------------------------------------------------------------------------

    /// Whether a node may be linked to.
    pub(super) fn judge(&self, peer: &PeerInfo) -> Verdict {
        if *self.is_closed.borrow() {
            return Verdict::Closing;
        }
        if peer.name == self.me().name {
            return Verdict::OwnName;
        }
        match lock(&self.incarnations).get(&peer.name) {
            Some(&known) if known > peer.incarnation => Verdict::Stale,
            _ => Verdict::Welcome,
        }
    }

    /// Makes the link to a node whose two connections are there, and takes down those that it takes the place of, which
    /// are returned too: what they have brought is before all that this one brings.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: PeerInfo,
        token: Option<Token>,
        claim: Claim,
    ) -> Result<(Arc<Link>, Replaced), Verdict> {
        match self.judge(&peer) {
            Verdict::Welcome => {}
            verdict => return Err(verdict),
        }
        lock(&self.incarnations).insert(peer.name.clone(), peer.incarnation);
        // ORDERING: Relaxed: only the uniqueness of the number matters.
        let number = self.next_link.fetch_add(1, Ordering::Relaxed);
        if let Some(token) = token {
            lock(&self.tokens).insert(number, token);
        }
        let link = Link::new(number, peer.clone(), self.config.clone(), self.clone());
        let replaced = self.pairing.insert(link.clone(), &claim);
        drop(claim);
        for link in &replaced {
            link.close(DownReason::Replaced);
        }
        tracing::info!(%peer, "a link is up");
        self.event(Event::LinkUp { peer });
        self.changed();
        Ok((link, Replaced(replaced)))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The links to a node, or to all; the newest first.
    pub(super) fn links_to(&self, name: Option<&str>) -> Vec<Arc<Link>> {
        self.pairing.links_to(name)
    }

    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// A link has sections, until it is down.
    pub(super) fn add_plane(&self, link: &Link, plane: Arc<Plane>) {
        lock(&self.planes).insert(link.number(), plane);
    }

    pub(super) fn plane(&self, link: &Link) -> Option<Arc<Plane>> {
        lock(&self.planes).get(&link.number()).cloned()
    }

    /// What the peer of a link may do with an actor at most.
    fn allowed(&self, link: &Link, name: &str) -> Access {
        let tokens = lock(&self.tokens);
        let all = Access::ALL.and_stop();
        tokens
            .get(&link.number())
            .map_or(all, |token| token.access(name))
    }

    // --- exports ------------------------------------------------------------------------------

    pub(super) fn export<A: Remote>(
        &self,
        name: Arc<str>,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<(), ExportError> {
        if name.len() > MAX_EXPORT_NAME {
            return Err(ExportError::NameTooLong);
        }
        let export = Arc::new(Export::new(handle, options));
        let replaced = {
            let mut exports = lock(&self.exports);
            // What is here when it is closed is dropped after that is said.
            self.open().map_err(|_| ExportError::Closed)?;
            if exports.get(&name).is_some_and(|known| known.is_alive()) {
                return Err(ExportError::NameTaken);
            }
            exports.insert(name, export)
        };
        drop(replaced);
        Ok(())
    }

    pub(super) fn withdraw(&self, name: &str) -> bool {
        let withdrawn = lock(&self.exports).remove(name);
        withdrawn.is_some()
    }

    /// An export, and what the token of a link lets through of it. Or why there is none for that link, as it is told.
    fn granted(
        &self,
        link: &Link,
        name: &str,
    ) -> Result<(Arc<dyn Exported>, Access), (u8, String)> {
        let allowed = self.allowed(link, name);
        if allowed == Access::NONE {
            // Whether there is such an actor, it may not know either.
            let text = format!("the token does not grant {name}");
            return Err((refusal::DENIED, text));
        }
        let export = self.find_export(name);
        let export = export.ok_or_else(|| (refusal::UNKNOWN, format!("{name} is not exported")))?;
        Ok((export, allowed))
    }

    fn find_export(&self, name: &str) -> Option<Arc<dyn Exported>> {
        let export = lock(&self.exports).get(name).cloned();
        export.filter(|export| export.is_alive())
    }

    /// The handle of an exported actor, if it is an `A`.
    pub(super) fn exported<A: Remote>(&self, name: &str) -> Option<ActorHandle<A>> {
        let export = self.find_export(name)?;
        let export = export.as_any().downcast_ref::<Export<A>>()?;
        Some(export.handle())
    }

    // --- the end ------------------------------------------------------------------------------

    /// An error if the node is closed.
    pub(super) fn open(&self) -> Result<(), ConnectError> {
        match *self.is_closed.borrow() {
            true => Err(ConnectError::Closed),
            false => Ok(()),
        }
    }

    pub(super) fn close(&self) {
        self.is_closed.send_replace(true);
        lock(&self.waiting).clear();
        for link in self.links_to(None) {
            link.finish();
        }
        let exports = std::mem::take(&mut *lock(&self.exports));
        drop(exports);
    }

    /// Ready when the node is closed.
    pub(super) async fn closed(&self) {
        let mut is_closed = self.is_closed.subscribe();
        // The sender is in `self`.
        let _ = is_closed.wait_for(|is_closed| *is_closed).await;
    }

    /// Ready when there is a link to a node.
    pub(super) async fn linked(&self, name: &str) {
        let mut changes = self.changes.subscribe();
        while self.links_to(Some(name)).is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ready when there are no links to a node, or none at all.
    pub(super) async fn unlinked(&self, name: Option<&str>) {
        let mut changes = self.changes.subscribe();
        while !self.links_to(name).is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Host for Shared {
    fn open(&self, link: &Arc<Link>, open: &Open<'_>) -> Result<OwnLane, (u8, String)> {
        let (export, allowed) = self.granted(link, open.name)?;
        export.open(link, open, allowed)
    }

    fn loose(&self, link: &Arc<Link>, name: &str, codec: Codec, payload: &[u8]) -> bool {
        let allowed = self.allowed(link, name);
        let export = self.find_export(name).filter(|_| allowed.low);
        export.is_some_and(|export| export.loose(link, codec, payload, allowed))
    }

    fn next_lane(&self) -> u32 {
        // ORDERING: Relaxed: only that the number differs from those of other open lanes matters.
        self.next_lane.fetch_add(1, Ordering::Relaxed)
    }

    fn down(&self, link: &Arc<Link>) {
        let is_last = self.pairing.remove(link);
        let token = lock(&self.tokens).remove(&link.number());
        let plane = lock(&self.planes).remove(&link.number());
        drop(plane);
        if token.is_some() && is_last {
            // Names that tokens cover are without number, and what was there before them cannot do harm.
            lock(&self.incarnations).remove(&link.peer().name);
        }
        self.changed();
    }

    fn event(&self, event: Event) {
        // Nobody may listen.
        let _ = self.events.send(event);
    }
}

impl Tracks for Shared {
    fn sink(&self, link: &Arc<Link>, track: &str) -> Result<Sink, (u8, String)> {
        let (export, allowed) = self.granted(link, track)?;
        export.sink(link, track, allowed)
    }
}

impl Directory for Shared {
    fn link_to(&self, name: &str) -> Option<Arc<Link>> {
        self.links_to(Some(name)).into_iter().next()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn next_pump(&self) -> u32 {
        // ORDERING: Relaxed: only that the number differs from those of other living pumps matters.
        self.next_pump.fetch_add(1, Ordering::Relaxed)
    }
}
