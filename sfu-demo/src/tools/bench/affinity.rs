//! Which cores load and forwarding run on: apart, where there are two, so that a run shows the
//! forwarding and not which of them the scheduler let go first.
//!
//! Threads inherit the place of the thread that starts them. Elsewhere than on Linux nothing is placed.

/// Puts the calling thread back where it was when this is dropped.
#[derive(Debug)]
pub(super) struct Affinity {
    #[cfg(target_os = "linux")]
    before: Option<nix::sched::CpuSet>,
}

/// A part of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// All but those that make load.
    Forwarding,
    /// One in two, or at most two: load is made and received on these.
    Load,
}

#[cfg(target_os = "linux")]
impl Affinity {
    /// Remembers the calling thread's place.
    pub(super) fn current() -> Self {
        // Timers that are grouped with others come up to 50 µs late, which would be most of what a
        // mailbox's latency seems to be.
        let _ = nix::sys::prctl::set_timerslack(1);
        Self {
            before: nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok(),
        }
    }

    /// Moves the calling thread, and those that it starts from now on.
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
