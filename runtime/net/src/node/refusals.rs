//! Connections of others that did not become links, counted by what was wrong with them.

use crate::{counter::Counter, error::ConnectError};

/// Connections of others that were refused, since the node was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// They did not speak the protocol, spoke another version of it, or broke off.
    pub unreadable: u64,
    /// They did not prove who they are: by a certificate, the secret or a token.
    pub unauthenticated: u64,
    /// They proved who they are, and may not be linked to: see [`ConnectError::Refused`].
    pub unwelcome: u64,
    /// They were not done within [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    pub late: u64,
}

/// The counters behind [`Refusals`].
#[derive(Default)]
pub(super) struct Counts {
    unreadable: Counter,
    unauthenticated: Counter,
    unwelcome: Counter,
    late: Counter,
}

impl Counts {
    pub(super) fn count(&self, error: &ConnectError) {
        let counter = match error {
            ConnectError::Unauthenticated | ConnectError::Certificate(_) => &self.unauthenticated,
            ConnectError::Refused(_) | ConnectError::WrongName(_) | ConnectError::Closed => {
                &self.unwelcome
            }
            ConnectError::Timeout => &self.late,
            _ => &self.unreadable,
        };
        counter.add();
    }

    pub(super) fn now(&self) -> Refusals {
        Refusals {
            unreadable: self.unreadable.now(),
            unauthenticated: self.unauthenticated.now(),
            unwelcome: self.unwelcome.now(),
            late: self.late.now(),
        }
    }
}
