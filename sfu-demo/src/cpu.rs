//! CPU time of threads and of the process, as the kernel counts it.

use std::time::Duration;

#[cfg(unix)]
fn clock(id: rustix::time::ClockId) -> Duration {
    Duration::try_from(rustix::time::clock_gettime(id)).unwrap_or_default()
}

/// What the calling thread has used; 0 where the system does not tell.
#[must_use]
pub fn of_thread() -> Duration {
    #[cfg(unix)]
    return clock(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    Duration::ZERO
}

/// What the process has used; 0 where the system does not tell.
#[must_use]
pub fn of_process() -> Duration {
    #[cfg(unix)]
    return clock(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn work_takes_time() {
        let (thread, process) = (of_thread(), of_process());
        let mut sum = 0u64;
        while of_thread() == thread {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(of_process() > process);
    }
}
