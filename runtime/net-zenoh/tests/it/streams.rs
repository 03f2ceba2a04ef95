//! Connections without a node above them.

use std::{
    io::ErrorKind,
    task::{Context, Poll, Waker},
};

use lanemesh_net::transport::{Connection, Transport};
use lanemesh_net_zenoh::Zenoh;
use lanemesh_runtime::actor::Priority;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::common::two;

async fn pair(class: Priority) -> ([Zenoh; 2], Connection, Connection) {
    let [home, away] = two().await;
    let mut listener = home.listen("here").await.unwrap();
    assert_eq!(listener.address(), "here");
    let (opened, accepted) = tokio::join!(away.connect_for("here", class), async {
        listener.accept().await.unwrap().await
    });
    ([home, away], opened.unwrap(), accepted.unwrap())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| ((index * 31) >> 3) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_in_order_in_both_directions_and_the_end_after_them() {
    for class in [Priority::High, Priority::Low] {
        let (_both, opened, accepted) = pair(class).await;
        let sent = bytes(20 << 20);
        let mut tasks = Vec::new();
        let (one, other) = (opened.into_halves(), accepted.into_halves());
        for (mut writer, mut reader) in [(one.1, other.0), (other.1, one.0)] {
            let (sent, expected) = (sent.clone(), sent.clone());
            tasks.push(tokio::spawn(async move {
                for part in sent.chunks(100_003) {
                    writer.write_all(part).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            }));
            tasks.push(tokio::spawn(async move {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                assert!(read == expected);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_waits_for_a_reader_that_does_not_read() {
    let (_both, opened, accepted) = pair(Priority::Low).await;
    let (_, mut writer) = opened.into_halves();
    let (mut reader, _other) = accepted.into_halves();
    let mut cx = Context::from_waker(Waker::noop());
    let part = vec![1; 1 << 20];
    let mut written = 0;
    while let Poll::Ready(count) = std::pin::Pin::new(&mut writer).poll_write(&mut cx, &part) {
        written += count.unwrap();
        assert!(written <= 16 << 20, "the window has no end");
    }
    assert_eq!(written, 4 << 20);
    let reading = tokio::spawn(async move {
        let mut read = vec![0; written];
        reader.read_exact(&mut read).await.unwrap();
        reader
    });
    // There is room again.
    writer.write_all(&part).await.unwrap();
    let mut reader = reading.await.unwrap();
    drop(writer); // the end is sent by a drop too
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, part);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_learns_that_nobody_reads() {
    let (_both, opened, accepted) = pair(Priority::High).await;
    drop(accepted);
    let (mut reader, mut writer) = opened.into_halves();
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    let error = loop {
        if let Err(error) = writer.write_all(&[1; 1000]).await {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_is_given_up_leaves_nothing_that_waits() {
    let [home, away] = two().await;
    let mut listener = home.listen("here").await.unwrap();
    // More than wait to be accepted, and each given up before it is, or after.
    for _ in 0..300 {
        let connect = away.connect_for("here", Priority::Low);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), connect).await;
        while let Poll::Ready(accepted) = listener
            .accept()
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            drop(accepted.unwrap().await);
        }
    }
    let accepting = tokio::spawn(async move {
        loop {
            let accepted = listener.accept().await.unwrap().await.unwrap();
            let (mut reader, _writer) = accepted.into_halves();
            let mut read = Vec::new();
            // Those that were given up are at their end, or reset.
            if matches!(reader.read_buf(&mut read).await, Ok(1..)) {
                return read;
            }
        }
    });
    let opened = away.connect_for("here", Priority::Low).await.unwrap();
    let (_reader, mut writer) = opened.into_halves();
    writer.write_all(b"x").await.unwrap();
    assert_eq!(accepting.await.unwrap(), b"x");
}
