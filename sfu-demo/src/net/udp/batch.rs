//! Batches of datagrams. Buffers are reused: once warm, nothing is allocated.

use std::net::{Ipv4Addr, SocketAddr};

/// The size of the largest datagram that is received, in bytes; a longer one is dropped and counted.
pub const MAX_DATAGRAM: usize = 1500;

/// Space for one datagram. One byte more than the maximum shows that a datagram was longer.
pub(super) const SLOT: usize = MAX_DATAGRAM + 1;

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The sender's address.
    pub source: SocketAddr,
    /// The contents; empty if it was longer than [`MAX_DATAGRAM`].
    pub bytes: &'a [u8],
}

/// A buffer for received datagrams.
#[derive(Debug)]
pub struct RecvBatch {
    pub(super) bytes: Box<[u8]>,
    pub(super) heads: Box<[(usize, SocketAddr)]>,
    pub(super) filled: usize,
}

impl RecvBatch {
    /// A buffer for `datagrams` datagrams.
    ///
    /// # Panics
    ///
    /// If `datagrams` is 0.
    #[must_use]
    pub fn new(datagrams: usize) -> Self {
        assert!(datagrams > 0, "a batch needs room for a datagram");
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            bytes: vec![0; datagrams * SLOT].into_boxed_slice(),
            heads: vec![(0, unspecified); datagrams].into_boxed_slice(),
            filled: 0,
        }
    }

    /// A buffer without space, as a placeholder while the real one is in use.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            bytes: Box::default(),
            heads: Box::default(),
            filled: 0,
        }
    }

    /// The number of datagrams received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether no datagram was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The number of datagrams that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.heads.len()
    }

    /// The received datagrams.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.heads[..self.filled]
            .iter()
            .zip(self.bytes.chunks_exact(SLOT))
            .map(|(&(len, source), slot)| {
                let bytes = if len > MAX_DATAGRAM {
                    &[][..]
                } else {
                    &slot[..len]
                };
                Datagram { source, bytes }
            })
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

/// Bytes in a [`SendBatch`] that can be sent to several destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub(super) at: u32,
    pub(super) len: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) to: SocketAddr,
    pub(super) bytes: Stored,
}

/// Datagrams to send, in order. Consecutive datagrams to one destination and of one size (the last may be shorter)
/// form a run, which the kernel gets as one segment.
#[derive(Debug)]
pub struct SendBatch {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    done: usize,
    burst: usize,
}

impl SendBatch {
    /// The default length of a run: longer bursts at line rate lose packets in the network, and save little.
    pub const BURST: usize = 16;

    /// The most datagrams in one segment that Linux accepts.
    pub(super) const MAX_BURST: usize = 64;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            arena: Vec::new(),
            entries: Vec::new(),
            done: 0,
            burst: Self::BURST,
        }
    }

    /// Limits a run to `burst` datagrams, 1 to 64.
    #[must_use]
    pub fn with_burst(mut self, burst: usize) -> Self {
        self.burst = burst.clamp(1, Self::MAX_BURST);
        self
    }

    /// Copies `bytes` into the batch, to be sent with [`SendBatch::push`].
    ///
    /// # Panics
    ///
    /// If the batch would hold 4 GiB.
    pub fn store(&mut self, bytes: &[u8]) -> Stored {
        let at = u32::try_from(self.arena.len()).expect("a batch holds less than 4 GiB");
        let len = u32::try_from(bytes.len()).expect("a batch holds less than 4 GiB");
        self.arena.extend_from_slice(bytes);
        Stored { at, len }
    }

    /// Adds a datagram to `to` with stored `bytes`.
    pub fn push(&mut self, to: SocketAddr, bytes: Stored) {
        self.entries.push(Entry { to, bytes });
    }

    /// Adds a datagram to `to` with a copy of `bytes`.
    pub fn push_copy(&mut self, to: SocketAddr, bytes: &[u8]) {
        let stored = self.store(bytes);
        self.push(to, stored);
    }

    /// The number of datagrams not yet sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.done
    }

    /// Whether every datagram is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_done()
    }

    /// Drops all datagrams and stored bytes.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.done = 0;
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.entries.len()
    }

    pub(super) fn advance(&mut self, datagrams: usize) {
        self.done += datagrams;
        debug_assert!(self.done <= self.entries.len());
    }

    pub(super) fn pending(&self) -> &[Entry] {
        &self.entries[self.done..]
    }

    /// The bytes that `stored` stands for.
    #[must_use]
    pub fn bytes(&self, stored: Stored) -> &[u8] {
        let at = stored.at as usize;
        &self.arena[at..at + stored.len as usize]
    }

    /// The length of the run at the front.
    pub(super) fn front_run(&self, gso: bool) -> usize {
        run(self.pending(), if gso { self.burst } else { 1 })
    }

    pub(super) fn burst(&self) -> usize {
        self.burst
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// The length of the run at the front of `entries`, at most `burst`.
pub(super) fn run(entries: &[Entry], burst: usize) -> usize {
    let Some(first) = entries.first() else {
        return 0;
    };
    let (to, size) = (first.to, first.bytes.len);
    let mut len = 1;
    for entry in &entries[1..entries.len().min(burst.max(1))] {
        if entry.to != to || entry.bytes.len > size || entry.bytes.len == 0 {
            break;
        }
        len += 1;
        if entry.bytes.len < size {
            break;
        }
    }
    len
}
