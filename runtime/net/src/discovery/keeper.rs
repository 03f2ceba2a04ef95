//! Keeps links to the addresses of a discovery: one task for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use tokio::time::{sleep, timeout};

use super::Discovery;
use crate::{
    error::ConnectError,
    event::Event,
    node::{Dialled, Node},
    task::Task,
};

/// Addresses of one discovery.
const MAX_ADDRESSES: usize = 1024;

pub(super) async fn run(node: Node, mut discovery: Box<dyn Discovery>) {
    let mut kept: BTreeMap<Arc<str>, Task> = BTreeMap::new();
    let mut failures = 0;
    loop {
        let limit = node.config().handshake_timeout;
        let found = tokio::select! {
            biased;
            () = node.closed() => return,
            found = timeout(limit, discovery.addresses()) => found,
        };
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let pause = match found {
            Ok(addresses) => {
                failures = 0;
                let addresses = addresses.into_iter().map(Arc::from);
                keep_only(&node, &mut kept, addresses.take(MAX_ADDRESSES).collect());
                match discovery.refresh() {
                    Some(time) => node.jittered(time),
                    None => return node.closed().await,
                }
            }
            Err(error) => {
                let source = discovery.name();
                tracing::warn!(%source, %error, "which addresses there are is not known");
                failures += 1;
                let error = error.to_string().into();
                node.report(Event::DiscoveryFailed {
                    source,
                    error,
                    failures,
                });
                node.pause(failures)
            }
        };
        tokio::select! {
            biased;
            () = node.closed() => return,
            () = sleep(pause) => {}
        }
    }
}

fn keep_only(node: &Node, kept: &mut BTreeMap<Arc<str>, Task>, addresses: BTreeSet<Arc<str>>) {
    kept.retain(|address, _| addresses.contains(address));
    for address in addresses {
        let start = |address: Arc<str>| Task::spawn(keep(node.background(), address));
        kept.entry(address.clone())
            .or_insert_with(|| start(address));
    }
}

/// Keeps a link to the node behind an address: it waits as long as there is one, whoever has made it.
async fn keep(node: Node, address: Arc<str>) {
    let mut behind: Option<Arc<str>> = None;
    let mut failures = 0;
    loop {
        if let Some(name) = &behind
            && node.is_linked(name)
        {
            node.unlinked(name).await;
            sleep(node.pause(0)).await;
            continue; // it may have made a link itself
        }
        match node.dial_unless_linked(&address).await {
            Ok(Dialled::New(peer, _)) => {
                failures = 0;
                behind = Some(peer.name);
            }
            Ok(Dialled::Linked(peer)) => {
                if !node.is_linked(&peer.name) {
                    sleep(node.pause(0)).await; // that node is about to make the link
                }
                failures = 0;
                behind = Some(peer.name);
            }
            Err(ConnectError::Closed | ConnectError::OwnName) => return,
            Err(error) => {
                tracing::info!(%address, %error, "no link");
                failures += 1;
                node.report(Event::AddressFailed {
                    address: address.clone(),
                    error: error.to_string().into(),
                    failures,
                });
                sleep(node.pause(failures)).await;
            }
        }
    }
}
