//! Pages as peers: they connect over WebSockets with a [`Token`](crate::Token), tell and ask actors of a node, and
//! are told and asked by it.
//!
//! The node listens at a `ws://` or `wss://` address, has a
//! [`token_key`](crate::NodeBuilder::token_key), and gives each page a token, by whatever way the page logs in. The page loads
//! [`CLIENT`], which documents itself. Messages are JSON, as serde_json writes the Rust types; a page looks actors up
//! by the names of their types, and the node looks up what a page exports as any actor:
//! `node.lookup::<Guest>("page/7").on("page/7")`.
//!
//! A page that is busy for longer than [`Config::dead_after`](crate::Config::dead_after) is taken for dead: a node that
//! serves pages may want more than the default.

/// The script: a module without dependencies, to be served as `text/javascript`.
pub const CLIENT: &str = include_str!("lanemesh.js");
