//! Lanes of [`lanemesh_net`] over [Zenoh](zenoh), and what Zenoh knows of a network: which nodes there are, and
//! where an actor is.
//!
//! - [`Zenoh`] is a transport for addresses such as `zenoh:rooms/eu`. Both connections of a link have a priority of
//!   Zenoh, and everything else is as on other lanes: frames, credit, heartbeats, the proof of who is there.
//! - [`Nodes`] tells which nodes there are, by liveliness tokens.
//! - [`Names`] gives actors names in scopes, by liveliness tokens too.
//!
//! It is a package of its own because Zenoh brings some 270 crates.
#![forbid(unsafe_code)]

mod calls;
mod frame;
mod hub;
mod live;
mod names;
mod nodes;
mod stream;
mod text;
mod transport;

pub use zenoh;

pub use self::{
    live::NodeEvent,
    names::{Names, Registration},
    nodes::{LiveNodes, Nodes},
    transport::Zenoh,
};

/// The example of the README, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
