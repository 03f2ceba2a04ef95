//! Sockets and what travels on them: UDP, TCP, and the views of packets.

pub mod rtp;
pub mod tcp;
pub mod udp;
