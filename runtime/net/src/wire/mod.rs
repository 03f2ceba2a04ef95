//! What is on the wire: frames, and messages in them. It knows neither sockets nor actors.

mod check;
mod codec;
mod field;
mod frame;
pub(crate) mod reason;

pub use self::check::check;
pub(crate) use self::{
    codec::{decode, encode, encode_answer},
    field::Fields,
    frame::{Class, Frame, MESSAGE, Order, begin, end, next, set_message},
};
