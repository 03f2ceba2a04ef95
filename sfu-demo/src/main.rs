//! The `sfu-demo` binary: arguments and wiring.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use sfu_demo::config::ServeArgs;
use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::kind::OnMailbox;
use sfu_demo::mailbox::{Kind, Mailbox};
use sfu_demo::media::codec::Name;
use sfu_demo::server;
use sfu_demo::tools::bench::{self, Load, Transport};
use sfu_demo::tools::{relay, replay};

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
    /// Forward plain RTP from one port to many, for ffmpeg, GStreamer and their like
    Relay(RelayArgs),
    /// Send the RTP of a capture through the relay or the server and compare what arrives, byte for
    /// byte
    Replay(ReplayArgs),
    /// Put load on mailboxes, the relay or the server, and compare
    Bench(BenchArgs),
    /// Make a token that lets its bearer into a room
    Token(TokenArgs),
}

#[derive(Debug, clap::Args)]
struct RelayArgs {
    /// Where RTP comes in
    #[arg(long, default_value = "127.0.0.1:5004", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where it goes; may be given more than once
    #[arg(
        long,
        required = true,
        value_name = "ADDRESS:PORT",
        value_delimiter = ','
    )]
    to: Vec<SocketAddr>,
    /// How many shards share the subscribers, each with a thread of its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Which mailbox packets cross shards by
    #[arg(long, value_enum, default_value_t = Kind::DEFAULT)]
    mailbox: Kind,
    /// Allow addresses of other machines, although plain RTP is not encrypted
    #[arg(long)]
    allow_remote: bool,
    /// How many packets go to one subscriber back to back
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    burst: u16,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The capture, pcap or pcapng
    file: PathBuf,
    /// Through what: the relay takes any RTP, the server video of a known codec
    #[arg(long, value_enum, default_value_t = Through::Relay)]
    through: Through,
    /// Of which codec the capture is
    #[arg(
        long,
        value_enum,
        value_name = "CODEC",
        required_if_eq("through", "webrtc")
    )]
    codec: Option<Video>,
    /// To how many receivers
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    receivers: u16,
    /// How much faster than it was recorded; 0 is as fast as it goes
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
    speed: f64,
    /// How many shards share the receivers
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Which mailbox packets cross shards by
    #[arg(long, value_enum, default_value_t = Kind::DEFAULT)]
    mailbox: Kind,
    /// Say what came of it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Through {
    Relay,
    Webrtc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Video {
    Vp8,
    H264,
    Vp9,
    Av1,
}

impl From<Video> for Name {
    fn from(video: Video) -> Self {
        match video {
            Video::Vp8 => Self::Vp8,
            Video::H264 => Self::H264,
            Video::Vp9 => Self::Vp9,
            Video::Av1 => Self::Av1,
        }
    }
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    /// Mailboxes, or `all`; they take turns
    #[arg(long, default_value = "all", value_name = "NAME", value_delimiter = ',', value_parser = mailboxes)]
    mailbox: Vec<Mailboxes>,
    /// By what packets travel
    #[arg(long, value_enum, default_value_t = Transport::Inproc)]
    transport: Transport,
    /// Rooms
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rooms: u16,
    /// Publishers in each room
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    publishers: u16,
    /// Subscribers in each room
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    subscribers: u16,
    /// Packets a second of each publisher; 0 is as fast as it goes (inproc only)
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=Load::MAX_RATE))]
    rate: u64,
    /// Look for the rate at which those who forward work for so many percent of their time
    #[arg(long, value_name = "PERCENT", conflicts_with = "rate", value_parser = clap::value_parser!(u8).range(1..=90))]
    load: Option<u8>,
    /// Bytes of a packet's payload
    #[arg(long, default_value_t = 1200)]
    size: usize,
    /// How long a run takes, in seconds
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Runs of each mailbox
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Shards
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Estimate the peers' bandwidth and pace what they are sent, as `serve` does (webrtc only)
    #[arg(long)]
    paced: bool,
    /// Write the figures here as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Mailboxes(Vec<Kind>);

fn mailboxes(text: &str) -> Result<Mailboxes, String> {
    if text == "all" {
        return Ok(Mailboxes(Kind::ALL.to_vec()));
    }
    let names = || Kind::ALL.map(Kind::name).join(", ");
    let kind = <Kind as clap::ValueEnum>::from_str(text, true);
    kind.map(|kind| Mailboxes(vec![kind]))
        .map_err(|_| format!("it is none of {}, all", names()))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("it is not between 0.1 and 3600".to_owned())
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if speed.is_finite() && speed >= 0.0 {
        Ok(speed)
    } else {
        Err("it is negative".to_owned())
    }
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
    // Before there are other threads. Without it every packet costs its sender a fence.
    let _ = lanemesh::register_membarrier();
    let outcome = match cli.command {
        None => run_serve(cli.serve),
        Some(Command::Relay(args)) => args.mailbox.with(RunRelay(args)),
        Some(Command::Replay(args)) => args.mailbox.with(RunReplay(args)),
        Some(Command::Bench(args)) => run_bench(args),
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
    logs(args.log_json.unwrap_or(false));
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
            let mut stop = Stop::new()?;
            let options = self.0.options();
            let drain = Duration::from_secs(self.0.drain.unwrap_or(0).into());
            let shards = options.shards;
            let server = server::start::<M>(options).await?;
            let url = format!("http://{}/", server.http);
            println!("Open {url} in two browser tabs.");
            tracing::info!(%url, media = ?server.media, shards, mailbox = M::NAME, "serving");
            stop.asked().await?;
            if !drain.is_zero() {
                tracing::info!(
                    seconds = drain.as_secs(),
                    "draining: nobody may join any more"
                );
                tokio::select! {
                    outcome = tokio::time::timeout(drain, server.drain()) => {
                        tracing::info!(all_left = outcome.is_ok(), "drained");
                    }
                    asked = stop.asked() => asked?,
                }
            }
            tracing::info!("stopping: everybody is told goodbye");
            let clean = server.stop(Duration::from_secs(10)).await;
            if clean {
                Ok(())
            } else {
                Err("not everything ended in time".into())
            }
        })
    }
}

fn run_bench(args: BenchArgs) -> Result<(), Failure> {
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in args.mailbox.into_iter().flat_map(|mailboxes| mailboxes.0) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut load = Load {
        transport: args.transport,
        rooms: args.rooms.into(),
        publishers: args.publishers.into(),
        subscribers: args.subscribers.into(),
        rate: args.rate,
        size: args.size,
        duration: Duration::from_secs_f64(args.seconds),
        shards: args.shards.into(),
        paced: args.paced,
    };
    let rounds = usize::from(args.rounds);
    let bare = usize::from(args.transport == Transport::Udp);
    let bar = indicatif::ProgressBar::new((rounds * (kinds.len() + bare)) as u64).with_style(
        indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?,
    );
    if let (Some(percent), Some(&kind)) = (args.load, kinds.first()) {
        let busy = f64::from(percent) / 100.0;
        load.rate = bench::rate_for(load, kind, busy, |what| bar.set_message(what.to_owned()))?;
    }
    let report = bench::compare(load, &kinds, rounds, |what| {
        bar.set_message(what.to_owned());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    let write = |path: &PathBuf, text: &str| {
        std::fs::write(path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let json = serde_json::to_string_pretty(&report)?;
    match &args.json {
        Some(path) if path.as_os_str() == "-" => println!("{json}"),
        Some(path) => write(path, &json)?,
        None => {}
    }
    if let Some(path) = &args.svg {
        write(path, &bench::svg(&report))?;
    }
    if args
        .json
        .as_ref()
        .is_none_or(|path| path.as_os_str() != "-")
    {
        print!("{}", report.table());
    }
    Ok(())
}

struct RunRelay(RelayArgs);

impl OnMailbox for RunRelay {
    type Output = Result<(), Failure>;

    fn run<M: Mailbox>(self) -> Self::Output {
        logs(false);
        let args = self.0;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let options = relay::Options {
            listen: args.listen,
            to: args.to,
            shards: args.shards.into(),
            allow_remote: args.allow_remote,
            burst: args.burst.into(),
        };
        let subscribers = options.to.len();
        let stats = runtime.block_on(async {
            let mut stop = Stop::new()?;
            let relay = relay::start::<M>(options).await?;
            println!("RTP to {} goes to {subscribers} subscribers.", relay.listen);
            stop.asked().await?;
            relay.stop()
        })?;
        println!("{}", serde_json::to_string_pretty(&stats)?);
        Ok(())
    }
}

struct RunReplay(ReplayArgs);

impl OnMailbox for RunReplay {
    type Output = Result<(), Failure>;

    fn run<M: Mailbox>(self) -> Self::Output {
        let args = self.0;
        let options = replay::Options {
            receivers: args.receivers.into(),
            speed: args.speed,
            shards: args.shards.into(),
        };
        let bar = indicatif::ProgressBar::new(0);
        let progress = |done: usize, all: usize| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let report = match args.codec.filter(|_| args.through == Through::Webrtc) {
            Some(codec) => replay::webrtc::play::<M>(&args.file, codec.into(), options, progress),
            None => replay::play::<M>(&args.file, options, progress),
        }
        .map_err(|error| format!("{} {error}", args.file.display()))?;
        bar.finish_and_clear();
        if args.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!(
                "{} of {} packets ({} bytes) reached each of {} receivers unchanged in {:.1?}",
                report.delivered, report.packets, report.bytes, report.receivers, report.took
            );
        }
        report
            .difference
            .map_or(Ok(()), |difference| Err(difference.into()))
    }
}

/// The signals to stop; one that comes while nobody waits is kept.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next.
    async fn asked(&mut self) -> std::io::Result<()> {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            Ok(())
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    }
}
