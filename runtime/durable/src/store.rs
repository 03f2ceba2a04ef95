//! A store: one log for all durable actors and mailboxes of a process.

use std::path::Path;

use crate::{
    disk::{Disk, RealDisk},
    engine::{Cut, OpenError},
    journal::{Client, DeadLetter, StoreError, StoreStats, Upkeep, start},
    options::StoreOptions,
    wait::block_on,
};

/// A store: a directory with a log, and the thread that writes it. Clones are the same store.
///
/// The thread ends, and the directory is free, when all clones, handles and actors of the store are
/// gone, or after [`close`](Self::close).
///
/// # Examples
///
/// ```
/// use lanemesh_durable::{Durable, QueueOptions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let store = Durable::open(directory)?;
/// let mut mail = store.mailbox("mail", QueueOptions::default()).await?;
/// mail.enqueue_low(b"hello".to_vec()).await?;
/// let stats = store.stats().await?;
/// assert_eq!(stats.queue("mail").map(|queue| queue.low.ready), Some(1));
/// store.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Durable {
    pub(crate) client: Client,
    cut: Option<Cut>,
}

impl Durable {
    /// Opens the store in a directory, or makes one.
    ///
    /// It reads the whole log, and blocks the thread meanwhile: about a second for a million messages
    /// of 256 bytes.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: if the directory is open elsewhere, or if the log is damaged. Nothing is changed then.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(directory, &StoreOptions::default())
    }

    /// As [`open`](Self::open), with settings.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        directory: impl AsRef<Path>,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        Self::open_on(RealDisk::new(directory.as_ref())?, options)
    }

    /// Opens a store on a disk of another kind, such as a simulated one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(disk: impl Disk, options: &StoreOptions) -> Result<Self, OpenError> {
        let (client, cut) = start(Box::new(disk), options)?;
        if let Some(cut) = &cut {
            tracing::warn!(
                file = cut.file,
                offset = cut.offset,
                "a torn write was cut off the log"
            );
        }
        Ok(Self { client, cut })
    }

    /// A store whose journal makes its turns when a test says so.
    #[cfg(test)]
    pub(crate) fn stepped(
        disk: impl Disk,
        options: &StoreOptions,
    ) -> Result<(Self, crate::journal::Journal), OpenError> {
        let (client, cut, journal) = crate::journal::prepare(Box::new(disk), options)?;
        Ok((Self { client, cut }, journal))
    }

    /// What was cut off the end of the log when it was opened: a torn write, of which no receipt was
    /// given.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The numbers of the store and its queues.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.client.clone().ask(Upkeep::Stats).await
    }

    /// The dead letters of a queue, or of all, by their identities: at most `limit`, from the identity `from` on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn dead_letters(
        &self,
        queue: Option<&str>,
        from: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let queue = queue.map(str::to_owned);
        self.client
            .clone()
            .ask(|reply| Upkeep::DeadLetters(queue, from, limit, reply))
            .await
    }

    /// Makes a dead letter a message again, with no attempts and no expiry. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if it was not stored.
    pub async fn requeue(&self, id: u64) -> Result<bool, StoreError> {
        self.client
            .clone()
            .ask(|reply| Upkeep::Requeue(id, reply))
            .await?
    }

    /// Deletes a dead letter. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if it was not stored.
    pub async fn delete_dead_letter(&self, id: u64) -> Result<bool, StoreError> {
        self.client
            .clone()
            .ask(|reply| Upkeep::DeleteDead(id, reply))
            .await?
    }

    /// As [`stats`](Self::stats), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`stats`](Self::stats).
    pub fn blocking_stats(&self) -> Result<StoreStats, StoreError> {
        block_on(self.stats())
    }

    /// As [`dead_letters`](Self::dead_letters), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`dead_letters`](Self::dead_letters).
    pub fn blocking_dead_letters(
        &self,
        queue: Option<&str>,
        from: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        block_on(self.dead_letters(queue, from, limit))
    }

    /// As [`requeue`](Self::requeue), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`requeue`](Self::requeue).
    pub fn blocking_requeue(&self, id: u64) -> Result<bool, StoreError> {
        block_on(self.requeue(id))
    }

    /// As [`delete_dead_letter`](Self::delete_dead_letter), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`delete_dead_letter`](Self::delete_dead_letter).
    pub fn blocking_delete_dead_letter(&self, id: u64) -> Result<bool, StoreError> {
        block_on(self.delete_dead_letter(id))
    }

    /// Closes the store: what was sent before is stored, receipts that are waited for come, and
    /// everything later fails. Returns when the directory is free, also if the store was closed already.
    ///
    /// An actor that still runs goes on with the messages that it has; what it finishes then is
    /// acknowledged by the next start, unless that comes first: then it comes again. So stop actors before.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have closed the store or not.
    pub async fn close(self) {
        self.client.clone().close().await;
    }

    /// As [`close`](Self::close), for a thread that runs no tasks.
    pub fn blocking_close(self) {
        block_on(self.client.clone().close());
    }
}
