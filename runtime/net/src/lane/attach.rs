//! A lane that this node has opened, or opens again over another link.

use std::{future::poll_fn, sync::Arc};

use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    error::{LookupError, refusal},
    link::{Host, Link, OpenLane, Reply},
    remote::Remote,
    wire::{Class, Codec, Codecs, Frame, Order},
};

/// Bytes of a request for a lane besides its texts, and a few more.
const OPEN: usize = 64;

/// Where a pump finds links.
pub(crate) trait Directory: Host {
    /// A link to the node of this name, if there is one.
    fn link_to(&self, name: &str) -> Option<Arc<Link>>;

    /// Changes whenever a link comes or goes.
    fn changes(&self) -> watch::Receiver<u64>;

    /// A number for a pump, which differs from those of the others.
    fn next_pump(&self) -> u32;
}

/// A lane that this node has opened.
pub(crate) struct Lane {
    pub(crate) link: Arc<Link>,
    pub(crate) number: u32,
    pub(crate) codec: Codec,
    /// Whether the owner takes trace contexts.
    pub(crate) has_traces: bool,
    pub(crate) open: Arc<OpenLane>,
    /// The owner knows that it is over.
    is_over: bool,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.link.forget(self.number);
        // If the owner has not answered yet, the link closes the lane when it does.
        if !self.is_over && self.open.lock().is_opened() {
            self.link.close_lane(self.number);
        }
    }
}

/// Asks the peer of a link for a lane to one of its actors, with one of `codecs`.
pub(crate) async fn attach<A: Remote>(
    link: &Arc<Link>,
    name: &str,
    codecs: Codecs,
) -> Result<Lane, LookupError> {
    attach_as::<A>(link, name, codecs, None).await
}

/// As [`attach`]. A lane that goes on has a number, by which the owner knows which messages are before its own.
async fn attach_as<A: Remote>(
    link: &Arc<Link>,
    name: &str,
    codecs: Codecs,
    known: Option<u32>,
) -> Result<Lane, LookupError> {
    let versions = (*A::VERSIONS.start(), *A::VERSIONS.end());
    // More is no name, and a frame that is too large would end the link.
    if A::TYPE.len() + name.len() + OPEN > link.config().max_frame {
        return Err(LookupError::Unknown);
    }
    let (number, open) = link.open(versions, codecs, A::TYPE, name, known);
    let mut lane = Lane {
        link: link.clone(),
        number,
        codec: Codec::Postcard, // until the owner has chosen
        has_traces: false,
        open,
        is_over: false,
    };
    let reply = poll_fn(|cx| lane.open.poll_reply(cx));
    match timeout(link.config().lookup_timeout, reply).await {
        Ok(Some(Reply::Opened {
            version,
            codec,
            has_traces,
        })) if A::VERSIONS.contains(&version) && codecs.contains(codec) => {
            lane.codec = codec;
            lane.has_traces = has_traces;
            Ok(lane)
        }
        Ok(Some(Reply::Opened { version, codec, .. })) => {
            let text = format!("the other node chose version {version} and {codec:?}");
            Err(LookupError::Mismatch(text.into()))
        }
        Ok(Some(Reply::Refused { why, text })) => Err(refusal::error(why, text)),
        Ok(None) => Err(LookupError::LinkDown),
        Err(_) => Err(LookupError::Timeout),
    }
}

impl Lane {
    /// The owner has ended it.
    pub(super) fn has_ended(&mut self) {
        self.is_over = true;
    }

    pub(super) fn confirm(&self) {
        let lane = self.number;
        self.link.push(Class::High, &Frame::Confirm { lane });
        self.link.push(Class::Low, &Frame::Confirm { lane });
    }

    pub(super) fn order(&self, order: Order) {
        let lane = self.number;
        self.link.push(Class::High, &Frame::Order { lane, order });
    }
}

/// Waits until `deadline` for another link to the node of a lane, and asks it for the lane, with the codec of before.
pub(super) async fn attach_again<A: Remote>(
    directory: &dyn Directory,
    name: &str,
    lane: &Lane,
    deadline: Instant,
) -> Option<Lane> {
    let peer = lane.link.peer();
    let codecs = Codecs::only(lane.codec);
    let mut changes = directory.changes();
    let mut asked = None;
    loop {
        changes.mark_unchanged();
        if let Some(link) = directory.link_to(&peer.name) {
            if link.peer().incarnation != peer.incarnation {
                return None; // the actor of this handle died with its node
            }
            // Once on each link: the owner may have opened it, and the answer is late.
            let known = (asked != Some(link.number())).then_some(lane.number);
            asked = Some(link.number());
            let again = attach_as::<A>(&link, name, codecs, known);
            match timeout_at(deadline, again).await {
                Ok(Ok(lane)) => return Some(lane),
                Ok(Err(LookupError::LinkDown | LookupError::Timeout)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%peer, name, %error, "a lane is lost");
                    return None;
                }
                Err(_) => return None,
            }
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}
