//! Where messages leave the process, and where they come back into an actor: what a link to another
//! process is built of.
//!
//! [`remote`] makes an [`ActorHandle`](crate::ActorHandle) whose messages a link takes out of an [`Inlet`]. It is an
//! ordinary mailbox, with the capacities and policies of any other, so a send does the same whether
//! the actor is here or elsewhere. [`Outlet`] is the other end: it puts what a link has received into
//! the mailbox of an actor of this process, with the expiry that is left. With the feature `serde`, a
//! [`Reply`](crate::Reply) inside a message is carried as a number: see `departing` and `arriving`.
//!
//! This module knows neither sockets nor formats. `lanemesh-net` is a link made of it.

mod inlet;
mod outlet;

pub use self::{
    inlet::{Inlet, Request, View, remote},
    outlet::Outlet,
};
#[cfg(feature = "serde")]
pub use crate::handle::reply::carried::{PendingAnswer, PendingAsk, arriving, departing};

use tokio::time::Instant;

/// A message on its way between a mailbox and a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel<M> {
    /// The message.
    pub message: M,
    /// When it expires.
    pub expires: Option<Instant>,
    /// Whether its sender waits for an answer, and gives up by itself when it expires.
    pub is_ask: bool,
}
