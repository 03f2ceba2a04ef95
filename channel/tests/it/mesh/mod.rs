//! Meshes: several receivers, which join and leave while others send.

mod histories;
mod interface;
mod leaving;
mod mailbox;
mod order;
mod reentrancy;
mod routing;
mod stress;
mod waiting;
