//! The `sfu-demo` binary: arguments and wiring.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use sfu_demo::config::ServeArgs;
use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::Mailbox;
use sfu_demo::mailbox::kind::OnMailbox;
use sfu_demo::serve;

/// A selective forwarding unit on the lanemesh mailbox.
///
/// Without a command it serves: open the address that it prints in two browser tabs.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token that lets its bearer into a room
    Token(TokenArgs),
}

#[derive(Debug, clap::Args)]
struct TokenArgs {
    /// The room
    #[arg(long)]
    room: String,
    /// The server's secret
    #[arg(long, env = "SFU_SECRET", hide_env_values = true)]
    secret: String,
    /// How long it lasts, in seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// The bearer may only receive
    #[arg(long, conflicts_with = "publish_only")]
    subscribe_only: bool,
    /// The bearer may only send
    #[arg(long)]
    publish_only: bool,
    /// The bearer may look at the server's figures
    #[arg(long)]
    operator: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run_serve(cli.serve),
        Some(Command::Token(args)) => run_token(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfu-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn logs(json: bool) {
    let filter = EnvFilter::try_from_env("SFU_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,str0m=error,is=error,dimpl=error"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        logs.json().init()
    } else {
        logs.init()
    }
}

fn run_token(args: TokenArgs) -> Result<(), Failure> {
    if args.secret.len() < Keys::MIN_SECRET {
        return Err(format!("the secret must have at least {} bytes", Keys::MIN_SECRET).into());
    }
    let claims = Claims {
        room: args.room,
        exp: 0,
        publish: !args.subscribe_only,
        subscribe: !args.publish_only,
        operator: args.operator,
    };
    let token =
        Keys::new(args.secret.as_bytes()).sign(claims, Duration::from_secs(args.seconds))?;
    println!("{token}");
    Ok(())
}

fn run_serve(args: ServeArgs) -> Result<(), Failure> {
    let args = args.with_file()?;
    logs(args.log_json);
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
            let options = self.0.options();
            let shards = options.shards;
            let server = serve::start::<M>(options).await?;
            let url = format!("http://{}/", server.http);
            println!("Open {url} in two browser tabs.");
            tracing::info!(%url, media = ?server.media, shards, mailbox = M::NAME, "serving");
            stop_asked().await?;
            tracing::info!("stopping: nobody may join, everybody is told goodbye");
            let clean = server.stop(Duration::from_secs(10)).await;
            if clean {
                Ok(())
            } else {
                Err("not everything ended in time".into())
            }
        })
    }
}

/// Waits for the signal to stop.
async fn stop_asked() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            result = tokio::signal::ctrl_c() => result,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
