//! What is measured: a name and a part in the comparison.

/// How a subject stands in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The project's own.
    Ours,
    /// What a user could pick instead; the best of these is the measure.
    Peer,
    /// A bound that does less than a channel (no waiting, one producer): shown, never the measure.
    Floor,
}

/// The name of a subject and its part in the comparison.
pub trait Subject: 'static {
    /// Name in tables, results and on the command line.
    const NAME: &'static str;
    /// Part in the comparison.
    const ROLE: Role = Role::Peer;
    /// The most producers that a channel can have.
    const MAX_PRODUCERS: usize = usize::MAX;
}
