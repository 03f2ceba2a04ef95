//! The rest of the interface: each way to receive and to send, on both kinds of mesh.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use lanemesh::{
    Message, RecvTimeoutError, SendError, TryRecvError,
    mesh::{MailboxMeshBuilder, MailboxMeshReceiver, MeshBuilder, MeshReceiver},
};

use crate::common::{block_on, now, start_and_cancel};

/// Each way to find out that a receiver has ended.
const WAYS: usize = 7;

fn has_ended(rx: &mut MeshReceiver<(u64, u32)>, way: usize) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match way {
        0 => rx.try_recv() == Err(TryRecvError::Closed),
        1 => rx.try_recv_many(&mut Vec::new(), 1) == Err(TryRecvError::Closed),
        2 => now(rx.recv()).is_none(),
        3 => now(rx.recv_many(&mut Vec::new(), 1)) == 0,
        4 => rx.poll_recv(&mut cx) == Poll::Ready(None),
        5 => rx.blocking_recv().is_none(),
        _ => rx.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Closed),
    }
}

/// Whichever way a closed receiver gets to know that it has received all, its keys may go on.
#[test]
fn every_way_to_the_end_lets_keys_go_on() {
    for way in 0..WAYS {
        let (mut tx, mut first) = MeshBuilder::new(4)
            .by_key(|message: &(u64, u32)| Some(message.0))
            .build();
        tx.try_send((1, 1)).unwrap();
        let mut second = first.add_receiver().unwrap();
        first.close();
        assert!(tx.try_send((1, 2)).is_err());
        assert_eq!(first.blocking_recv(), Some((1, 1)));
        assert!(has_ended(&mut first, way), "way {way}");
        tx.try_send((1, 2)).unwrap();
        assert_eq!(second.recv_timeout(Duration::ZERO), Ok((1, 2)));
    }
}

fn mailbox_has_ended(rx: &mut MailboxMeshReceiver<u32, (u64, u32)>, way: usize) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match way {
        0 => rx.try_recv() == Err(TryRecvError::Closed),
        1 => rx.try_recv_many(&mut Vec::new(), 1) == Err(TryRecvError::Closed),
        2 => now(rx.recv()).is_none(),
        3 => now(rx.recv_many(&mut Vec::new(), 1)) == 0,
        4 => rx.poll_recv(&mut cx) == Poll::Ready(None),
        5 => rx.blocking_recv().is_none(),
        _ => rx.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Closed),
    }
}

#[test]
fn every_way_to_the_end_of_a_mailbox_lets_keys_go_on() {
    for way in 0..WAYS {
        let (mut tx, mut first) = MailboxMeshBuilder::new(4, 4)
            .low_by_key(|message: &(u64, u32)| Some(message.0))
            .build();
        tx.try_send_low((1, 1)).unwrap();
        let mut second: MailboxMeshReceiver<u32, _> = first.add_receiver().unwrap();
        first.close();
        assert!(first.is_closed());
        assert_eq!(first.recv_timeout(Duration::ZERO), Ok(Message::Low((1, 1))));
        assert!(mailbox_has_ended(&mut first, way), "way {way}");
        tx.try_send_low((1, 2)).unwrap();
        assert_eq!((second.len(), second.is_empty()), (1, false));
        assert_eq!(second.low().try_recv(), Ok((1, 2)));
        assert_eq!(second.stats().low.messages, 1);
    }
}

#[test]
fn messages_come_in_batches() {
    let (mut tx, mut rx) = MeshBuilder::new(8).build();
    assert_eq!(now(tx.send_vec(&mut vec![1, 2, 3, 4])), Ok(4));
    let mut batch = Vec::new();
    assert_eq!(rx.try_recv_many(&mut batch, 2), Ok(2));
    assert_eq!(now(rx.recv_many(&mut batch, 8)), 2);
    assert_eq!(batch, [1, 2, 3, 4]);
    assert_eq!((rx.len(), rx.is_empty()), (0, true));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(rx.poll_recv(&mut cx).is_pending());
    assert_eq!(
        rx.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
}

#[test]
fn a_mailbox_takes_batches_and_blocking_sends() {
    let (mut tx, mut rx) = MailboxMeshBuilder::<u32, u32>::new(1, 2).build();
    let mut batch = vec![1, 2, 3];
    assert_eq!(tx.try_send_vec_low(&mut batch), Ok(2));
    start_and_cancel(tx.send_vec_low(&mut batch));
    assert_eq!(batch, [3]);
    tx.blocking_send_high(9).unwrap();
    let sender = thread::spawn(move || {
        tx.blocking_send_low(4).unwrap();
        tx.blocking_send_high(8).unwrap();
        tx
    });
    let mut got = Vec::new();
    while got.len() < 5 {
        got.extend(rx.blocking_recv());
    }
    let mut tx = sender.join().unwrap();
    assert_eq!(got[0], Message::High(9));
    let count = |high| {
        got.iter()
            .filter(|m| matches!(m, Message::High(_)) == high)
            .count()
    };
    assert_eq!((count(true), count(false)), (2, 3));
    assert_eq!(now(tx.send_vec_low(&mut vec![5])), Ok(1));
    assert_eq!(block_on(rx.recv()), Some(Message::Low(5)));
    let watcher = tx.clone();
    let mut closed = pin!(watcher.closed());
    assert_eq!(rx.high().try_recv(), Err(TryRecvError::Empty));
    drop(rx);
    now(closed.as_mut());
    assert_eq!(tx.blocking_send_low(1), Err(SendError(1)));
    assert_eq!(now(tx.send_high(1)), Err(SendError(1)));
    assert_eq!(tx.try_send_vec_low(&mut vec![1]), Err(SendError(0)));
}
