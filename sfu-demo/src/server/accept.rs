//! New TCP connections: the first frame, a STUN message, names the peer that admission looks up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanemesh_runtime::SharedHandle;
use str0m::ice::StunMessage;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::control::admission::Admission;
use crate::mailbox::Mailbox;
use crate::messages::AdmissionMessage;
use crate::net::classify::owner;
use crate::net::gate::{Gate, Permit};
use crate::net::tcp::{Arrived, Inbox};

/// Accepts connections until it is dropped, and sends each to admission.
pub(super) async fn serve<M: Mailbox>(
    listener: TcpListener,
    gate: Arc<Gate>,
    admission: SharedHandle<Admission<M>>,
) {
    let Ok(local) = listener.local_addr() else {
        return;
    };
    let mut handshakes = JoinSet::new();
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // For example, no file descriptors are left until others close.
                tracing::warn!(%error, "cannot accept a TCP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        let Some(permit) = gate.enter(remote.ip()) else {
            continue;
        };
        let (gate, admission) = (Arc::clone(&gate), admission.clone());
        handshakes.spawn(async move {
            let first_frame = read_first_frame(stream, remote, local, permit);
            match tokio::time::timeout(gate.first_frame(), first_frame).await {
                Ok(Ok((ufrag, connection))) => {
                    let connection = Box::new(connection);
                    // In a flood the connection is lost; a real peer connects again.
                    let _ =
                        admission.try_send_high(AdmissionMessage::Connect { ufrag, connection });
                }
                _ => gate.nameless(),
            }
        });
    }
}

/// Reads until the first frame is complete. Returns the user name in it, and the connection.
async fn read_first_frame(
    mut stream: TcpStream,
    remote: SocketAddr,
    local: SocketAddr,
    permit: Permit,
) -> io::Result<(String, Arrived)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new();
    loop {
        if let Some(frame) = inbox.peek().map_err(|_| invalid())? {
            let message = StunMessage::parse(frame).map_err(|_| invalid())?;
            let (ufrag, _) = message.split_username().ok_or_else(invalid)?;
            let ufrag = owner(ufrag).to_owned();
            let stream = stream.into_std()?;
            let arrived = Arrived {
                stream,
                remote,
                local,
                inbox,
                permit,
            };
            return Ok((ufrag, arrived));
        }
        let read = stream.read(inbox.room()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inbox.filled(read);
    }
}
