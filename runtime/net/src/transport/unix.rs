//! Sockets in the file system: whoever may open the file may connect.

use std::{
    future::ready,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::{Accepted, BoxFuture, Connection, Listener, Transport};

#[derive(Debug)]
pub(crate) struct Unix;

fn connection(stream: UnixStream) -> Connection {
    let (reader, writer) = stream.into_split();
    Connection::new(reader, writer)
}

impl Transport for Unix {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { Ok(connection(UnixStream::connect(address).await?)) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            if address.is_empty() {
                // The system would choose a name that nobody learns.
                let text = "a Unix socket needs a path";
                return Err(io::Error::new(ErrorKind::InvalidInput, text));
            }
            let path = PathBuf::from(address);
            let listener = match UnixListener::bind(&path) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(&path).await => {
                    std::fs::remove_file(&path)?;
                    UnixListener::bind(&path)?
                }
                bound => bound?,
            };
            let listener: Box<dyn Listener> = Box::new(Listening { listener, path });
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        true
    }
}

/// Whether the socket was left by a process that is gone.
async fn is_stale(path: &Path) -> bool {
    let connected = UnixStream::connect(path).await;
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Removes its file when it is dropped.
struct Listening {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let accepted: Accepted = Box::pin(ready(Ok(connection(stream))));
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = std::fs::remove_file(&self.path);
    }
}
