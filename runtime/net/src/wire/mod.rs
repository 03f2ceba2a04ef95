//! What is on the wire: frames, and messages in them. It knows neither sockets nor actors.

mod check;
mod codec;
mod field;
mod frame;
pub(crate) mod reason;

pub use self::check::check;
pub(crate) use self::{
    codec::{complete, decode, encode, encode_answer},
    field::{Fields, FrameError, put_text},
    frame::{Class, Codec, Codecs, Frame, MESSAGE, Order, begin, end, next, set_message},
};
