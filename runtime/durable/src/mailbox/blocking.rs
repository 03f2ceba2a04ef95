//! The twins of the asynchronous methods, for threads that run no tasks: they block the thread.

use std::{path::Path, time::Duration};

use crate::{
    engine::{OpenError, QueueStats},
    journal::{DeadLetter, StoreError},
    mailbox::{Delivery, Mailbox},
    options::QueueOptions,
    producer::{TellError, Terms, Ticket},
    store::Durable,
    wait::{block_for, block_on},
};

impl Durable {
    /// As [`mailbox`](Self::mailbox), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`mailbox`](Self::mailbox).
    pub fn blocking_mailbox(
        &self,
        name: &str,
        options: QueueOptions,
    ) -> Result<Mailbox, StoreError> {
        block_on(self.mailbox(name, options))
    }
}

/// For threads that run no tasks.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use lanemesh_durable::{Mailbox, StoreError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let mut jobs = Mailbox::blocking_open(directory)?;
/// let mut taker = jobs.clone();
/// let worker = thread::spawn(move || -> Result<(), StoreError> {
///     loop {
///         let taken = taker.blocking_dequeue_timeout(16, Duration::from_millis(100))?;
///         for job in &taken {
///             match job.payload.as_slice() {
///                 b"stop" => return taker.blocking_ack(&[job.id]).map(drop),
///                 _ => taker.blocking_ack(&[job.id])?,
///             };
///         }
///     }
/// });
/// jobs.blocking_enqueue_low(b"resize 7".to_vec())?; // on disk
/// jobs.blocking_enqueue_low(b"stop".to_vec())?;
/// worker.join().expect("the worker does not panic")?;
/// assert_eq!(jobs.blocking_stats()?.low.ready, 0);
/// jobs.blocking_close();
/// # Ok(()) }
/// ```
impl Mailbox {
    /// As [`open`](Self::open), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn blocking_open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        block_on(Self::open(directory))
    }

    /// As [`enqueue_high`](Self::enqueue_high), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    pub fn blocking_enqueue_high(
        &mut self,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        block_on(self.enqueue_high(payload))
    }

    /// As [`enqueue_low`](Self::enqueue_low), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    pub fn blocking_enqueue_low(
        &mut self,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        block_on(self.enqueue_low(payload))
    }

    /// As [`enqueue_with`](Self::enqueue_with), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    pub fn blocking_enqueue_with(
        &mut self,
        payload: impl Into<Vec<u8>>,
        is_high: bool,
        terms: Terms,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        block_on(self.enqueue_with(payload, is_high, terms))
    }

    /// As [`dequeue`](Self::dequeue), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`dequeue`](Self::dequeue).
    pub fn blocking_dequeue(&mut self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        block_on(self.dequeue(limit))
    }

    /// As [`blocking_dequeue`](Self::blocking_dequeue), for at most `timeout`: then it has taken nothing, and
    /// returns nothing.
    ///
    /// # Errors
    ///
    /// As [`dequeue`](Self::dequeue).
    pub fn blocking_dequeue_timeout(
        &mut self,
        limit: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        block_for(self.dequeue(limit), timeout).unwrap_or(Ok(Vec::new()))
    }

    /// As [`ack`](Self::ack), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn blocking_ack(&mut self, ids: &[u64]) -> Result<usize, StoreError> {
        block_on(self.ack(ids))
    }

    /// As [`retry`](Self::retry), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`retry`](Self::retry).
    pub fn blocking_retry(&mut self, id: u64, delay: Option<Duration>) -> Result<bool, StoreError> {
        block_on(self.retry(id, delay))
    }

    /// As [`reject`](Self::reject), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`reject`](Self::reject).
    pub fn blocking_reject(&mut self, id: u64) -> Result<bool, StoreError> {
        block_on(self.reject(id))
    }

    /// As [`dead_letters`](Self::dead_letters), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`dead_letters`](Self::dead_letters).
    pub fn blocking_dead_letters(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        block_on(self.dead_letters(from, limit))
    }

    /// As [`stats`](Self::stats), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`stats`](Self::stats).
    pub fn blocking_stats(&self) -> Result<QueueStats, StoreError> {
        block_on(self.stats())
    }

    /// As [`close`](Self::close), for a thread that runs no tasks.
    pub fn blocking_close(self) {
        self.store.blocking_close();
    }
}
