//! Bounds on what all senders may have waiting together.

mod overtaking;
mod total;
mod weight;
