//! Publish and subscribe, with a bounded lane for each subscriber.
//!
//! A publisher has its own lanes to all subscribers, so publishing takes no lock unless the list of
//! subscribers has changed. Each subscription has a policy for a full lane; unless it is to wait, a
//! slow subscriber does not delay the others.
//!
//! A topic that keeps its last value publishes under its lock instead, through one lane for each
//! subscriber: so all subscribers see one order, its end is the last value, and a late subscriber
//! gets that value before the ones that follow.

mod broker;
mod policy;
mod publisher;
mod subscribers;
mod subscription;
mod topics;

pub use self::{
    broker::Broker,
    policy::{Published, SlowPolicy},
    publisher::Publisher,
    subscription::Subscription,
    topics::Topic,
};
