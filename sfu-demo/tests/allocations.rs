//! A warm relay allocates nothing for a forwarded packet.
//!
//! Allocations of str0m for WebRTC (an SRTP buffer for each packet, and its events) are not part of this. A binary of its
//! own: the global allocator counts for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::tools::relay::{self, RelayConfig};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed); // ORDERING: a count; nothing depends on its order.
        // SAFETY: the caller upholds the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed); // ORDERING: a count; nothing depends on its order.
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[test]
fn warm_relay_allocates_nothing_for_a_packet() {
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            socket
        })
        .collect();
    let relay = relay::start::<Mesh>(RelayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        to: receivers
            .iter()
            .map(|receiver| receiver.local_addr().unwrap())
            .collect(),
        shards: 2,
        allow_remote: false,
        burst: 16,
    })
    .unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packet = [7u8; 1212];
    packet[..2].copy_from_slice(&[0x80, 96]);
    let mut bytes = [0; 2048];
    let mut pass = |packets: usize, burst: usize| {
        for _ in 0..packets / burst {
            for _ in 0..burst {
                sender.send_to(&packet, relay.listen).unwrap();
            }
            for receiver in &receivers {
                for _ in 0..burst {
                    assert_eq!(receiver.recv(&mut bytes).unwrap(), packet.len());
                }
            }
        }
    };
    pass(4096, 64);
    // The test harness, and a buffer that grows with its largest batch so far, may still allocate; packets may not.
    let used = (0..3).map(|_| {
        let warm = ALLOCATIONS.load(Ordering::Relaxed); // ORDERING: a count; nothing depends on its order.
        pass(2000, 20);
        ALLOCATIONS.load(Ordering::Relaxed) - warm // ORDERING: a count; nothing depends on its order.
    });
    let used = used.min().unwrap();
    assert!(
        used < 20,
        "{used} allocations for 2000 packets to 4 subscribers on 2 shards"
    );
    relay.stop().unwrap();
}
