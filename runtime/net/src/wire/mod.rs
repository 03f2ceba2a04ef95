//! What is on the wire: frames, and messages in them. It knows neither sockets nor actors.

mod check;
mod codec;
mod field;
mod frame;
#[cfg(feature = "protobuf")]
mod protobuf;
pub(crate) mod reason;
pub(crate) mod trace;

pub(crate) use self::check::check;
#[cfg(feature = "protobuf")]
pub use self::protobuf::Protobuf;
pub(crate) use self::{
    codec::{complete, decode, encode, encode_answer},
    field::{Fields, FrameError, put_text},
    frame::{
        Class, Codec, Codecs, Frame, MESSAGE, Order, add_trace, begin, end, next, set_message,
    },
};
