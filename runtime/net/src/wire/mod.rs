//! What is on the wire: frames, and messages in them. It knows neither sockets nor actors.

mod codec;
mod field;
mod frame;
pub(crate) mod reason;

pub(crate) use self::{
    codec::{decode, encode, encode_answer},
    field::Fields,
    frame::{Class, Frame, Order, begin, end, next},
};
