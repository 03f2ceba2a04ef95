//! A run that depends on its seed only.

use std::io;

use crate::util::random::Seeded;

/// Runs a future on one thread, with tokio's clock paused and the order of the actors' tasks
/// decided by `seed`. The same program with the same seed runs the same way.
///
/// The clock jumps to the next timer when there is nothing else to do. Each time an actor is woken,
/// it is delayed by zero to three polls. Not simulated are worker threads, input from outside of
/// the process, and code that uses randomness of its own: `tokio::select!` unless it is `biased`,
/// and the iteration order of a `HashMap` or `HashSet` with the default hasher.
///
/// # Errors
///
/// If the operating system refuses the I/O driver.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{actor, testing::{Probed, probe, simulate}};
///
/// let order = |seed| {
///     simulate(seed, async {
///         let (to_probe, mut probe, _child) = probe::<(), char>();
///         for name in ['a', 'b', 'c'] {
///             let mut lane = to_probe.clone();
///             tokio::spawn(async move { lane.send_low(name).await });
///         }
///         drop(to_probe);
///         let mut order = Vec::new();
///         while let Ok(message) = probe.expect(Duration::from_secs(60)).await {
///             if let Probed::Low(name) = message { order.push(name) }
///         }
///         order
///     })
/// };
/// assert_eq!(order(7).unwrap(), order(7).unwrap());
/// ```
pub fn simulate<T>(seed: u64, future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let seeded = Seeded::with(seed);
    let output = runtime.block_on(future);
    drop(runtime);
    drop(seeded);
    Ok(output)
}
