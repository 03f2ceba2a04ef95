//! What most actors need, for a glob import.
//!
//! ```
//! use lanemesh_runtime::prelude::*;
//! ```

pub use crate::{
    Actor, ActorError, ActorHandle, ActorResult, Child, Context, ExitReason, Handler, Reply,
    Restart, System, actor_loop,
};
