//! What is measured, the same for each peer.

use std::time::{Duration, Instant};

use crate::{failure::Failure, memory};

/// Bytes of a question, and of its answer.
pub(crate) const SMALL: usize = 64;
/// Bytes of a tell.
pub(crate) const LARGE: usize = 1200;

/// After which time without an arrival the rest is lost.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// The process that asks and tells.
pub(crate) trait Client: Send {
    /// Asks with [`SMALL`] bytes, which come back.
    async fn ask(&mut self) -> Result<(), Failure>;

    /// Tells [`LARGE`] bytes.
    async fn tell(&mut self) -> Result<(), Failure>;

    /// Lets go of what was told and is held back, if anything is.
    async fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// How many tells have arrived.
    async fn arrived(&mut self) -> Result<u64, Failure>;
}

/// The names of the shapes.
pub(crate) const SHAPES: [&str; 3] = ["ask", "tell", "behind"];

/// Runs a shape, and prints a line that the process of the rounds reads: numbers, which [`Reading`] explains.
///
/// [`Reading`]: crate::reading::Reading
pub(crate) async fn run(
    mut client: impl Client,
    shape: &str,
    tells: u64,
    scale: u64,
) -> Result<(), Failure> {
    let [first, second] = match shape {
        "ask" => ask(&mut client, 20_000 / scale).await?,
        "tell" => tell(&mut client, tells / scale).await?,
        "behind" => behind(&mut client, tells / scale).await?,
        _ => return Err(format!("there is no shape {shape}").into()),
    };
    let peak = memory::peak("self").unwrap_or(f64::NAN);
    println!("measured {first} {second} {peak}");
    Ok(())
}

/// The median and the 99th percentile of the round trip in microseconds.
async fn ask(client: &mut impl Client, count: u64) -> Result<[f64; 2], Failure> {
    for _ in 0..count / 10 {
        client.ask().await?; // warms up
    }
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        client.ask().await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Ok([at(0.5), at(0.99)])
}

/// Thousands of messages a second, and the part of them that was lost, in percent.
async fn tell(client: &mut impl Client, count: u64) -> Result<[f64; 2], Failure> {
    let start = Instant::now();
    for _ in 0..count {
        client.tell().await?;
    }
    client.flush().await?;
    let (mut arrived, mut last) = (0, start.elapsed());
    while arrived < count && start.elapsed() - last < GIVEN_UP {
        let now = client.arrived().await?;
        if now > arrived {
            (arrived, last) = (now, start.elapsed());
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let rate = arrived as f64 / last.as_secs_f64() / 1e3;
    Ok([
        rate,
        (count - arrived.min(count)) as f64 * 100.0 / count as f64,
    ])
}

/// Milliseconds from the question to its answer, and those until all was told.
async fn behind(client: &mut impl Client, count: u64) -> Result<[f64; 2], Failure> {
    client.ask().await?;
    let start = Instant::now();
    for _ in 0..count {
        client.tell().await?;
    }
    client.flush().await?;
    let told = start.elapsed();
    let start = Instant::now();
    client.ask().await?;
    Ok([start.elapsed(), told].map(|time| time.as_secs_f64() * 1e3))
}
