//! A node: this process among those that it is linked to.

mod accept;
mod check;
mod dial;
mod export;
mod handshake;
#[cfg(test)]
mod hostile_tests;
mod known;
mod lookup;
mod pairing;
mod refusals;
mod rooms;
mod shared;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lanemesh_runtime::{ActorHandle, observe::Tree};
use tokio::{sync::broadcast, time::timeout};

pub(crate) use self::rooms::Dialled;
pub use self::{
    check::check_beginning, export::ExportOptions, known::Known, lookup::Lookup, refusals::Refusals,
};
use self::{handshake::Identity, shared::Shared};
#[cfg(feature = "websocket")]
use crate::transport::WebSocket;
use crate::{
    config::Config,
    error::{ConnectError, ExportError},
    event::{DownReason, Event, PeerInfo},
    link::{LooseTraffic, Traffic},
    media::MediaTraffic,
    remote::Remote,
    transport::{Tcp, Transport},
    wire::Class,
};

/// This process among others: it exports actors, looks up those of its peers, and keeps the links.
///
/// A clone is the same node. When the last one is dropped, the links are closed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_net::{Node, Remote, transport::InProcess};
/// use lanemesh_runtime::{prelude::*, spawn};
/// use serde::{Deserialize, Serialize};
///
/// struct Counter(u64);
///
/// #[derive(Serialize, Deserialize)]
/// enum Msg {
///     Add(u64),
///     Get(Reply<u64>),
/// }
///
/// impl Handler for Counter {
///     type Msg = Msg;
///
///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Msg::Add(n) => self.0 += n,
///             Msg::Get(reply) => drop(reply.send(self.0)), // the asker may be gone
///         }
///         Ok(())
///     }
/// }
///
/// impl Remote for Counter {
///     const TYPE: &'static str = "example/counter";
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = InProcess::default(); // or no transport, and addresses such as tcp://host:port
/// let home = Node::builder("home").transport("mem", network.clone()).build();
/// let address = home.bind("mem:home").await?;
/// let (counter, _child) = spawn(Counter(0));
/// home.export("counter", &counter)?;
///
/// let away = Node::builder("away").transport("mem", network).build();
/// away.connect(&address).await?;
/// let mut counter = away.lookup::<Counter>("counter").await?;
/// counter.tell(Msg::Add(2)).await?;
/// assert_eq!(counter.ask(Msg::Get, Duration::from_secs(1)).await?, 2);
/// away.shutdown(Duration::from_secs(1)).await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    /// None in the tasks of the node.
    _alive: Option<Arc<Alive>>,
}

/// Closes the node when the last clone is gone: its tasks have the shared part too.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Describes a [`Node`].
#[must_use = "a builder does nothing until it is built"]
pub struct NodeBuilder {
    name: Arc<str>,
    incarnation: Option<u64>,
    secret: Option<Vec<u8>>,
    token_key: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    config: Config,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    seed: Option<u64>,
}

impl NodeBuilder {
    /// What all nodes of a network know, and nobody else: at least 16 random bytes. Without it, only
    /// addresses that no stranger reaches can be used, such as Unix sockets.
    ///
    /// It authenticates connections when they are made. What follows on a `tcp://` connection is not encrypted.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Lets in peers with tokens that were signed with this key: at least 16 random bytes, which are not the secret.
    /// Browsers come in this way.
    ///
    /// # Panics
    ///
    /// If it has less than 16 bytes.
    pub fn token_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        let key = key.into();
        assert!(key.len() >= 16, "a key has at least 16 bytes");
        self.token_key = Some(key);
        self
    }

    /// Shows this token, made by [`Token::sign`](crate::Token::sign), to the nodes that it connects to, and does not
    /// prove that it knows the secret. They prove nothing either: use a transport that does, such as `wss`.
    ///
    /// # Panics
    ///
    /// If the text is not a token.
    pub fn token(mut self, token: &str) -> Self {
        let bytes = crate::token::bytes(token);
        self.token = Some(bytes.expect("a token is an even number of hexadecimal digits"));
        self
    }

    /// Times and limits.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Which life of the node this is. It must be greater than that of the one before. Default:
    /// microseconds since 1970.
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Uses `transport` for addresses that begin with `scheme` and a colon.
    pub fn transport(mut self, scheme: &str, transport: impl Transport) -> Self {
        let transport = Arc::new(transport);
        self.transports.insert(scheme.to_owned(), transport);
        self
    }

    /// Makes the random parts of pauses repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the node.
    ///
    /// # Panics
    ///
    /// If the name is empty or has more than 255 bytes, or if a setting makes no sense: [`Config::max_frame`],
    /// [`Config::heartbeat`].
    pub fn build(self) -> Node {
        if let Some(mistake) = self.config.mistake() {
            panic!("{mistake}");
        }
        let incarnation = self.incarnation.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_micros() as u64)
        });
        let me = PeerInfo {
            name: self.name,
            incarnation,
        };
        let identity = Identity {
            me,
            secret: self.secret,
            token_key: self.token_key,
            token: self.token,
        };
        let shared = Shared::new(identity, self.config, self.transports, self.seed);
        let shared = Arc::new(shared);
        let alive = Arc::new(Alive(shared.clone()));
        Node {
            shared,
            _alive: Some(alive),
        }
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Describes a node of this name, which no other node of the network has. It can use the addresses
    /// `tcp://host:port`, on Unix `unix:/path`, and with the feature `websocket` `ws://host:port/path`.
    pub fn builder(name: impl Into<Arc<str>>) -> NodeBuilder {
        let mut transports: BTreeMap<String, Arc<dyn Transport>> = BTreeMap::new();
        transports.insert("tcp".to_owned(), Arc::new(Tcp));
        #[cfg(feature = "websocket")]
        transports.insert("ws".to_owned(), Arc::new(WebSocket::new()));
        #[cfg(unix)]
        transports.insert("unix".to_owned(), Arc::new(crate::transport::Unix));
        NodeBuilder {
            name: name.into(),
            incarnation: None,
            secret: None,
            token_key: None,
            token: None,
            config: Config::default(),
            transports,
            seed: None,
        }
    }

    /// Its name and incarnation.
    pub fn info(&self) -> &PeerInfo {
        self.shared.me()
    }

    /// Its times and limits.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Accepts connections at an address. Returns the address, with the port that was chosen if it was 0.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn bind(&self, address: &str) -> Result<String, ConnectError> {
        self.shared.open()?;
        let is_safe = self.shared.asks_for_proof();
        let (scheme, transport, rest) = self.shared.transport(address, is_safe)?;
        let is_private = transport.is_private();
        let listener = transport.listen(rest).await?;
        let separator = if address[scheme.len()..].starts_with("://") {
            "://"
        } else {
            ":"
        };
        let bound = format!("{scheme}{separator}{}", listener.address());
        tokio::spawn(accept::listen(self.shared.clone(), listener, is_private));
        Ok(bound)
    }

    /// Links this node to the one at an address, and keeps it so: a link that is lost is made again, with
    /// pauses that grow, until this node is gone. If there is a link to that node, or it makes one in the same
    /// moment, that is the link.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]: when the first attempt fails, there is no second.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may leave connections that the other end drops.
    pub async fn connect(&self, address: &str) -> Result<PeerInfo, ConnectError> {
        let dialled = dial::dial_until_linked(&self.shared, address).await?;
        let peer = dialled.peer().clone();
        let kept = dial::keep(self.shared.clone(), address.to_owned(), dialled);
        tokio::spawn(kept);
        Ok(peer)
    }

    /// Lets the peers look an actor up by a name: any peer, messages of both classes, and no stops.
    ///
    /// As long as it is exported, the actor does not end because nobody holds a handle.
    ///
    /// # Errors
    ///
    /// See [`ExportError`].
    pub fn export<A: Remote>(
        &self,
        name: impl Into<Arc<str>>,
        handle: &ActorHandle<A>,
    ) -> Result<(), ExportError> {
        self.export_with(name, handle, ExportOptions::new())
    }

    /// As [`export`](Self::export), with limits on who may do what.
    ///
    /// # Errors
    ///
    /// See [`ExportError`].
    pub fn export_with<A: Remote>(
        &self,
        name: impl Into<Arc<str>>,
        handle: &ActorHandle<A>,
        options: ExportOptions,
    ) -> Result<(), ExportError> {
        self.shared.export(name.into(), handle, options)
    }

    /// No longer lets peers look an actor up. Lanes that are open stay. Returns whether it was exported.
    pub fn withdraw(&self, name: &str) -> bool {
        self.shared.withdraw(name)
    }

    /// Looks up an actor by its name: first among the exports of this node, then at all peers at once. The first that has it
    /// counts, so a peer that is silent holds up no look-up of what another one has.
    ///
    /// The handle of a remote actor is like any other; what it promises, and which methods need the
    /// actor's memory, is in the README. All its clones share one lane of the link.
    ///
    /// # Errors
    ///
    /// See [`LookupError`](crate::LookupError).
    pub fn lookup<A: Remote>(&self, name: impl Into<Arc<str>>) -> Lookup<A> {
        Lookup::new(self.shared.clone(), name.into())
    }

    /// What happens to links and lanes from now on. A listener that is 1024 events behind misses the
    /// oldest, and is told how many.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events()
    }

    /// The links that are up.
    pub fn links(&self) -> Vec<LinkStats> {
        let links = self.shared.links_to(None);
        let stats = links.iter().map(|link| {
            let (lanes_opened, lanes_owned) = link.lanes();
            LinkStats {
                peer: link.peer().clone(),
                lanes_opened,
                lanes_owned,
                asks: link.asks(),
                unconfirmed: link.unconfirmed(),
                window: link.window(),
                round_trip: link.round_trip(),
                high: link.traffic(Class::High),
                low: link.traffic(Class::Low),
                loose: link.loose().map(|loose| loose.traffic()),
                media: self.shared.plane(link).map(|plane| plane.traffic()),
            }
        });
        stats.collect()
    }

    /// Connections of others that were refused. Each is logged too.
    pub fn refusals(&self) -> Refusals {
        self.shared.refusals.now()
    }

    /// The node, its links, and under each the actors of the peer that this node has handles of: as this
    /// process knows them. The messages of a lane are those that have left it, its depth is what waits for
    /// credit, and what is written and unconfirmed.
    ///
    /// It can be shown under a tree of actors, and published with it (`lanemesh_runtime::observe`).
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::group(self.info().to_string(), "Node");
        tree.children = self
            .shared
            .links_to(None)
            .iter()
            .map(|link| {
                let mut node = Tree::group(link.peer().to_string(), "Link");
                node.children = link
                    .views()
                    .into_iter()
                    .map(|(view, unconfirmed)| {
                        let mut lane = view.tree();
                        lane.stats.depth += usize::try_from(unconfirmed).unwrap_or(usize::MAX);
                        lane
                    })
                    .collect();
                node
            })
            .collect();
        tree
    }

    /// Takes down the links to a node now, as if they had failed. One that this node has made is made
    /// again.
    pub fn drop_links(&self, node: &str) {
        for link in self.shared.links_to(Some(node)) {
            link.close(DownReason::Closed);
        }
    }

    /// Closes the links and what listens, and tells the peers. Returns whether all links were closed in time;
    /// the rest goes on in the background.
    ///
    /// It does not wait for messages: to know that they have arrived, wait for
    /// [`idle`](ActorHandle::idle) on their handle.
    pub async fn shutdown(&self, time: Duration) -> bool {
        self.shared.close();
        timeout(time, self.shared.unlinked(None)).await.is_ok()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("info", self.info())
            .field("links", &self.shared.links_to(None).len())
            .finish_non_exhaustive()
    }
}

/// What is known of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// The peer.
    pub peer: PeerInfo,
    /// Lanes to actors of the peer.
    pub lanes_opened: usize,
    /// Lanes of the peer to actors of this node.
    pub lanes_owned: usize,
    /// Asks of this node that wait for their answers.
    pub asks: usize,
    /// Messages of this node whose arrival is not confirmed.
    pub unconfirmed: u64,
    /// Bytes that may be on their way on the low connection: about what the path holds.
    pub window: u64,
    /// The round trip of the last heartbeat on the high connection.
    pub round_trip: Option<Duration>,
    /// Bytes of the high connection.
    pub high: Traffic,
    /// Bytes of the low connection.
    pub low: Traffic,
    /// Messages that may be lost, if the transport has a way for them.
    pub loose: Option<LooseTraffic>,
    /// Frames of tracks that go by RTP, if the page has declared sections for them.
    pub media: Option<MediaTraffic>,
}
