//! CPU time of threads and of the process, by `getrusage`.
//!
//! The resolution is a microsecond. Contention for caches shows as CPU time and cannot be told apart.

use std::time::Duration;

/// CPU time of the calling thread, user and kernel; zero where the system does not report it.
#[must_use]
pub(crate) fn of_thread() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    return usage(nix::sys::resource::UsageWho::RUSAGE_THREAD);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    Duration::ZERO
}

/// CPU time of the process.
#[cfg(all(test, target_os = "linux"))]
fn of_process() -> Duration {
    usage(nix::sys::resource::UsageWho::RUSAGE_SELF)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn usage(who: nix::sys::resource::UsageWho) -> Duration {
    use nix::sys::time::{TimeVal, TimeValLike};
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    nix::sys::resource::getrusage(who)
        .map(|usage| Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_takes_time() {
        let (thread, process) = (of_thread(), of_process());
        let mut sum = 0u64;
        // The kernel may account for the thread earlier than for the process.
        while of_thread() <= thread || of_process() <= process {
            sum = std::hint::black_box(sum + 1);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_threads_work_counts_for_the_process_alone() {
        let (thread, process) = (of_thread(), of_process());
        let enough = Duration::from_millis(50);
        std::thread::spawn(move || {
            while of_thread() < enough {
                std::hint::black_box(0);
            }
        })
        .join()
        .unwrap();
        assert!(of_process() - process >= enough);
        assert!(of_thread() - thread < enough);
    }
}
