//! Rooms: one actor each, which ends when the last shard has let go of it.

mod actor;
pub(crate) mod state;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::RoomTable;
