//! Wiring: the sockets, actors and HTTP of a server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanemesh_runtime::observe::Tree;
use lanemesh_runtime::{Child, ExitReason, System};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::control::admission::Admission;
use crate::http::connections::Connections;
use crate::http::limit::RateLimit;
use crate::http::token::{Keys, OperatorToken};
use crate::http::{self, App};
use crate::mailbox::Mailbox;
use crate::messages::{Join, Joined};
use crate::net::gate::Gate;
use crate::session::build::Setup;
use crate::stats::Stats;

mod accept;
mod actors;
mod config;
mod descriptors;
mod media;

pub use crate::control::admission::Limits;
pub use crate::http::client::{NotANetwork, Proxies, ProxyHeader, ProxyNet};
pub use crate::http::connections::HttpLimits;
pub use crate::net::gate::TcpLimits;
pub use config::ServerConfig;
use media::MediaSockets;

type Answer<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
type JoinFn = Box<dyn Fn(Join) -> Answer<Option<Joined>> + Send + Sync>;
type ObserveFn = Box<dyn Fn() -> Answer<Stats> + Send + Sync>;

/// How far the shutdown of a server has progressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// Joins are refused, and the health check reports it.
    Refusing,
    /// All sessions are being closed.
    Leaving,
    /// All shards have stopped.
    Over,
}

/// A running server.
pub struct Server {
    /// The address that HTTP listens on.
    pub http: SocketAddr,
    /// The addresses for media over UDP.
    pub media: Vec<SocketAddr>,
    /// The addresses for media over TCP.
    pub media_tcp: Vec<SocketAddr>,
    join: JoinFn,
    observe: ObserveFn,
    operator: Option<OperatorToken>,
    phase: watch::Sender<Phase>,
    shards: Vec<Child>,
    system: System,
    http_task: AbortHandle,
}

/// Starts a server on mailbox `M`.
///
/// # Errors
///
/// If an address cannot be bound, or HTTP would be reachable from other machines without a secret.
pub async fn start<M: Mailbox>(config: ServerConfig) -> io::Result<Server> {
    config.check()?;
    let (http_limits, tcp_limits) = descriptors::divide(&config);
    let listener = TcpListener::bind(config.http).await?;
    let http = listener.local_addr()?;
    let shards = config.shards.max(1);
    let bound = MediaSockets::bind(&config, shards)?;
    let (media, media_tcp) = bound.addresses()?;
    let setup = Setup {
        udp: media.clone(),
        tcp: media_tcp.clone(),
        estimate: config.estimate,
    };
    let system = System::new("sfu");
    let admission = Admission::new(config.udp, config.limits, shards);
    let (mailboxes, shards) = actors::spawn::<M>(&system, bound.sockets, admission)?;

    let gate = Gate::new(tcp_limits);
    let mut accepting = JoinSet::new();
    for listener in bound.listeners {
        let (gate, admission) = (Arc::clone(&gate), mailboxes.admission.clone());
        accepting.spawn(accept::serve::<M>(listener, gate, admission));
    }
    let keys = config.secret.as_deref().map(Keys::new);
    let operator = config.operator_token.map(OperatorToken::new);
    let operator = operator.or_else(|| keys.is_none().then(OperatorToken::random));
    let joins = RateLimit::new(config.join_rate.0, config.join_rate.1);
    let connections = Connections::new(http_limits);
    let app = App::<M>::new(
        setup,
        mailboxes,
        keys,
        operator.clone(),
        joins,
        gate,
        Arc::clone(&connections),
    );

    let (phase, phases) = watch::channel(Phase::Open);
    let http_task = serve_http(
        listener,
        Arc::clone(&app),
        connections,
        config.proxies,
        phases.clone(),
    );
    tokio::spawn(wind_down(Arc::clone(&app), accepting, phases));
    Ok(Server {
        http,
        media,
        media_tcp,
        join: join_fn(Arc::clone(&app)),
        observe: observe_fn(app),
        operator,
        phase,
        shards,
        system,
        http_task,
    })
}

fn join_fn<M: Mailbox>(app: Arc<App<M>>) -> JoinFn {
    Box::new(move |join| {
        let app = Arc::clone(&app);
        Box::pin(async move { app.join(join).await.ok() })
    })
}

fn observe_fn<M: Mailbox>(app: Arc<App<M>>) -> ObserveFn {
    Box::new(move || {
        let app = Arc::clone(&app);
        Box::pin(async move { app.observe().await })
    })
}

/// Serves HTTP until all shards have stopped.
fn serve_http<M: Mailbox>(
    listener: TcpListener,
    app: Arc<App<M>>,
    connections: Arc<Connections>,
    proxies: Proxies,
    mut phases: watch::Receiver<Phase>,
) -> AbortHandle {
    let end = async move {
        let _ = phases.wait_for(|phase| *phase == Phase::Over).await;
    };
    let serving = http::serve::serve(listener, http::routes(app), connections, proxies, end);
    tokio::spawn(serving).abort_handle()
}

/// Carries out each phase of the shutdown.
async fn wind_down<M: Mailbox>(
    app: Arc<App<M>>,
    accepting: JoinSet<()>,
    mut phases: watch::Receiver<Phase>,
) {
    let _ = phases.wait_for(|phase| *phase >= Phase::Refusing).await;
    app.drain().await;
    let _ = phases.wait_for(|phase| *phase >= Phase::Leaving).await;
    drop(accepting);
    app.close_sessions().await;
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
    /// Joins from within the process, without HTTP, tokens and rate limits.
    pub(crate) async fn join(&self, join: Join) -> Option<Joined> {
        (self.join)(join).await
    }

    /// The token that opens the statistics: the configured one, or without a secret a random one. `None` if only
    /// tokens that are signed with the secret do.
    #[must_use]
    pub fn operator_token(&self) -> Option<&str> {
        self.operator.as_ref().map(OperatorToken::as_str)
    }

    /// Collects the statistics of all actors.
    pub(crate) async fn observe(&self) -> Stats {
        (self.observe)().await
    }

    /// Refuses joins from now on, and waits until every participant has left.
    ///
    /// # Cancel safety
    ///
    /// Joins are refused from the first poll on, even if the future is dropped.
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

    /// Closes all sessions and stops, within `deadline`. Returns whether everything ended in time.
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

    /// The tree of actors.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.system.tree()
    }
}
