//! A multi-producer mailbox made as a fan-in of per-producer SPSC queues, with a priority lane.

mod error;

pub use error::{
    RecvTimeoutError, SendError, SendManyError, SendTimeoutError, TryRecvError, TrySendError,
};
