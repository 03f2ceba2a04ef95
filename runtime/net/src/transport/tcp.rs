//! TCP, without delays for small writes. There is no encryption.

use std::{future::ready, io};

use tokio::net::{TcpListener, TcpStream};

use super::{Accepted, BoxFuture, Connection, Listener, Transport};

#[derive(Debug)]
pub(crate) struct Tcp;

fn connection(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok(Connection::new(reader, writer))
}

impl Transport for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { connection(TcpStream::connect(address).await?) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener: Box<dyn Listener> = Box::new(TcpListener::bind(address).await?);
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        false
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (stream, _) = TcpListener::accept(self).await?;
            let accepted: Accepted = Box::pin(ready(connection(stream)));
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.local_addr()
            .map_or_else(|_| String::new(), |address| address.to_string())
    }
}
