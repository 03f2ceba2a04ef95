//! What is forwarded: codecs.

pub mod codec;
