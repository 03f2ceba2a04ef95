//! The names that `--mailbox` takes, and the one place where a name becomes a type.

use std::fmt;

use clap::ValueEnum;

use super::Mailbox;
use super::mesh::Mesh;
use super::rivals::{Crossbeam, Crossfire, Flume, Kanal, Tachyonix, Tokio};

/// Which mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum MailboxKind {
    /// lanemesh: lanes with a priority class
    Mesh,
    /// tokio's bounded mpsc, one channel a class
    Tokio,
    /// tachyonix, one channel a class
    Tachyonix,
    /// flume, one channel a class
    Flume,
    /// crossbeam-channel with a waker beside it, one channel a class
    Crossbeam,
    /// kanal with a waker beside it, one channel a class
    Kanal,
    /// crossfire, one channel a class
    Crossfire,
}

/// Something that runs on any mailbox.
pub trait OnMailbox {
    /// What it results in.
    type Output;

    /// Runs on the mailbox `M`.
    fn run<M: Mailbox>(self) -> Self::Output;
}

impl MailboxKind {
    /// The kind that the server runs on unless told otherwise.
    pub const DEFAULT: Self = Self::Mesh;

    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Mesh,
        Self::Tokio,
        Self::Tachyonix,
        Self::Flume,
        Self::Crossbeam,
        Self::Kanal,
        Self::Crossfire,
    ];

    /// The name that `--mailbox` takes.
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

    /// Runs `job` with this kind as its type.
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
