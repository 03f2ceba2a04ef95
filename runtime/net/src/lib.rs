//! Handles of actors in other processes.
//!
//! A [`Node`] exports actors under names, and looks up those of the nodes that it is linked to. What it
//! gives out is an ordinary [`ActorHandle`](lanemesh_runtime::ActorHandle): sends, asks, both priorities, deadlines,
//! capacities, overflow policies and monitors are those of an actor next door. A link has a connection for each
//! priority, so that a control message overtakes a flood across the network too, and credit from mailbox to
//! mailbox, so that a slow actor slows its own senders alone.
//!
//! It is not transparent. A message that was sent has left, and no more: see the table of what is promised
//! in the README. Plain TCP is not encrypted.
//!
//! Built on it, each of its own: [`discovery`] finds addresses, [`members`] tells which nodes there are,
//! [`names`] finds actors by name, groups and singletons among them, and [`streams`] carries chunks and media to
//! callbacks.
//!
//! # Features
//!
//! - `tls`: mutual TLS over TCP, by rustls: `transport::Tls`.
//! - `websocket`: lanes over HTTP, `ws://` and, with `tls`, `wss://`: `transport::WebSocket`.
//! - `webrtc`: lanes over the data channels of WebRTC: `transport::WebRtc`.
//! - `protobuf`: `Protobuf`, by which messages hold those of Protocol Buffers, by prost.
//! - `json`: lanes whose messages are JSON, for peers without the types.
//! - `browser`: both, and the script that makes a page a peer: `browser::CLIENT`.
#![forbid(unsafe_code)]

mod access;
#[cfg(feature = "browser")]
pub mod browser;
mod config;
mod counter;
pub mod discovery;
mod error;
mod event;
mod lane;
mod link;
mod media;
pub mod members;
#[cfg(feature = "metrics")]
mod metrics;
pub mod names;
mod node;
mod remote;
pub mod streams;
mod task;
mod token;
pub mod transport;
mod wire;

pub use self::{
    access::Access,
    config::Config,
    error::{ConnectError, ExportError, LookupError},
    event::{DownReason, Event, LinkDown, PeerInfo},
    link::{LooseTraffic, Traffic},
    media::MediaTraffic,
    node::{ExportOptions, Known, LinkStats, Lookup, Node, NodeBuilder, Refusals},
    remote::Remote,
    token::Token,
    wire::trace::{InvalidTrace, Trace, TraceContext},
};

#[cfg(feature = "metrics")]
pub use self::metrics::publish_metrics;

#[cfg(feature = "protobuf")]
pub use self::wire::Protobuf;

/// What the fuzz target calls.
#[doc(hidden)]
pub mod __private {
    pub use crate::node::check_beginning;

    /// Takes bytes for what comes before a session of data channels, and for numbered messages.
    #[cfg(feature = "webrtc")]
    pub fn check_signalling(bytes: &[u8]) {
        crate::transport::check_signalling(bytes);
    }

    /// Takes bytes for frames and messages, for datagrams that may be lost, and for what is said of sections.
    pub fn check(bytes: &[u8]) {
        crate::wire::check(bytes);
        crate::link::check_loose(bytes);
        crate::media::check_message(bytes);
    }
}

/// The example of the README, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
