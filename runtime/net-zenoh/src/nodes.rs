//! Which nodes there are: each has a liveliness token, which says where it can be reached.

use std::{fmt, io, sync::Arc, time::Duration};

use lanemesh_net::{Node, discovery::Discovery, members::Member, transport::BoxFuture};
use tokio::sync::broadcast;

use crate::{
    calls::TokenGuard,
    hub::Hub,
    live::{NodeEvent, Token},
    transport::Zenoh,
};

/// How often a node looks whether there are others: the list is in its memory.
const REFRESH: Duration = Duration::from_millis(200);

/// A node among those that have joined. A clone is the same; when the last one is dropped, the node is no longer one of
/// them.
///
/// A node is there as long as Zenoh says that its process is: that is a lease, which Zenoh renews
/// (`transport/link/tx/lease`, 10 s) and which ends at once when the links of the process are closed, for instance because it was
/// killed. No link between the nodes is needed for it.
#[derive(Clone)]
pub struct Nodes(Arc<Inside>);

struct Inside {
    zenoh: Zenoh,
    node: Node,
    me: Member,
    _token: TokenGuard,
}

impl Nodes {
    /// Tells the others of this node, and where it can be reached: the addresses at which it listens, of any transport. More
    /// than eight are left out.
    ///
    /// # Errors
    ///
    /// What Zenoh reports, for instance that the session is closed.
    ///
    /// # Cancel safety
    ///
    /// The node has not joined then.
    pub async fn join(
        zenoh: &Zenoh,
        node: &Node,
        addresses: impl IntoIterator<Item = impl Into<String>>,
    ) -> io::Result<Self> {
        let addresses = addresses.into_iter().map(|address| address.into().into());
        let me = Member {
            node: node.info().clone(),
            addresses: addresses.take(8).collect(),
        };
        let token = Token::Node(zenoh.0.inbox(), me.clone());
        let token = zenoh.0.declare(&token).await?;
        Ok(Self(Arc::new(Inside {
            zenoh: zenoh.clone(),
            node: node.clone(),
            me,
            _token: token,
        })))
    }

    /// This node.
    pub fn me(&self) -> &Member {
        &self.0.me
    }

    /// The nodes that are there, in the order of their names: of each the last incarnation. This one is among them, a moment
    /// after it has joined.
    pub fn list(&self) -> Vec<Member> {
        self.hub().live.nodes()
    }

    /// What happens from now on, to this node too. A listener that is 1024 events behind misses the oldest, and is told how many.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.hub().live.events()
    }

    /// The addresses of the other nodes, for [`Node::discover`]: so there is a link to each that is there.
    pub fn discovery(&self) -> LiveNodes {
        LiveNodes {
            hub: self.0.zenoh.0.clone(),
            me: self.0.me.node.name.clone(),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.zenoh.0
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes")
            .field("me", &self.0.me)
            .finish_non_exhaustive()
    }
}

/// The addresses of all nodes that have joined but one: see [`Nodes::discovery`].
#[derive(Clone)]
pub struct LiveNodes {
    hub: Arc<Hub>,
    me: Arc<str>,
}

impl Discovery for LiveNodes {
    fn name(&self) -> Arc<str> {
        "zenoh".into()
    }

    fn addresses(&mut self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        let nodes = self.hub.live.nodes().into_iter();
        let others = nodes.filter(|member| member.node.name != self.me);
        let addresses = others
            .flat_map(|member| {
                member
                    .addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            })
            .collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }

    fn refresh(&self) -> Option<Duration> {
        Some(REFRESH)
    }
}

impl fmt::Debug for LiveNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveNodes")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}
