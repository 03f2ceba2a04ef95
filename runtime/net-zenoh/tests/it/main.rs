//! Nodes in one process, with a session of Zenoh each, on the loopback interface.

mod common;
mod lanes;
mod names;
mod nodes;
mod streams;
