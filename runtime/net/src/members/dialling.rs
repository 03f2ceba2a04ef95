//! Makes links to members of whom others have told, or who were lost.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::sleep;

use crate::{
    error::ConnectError,
    event::Event,
    node::{Dialled, Node},
};

/// Tries the addresses of a node, in turns, until there is a link to it.
pub(super) async fn dial(node: Node, name: Arc<str>, addresses: BTreeSet<Arc<str>>) {
    if node.info().name > name {
        // Both have been told of each other: the other one goes first, if it can.
        sleep(node.pause(3)).await;
    }
    let mut failures = 0;
    while !node.is_linked(&name) {
        for address in &addresses {
            match node.dial_unless_linked(address).await {
                Ok(Dialled::New(peer, _)) if peer.name == name => return,
                // Somebody else is there now, or the member is about to make the link.
                Ok(_) | Err(ConnectError::OwnName) => {}
                Err(ConnectError::Closed) => return,
                Err(error) => {
                    tracing::debug!(%address, %error, "no link to a member");
                    node.report(Event::AddressFailed {
                        address: address.clone(),
                        error: error.to_string().into(),
                        failures: failures + 1,
                    });
                }
            }
        }
        sleep(node.pause(failures)).await;
        failures += 1;
    }
}
