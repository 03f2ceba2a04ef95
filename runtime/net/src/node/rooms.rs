//! What is built on a node uses this, besides what everybody may call.

use std::{sync::Arc, time::Duration};

use super::{Node, dial};
use crate::{
    error::ConnectError,
    event::{Event, PeerInfo},
    link::{Host, Link, Loose},
    media::Plane,
};

pub(crate) use super::dial::Dialled;

impl Node {
    /// The same node for a task of its own, which does not keep it open.
    pub(crate) fn background(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            _alive: None,
        }
    }

    /// Ready when the node is shut down.
    pub(crate) async fn closed(&self) {
        self.shared.closed().await;
    }

    pub(crate) fn report(&self, event: Event) {
        self.shared.event(event);
    }

    /// The pause after this many failures: doubled with each, half of it random.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        dial::pause(&self.shared, failures)
    }

    /// Half of `time`, and a random part of the other half.
    pub(crate) fn jittered(&self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.shared.random().f64() / 2.0)
    }

    /// Makes one link, unless there is one to the node that answers.
    ///
    /// # Cancel safety
    ///
    /// As for [`connect`](Self::connect). A link that was made goes on.
    pub(crate) async fn dial_unless_linked(&self, address: &str) -> Result<Dialled, ConnectError> {
        dial::dial(&self.shared, address).await
    }

    /// The nodes to which there are links, each in its last incarnation.
    pub(crate) fn linked(&self) -> Vec<PeerInfo> {
        let links = self.shared.links_to(None);
        let mut peers: Vec<_> = links.iter().map(|link| link.peer().clone()).collect();
        peers.sort();
        peers.reverse(); // the last incarnation of a name comes first
        peers.dedup_by(|later, kept| later.name == kept.name);
        peers
    }

    /// Sends messages to a node that may be lost, if the transport of a link to it has a way for them.
    pub(crate) fn loose(&self, name: &str) -> Option<Arc<Loose>> {
        let links = self.shared.links_to(Some(name));
        links.iter().find_map(|link| link.loose().cloned())
    }

    /// The link to a node whose session has sections, if there is one.
    pub(crate) fn plane(&self, name: &str) -> Option<(Arc<Link>, Arc<Plane>)> {
        let links = self.shared.links_to(Some(name));
        links.into_iter().find_map(|link| {
            let plane = self.shared.plane(&link)?;
            Some((link, plane))
        })
    }

    /// Asks all pages that send to a track by RTP for a key frame.
    pub(crate) fn want_key_frame(&self, track: &str) {
        let links = self.shared.links_to(None);
        let planes = links.iter().filter_map(|link| self.shared.plane(link));
        planes.for_each(|plane| plane.want_key_frame(track));
    }

    pub(crate) fn is_linked(&self, name: &str) -> bool {
        !self.shared.links_to(Some(name)).is_empty()
    }

    /// Ready when there is no link to a node.
    pub(crate) async fn unlinked(&self, name: &Arc<str>) {
        self.shared.unlinked(Some(name)).await;
    }
}
