//! `sfu-demo token`: signs a room token.

use std::time::Duration;

use sfu_demo::http::token::{Claims, Keys};

use super::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// Room that it is valid for
    #[arg(long)]
    room: String,
    /// Secret of the server
    #[arg(long, env = "SFU_SECRET", hide_env_values = true)]
    secret: String,
    /// Lifetime in seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Allow only receiving
    #[arg(long, conflicts_with = "publish_only")]
    subscribe_only: bool,
    /// Allow only sending
    #[arg(long)]
    publish_only: bool,
    /// Allow reading the server's statistics
    #[arg(long)]
    operator: bool,
    /// Who it is for: when the same subject joins again, its earlier session ends
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

pub(super) fn run(args: TokenArgs) -> Result<(), Failure> {
    if args.secret.len() < Keys::MIN_SECRET {
        return Err(format!("the secret must have at least {} bytes", Keys::MIN_SECRET).into());
    }
    let claims = Claims {
        room: args.room,
        exp: 0,
        publish: !args.subscribe_only,
        subscribe: !args.publish_only,
        operator: args.operator,
        sub: args.subject,
    };
    let token =
        Keys::new(args.secret.as_bytes()).sign(claims, Duration::from_secs(args.seconds))?;
    println!("{token}");
    Ok(())
}
