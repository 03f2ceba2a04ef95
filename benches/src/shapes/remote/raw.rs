//! One TCP connection: an echo, and a receiver that counts bytes.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::{TcpListener, TcpStream};

use super::setup::{LARGE, SMALL, executor, failed};
use crate::plan::Timing;
use crate::rig::executor::joined;
use crate::rig::fault::{Fault, ensure};

async fn pair() -> Result<(TcpStream, TcpStream), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let near = TcpStream::connect(address).await.map_err(failed)?;
    let (far, _) = listener.accept().await.map_err(failed)?;
    near.set_nodelay(true).map_err(failed)?;
    far.set_nodelay(true).map_err(failed)?;
    Ok((near, far))
}

pub(super) fn ask(count: u64) -> Result<Timing, Fault> {
    executor()?.block_on(async move {
        let (mut near, mut far) = pair().await?;
        let echo = tokio::spawn(async move {
            let mut buffer = [0; SMALL];
            while far.read_exact(&mut buffer).await.is_ok() {
                far.write_all(&buffer).await.map_err(failed)?;
            }
            Ok(())
        });
        let asker = tokio::spawn(async move {
            let start = Instant::now();
            let mut buffer = [1; SMALL];
            for _ in 0..count {
                near.write_all(&buffer).await.map_err(failed)?;
                near.read_exact(&mut buffer).await.map_err(failed)?;
            }
            Ok::<_, Fault>(start.elapsed())
        });
        let elapsed = joined(asker).await??;
        joined(echo).await??;
        Ok(Timing { count, elapsed })
    })
}

pub(super) fn tell(count: u64) -> Result<Timing, Fault> {
    executor()?.block_on(async move {
        let (near, mut far) = pair().await?;
        let sink = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            let mut received = 0;
            loop {
                match far.read(&mut buffer).await.map_err(failed)? {
                    0 => return Ok::<_, Fault>(received),
                    count => received += count as u64,
                }
            }
        });
        let start = Instant::now();
        let sender = tokio::spawn(async move {
            let mut near = BufWriter::with_capacity(64 << 10, near);
            let message = [1; LARGE];
            for _ in 0..count {
                near.write_all(&message).await.map_err(failed)?;
            }
            near.flush().await.map_err(failed)
        });
        joined(sender).await??;
        let received = joined(sink).await??;
        ensure(received == count * LARGE as u64, "bytes were lost")?;
        let elapsed = start.elapsed();
        Ok(Timing { count, elapsed })
    })
}

/// The question stands behind what was sent before it.
pub(super) fn ask_behind(ahead: u64) -> Result<Duration, Fault> {
    executor()?.block_on(async move {
        let (mut near, mut far) = pair().await?;
        let echo = tokio::spawn(async move {
            let mut buffer = [0; LARGE];
            for _ in 0..ahead {
                far.read_exact(&mut buffer).await.map_err(failed)?;
            }
            far.read_exact(&mut buffer[..SMALL]).await.map_err(failed)?;
            far.write_all(&buffer[..SMALL]).await.map_err(failed)
        });
        let asker = tokio::spawn(async move {
            let message = [1; LARGE];
            for _ in 0..ahead {
                near.write_all(&message).await.map_err(failed)?;
            }
            let start = Instant::now();
            let mut buffer = [1; SMALL];
            near.write_all(&buffer).await.map_err(failed)?;
            near.read_exact(&mut buffer).await.map_err(failed)?;
            Ok::<_, Fault>(start.elapsed())
        });
        let elapsed = joined(asker).await??;
        joined(echo).await??;
        Ok(elapsed)
    })
}
