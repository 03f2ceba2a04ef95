//! Reading and writing one connection of a link.

use std::{future::poll_fn, io, sync::Arc};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{Link, outbox::Answers, window::STEP};
use crate::{
    event::DownReason,
    wire::{Class, Frame, next},
};

/// What is read at once.
const CHUNK: usize = 64 << 10;

fn lost(error: &io::Error) -> DownReason {
    DownReason::Lost(error.to_string().into())
}

/// Reads frames until the link is down.
pub(super) async fn read(
    link: Arc<Link>,
    class: Class,
    mut connection: impl AsyncRead + Unpin,
) -> DownReason {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    let (mut received, mut acknowledged) = (0_u64, 0_u64);
    loop {
        buffer.reserve(CHUNK);
        match connection.read_buf(&mut buffer).await {
            Ok(0) => return DownReason::Lost("the connection was closed".into()),
            Ok(count) => received += count as u64,
            Err(error) => return lost(&error),
        }
        link.heard(class);
        if class == Class::Low && received - acknowledged >= STEP {
            acknowledged = received;
            let bytes = received;
            link.push(Class::High, &Frame::Received { bytes });
        }
        loop {
            let frame = next(&buffer, link.config().max_frame);
            let (frame, length) = match frame {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => return DownReason::Violation(error.to_string().into()),
            };
            if let Err(why) = link.on_frame(class, frame) {
                return why;
            }
            buffer.advance(length);
        }
    }
}

/// Writes what is in the outbox until the link is down.
pub(super) async fn write(
    link: Arc<Link>,
    class: Class,
    mut connection: impl AsyncWrite + Unpin,
) -> DownReason {
    let outbox = link.outbox(class);
    let mut answers = Answers::new(link.config().max_frame - 16);
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        if chunk.capacity() > 1 << 20 {
            chunk = Vec::new();
        }
        if poll_fn(|cx| outbox.poll_take(cx, &mut answers, &mut chunk))
            .await
            .is_err()
        {
            // What was written is on its way, and the peer learns that it was the last.
            let _ = connection.shutdown().await;
            return DownReason::Closed;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let count = match class {
                Class::High => rest.len(),
                Class::Low => link.wait_for_window(rest.len()).await,
            };
            if let Err(error) = connection.write_all(&rest[..count]).await {
                return lost(&error);
            }
            rest = &rest[count..];
        }
        if let Err(error) = connection.flush().await {
            return lost(&error);
        }
    }
}

/// Sends heartbeats on both connections, and notices when nothing is heard on one of them.
pub(super) async fn beat(link: Arc<Link>) -> DownReason {
    let config = link.config();
    let mut number = 0;
    let mut is_suspected = false;
    loop {
        number += 1;
        link.ping(number);
        tokio::time::sleep(config.heartbeat).await;
        link.report_credits();
        let silence = Instant::now() - link.last_heard();
        if silence >= config.dead_after {
            return DownReason::Silent;
        }
        if silence < config.suspected_after {
            is_suspected = false;
        } else if !is_suspected {
            is_suspected = true;
            link.suspect();
        }
    }
}
