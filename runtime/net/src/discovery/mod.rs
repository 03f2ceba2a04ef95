//! Where other nodes are: a list, the domain name system, or a source of yours.
//!
//! A [`Discovery`] names addresses, and [`Node::discover`] keeps a link to the node behind each. It does
//! not know who is there: that is the [`members`](crate::members).

// One thing: mod, *: the module starts the keeper, which asks what implements the module's trait.

mod dns;
mod keeper;

use std::{fmt, io, sync::Arc, time::Duration};

pub use self::dns::Dns;
use crate::{node::Node, task::Task, transport::BoxFuture};

/// Names the addresses to which a node keeps links.
///
/// # Examples
///
/// A file with an address a line:
///
/// ```
/// use std::{io, path::PathBuf, sync::Arc, time::Duration};
///
/// use lanemesh_net::{discovery::Discovery, transport::BoxFuture};
///
/// struct File(PathBuf);
///
/// impl Discovery for File {
///     fn name(&self) -> Arc<str> {
///         self.0.display().to_string().into()
///     }
///
///     fn addresses(&mut self) -> BoxFuture<'_, io::Result<Vec<String>>> {
///         Box::pin(async {
///             let text = std::fs::read_to_string(&self.0)?;
///             Ok(text.lines().map(str::to_owned).collect())
///         })
///     }
///
///     fn refresh(&self) -> Option<Duration> {
///         Some(Duration::from_secs(10))
///     }
/// }
/// ```
pub trait Discovery: Send + 'static {
    /// What it is called in events and logs.
    fn name(&self) -> Arc<str>;

    /// The addresses that there are now; of more than 1024 the rest is passed over. It is dropped after
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout), which is an error like any other.
    fn addresses(&mut self) -> BoxFuture<'_, io::Result<Vec<String>>>;

    /// After which time it is asked again, half of it random. None: never, unless it has failed.
    fn refresh(&self) -> Option<Duration>;
}

/// A list of addresses that does not change.
impl<S: Into<String> + Clone + Send + Sync + 'static> Discovery for Vec<S> {
    fn name(&self) -> Arc<str> {
        "list".into()
    }

    fn addresses(&mut self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        let addresses = self.iter().cloned().map(Into::into).collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }

    fn refresh(&self) -> Option<Duration> {
        None
    }
}

/// Keeps links to what a [`Discovery`] names, until it is dropped. The links that are there stay.
#[must_use = "links are no longer made when it is dropped"]
pub struct Discovering {
    name: Arc<str>,
    _task: Task,
}

impl fmt::Debug for Discovering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Discovering").field(&self.name).finish()
    }
}

impl Node {
    /// Keeps a link to the node behind each address that `discovery` names, as long as it names it.
    ///
    /// An address is tried again and again, with pauses as for [`connect`](Self::connect); each failure
    /// is an [`Event::AddressFailed`](crate::Event::AddressFailed). There is one link to a node, however many addresses lead to it,
    /// and whichever of the two has connected. The address of this node itself is left alone. An address that is no
    /// longer named is no longer tried, and its link stays until it breaks.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_net::{Node, discovery::Dns, transport::InProcess};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = InProcess::default();
    /// let [a, b] = ["a", "b"].map(|name| Node::builder(name).transport("mem", network.clone()).build());
    /// let mut links = a.events();
    /// let list = a.discover(vec!["mem:a", "mem:b"]);
    /// b.bind("mem:b").await?; // later is early enough
    /// while a.links().is_empty() {
    ///     links.recv().await?;
    /// }
    /// # drop(list);
    /// // With all addresses that a name has:
    /// let seeds = Dns::new("tcp://seeds.example.org:7000")?;
    /// # drop(seeds);
    /// # Ok(()) }
    /// ```
    pub fn discover(&self, discovery: impl Discovery) -> Discovering {
        let name = discovery.name();
        Discovering {
            name,
            _task: Task::spawn(keeper::run(self.background(), Box::new(discovery))),
        }
    }
}
