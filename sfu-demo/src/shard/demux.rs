//! Which peer a received datagram belongs to: pure tables of one shard, without sockets, clocks or sessions.
//!
//! A peer is found by the remote address, or by the user name of a STUN message. An address belongs to a peer only
//! after a STUN message from it was verified with the peer's password, which is not known here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use str0m::ice::StunMessage;

use crate::ids::{PeerKey, ShardId};
use crate::net::classify::{PacketKind, classify, owner};
use crate::net::origin::Origin;

/// Addresses that are kept for one peer; the oldest is dropped first.
const MAX_ADDRESSES: usize = 32;
/// User names, and addresses, that are kept for peers of other shards.
const MAX_ELSEWHERE: usize = 4096;

/// The result of a lookup.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is matched at once and never kept"
)]
pub enum Lookup<'a> {
    /// The datagram is from an address of this peer.
    Peer(PeerKey),
    /// It names this peer, and belongs to it if it is signed with its password.
    IfSigned(PeerKey, StunMessage<'a>),
    /// It is from an address of a peer of the given shard.
    Elsewhere(ShardId),
    /// It names a peer of the given shard.
    NamesElsewhere(Arc<str>, ShardId),
    /// It names a peer that is not known here.
    NamesUnknown(String),
    /// It belongs to no peer.
    Stranger,
    /// It is no datagram that a peer may send.
    Malformed,
}

/// User names and addresses of the peers of this shard, and of known peers of other shards.
#[derive(Debug, Default)]
pub struct Directory {
    by_ufrag: HashMap<String, PeerKey>,
    by_origin: HashMap<Origin, PeerKey>,
    origins: HashMap<PeerKey, Vec<Origin>>,
    /// With their latest addresses here.
    elsewhere: HashMap<Arc<str>, (ShardId, VecDeque<Origin>)>,
    elsewhere_by_origin: HashMap<Origin, (Arc<str>, ShardId)>,
}

impl Directory {
    /// Empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a peer of this shard by its ICE user name fragment.
    pub fn insert(&mut self, ufrag: &str, key: PeerKey) {
        self.by_ufrag.insert(ufrag.to_owned(), key);
    }

    /// Removes a peer of this shard. Returns its addresses.
    pub fn remove(&mut self, ufrag: &str, key: PeerKey) -> Vec<Origin> {
        self.by_ufrag.remove(ufrag);
        let origins = self.origins.remove(&key).unwrap_or_default();
        for origin in &origins {
            self.by_origin.remove(origin);
        }
        origins
    }

    /// Whether an address belongs to a peer of this shard.
    #[must_use]
    pub fn knows(&self, origin: Origin) -> bool {
        self.by_origin.contains_key(&origin)
    }

    /// Adds an address to a peer, once a STUN message from it was verified.
    pub fn learn(&mut self, key: PeerKey, origin: Origin) {
        if self.by_origin.get(&origin) == Some(&key) {
            return;
        }
        let origins = self.origins.entry(key).or_default();
        if origins.len() >= MAX_ADDRESSES {
            let oldest = origins.remove(0);
            self.by_origin.remove(&oldest);
        }
        origins.push(origin);
        if let Some(before) = self.by_origin.insert(origin, key)
            && let Some(origins) = self.origins.get_mut(&before)
        {
            origins.retain(|known| *known != origin);
        }
    }

    /// Removes an address from its peer.
    pub fn unlearn(&mut self, origin: Origin) {
        if let Some(key) = self.by_origin.remove(&origin)
            && let Some(origins) = self.origins.get_mut(&key)
        {
            origins.retain(|known| *known != origin);
        }
    }

    /// Adds a peer of another shard.
    pub fn insert_elsewhere(&mut self, ufrag: &str, shard: ShardId) {
        if self.elsewhere.len() < MAX_ELSEWHERE {
            self.elsewhere
                .entry(ufrag.into())
                .or_insert_with(|| (shard, VecDeque::new()))
                .0 = shard;
        }
    }

    /// Adds an address to a peer of another shard. Its oldest gives way, so that nobody takes the place of others by many
    /// addresses: whether the peer has signed is not known here.
    pub fn learn_elsewhere(&mut self, ufrag: &Arc<str>, shard: ShardId, origin: Origin) {
        let is_new = self
            .elsewhere_by_origin
            .get(&origin)
            .is_none_or(|known| known.0 != *ufrag);
        if is_new && let Some((_, origins)) = self.elsewhere.get_mut(ufrag) {
            if origins.len() >= MAX_ADDRESSES
                && let Some(oldest) = origins.pop_front()
                && self
                    .elsewhere_by_origin
                    .get(&oldest)
                    .is_some_and(|known| known.0 == *ufrag)
            {
                self.elsewhere_by_origin.remove(&oldest);
            }
            origins.push_back(origin);
            self.elsewhere_by_origin
                .insert(origin, (Arc::clone(ufrag), shard));
        }
    }

    /// Removes a peer of another shard, with its addresses.
    pub fn remove_elsewhere(&mut self, ufrag: &str) {
        if self.elsewhere.remove(ufrag).is_some() {
            self.elsewhere_by_origin
                .retain(|_, known| *known.0 != *ufrag);
        }
    }

    /// Removes the peers of another shard, with their addresses.
    pub fn forget_shard(&mut self, shard: ShardId) {
        self.elsewhere.retain(|_, there| there.0 != shard);
        self.elsewhere_by_origin
            .retain(|_, (_, there)| *there != shard);
    }

    /// Whether no peer and no address is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ufrag.is_empty()
            && self.by_origin.is_empty()
            && self.origins.is_empty()
            && self.elsewhere.is_empty()
            && self.elsewhere_by_origin.is_empty()
    }

    /// Finds the peer of a datagram. If another shard has passed it on, it is not passed on again.
    #[must_use]
    pub fn lookup<'a>(&self, origin: Origin, bytes: &'a [u8], passed_on: bool) -> Lookup<'a> {
        match classify(bytes) {
            None => return Lookup::Malformed,
            Some(PacketKind::Stun) => return self.stun(bytes, passed_on),
            Some(PacketKind::Dtls | PacketKind::Rtp | PacketKind::Rtcp) => {}
        }
        if let Some(&key) = self.by_origin.get(&origin) {
            return Lookup::Peer(key);
        }
        match self.elsewhere_by_origin.get(&origin) {
            Some(&(_, shard)) if !passed_on => Lookup::Elsewhere(shard),
            _ => Lookup::Stranger,
        }
    }

    fn stun<'a>(&self, bytes: &'a [u8], passed_on: bool) -> Lookup<'a> {
        let Ok(message) = StunMessage::parse(bytes) else {
            return Lookup::Malformed;
        };
        let Some((ufrag, _)) = message.split_username() else {
            return Lookup::Stranger;
        };
        let ufrag = owner(ufrag);
        if let Some(&key) = self.by_ufrag.get(ufrag) {
            return Lookup::IfSigned(key, message);
        }
        if passed_on {
            return Lookup::Stranger;
        }
        match self.elsewhere.get_key_value(ufrag) {
            Some((ufrag, &(shard, _))) => Lookup::NamesElsewhere(Arc::clone(ufrag), shard),
            None => Lookup::NamesUnknown(ufrag.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn origin(port: u16) -> Origin {
        Origin::udp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// A binding request to `name`, with an invalid signature.
    fn request(name: &str) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([9; 12]);
        let name = format!("{name}:them");
        message.extend([0, 6]);
        message.extend((name.len() as u16).to_be_bytes());
        message.extend(name.as_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message.extend([0, 0x24, 0, 4, 1, 2, 3, 4]); // priority
        message.extend([0, 8, 0, 20]); // signature
        message.extend([5; 20]);
        let len = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        message
    }

    #[test]
    fn first_bytes_tell_the_kind() {
        for first in 0..=255u8 {
            for second in [0, 96, 191, 192, 200, 223, 224, 255] {
                let expected = match first {
                    0..=3 => Some(PacketKind::Stun),
                    20..=63 => Some(PacketKind::Dtls),
                    128..=191 if (192..=223).contains(&second) => Some(PacketKind::Rtcp),
                    128..=191 => Some(PacketKind::Rtp),
                    _ => None,
                };
                assert_eq!(classify(&[first, second]), expected, "{first} {second}");
            }
        }
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[0x80]), None, "too short to say");
    }

    #[test]
    fn address_is_a_peers_only_once_learnt() {
        let mut directory = Directory::new();
        directory.insert("ann", 3);
        let media = [0x80, 96, 0, 1];
        let lookup = |directory: &Directory| directory.lookup(origin(1), &media, false);
        assert!(matches!(lookup(&directory), Lookup::Stranger));
        let named = request("ann");
        let Lookup::IfSigned(3, _) = directory.lookup(origin(1), &named, false) else {
            panic!("it names a peer");
        };
        assert!(
            matches!(lookup(&directory), Lookup::Stranger),
            "not by name"
        );
        directory.learn(3, origin(1));
        assert!(matches!(lookup(&directory), Lookup::Peer(3)));
        let tcp = Origin::tcp(origin(1).address);
        assert!(matches!(
            directory.lookup(tcp, &media, false),
            Lookup::Stranger
        ));
        directory.unlearn(origin(1));
        assert!(matches!(lookup(&directory), Lookup::Stranger));
    }

    #[test]
    fn address_that_changes_hands_is_the_last_ones() {
        let mut directory = Directory::new();
        directory.insert("ann", 1);
        directory.insert("ben", 2);
        directory.learn(1, origin(1));
        directory.learn(2, origin(1));
        directory.remove("ann", 1);
        let lookup = directory.lookup(origin(1), &[0x80, 96], false);
        assert!(matches!(lookup, Lookup::Peer(2)), "{lookup:?}");
        directory.remove("ben", 2);
        assert!(directory.is_empty());
    }

    #[test]
    fn addresses_of_one_peer_are_bounded() {
        let mut directory = Directory::new();
        directory.insert("ann", 1);
        for port in 1..=1000 {
            directory.learn(1, origin(port));
        }
        assert_eq!(directory.by_origin.len(), MAX_ADDRESSES);
        let lookup = |port| directory.lookup(origin(port), &[22, 0], false);
        assert!(matches!(lookup(1000), Lookup::Peer(1)));
        assert!(matches!(lookup(1), Lookup::Stranger));
        directory.remove("ann", 1);
        assert!(directory.is_empty());
    }

    #[test]
    fn peers_elsewhere_are_found_and_nothing_is_passed_on_twice() {
        let mut directory = Directory::new();
        directory.insert_elsewhere("cat", 7);
        let named = request("cat");
        let Lookup::NamesElsewhere(ufrag, 7) = directory.lookup(origin(1), &named, false) else {
            panic!("it names a peer of another shard");
        };
        directory.learn_elsewhere(&ufrag, 7, origin(1));
        let media = [0x80, 96];
        let lookup = directory.lookup(origin(1), &media, false);
        assert!(matches!(lookup, Lookup::Elsewhere(7)), "{lookup:?}");
        for bytes in [&named[..], &media[..]] {
            let lookup = directory.lookup(origin(1), bytes, true);
            assert!(matches!(lookup, Lookup::Stranger), "{lookup:?}");
        }
        // One that comes from many addresses leaves room for others, and is found by its latest.
        directory.insert_elsewhere("dog", 6);
        let media_to =
            |directory: &Directory, port| match directory.lookup(origin(port), &media, false) {
                Lookup::Elsewhere(shard) => Some(shard),
                _ => None,
            };
        for port in 1..=2 * MAX_ELSEWHERE as u16 {
            directory.learn_elsewhere(&ufrag, 7, origin(port));
        }
        directory.learn_elsewhere(&"dog".into(), 6, origin(9000));
        assert_eq!(media_to(&directory, 9000), Some(6));
        assert_eq!(media_to(&directory, 2 * MAX_ELSEWHERE as u16), Some(7));
        assert_eq!(directory.elsewhere_by_origin.len(), MAX_ADDRESSES + 1);
        // An address that changes hands is the last one's.
        directory.learn_elsewhere(&ufrag, 7, origin(9000));
        assert_eq!(media_to(&directory, 9000), Some(7));
        directory.remove_elsewhere("dog");
        assert_eq!(media_to(&directory, 9000), Some(7));
        directory.remove_elsewhere("cat");
        let lookup = directory.lookup(origin(1), &named, false);
        assert!(
            matches!(&lookup, Lookup::NamesUnknown(name) if name == "cat"),
            "{lookup:?}"
        );
        assert!(directory.is_empty());
        for n in 0..2 * MAX_ELSEWHERE {
            directory.insert_elsewhere(&n.to_string(), 1);
        }
        assert_eq!(directory.elsewhere.len(), MAX_ELSEWHERE);
    }
}
