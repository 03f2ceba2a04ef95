//! Libraries that store key and value, or rows: each with the setting at which a commit is on disk.

use std::fmt;
use std::path::Path;

use super::store::{Store, failed};
use crate::rig::fault::Fault;

/// `fjall` with `PersistMode::SyncData` after each batch.
pub struct Fjall {
    database: fjall::Database,
    messages: fjall::Keyspace,
    next: u64,
}

impl fmt::Debug for Fjall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fjall").finish_non_exhaustive()
    }
}

impl Store for Fjall {
    fn open(directory: &Path) -> Result<Self, Fault> {
        let database = fjall::Database::builder(directory.join("fjall"))
            .open()
            .map_err(failed)?;
        let messages = database
            .keyspace("messages", fjall::KeyspaceCreateOptions::default)
            .map_err(failed)?;
        Ok(Fjall {
            database,
            messages,
            next: 0,
        })
    }

    fn commit(&mut self, messages: &[Vec<u8>]) -> Result<(), Fault> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for message in messages {
            batch.insert(&self.messages, self.next.to_be_bytes(), message.as_slice());
            self.next += 1;
        }
        batch.commit().map_err(failed)
    }
}

/// SQLite in WAL mode with `synchronous=FULL`.
pub struct Sqlite {
    connection: rusqlite::Connection,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn open(directory: &Path) -> Result<Self, Fault> {
        let connection =
            rusqlite::Connection::open(directory.join("messages.sqlite")).map_err(failed)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
                 CREATE TABLE messages (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
            )
            .map_err(failed)?;
        Ok(Sqlite { connection })
    }

    fn commit(&mut self, messages: &[Vec<u8>]) -> Result<(), Fault> {
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO messages (payload) VALUES (?1)")
                .map_err(failed)?;
            for message in messages {
                insert.execute([message]).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }
}

impl Sqlite {
    /// Takes all messages out, as a consumer that polls does.
    ///
    /// # Errors
    ///
    /// [`Fault::Failed`].
    pub fn take(&mut self) -> Result<usize, Fault> {
        let transaction = self.connection.transaction().map_err(failed)?;
        let taken = transaction
            .execute("DELETE FROM messages", [])
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(taken)
    }
}

const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("messages");

/// `redb` with `Durability::Immediate`, its default.
pub struct Redb {
    database: redb::Database,
    next: u64,
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").finish_non_exhaustive()
    }
}

impl Store for Redb {
    fn open(directory: &Path) -> Result<Self, Fault> {
        let database = redb::Database::create(directory.join("messages.redb")).map_err(failed)?;
        Ok(Redb { database, next: 0 })
    }

    fn commit(&mut self, messages: &[Vec<u8>]) -> Result<(), Fault> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            for message in messages {
                table
                    .insert(self.next, message.as_slice())
                    .map_err(failed)?;
                self.next += 1;
            }
        }
        transaction.commit().map_err(failed)
    }
}
