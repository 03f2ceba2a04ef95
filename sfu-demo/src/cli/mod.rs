//! The command line: one file for each command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod config;
mod failure;
mod logs;
mod relay;
mod replay;
mod serve;
mod token;

/// A selective forwarding unit built on the lanemesh mailbox.
///
/// Without a command it runs the server: open the address that it prints in two browser tabs.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: config::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward plain RTP from one port to many, for ffmpeg, GStreamer and the like
    Relay(relay::RelayArgs),
    /// Send the RTP of a capture through the relay or the server, and compare every byte that arrives
    Replay(replay::ReplayArgs),
    /// Compare mailboxes under load: alone, in the relay or in the server
    Bench(bench::BenchArgs),
    /// Sign a token that admits its bearer to a room
    Token(token::TokenArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // Before other threads start. Without it every send of a packet costs a fence.
    let _ = lanemesh::register_membarrier();
    let outcome = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Relay(args)) => relay::run(args),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Token(args)) => token::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfu-demo: {error}");
            ExitCode::FAILURE
        }
    }
}
