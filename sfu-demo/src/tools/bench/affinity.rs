//! The cores that load and forwarding run on: separate ones if there are two, so that a run measures the forwarding and
//! not the scheduler.
//!
//! Threads inherit the affinity of the thread that starts them. On systems other than Linux nothing is restricted.

/// The affinity of the calling thread, which is restored when this is dropped.
#[derive(Debug)]
pub(super) struct Affinity {
    #[cfg(target_os = "linux")]
    before: Option<nix::sched::CpuSet>,
}

/// A part of the available cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// All except those for load.
    Forwarding,
    /// Half of the cores, but at most two, to generate and receive load.
    Load,
}

#[cfg(target_os = "linux")]
impl Affinity {
    /// Remembers the affinity of the calling thread.
    pub(super) fn current() -> Self {
        // By default the kernel may delay timers by 50 µs, which would dominate the latency of a mailbox.
        let _ = nix::sys::prctl::set_timerslack(1);
        Self {
            before: nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok(),
        }
    }

    /// Restricts the calling thread, and the threads that it starts from now on.
    pub(super) fn restrict(&self, to: Cores) {
        let Some(before) = &self.before else { return };
        let allowed: Vec<usize> = (0..nix::sched::CpuSet::count())
            .filter(|cpu| before.is_set(*cpu).unwrap_or(false))
            .collect();
        let mut set = nix::sched::CpuSet::new();
        for &cpu in cores(&allowed, to) {
            let _ = set.set(cpu);
        }
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
    }
}

#[cfg(target_os = "linux")]
impl Drop for Affinity {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Affinity {
    pub(super) fn current() -> Self {
        Self {}
    }

    pub(super) fn restrict(&self, _: Cores) {}
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn cores(allowed: &[usize], to: Cores) -> &[usize] {
    if allowed.len() < 2 {
        return allowed;
    }
    let load = (allowed.len() / 2).min(2);
    let (forwarding, loading) = allowed.split_at(allowed.len() - load);
    match to {
        Cores::Forwarding => forwarding,
        Cores::Load => loading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_forwarding_share_no_core_unless_there_is_one() {
        for count in 2..20 {
            let all: Vec<_> = (0..count).collect();
            let both = [cores(&all, Cores::Forwarding), cores(&all, Cores::Load)];
            assert!(both.iter().all(|part| !part.is_empty()));
            assert_eq!(both.concat(), all);
        }
        assert_eq!(cores(&[3], Cores::Load), [3]);
        assert_eq!(cores(&[3], Cores::Forwarding), [3]);
    }
}
