//! Which actors can be reached from other nodes.

use std::ops::RangeInclusive;

use lanemesh_runtime::Actor;
use serde::{Serialize, de::DeserializeOwned};

/// An actor whose messages can cross a link.
///
/// The messages derive serde's traits; a [`Reply`](lanemesh_runtime::Reply) in them needs nothing more. Two nodes
/// agree on the name of the type and on a version when a lane is opened.
///
/// # Examples
///
/// ```
/// use lanemesh_net::Remote;
/// use lanemesh_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// struct Counter(u64);
///
/// #[derive(Serialize, Deserialize)]
/// enum Msg {
///     Add(u64),
///     Get(Reply<u64>),
/// }
///
/// impl Handler for Counter {
///     type Msg = Msg;
///
///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Msg::Add(n) => self.0 += n,
///             Msg::Get(reply) => drop(reply.send(self.0)),
///         }
///         Ok(())
///     }
/// }
///
/// impl Remote for Counter {
///     const TYPE: &'static str = "example/counter";
/// }
/// ```
pub trait Remote:
    Actor<HighPriorityMsg: Serialize + DeserializeOwned, LowPriorityMsg: Serialize + DeserializeOwned>
{
    /// The name of the type, the same in all programs that have it.
    const TYPE: &'static str;

    /// The versions of its messages that this program can send and receive. The highest that both
    /// sides have is used; without one the lane is refused.
    const VERSIONS: RangeInclusive<u32> = 1..=1;
}

/// The highest version that is in both ranges.
pub(crate) fn common_version(own: &RangeInclusive<u32>, other: (u32, u32)) -> Option<u32> {
    let version = (*own.end()).min(other.1);
    (version >= *own.start() && version >= other.0).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::common_version;

    #[test]
    fn highest_common_version_is_used() {
        assert_eq!(common_version(&(1..=3), (2, 5)), Some(3));
        assert_eq!(common_version(&(2..=5), (1, 3)), Some(3));
        assert_eq!(common_version(&(1..=1), (2, 2)), None);
        assert_eq!(common_version(&(4..=5), (1, 3)), None);
    }
}
