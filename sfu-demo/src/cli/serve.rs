//! The server, until a signal stops it.

use std::time::Duration;

use lanemesh_runtime::shutdown::Signals;
use sfu_demo::mailbox::{Mailbox, OnMailbox};
use sfu_demo::server;

use super::config::ServeArgs;
use super::failure::Failure;
use super::logs;

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let args = args.with_file()?;
    logs::start(args.log_json.unwrap_or(false));
    args.mailbox().with(Serve(args))
}

struct Serve(ServeArgs);

impl OnMailbox for Serve {
    type Output = Result<(), Failure>;

    fn run<M: Mailbox>(self) -> Self::Output {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut stop = Signals::new()?;
            let config = self.0.config();
            let drain = Duration::from_secs(self.0.drain.unwrap_or(0).into());
            let shards = config.shards;
            let random = config.operator_token.is_none();
            let needs_tokens = config.secret.is_some();
            let server = server::start::<M>(config).await?;
            let url = format!("http://{}/", server.http);
            if needs_tokens {
                println!(
                    "Rooms need a token: `sfu-demo token --room NAME`, for {url}r/NAME?token=..."
                );
            } else {
                println!("Open {url} in two browser tabs.");
            }
            if let Some(token) = server.operator_token().filter(|_| random) {
                println!("With the server's statistics: {url}?operator={token}");
            }
            tracing::info!(%url, media = ?server.media, shards, mailbox = M::NAME, "serving");
            let signal = stop.received().await?;
            tracing::info!(?signal, "asked to stop");
            if !drain.is_zero() {
                tracing::info!(seconds = drain.as_secs(), "draining: joins are refused");
                tokio::select! {
                    outcome = tokio::time::timeout(drain, server.drain()) => {
                        tracing::info!(all_left = outcome.is_ok(), "drained");
                    }
                    asked = stop.received() => drop(asked?),
                }
            }
            tracing::info!("stopping: closing all sessions");
            let clean = server.stop(Duration::from_secs(10)).await;
            if clean {
                Ok(())
            } else {
                Err("not everything stopped in time".into())
            }
        })
    }
}
