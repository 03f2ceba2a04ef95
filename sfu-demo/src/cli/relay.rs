//! `sfu-demo relay`: plain RTP from one port to many.

use std::net::SocketAddr;

use lanemesh_runtime::shutdown::Signals;
use sfu_demo::mailbox::{Mailbox, MailboxKind, OnMailbox};
use sfu_demo::tools::relay;

use super::failure::Failure;
use super::logs;

#[derive(Debug, clap::Args)]
pub(super) struct RelayArgs {
    /// Address that RTP is received on
    #[arg(long, default_value = "127.0.0.1:5004", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Subscriber; may be given more than once
    #[arg(
        long,
        required = true,
        value_name = "ADDRESS:PORT",
        value_delimiter = ','
    )]
    to: Vec<SocketAddr>,
    /// Number of shards that share the subscribers, each with its own thread
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Mailbox between shards
    #[arg(long, value_enum, default_value_t = MailboxKind::DEFAULT)]
    mailbox: MailboxKind,
    /// Allow addresses of other machines, although plain RTP is not encrypted
    #[arg(long)]
    allow_remote: bool,
    /// Packets sent to one subscriber back to back
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    burst: u16,
}

pub(super) fn run(args: RelayArgs) -> Result<(), Failure> {
    args.mailbox.with(RunRelay(args))
}

struct RunRelay(RelayArgs);

impl OnMailbox for RunRelay {
    type Output = Result<(), Failure>;

    fn run<M: Mailbox>(self) -> Self::Output {
        logs::start(false);
        let args = self.0;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let options = relay::RelayConfig {
            listen: args.listen,
            to: args.to,
            shards: args.shards.into(),
            allow_remote: args.allow_remote,
            burst: args.burst.into(),
        };
        let subscribers = options.to.len();
        let relay = relay::start::<M>(options)?;
        runtime.block_on(async {
            let mut stop = Signals::new()?;
            println!("RTP to {} goes to {subscribers} subscribers.", relay.listen);
            stop.received().await
        })?;
        let stats = relay.stop()?;
        println!("{}", serde_json::to_string_pretty(&stats)?);
        Ok(())
    }
}
