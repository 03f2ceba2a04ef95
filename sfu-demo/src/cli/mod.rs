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
mod stop;
mod token;

/// A selective forwarding unit on the lanemesh mailbox.
///
/// Without a command it serves: open the address that it prints in two browser tabs.
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
    /// Forward plain RTP from one port to many, for ffmpeg, GStreamer and their like
    Relay(relay::RelayArgs),
    /// Send the RTP of a capture through the relay or the server and compare what arrives, byte for
    /// byte
    Replay(replay::ReplayArgs),
    /// Put load on mailboxes, the relay or the server, and compare
    Bench(bench::BenchArgs),
    /// Make a token that lets its bearer into a room
    Token(token::TokenArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // Before there are other threads. Without it every packet costs its sender a fence.
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
