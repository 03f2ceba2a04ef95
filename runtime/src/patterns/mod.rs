//! Patterns made of actors: conversations, topics and brokers, pools of workers, routes.

mod conversation;
mod pool;
mod route;
mod topic;

pub use lanemesh::mesh::Balance;

pub use self::{
    conversation::{
        Conversation, ConversationBuilder, ConversationError, ConversationHandle, ConversationMode,
        ConversationState, Request,
    },
    pool::{Pool, PoolBuilder},
    route::Route,
    topic::{Broker, Published, Publisher, SlowPolicy, Subscription, Topic},
};
