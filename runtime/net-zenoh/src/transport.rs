//! The transport: `zenoh:` and any text is an address.

use std::{
    fmt,
    future::ready,
    io::{self, ErrorKind},
    sync::Arc,
};

use lanemesh_net::transport::{Accepted, BoxFuture, Connection, Listener, Transport};
use lanemesh_runtime::actor::Priority;
use zenoh::{Session, key_expr::KeyExpr};

use crate::hub::{Hub, Listening};

/// Where the keys begin, unless it is said otherwise.
const ROOT: &str = "lanemesh";

/// A process in a network of Zenoh. A clone is the same.
///
/// As the transport of a node it makes connections to addresses such as `zenoh:rooms/eu`: any text, at which
/// one node of the network listens. If several do, connections go to the last that has begun to. A connection of the
/// high class has Zenoh's priority `RealTime`, one of the low class `Data`; both are reliable and wait for room.
///
/// [`Nodes`](crate::Nodes) and [`Names`](crate::Names) are built on it.
///
/// Connections end as soon as Zenoh says that the other process is gone: at once if its links are closed, or at the end of
/// its lease. Whatever Zenoh loses ends the connection too: nothing is missing from the middle of a stream.
///
/// # Examples
///
/// ```no_run
/// use lanemesh_net::Node;
/// use lanemesh_net_zenoh::{Zenoh, zenoh};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = zenoh::open(zenoh::Config::default()).await.map_err(|error| error.to_string())?;
/// let zenoh = Zenoh::new(session).await?;
/// let secret = *b"16 random bytes!";
/// let node = Node::builder("rooms-eu").secret(secret).transport("zenoh", zenoh).build();
/// node.bind("zenoh:rooms/eu").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Zenoh(pub(crate) Arc<Hub>);

impl Zenoh {
    /// Joins the processes that use the same network of Zenoh.
    ///
    /// # Errors
    ///
    /// What Zenoh reports, for instance that the session is closed; or that there can be no thread.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left.
    pub async fn new(session: Session) -> io::Result<Self> {
        Self::within(session, ROOT).await
    }

    /// As [`new`](Self::new), with keys that begin with `root` in the place of `lanemesh`: processes with different
    /// roots know nothing of each other.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and `InvalidInput` if `root` is not a key without wildcards.
    pub async fn within(session: Session, root: &str) -> io::Result<Self> {
        let is_key = KeyExpr::try_from(root).is_ok() && !root.contains('*');
        if !is_key {
            let text = format!("{root:?} is not a key of Zenoh without wildcards");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(Self(Hub::start(session, root.to_owned()).await?))
    }
}

impl fmt::Debug for Zenoh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zenoh")
            .field(&format_args!("{:032x}", self.0.inbox()))
            .finish()
    }
}

impl Transport for Zenoh {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        self.connect_for(address, Priority::Low)
    }

    fn connect_for<'a>(
        &'a self,
        address: &'a str,
        class: Priority,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(self.0.connect(address, class))
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listening: Box<dyn Listener> = Box::new(self.0.listen(address).await?);
            Ok(listening)
        })
    }

    /// Whoever is in the network of Zenoh can connect.
    fn is_private(&self) -> bool {
        false
    }
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let connection = self.connections.recv().await;
            // The hub has a sender as long as nobody else listens here.
            let connection = connection.ok_or_else(|| io::Error::from(ErrorKind::BrokenPipe))?;
            let accepted: Accepted = Box::pin(ready(Ok(connection)));
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
