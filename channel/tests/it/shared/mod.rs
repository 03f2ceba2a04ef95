//! The sender whose clones share one lane, one bound and one order.

mod interface;
mod parity;
mod races;
mod reentrancy;
mod waiting;
