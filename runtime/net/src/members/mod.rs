//! Which nodes there are: members come and go, and are told.
//!
//! All members are linked to each other. A node that joins knows one address at least; whom it is linked
//! to tells it of the others, and tells them of it. Nothing is passed on by hearsay: each node says which
//! members it is linked to, and a member is who has a link to this node and has introduced itself over it.
//! So two nodes may disagree, for as long as the network between them does. It is made for tens of nodes.

// One thing: mod, *: joining starts the actor and the watch, which work on the state.
// One thing: actor, state: greetings change the state, and the state is told to the actors of peers.

mod actor;
mod dialling;
mod event;
pub(crate) mod feed;
mod state;
mod watch;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use lanemesh_runtime::{Child, spawn};
use tokio::sync::{broadcast, watch::Receiver};

pub use self::event::{DownCause, Member, MemberEvent};
use self::{actor::Greeter, state::Members};
use crate::{error::ExportError, node::Node, task::Task};

/// Under which name a member's actor is exported.
pub(crate) const NAME: &str = "lanemesh/members";

/// How a node takes part in a membership.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_net::members::MemberOptions;
///
/// let options = MemberOptions::new(["tcp://10.0.0.1:7000"]).down_after(Duration::from_secs(5));
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct MemberOptions {
    addresses: BTreeSet<Arc<str>>,
    down_after: Duration,
    forget_after: Duration,
}

impl MemberOptions {
    /// A member that can be reached at these addresses: those that [`Node::bind`] has returned, as others see
    /// them. At most eight of up to 255 bytes are passed on. Without one, others wait for this node to connect, and of
    /// two nodes without one neither sees the other.
    pub fn new<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Self {
        let addresses = addresses.into_iter();
        Self {
            addresses: addresses.map(|address| address.as_ref().into()).collect(),
            down_after: Duration::from_secs(10),
            forget_after: Duration::from_secs(600),
        }
    }

    /// How long a member may be unreachable before it is down. Default 10 s.
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = time;
        self
    }

    /// How long the addresses of a member that is down are still tried, so that the two halves of a
    /// network find each other again without a [`Discovery`](crate::discovery::Discovery). Default 10 min.
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = time;
        self
    }
}

/// A node's part in a membership. A clone is the same; when the last one is dropped, this node still has
/// its links, and no longer tells or hears of members.
///
/// # Examples
///
/// Three nodes, of which two know only the first:
///
/// ```
/// use lanemesh_net::{Node, members::{MemberOptions, Membership}, transport::InProcess};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = InProcess::default();
/// let mut members = Vec::new();
/// for name in ["a", "b", "c"] {
///     let node = Node::builder(name).transport("mem", network.clone()).build();
///     let address = node.bind(&format!("mem:{name}")).await?;
///     members.push(Membership::join(&node, MemberOptions::new([address]))?);
///     if name != "a" {
///         node.connect("mem:a").await?;
///     }
///     # std::mem::forget(node);
/// }
/// let mut changes = members[1].changes();
/// changes.wait_for(|_| members[1].members().len() == 3).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Membership(Arc<Inside>);

struct Inside {
    members: Arc<Members>,
    _watch: Task,
    _actor: Child,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.members.node().withdraw(NAME);
    }
}

impl Membership {
    /// Joins: introduces this node to those that it is or will be linked to. Those that have not joined
    /// are no members, whatever else they do.
    ///
    /// # Errors
    ///
    /// [`ExportError::NameTaken`] if the node has joined already.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn join(node: &Node, options: MemberOptions) -> Result<Self, ExportError> {
        let members = Arc::new(Members::new(node.background(), options));
        let (greeter, child) = spawn(Greeter(members.clone()));
        node.export(NAME, &greeter)?;
        let watch = Task::spawn(watch::run(members.clone()));
        Ok(Self(Arc::new(Inside {
            members,
            _watch: watch,
            _actor: child,
        })))
    }

    /// This node.
    pub fn me(&self) -> &Member {
        self.0.members.me()
    }

    /// This node and the members that are linked to it, in the order of their names.
    pub fn members(&self) -> Vec<Member> {
        self.0.members.members()
    }

    /// The members to which there is no link at the moment, and which are not down yet.
    pub fn unreachable(&self) -> Vec<Member> {
        self.0.members.unreachable()
    }

    /// What happens to members from now on. A listener that is 1024 events behind misses the oldest, and
    /// is told how many; [`members`](Self::members) has what came of them.
    pub fn events(&self) -> broadcast::Receiver<MemberEvent> {
        self.0.members.events()
    }

    /// A number that grows with each change of [`members`](Self::members) or [`unreachable`](Self::unreachable).
    pub fn changes(&self) -> Receiver<u64> {
        self.0.members.changes()
    }

    pub(crate) fn node(&self) -> &Node {
        self.0.members.node()
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("me", self.me())
            .field("members", &self.members().len())
            .finish_non_exhaustive()
    }
}
