//! Sockets and packets: UDP, TCP, and views of what travels on them.

pub mod classify;
pub(crate) mod gate;
pub mod origin;
pub mod rtp;
pub(crate) mod tcp;
pub mod udp;
