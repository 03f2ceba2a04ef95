//! Bounds on what all senders may have waiting together.

mod total;
mod weight;
