//! Patterns made of actors: conversations, topics and brokers, pools of workers, routes.

mod conversation;
mod pool;
mod route;
mod topic;

pub use self::{
    conversation::{
        Conversation, ConversationBuilder, ConversationError, ConversationHandle, ConversationMode,
        ConversationState, Request,
    },
    pool::Pool,
    route::Route,
    topic::{Broker, Published, Publisher, SlowPolicy, Subscription, Topic},
};
