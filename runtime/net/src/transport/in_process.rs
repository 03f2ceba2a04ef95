//! Connections inside one process, for tests and for nodes that may be moved apart later.

use std::{
    collections::HashMap,
    future::ready,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{io::DuplexStream, sync::mpsc};

use super::{Accepted, BoxFuture, Connection, Listener, Transport};

/// Bytes that a connection holds in each direction.
const BUFFER: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: usize = 16;

/// Connects the nodes of one process that were built with a clone of it.
///
/// # Examples
///
/// ```
/// use lanemesh_net::{Node, transport::InProcess};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = InProcess::default();
/// let a = Node::builder("a").transport("mem", network.clone()).build();
/// let b = Node::builder("b").transport("mem", network).build();
/// a.bind("mem:a").await?;
/// assert_eq!(&*b.connect("mem:a").await?.name, "a");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct InProcess(Arc<Mutex<HashMap<String, mpsc::Sender<DuplexStream>>>>);

impl InProcess {
    fn listeners(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<DuplexStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connection(stream: DuplexStream) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    Connection::new(reader, writer)
}

impl Transport for InProcess {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let listener = self.listeners().get(address).cloned();
            let (own, other) = tokio::io::duplex(BUFFER);
            let accepted = listener.ok_or_else(refused)?.send(other).await;
            accepted.map_err(|_| refused())?;
            Ok(connection(own))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (tx, connections) = mpsc::channel(BACKLOG);
            let mut listeners = self.listeners();
            let is_taken = listeners
                .get(address)
                .is_some_and(|known| !known.is_closed());
            if is_taken {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            listeners.insert(address.to_owned(), tx);
            let address = address.to_owned();
            let listener: Box<dyn Listener> = Box::new(Listening {
                address,
                connections,
            });
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        true
    }
}

struct Listening {
    address: String,
    connections: mpsc::Receiver<DuplexStream>,
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let stream = self.connections.recv().await;
            // The map has a sender as long as nobody else listens here.
            let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let accepted: Accepted = Box::pin(ready(Ok(connection(stream))));
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
