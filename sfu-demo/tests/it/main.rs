//! Integration tests, in one binary so that they link once. A test that needs a process of its own is a
//! binary beside this one: `allocations` replaces the global allocator and counts for all threads.

mod support;

mod aiortc;
mod browser;
mod clients;
mod http;
mod mailbox;
mod network;
mod offers;
#[cfg(unix)]
mod process;
mod relay;
mod restart;
mod security;
mod tcp;
mod webrtc;
