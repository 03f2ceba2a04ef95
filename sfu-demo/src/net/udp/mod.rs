//! UDP in batches: datagrams are received by `recvmmsg` and sent by `sendmmsg`, with one segment (GSO) for a burst to
//! one destination where the kernel supports it.
//!
//! It knows nothing about RTP or WebRTC. On systems other than Linux each datagram is a call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

mod batch;
mod steer;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(not(target_os = "linux"))]
#[path = "portable.rs"]
mod sys;

pub use batch::{Datagram, MAX_DATAGRAM, RecvBatch, SendBatch, Stored};
pub(crate) use steer::Choice;

/// How to bind a socket.
#[derive(Debug, Clone, Copy)]
pub struct Bind {
    /// The local address; port 0 is any.
    pub address: SocketAddr,
    /// Whether other sockets may bind the same port; the kernel then distributes the flows among them.
    pub shared: bool,
    /// Size of the kernel's receive and send buffers in bytes; the kernel may grant less.
    pub buffer: usize,
}

impl Bind {
    /// An address that no other socket shares, with buffers of 4 MiB.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            shared: false,
            buffer: 4 << 20,
        }
    }

    /// Lets other sockets bind the same port.
    #[must_use]
    pub fn shared(self) -> Self {
        Self {
            shared: true,
            ..self
        }
    }

    /// Binds a nonblocking socket.
    ///
    /// # Errors
    ///
    /// If the system refuses the address or the options.
    pub fn open(self) -> io::Result<StdSocket> {
        let socket = socket2::Socket::new(
            Domain::for_address(self.address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        if self.shared {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        // The kernel limits the size; a small buffer is no reason to fail.
        let _ = socket.set_recv_buffer_size(self.buffer);
        let _ = socket.set_send_buffer_size(self.buffer);
        socket.bind(&self.address.into())?;
        Ok(socket.into())
    }
}

/// The outcome of sending a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams that the kernel accepted.
    pub sent: usize,
    /// Datagrams that it refused, for example because the destination is unreachable.
    pub refused: usize,
    /// System calls.
    pub calls: usize,
    /// Whether the socket's buffer is full. The rest is still in the batch.
    pub blocked: bool,
}

/// A UDP socket that the executor watches.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    local: SocketAddr,
    gso: AtomicBool,
}

impl Socket {
    /// Registers a socket made by [`Bind::open`] with the executor of the calling task.
    ///
    /// # Errors
    ///
    /// If the executor cannot register it.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime with I/O enabled.
    pub fn new(socket: StdSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let gso = AtomicBool::new(sys::gso(&socket));
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            local,
            gso,
        })
    }

    /// The local address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits until a datagram may be there.
    ///
    /// # Errors
    ///
    /// If the executor shuts down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is received.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Ready when a datagram may be there. Otherwise the task is woken when one is.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_recv_ready(cx)
    }

    /// Waits until there may be room to send.
    ///
    /// # Errors
    ///
    /// If the executor shuts down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is sent.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Receives without waiting, up to the batch's size. The batch's old contents are replaced.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing; otherwise the system's error.
    pub fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.clear();
        self.io
            .try_io(Interest::READABLE, || sys::recv(&self.io, batch))
    }

    /// Sends the rest of the batch. A datagram that the kernel refuses is skipped and counted. The batch is empty
    /// once everything is sent.
    ///
    /// # Errors
    ///
    /// If the socket itself is broken.
    pub fn try_send(&self, batch: &mut SendBatch) -> io::Result<Flushed> {
        let flushed = send_all(&self.io, batch, &self.gso)?;
        if flushed.blocked {
            // Clears the executor's readiness, so that `writable` waits. Sends do not check it first: the executor
            // considers a socket that was never waited for as full.
            let _ = self.io.try_io(Interest::WRITABLE, || {
                Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock))
            });
        }
        Ok(flushed)
    }
}

/// Receives as [`Socket::try_recv`] does, from a socket that no executor watches.
///
/// # Errors
///
/// `WouldBlock` if there is nothing; otherwise the system's error.
pub fn recv_direct(socket: &StdSocket, batch: &mut RecvBatch) -> io::Result<usize> {
    batch.clear();
    sys::recv(socket, batch)
}

/// Sends as [`Socket::try_send`] does, to a socket that no executor watches.
///
/// # Errors
///
/// If the socket itself is broken.
pub fn send_direct(socket: &StdSocket, batch: &mut SendBatch, gso: bool) -> io::Result<Flushed> {
    send_all(socket, batch, &AtomicBool::new(gso))
}

/// Has the kernel choose like this among the sockets that share the port of `socket`.
///
/// # Errors
///
/// If the system cannot: only Linux lets a program choose.
pub(crate) fn choose(socket: &StdSocket, choice: &Choice) -> io::Result<()> {
    sys::choose(socket, choice)
}

fn send_all(
    socket: &impl sys::Handle,
    batch: &mut SendBatch,
    gso: &AtomicBool,
) -> io::Result<Flushed> {
    let mut flushed = Flushed::default();
    while !batch.is_done() {
        match send_some(socket, batch, gso) {
            Ok(some) => {
                flushed.sent += some.sent;
                flushed.refused += some.refused;
                flushed.calls += some.calls;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                flushed.blocked = true;
                return Ok(flushed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    batch.clear();
    Ok(flushed)
}

/// Makes one system call, and handles its error.
fn send_some(
    socket: &impl sys::Handle,
    batch: &mut SendBatch,
    gso: &AtomicBool,
) -> io::Result<Flushed> {
    // ORDERING: a hint; a stale value costs one refused call.
    let with_gso = gso.load(Ordering::Relaxed);
    match sys::send(socket, batch, with_gso) {
        Ok(sent) => {
            batch.advance(sent);
            Ok(Flushed {
                sent,
                calls: 1,
                ..Flushed::default()
            })
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Err(error),
            _ if with_gso && batch.front_run(true) > 1 => {
                // The device cannot segment: send single datagrams from now on.
                // ORDERING: as above.
                gso.store(false, Ordering::Relaxed);
                Ok(Flushed {
                    calls: 1,
                    ..Flushed::default()
                })
            }
            _ if sys::is_refusal(&error) => {
                batch.advance(1);
                Ok(Flushed {
                    refused: 1,
                    calls: 1,
                    ..Flushed::default()
                })
            }
            _ => Err(error),
        },
    }
}

/// The address from which this host would reach others, if it has one besides loopback. No packet is sent.
#[must_use]
pub fn host_address() -> Option<IpAddr> {
    let socket = StdSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address: a route lookup, and no packet.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests;
