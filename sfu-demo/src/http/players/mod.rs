//! Encoders and players: WHIP, WHEP, and what web pages of other origins may do with them.

mod cors;
mod whip;

pub(super) use cors::allow_origins;
pub(super) use whip::{end, offers, patch, patches, whep, whip};
