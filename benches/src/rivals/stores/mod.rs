//! Stores that keep messages on disk: the project's own, libraries, and the bare file as the floor.

mod log;
#[cfg(feature = "stores")]
mod peers;
mod store;

use crate::rivals::Subject;

pub use self::log::RawLog;
#[cfg(feature = "stores")]
pub use self::peers::{Fjall, Redb, Sqlite};
pub use self::store::Store;

/// Receives every store with its name; `ROW` says that each message is committed on its own.
pub trait StoreVisitor {
    /// Visits one store.
    fn visit<S: Subject, T: Store>(&mut self, batch: usize);
}

/// The most messages of one commit where a store commits all that waits.
pub const GROUP: usize = 4096;

/// Names a store for the tables.
macro_rules! subject {
    ($type:ident, $name:literal, $role:expr) => {
        /// The row of this name.
        #[derive(Debug)]
        pub struct $type;

        impl Subject for $type {
            const NAME: &'static str = $name;
            const ROLE: crate::rivals::Role = $role;
        }
    };
}

subject!(RawLogGroup, "raw log", crate::rivals::Role::Floor);
#[cfg(feature = "stores")]
subject!(FjallGroup, "fjall", crate::rivals::Role::Peer);
#[cfg(feature = "stores")]
subject!(FjallRow, "fjall, row a commit", crate::rivals::Role::Peer);
#[cfg(feature = "stores")]
subject!(SqliteGroup, "rusqlite", crate::rivals::Role::Peer);
#[cfg(feature = "stores")]
subject!(
    SqliteRow,
    "rusqlite, row a commit",
    crate::rivals::Role::Peer
);
#[cfg(feature = "stores")]
subject!(RedbGroup, "redb", crate::rivals::Role::Peer);
#[cfg(feature = "stores")]
subject!(RedbRow, "redb, row a commit", crate::rivals::Role::Peer);
subject!(
    LanemeshDurable,
    "lanemesh-durable",
    crate::rivals::Role::Ours
);
#[cfg(feature = "stores")]
subject!(
    Polled,
    "rusqlite, polled every 10 ms",
    crate::rivals::Role::Peer
);

/// Visits the floor and the peers.
pub fn visit_stores(visitor: &mut impl StoreVisitor) {
    visitor.visit::<RawLogGroup, RawLog>(GROUP);
    #[cfg(feature = "stores")]
    {
        visitor.visit::<FjallGroup, Fjall>(GROUP);
        visitor.visit::<SqliteGroup, Sqlite>(GROUP);
        visitor.visit::<RedbGroup, Redb>(GROUP);
        visitor.visit::<FjallRow, Fjall>(1);
        visitor.visit::<SqliteRow, Sqlite>(1);
        visitor.visit::<RedbRow, Redb>(1);
    }
}
