//! Puts a server together: sockets, the actors, HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lanemesh_runtime::Builder;
use lanemesh_runtime::{Actor, Child, ExitReason, System, WorkerThread, observe::Tree};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::control::admission::{Limits, Lobby};
use crate::http::limit::RateLimit;
use crate::http::token::Keys;
use crate::http::{self, App, Mailboxes};
use crate::mailbox::Mailbox;
use crate::messages::{Join, Joined};
use crate::net::gate::{Gate, TcpLimits};
use crate::net::udp::{self, Bind};
use crate::session::build::Setup;
use crate::shard::Wiring;
use crate::stats::Stats;

mod accept;
mod actors;

/// Control messages that a mailbox holds.
const HIGH: usize = 1024;
/// Media messages that a mailbox holds.
const LOW: usize = 2048;

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Addresses of this host for media; empty means loopback and the address that others use.
    pub media: Vec<IpAddr>,
    /// The port for media, 0 for any.
    pub media_port: u16,
    /// Whether media may go by UDP.
    pub udp: bool,
    /// Whether media may go by TCP, on the same port.
    pub tcp: bool,
    /// How many TCP connections there may be.
    pub tcp_limits: TcpLimits,
    /// How many shards.
    pub shards: usize,
    /// The secret of room tokens.
    pub secret: Option<Vec<u8>>,
    /// How many may come.
    pub limits: Limits,
    /// How many joins one address may make at once, and a second after that.
    pub join_rate: (u32, f64),
    /// Whether to estimate bandwidth and pace.
    pub estimate: bool,
}

impl Options {
    /// What can be refused before anything is opened.
    fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        match &self.secret {
            None if !self.http.ip().is_loopback() => {
                return refuse(format!(
                    "{} can be reached from other machines: set a secret for room tokens",
                    self.http
                ));
            }
            Some(secret) if secret.len() < Keys::MIN_SECRET => {
                return refuse(format!(
                    "the secret must have at least {} bytes",
                    Keys::MIN_SECRET
                ));
            }
            _ => {}
        }
        if !self.udp && !self.tcp {
            return refuse("media needs UDP or TCP".to_owned());
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            media: Vec::new(),
            media_port: 0,
            udp: true,
            tcp: true,
            tcp_limits: TcpLimits::default(),
            shards: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            secret: None,
            limits: Limits {
                room: 64,
                server: 1024,
            },
            join_rate: (30, 3.0),
            estimate: true,
        }
    }
}

type Answer<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
type JoinFn = Box<dyn Fn(Join) -> Answer<Option<Joined>> + Send + Sync>;
type ObserveFn = Box<dyn Fn() -> Answer<Stats> + Send + Sync>;

/// How far a server is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// Nobody joins any more, and the health check says so.
    Refusing,
    /// Everybody is told goodbye.
    Leaving,
    /// Nobody is there.
    Over,
}

/// A server that runs.
pub struct Server {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where media goes by UDP.
    pub media: Vec<SocketAddr>,
    /// Where media goes by TCP.
    pub media_tcp: Vec<SocketAddr>,
    join: JoinFn,
    observe: ObserveFn,
    phase: watch::Sender<Phase>,
    shards: Vec<Child>,
    system: System,
    http_task: AbortHandle,
}

/// Starts a server on mailbox `M`.
///
/// # Errors
///
/// If an address cannot be bound, or everybody could join a server that is not only for this
/// machine.
pub async fn start<M: Mailbox>(options: Options) -> io::Result<Server> {
    options.check()?;
    let listener = TcpListener::bind(options.http).await?;
    let count = options.shards.max(1);
    let MediaSockets {
        mut sockets,
        listeners,
    } = media_sockets(&options, count)?;
    let media: Vec<_> = sockets[0]
        .iter()
        .map(std::net::UdpSocket::local_addr)
        .collect::<io::Result<_>>()?;
    let media_tcp: Vec<_> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;

    let (room_tx, room_rx) = M::mailbox(HIGH, 1);
    let (lobby_tx, lobby_rx) = M::mailbox(HIGH, 1);
    let (shard_txs, shard_rxs): (Vec<_>, Vec<_>) =
        (0..count).map(|_| M::mailbox(HIGH, LOW)).unzip();

    let system = System::new("sfu");
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut shards = Vec::new();
    for (here, mailbox) in shard_rxs.into_iter().enumerate() {
        let wiring = Wiring::<M> {
            here,
            mailbox,
            shards: shard_txs.clone(),
            room: room_tx.clone(),
            lobby: lobby_tx.clone(),
        };
        // More shards than cores share them as the system likes.
        let name = format!("shard-{here}");
        let worker_thread = if count <= cores {
            WorkerThread::pinned(name, here)?
        } else {
            WorkerThread::new(name)?
        };
        let shard = actors::shard(&worker_thread, wiring, std::mem::take(&mut sockets[here]));
        shards.push(start_actor(&system, shard)?);
    }
    let setup = Setup {
        udp: media.clone(),
        tcp: media_tcp.clone(),
        estimate: options.estimate,
    };
    let lobby = Lobby::new(setup, options.limits, count);
    start_actor(&system, actors::room::<M>(room_rx, shard_txs.clone()))?.detach();
    start_actor(
        &system,
        actors::lobby::<M>(lobby, lobby_rx, shard_txs.clone()),
    )?
    .detach();

    let gate = Gate::new(options.tcp_limits);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept::serve::<M>(
            listener,
            Arc::clone(&gate),
            lobby_tx.clone(),
        ));
    }

    let keys = options.secret.as_deref().map(Keys::new);
    let mailboxes = Mailboxes {
        lobby: lobby_tx,
        room: room_tx,
        shards: shard_txs,
    };
    let app = App::<M>::new(
        mailboxes,
        keys,
        RateLimit::new(options.join_rate.0, options.join_rate.1),
        gate,
    );
    let http = listener.local_addr()?;
    let (phase, mut phases) = watch::channel(Phase::Open);
    let joins = Arc::clone(&app);
    let join: JoinFn = Box::new(move |join| {
        let app = Arc::clone(&joins);
        Box::pin(async move { app.join(join).await.ok() })
    });
    let observes = Arc::clone(&app);
    let observe: ObserveFn = Box::new(move || {
        let app = Arc::clone(&observes);
        Box::pin(async move { app.observe().await })
    });
    let service =
        http::routes(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let mut http_phases = phases.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = http_phases.wait_for(|phase| *phase == Phase::Over).await;
    });
    let http_task = tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "HTTP ended");
        }
    })
    .abort_handle();
    tokio::spawn(async move {
        let _ = phases.wait_for(|phase| *phase >= Phase::Refusing).await;
        app.refuse().await;
        let _ = phases.wait_for(|phase| *phase >= Phase::Leaving).await;
        drop(accepting);
        app.goodbye().await;
    });
    Ok(Server {
        http,
        media,
        media_tcp,
        join,
        observe,
        phase,
        shards,
        system,
        http_task,
    })
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("http", &self.http)
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Joins somebody of this process, past HTTP, tokens and rates.
    pub async fn join(&self, join: Join) -> Option<Joined> {
        (self.join)(join).await
    }

    /// Asks every actor how it goes.
    pub async fn observe(&self) -> Stats {
        (self.observe)().await
    }

    /// Lets nobody join any more, and waits until all have left by themselves.
    ///
    /// # Cancel safety
    ///
    /// Nobody joins from the first poll on, whether or not the rest is waited for.
    pub async fn drain(&self) {
        self.phase.send_replace(Phase::Refusing);
        while self
            .observe()
            .await
            .shards
            .iter()
            .any(|shard| shard.peers > 0)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says goodbye to everybody and stops; waits for it, but no longer than `deadline`. Says
    /// whether everything ended by itself.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.phase.send_replace(Phase::Leaving);
        let until = tokio::time::Instant::now() + deadline;
        let mut clean = true;
        for shard in self.shards {
            let ended = tokio::time::timeout_at(until, shard).await;
            clean &= matches!(ended, Ok(ExitReason::Normal));
        }
        self.phase.send_replace(Phase::Over);
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let report = self
            .system
            .shutdown(left.max(Duration::from_millis(500)))
            .await;
        self.http_task.abort();
        clean && report.is_clean()
    }

    /// The actors, and who owns whom.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.system.tree()
    }
}

/// Where media comes in.
struct MediaSockets {
    /// For each shard a socket for each address; all on one port, which the kernel shares out by
    /// flow.
    sockets: Vec<Vec<std::net::UdpSocket>>,
    /// For each address one that TCP connects to, on that port too.
    listeners: Vec<TcpListener>,
}

fn media_sockets(options: &Options, shards: usize) -> io::Result<MediaSockets> {
    /// How often another port is tried when the one that UDP got is taken by TCP.
    const TRIES: usize = 16;
    let mut addresses = options.media.clone();
    if addresses.is_empty() {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        addresses.extend(udp::host_address());
    }
    for _ in 1..TRIES {
        match bind_media(options, &addresses, shards) {
            Err(error) if options.media_port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    bind_media(options, &addresses, shards)
}

fn bind_media(options: &Options, addresses: &[IpAddr], shards: usize) -> io::Result<MediaSockets> {
    let mut port = options.media_port;
    let named = |error: io::Error, what: &str, address: SocketAddr| {
        io::Error::new(
            error.kind(),
            format!("media by {what} at {address}: {error}"),
        )
    };
    let mut media = MediaSockets {
        sockets: (0..shards).map(|_| Vec::new()).collect(),
        listeners: Vec::new(),
    };
    for &address in addresses {
        for shard in media.sockets.iter_mut().filter(|_| options.udp) {
            let at = SocketAddr::new(address, port);
            let socket = Bind::new(at).shared().open();
            let socket = socket.map_err(|error| named(error, "UDP", at))?;
            port = socket.local_addr()?.port();
            shard.push(socket);
        }
        if options.tcp {
            let at = SocketAddr::new(address, port);
            let listener = std::net::TcpListener::bind(at);
            let listener = listener.map_err(|error| named(error, "TCP", at))?;
            listener.set_nonblocking(true)?;
            port = listener.local_addr()?.port();
            media.listeners.push(TcpListener::from_std(listener)?);
        }
    }
    Ok(media)
}

fn start_actor<A: Actor>(system: &System, actor: Builder<A>) -> io::Result<Child> {
    // What an actor is told comes by the mailbox that was made for it, so nobody needs its handle;
    // it keeps running without one.
    let (_, child) = system
        .try_spawn(actor.keep_running())
        .map_err(io::Error::other)?;
    Ok(child)
}
