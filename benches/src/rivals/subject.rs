//! What every adapter has: a name and a role in the comparison.

/// Role of a subject in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One of the project's own.
    Ours,
    /// The project's own with one of its mechanisms switched off, to see what that is worth.
    Ablation,
    /// An alternative that a user could pick; ratios are relative to the best of these.
    Peer,
    /// A peer in a shape whose sends wait for room, and whose cancelled sends may have been sent.
    /// What makes that possible also spares it task switches, so it is shown, marked with †, but no
    /// ratio is relative to it.
    Marked,
    /// A lower bound that does less than its competitors, such as a ring without waiting. It is
    /// shown, but no ratio is relative to it.
    Floor,
}

/// A channel or an actor runtime that is measured.
pub trait Subject: 'static {
    /// Name in tables, in results and on the command line.
    const NAME: &'static str;
    /// Role in the comparison.
    const ROLE: Role = Role::Peer;
    /// Maximum number of producers of one channel.
    const MAX_PRODUCERS: usize = usize::MAX;
    /// Whether a message can arrive although the future that sends it was dropped while pending.
    const SENDS_CANCELLED: bool = false;
    /// Name of the row that is measured without `register_membarrier`; `None` if it makes no
    /// difference.
    const WITHOUT_MEMBARRIER: Option<&'static str> = None;

    /// Role in a shape whose sends wait for room.
    fn role_when_waiting() -> Role {
        match Self::ROLE {
            Role::Peer if Self::SENDS_CANCELLED => Role::Marked,
            role => role,
        }
    }
}
