//! Wiring: the sockets, actors and HTTP of a server.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanemesh_runtime::System;
use lanemesh_runtime::observe::Tree;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::control::admission::Lasting;
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
type DrainFn = Box<dyn Fn() -> Answer<()> + Send + Sync>;
type ObserveFn = Box<dyn Fn() -> Answer<Stats> + Send + Sync>;

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
    drain: DrainFn,
    operator: Option<OperatorToken>,
    lasting: Arc<Lasting>,
    system: System,
    accepting: JoinSet<()>,
    /// HTTP ends when it is dropped.
    serving: watch::Sender<()>,
    http_task: AbortHandle,
}

/// Starts a server on mailbox `M`.
///
/// # Errors
///
/// If an address cannot be bound, or HTTP would be reachable from other machines without a secret.
pub async fn start<M: Mailbox>(config: ServerConfig) -> io::Result<Server> {
    Ok(start_with_app::<M>(config).await?.0)
}

/// Starts a server. Returns with it what its requests share.
async fn start_with_app<M: Mailbox>(config: ServerConfig) -> io::Result<(Server, Arc<App<M>>)> {
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
    let actors = actors::spawn::<M>(&system, bound.sockets, config.udp, config.limits)?;

    let gate = Gate::new(tcp_limits);
    let mut accepting = JoinSet::new();
    for listener in bound.listeners {
        let (gate, admission) = (Arc::clone(&gate), actors.admission.clone());
        accepting.spawn(accept::serve::<M>(listener, gate, admission));
    }
    let keys = config.secret.as_deref().map(Keys::new);
    let operator = config.operator_token.map(OperatorToken::new);
    let operator = operator.or_else(|| keys.is_none().then(OperatorToken::random));
    let joins = RateLimit::new(config.join_rate.0, config.join_rate.1);
    let connections = Connections::new(http_limits);
    let app = Arc::new(App::<M> {
        setup,
        admission: actors.admission,
        shards: actors.shards,
        rooms: actors.rooms,
        lasting: Arc::clone(&actors.lasting),
        spawner: system.spawner(),
        keys,
        operator: operator.clone(),
        joins: Mutex::new(joins),
        gate,
        connections: Arc::clone(&connections),
    });

    let (serving, ended) = watch::channel(());
    let proxies = config.proxies;
    let http_task = serve_http(listener, Arc::clone(&app), connections, proxies, ended);
    let server = Server {
        http,
        media,
        media_tcp,
        join: join_fn(Arc::clone(&app)),
        drain: drain_fn(Arc::clone(&app)),
        observe: observe_fn(Arc::clone(&app)),
        operator,
        lasting: actors.lasting,
        system,
        accepting,
        serving,
        http_task,
    };
    Ok((server, app))
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

fn drain_fn<M: Mailbox>(app: Arc<App<M>>) -> DrainFn {
    Box::new(move || {
        let app = Arc::clone(&app);
        Box::pin(async move { app.drain().await })
    })
}

/// Serves HTTP until the sender of `ended` is dropped.
fn serve_http<M: Mailbox>(
    listener: TcpListener,
    app: Arc<App<M>>,
    connections: Arc<Connections>,
    proxies: Proxies,
    mut ended: watch::Receiver<()>,
) -> AbortHandle {
    let end = async move { while ended.changed().await.is_ok() {} };
    let serving = http::serve::serve(listener, http::routes(app), connections, proxies, end);
    tokio::spawn(serving).abort_handle()
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
        (self.drain)().await;
    }

    /// Closes all sessions and stops, within `deadline`. Returns whether everything ended in time.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.lasting.stop();
        drop(self.accepting);
        let report = self.system.shutdown(deadline).await;
        drop(self.serving);
        self.http_task.abort();
        if !report.is_clean() {
            tracing::warn!(%report, "not everything stopped in time");
        }
        report.is_clean()
    }

    /// The tree of actors.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.system.tree()
    }
}

#[cfg(test)]
mod tests;
