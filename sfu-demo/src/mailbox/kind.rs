//! The values of `--mailbox`, and the only place where a value becomes a type.

use std::fmt;

use clap::ValueEnum;

use super::Mailbox;
use super::mesh::Mesh;
use super::rivals::{Crossbeam, Crossfire, Flume, Kanal, Tachyonix, Tokio};

/// A value of `--mailbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum MailboxKind {
    /// lanemesh: a lane for each sender, and a priority lane
    Mesh,
    /// tokio's bounded mpsc, one channel for each priority
    Tokio,
    /// tachyonix, one channel for each priority
    Tachyonix,
    /// flume, one channel for each priority
    Flume,
    /// crossbeam-channel with a waker beside it, one channel for each priority
    Crossbeam,
    /// kanal with a waker beside it, one channel for each priority
    Kanal,
    /// crossfire, one channel for each priority
    Crossfire,
}

/// Code that runs on any mailbox.
pub trait OnMailbox {
    /// What `run` returns.
    type Output;

    /// Runs on mailbox `M`.
    fn run<M: Mailbox>(self) -> Self::Output;
}

impl MailboxKind {
    /// The runtime's own mailbox.
    pub const DEFAULT: Self = Self::Mesh;

    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Mesh,
        Self::Tokio,
        Self::Tachyonix,
        Self::Flume,
        Self::Crossbeam,
        Self::Kanal,
        Self::Crossfire,
    ];

    /// The value of `--mailbox`.
    #[must_use]
    pub fn name(self) -> &'static str {
        struct Name;
        impl OnMailbox for Name {
            type Output = &'static str;
            fn run<M: Mailbox>(self) -> &'static str {
                M::NAME
            }
        }
        self.with(Name)
    }

    /// Runs `job` on the mailbox of this kind.
    pub fn with<J: OnMailbox>(self, job: J) -> J::Output {
        match self {
            Self::Mesh => job.run::<Mesh>(),
            Self::Tokio => job.run::<Tokio>(),
            Self::Tachyonix => job.run::<Tachyonix>(),
            Self::Flume => job.run::<Flume>(),
            Self::Crossbeam => job.run::<Crossbeam>(),
            Self::Kanal => job.run::<Kanal>(),
            Self::Crossfire => job.run::<Crossfire>(),
        }
    }
}

impl fmt::Display for MailboxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
