//! Which of several nodes is responsible for a key: all that have the same list say the same.

use sha2::{Digest, Sha256};

/// The one with the highest hash of key and name. When a name comes or goes, only the keys that it gets or
/// had change their place.
///
/// The hash is the first eight bytes of SHA-256, big-endian, over the length of the key as eight bytes, the
/// key and the name, so that programs in other languages can do the same.
///
/// # Examples
///
/// ```
/// use lanemesh_net::names::rendezvous;
///
/// let all = ["a", "b", "c"];
/// let chosen = rendezvous(b"room/42", all).unwrap();
/// let others = all.into_iter().filter(|name| *name != chosen);
/// assert_ne!(rendezvous(b"room/42", others), Some(chosen));
/// # assert_eq!(rendezvous(b"room/42", [""; 0]), None);
/// ```
pub fn rendezvous<N: AsRef<str>>(key: &[u8], names: impl IntoIterator<Item = N>) -> Option<N> {
    let ranked = names
        .into_iter()
        .map(|name| (score(key, name.as_ref()), name));
    let best = ranked.max_by(|(one, a), (other, b)| {
        let by_name = || a.as_ref().cmp(b.as_ref());
        one.cmp(other).then_with(by_name)
    });
    best.map(|(_, name)| name)
}

fn score(key: &[u8], name: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(name.as_bytes());
    let hash = hash.finalize();
    hash.iter()
        .take(8)
        .fold(0, |score, byte| score << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::rendezvous;

    #[test]
    fn keys_are_spread_and_stay_when_others_leave() {
        let names: Vec<_> = (0..10).map(|number| format!("node-{number}")).collect();
        let mut counts = [0; 10];
        for key in 0..10_000_u32 {
            let key = key.to_be_bytes();
            let chosen = rendezvous(&key, &names).unwrap();
            counts[names.iter().position(|name| name == chosen).unwrap()] += 1;
            let fewer = rendezvous(&key, &names[1..]).unwrap();
            assert!(chosen == fewer || *chosen == names[0]);
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
