use std::collections::HashMap;
use std::net::Ipv6Addr;

use super::*;

fn loopback() -> StdSocket {
    Bind::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .open()
        .unwrap()
}

/// Receives `count` datagrams, blocking for each.
fn take(socket: &StdSocket, count: usize) -> Vec<Vec<u8>> {
    socket.set_nonblocking(false).unwrap();
    let mut bytes = [0; 2048];
    (0..count)
        .map(|_| {
            let len = socket.recv(&mut bytes).unwrap();
            bytes[..len].to_vec()
        })
        .collect()
}

#[test]
fn fan_out_and_bursts_arrive_whole_and_in_order() {
    for gso in [false, true] {
        let sender = loopback();
        let gso = gso && sys::gso(&sender);
        let receivers: Vec<_> = (0..3).map(|_| loopback()).collect();
        let mut batch = SendBatch::new().with_burst(4);
        let mut expected: HashMap<usize, Vec<Vec<u8>>> = HashMap::new();
        // Runs of one size with a shorter end, a longer one in between, and one packet to all.
        for (index, receiver) in receivers.iter().enumerate() {
            let to = receiver.local_addr().unwrap();
            for len in [1200, 1200, 1200, 1200, 1200, 700, 1200, 40, 41, 1] {
                let bytes: Vec<u8> = (0..len).map(|n| (n * (index + 3)) as u8).collect();
                batch.push_copy(to, &bytes);
                expected.entry(index).or_default().push(bytes);
            }
        }
        let shared = batch.store(b"to all");
        for (index, receiver) in receivers.iter().enumerate() {
            batch.push(receiver.local_addr().unwrap(), shared);
            expected.entry(index).or_default().push(b"to all".to_vec());
        }
        let total = batch.len();
        let flushed = send_direct(&sender, &mut batch, gso).unwrap();
        assert_eq!(
            (flushed.sent, flushed.refused, flushed.blocked),
            (total, 0, false)
        );
        assert!(batch.is_empty());
        for (index, receiver) in receivers.iter().enumerate() {
            assert_eq!(take(receiver, expected[&index].len()), expected[&index]);
        }
    }
}

#[test]
fn oversized_datagram_loses_its_bytes_and_not_its_neighbours() {
    let (sender, receiver) = (loopback(), loopback());
    let to = receiver.local_addr().unwrap();
    sender.send_to(b"before", to).unwrap();
    sender.send_to(&[7; MAX_DATAGRAM], to).unwrap();
    sender.send_to(&[8; MAX_DATAGRAM + 1], to).unwrap();
    sender.send_to(&[9; 9000], to).unwrap();
    sender.send_to(b"after", to).unwrap();
    let mut batch = RecvBatch::new(8);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        recv_direct(&receiver, &mut batch).unwrap();
        seen.extend(batch.iter().map(|datagram| {
            assert_eq!(datagram.source, sender.local_addr().unwrap());
            datagram.bytes.len()
        }));
    }
    assert_eq!(seen, [6, MAX_DATAGRAM, 0, 0, 5]);
    let error = recv_direct(&receiver, &mut batch).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(batch.is_empty());
}

#[test]
fn refused_destination_does_not_hold_up_the_rest() {
    let (sender, receiver) = (loopback(), loopback());
    let to = receiver.local_addr().unwrap();
    let mut batch = SendBatch::new();
    batch.push_copy(to, b"one");
    batch.push_copy(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), b"no such port");
    batch.push_copy(to, b"two");
    let flushed = send_direct(&sender, &mut batch, sys::gso(&sender)).unwrap();
    assert_eq!((flushed.sent, flushed.refused), (2, 1));
    assert_eq!(take(&receiver, 2), [b"one", b"two"]);
}

#[test]
fn runs_end_where_size_or_destination_changes() {
    let a = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let b = SocketAddr::from((Ipv4Addr::LOCALHOST, 2));
    let runs = |datagrams: &[(SocketAddr, usize)], burst| {
        let mut batch = SendBatch::new();
        for &(to, len) in datagrams {
            batch.push_copy(to, &vec![0; len]);
        }
        let mut runs = Vec::new();
        let mut rest = batch.pending();
        while !rest.is_empty() {
            let len = batch::run(rest, burst);
            runs.push(len);
            rest = &rest[len..];
        }
        runs
    };
    assert_eq!(runs(&[(a, 5), (a, 5), (b, 5), (a, 5)], 8), [2, 1, 1]);
    assert_eq!(runs(&[(a, 5), (a, 4), (a, 4), (a, 5)], 8), [2, 1, 1]);
    assert_eq!(runs(&[(a, 5); 5], 2), [2, 2, 1]);
    assert_eq!(runs(&[(a, 5), (a, 0), (a, 0)], 8), [1, 1, 1]);
}

#[tokio::test]
async fn executor_wakes_for_a_datagram() {
    let socket = Socket::new(loopback()).unwrap();
    let sender = Socket::new(loopback()).unwrap();
    let mut outgoing = SendBatch::new();
    for n in 0..100u8 {
        outgoing.push_copy(socket.local_addr(), &[n; 64]);
    }
    assert_eq!(sender.try_send(&mut outgoing).unwrap().sent, 100);
    let mut batch = RecvBatch::new(32);
    let mut seen = Vec::new();
    while seen.len() < 100 {
        socket.readable().await.unwrap();
        match socket.try_recv(&mut batch) {
            Ok(_) => seen.extend(batch.iter().map(|datagram| datagram.bytes[0])),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(seen.iter().copied().eq(0..100));
}

#[test]
fn socket_that_is_left_out_gets_nothing_and_flows_return_to_where_they_were() {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let open = |port| Bind::new((ip, port).into()).shared().open();
        let Ok(first) = open(0) else {
            assert!(ip.is_ipv6(), "there is IPv4");
            continue;
        };
        let at = first.local_addr().unwrap();
        let mut sockets = vec![first];
        sockets.extend((1..3).map(|_| open(at.port()).unwrap()));
        let senders: Vec<_> = (0..64u8)
            .map(|_| Bind::new((ip, 0).into()).open().unwrap())
            .collect();
        // Which socket gets what each sender sends.
        let owners = || {
            for (number, sender) in senders.iter().enumerate() {
                sender.send_to(&[number as u8], at).unwrap();
            }
            let mut owners = vec![usize::MAX; senders.len()];
            for (owner, socket) in sockets.iter().enumerate() {
                let mut bytes = [0; 1];
                while socket.recv(&mut bytes).is_ok() {
                    owners[usize::from(bytes[0])] = owner;
                }
            }
            owners
        };
        let before = owners();
        for left_out in 0..3 {
            let choice = Choice::of(3, |at| at != left_out);
            choose(&sockets[0], &choice).unwrap();
            let owners = owners();
            for at in 0..3 {
                let count = owners.iter().filter(|owner| **owner == at).count();
                assert_eq!(count == 0, at == left_out, "{ip} {left_out}: {owners:?}");
            }
            assert!(!owners.contains(&usize::MAX), "all arrive: {owners:?}");
        }
        choose(&sockets[0], &Choice::of(3, |at| at == 1)).unwrap();
        assert_eq!(owners(), [1; 64]);
        choose(&sockets[0], &Choice::of(3, |_| true)).unwrap();
        assert_eq!(owners(), before, "as before");
        // There is no program to take back.
        choose(&sockets[0], &Choice::All).unwrap();
    }
}
