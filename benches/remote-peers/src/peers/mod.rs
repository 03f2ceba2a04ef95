//! The rows: each is a process that serves, and one that measures.

mod kameo_remote;
mod nats;
mod net;
mod ractor_nodes;
mod raw;
mod serving;

use std::path::Path;

use crate::{failure::Failure, shapes};

/// A row.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Or why not.
    pub(crate) is_here: fn() -> Result<(), String>,
}

const fn always(name: &'static str) -> Peer {
    Peer {
        name,
        is_here: || Ok(()),
    }
}

/// Ours is the first: the ratios are to it.
pub(crate) const PEERS: &[Peer] = &[
    always("lanemesh-net"),
    always("raw TCP"),
    always("ractor_cluster"),
    always("kameo, acknowledged"),
    always("kameo"),
    Peer {
        name: "NATS",
        is_here: || {
            let is_here = |folder: &str| Path::new(folder).join("nats-server").is_file();
            let path = std::env::var("PATH").unwrap_or_default();
            let is_found = path.split(':').chain(["/usr/sbin"]).any(is_here);
            is_found
                .then_some(())
                .ok_or("there is no nats-server".to_owned())
        },
    },
];

/// Serves until the standard input ends.
pub(crate) async fn serve(peer: &str) -> Result<(), Failure> {
    match peer {
        "lanemesh-net" => net::serve().await,
        "raw TCP" => raw::serve().await,
        "ractor_cluster" => ractor_nodes::serve().await,
        "kameo, acknowledged" | "kameo" => kameo_remote::serve().await,
        "NATS" => nats::serve().await,
        _ => Err(format!("there is no row {peer}").into()),
    }
}

pub(crate) async fn measure(
    peer: &str,
    shape: &str,
    scale: &str,
    address: &str,
) -> Result<(), Failure> {
    let scale = scale.parse()?;
    let many = 200_000;
    match peer {
        "lanemesh-net" => {
            shapes::run(net::Linked::connect(address).await?, shape, many, scale).await
        }
        "raw TCP" => shapes::run(raw::Socket::connect(address).await?, shape, many, scale).await,
        "ractor_cluster" => {
            let client = ractor_nodes::Proxy::connect(address).await?;
            shapes::run(client, shape, many, scale).await
        }
        "kameo, acknowledged" | "kameo" => {
            let client = kameo_remote::Remote::connect(address, peer != "kameo").await?;
            shapes::run(client, shape, 20_000, scale).await
        }
        "NATS" => shapes::run(nats::Client::connect(address).await?, shape, many, scale).await,
        _ => Err(format!("there is no row {peer}").into()),
    }
}
