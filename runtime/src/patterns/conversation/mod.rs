//! Request and reply among participants, with a supervised actor in between.
//!
//! The conversation forwards each request to a participant and collects the replies. It holds a
//! copy of a request until it is answered, so that it can follow the participant's
//! [`CrashPolicy`](crate::CrashPolicy) at a crash: the conversation fails, the request goes to the
//! next participant, or a compensation makes the reply. Waiting callers are released at once, not
//! by a timeout.
//!
//! Requests wait when the participants have no room, and senders wait when the conversation holds as
//! many requests and replies as it may.

mod actor;
mod book;
mod builder;
mod error;
mod handle;
mod messages;
mod mode;
mod participant;
mod request;

pub use self::{
    actor::Conversation, builder::ConversationBuilder, error::ConversationError,
    handle::ConversationHandle, messages::ConversationState, mode::ConversationMode,
    request::Request,
};
