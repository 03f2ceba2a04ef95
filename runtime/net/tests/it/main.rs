//! Nodes and links as their users see them.

mod authority;
mod browser;
mod common;

mod answers;
mod credit;
mod discovery;
mod endings;
mod handles;
mod history;
mod known;
mod lookups;
mod loose;
mod members;
mod names;
mod pairing;
mod refusals;
mod simulation;
mod singletons;
mod streams;
mod tls;
mod tokens;
mod traces;
mod transports;
mod versions;
mod watching;
mod webrtc;
mod websocket;
