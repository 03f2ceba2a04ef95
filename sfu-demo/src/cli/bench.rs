//! `sfu-demo bench`: load on mailboxes, the relay or the server.

use std::path::PathBuf;
use std::time::Duration;

use sfu_demo::mailbox::MailboxKind;
use sfu_demo::tools::bench::{self, Load, Transport};

use super::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Mailboxes to compare, in turns, or `all`
    #[arg(long, default_value = "all", value_name = "NAME", value_delimiter = ',', value_parser = mailboxes)]
    mailbox: Vec<Mailboxes>,
    /// What the packets travel through
    #[arg(long, value_enum, default_value_t = Transport::Inproc)]
    transport: Transport,
    /// Number of rooms
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rooms: u16,
    /// Publishers in each room
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    publishers: u16,
    /// Subscribers in each room
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    subscribers: u16,
    /// Packets per second of each publisher; 0 is as fast as possible (inproc only)
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=Load::MAX_RATE))]
    rate: u64,
    /// Search for the rate that keeps the forwarding threads busy for this percentage of the time
    #[arg(long, value_name = "PERCENT", conflicts_with = "rate", value_parser = clap::value_parser!(u8).range(1..=90))]
    load: Option<u8>,
    /// Payload of a packet in bytes
    #[arg(long, default_value_t = 1200)]
    size: usize,
    /// Duration of a run in seconds
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Runs for each mailbox
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Number of shards
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Estimate the peers' bandwidth and pace what is sent, as the server does (webrtc only)
    #[arg(long)]
    paced: bool,
    /// Write the results to this file as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the results to this file as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Mailboxes(Vec<MailboxKind>);

fn mailboxes(text: &str) -> Result<Mailboxes, String> {
    if text == "all" {
        return Ok(Mailboxes(MailboxKind::ALL.to_vec()));
    }
    let names = || MailboxKind::ALL.map(MailboxKind::name).join(", ");
    let kind = <MailboxKind as clap::ValueEnum>::from_str(text, true);
    kind.map(|kind| Mailboxes(vec![kind]))
        .map_err(|_| format!("expected one of {}, all", names()))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("not between 0.1 and 3600".to_owned())
    }
}

pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    let mut kinds: Vec<MailboxKind> = Vec::new();
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
