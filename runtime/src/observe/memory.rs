//! The memory of the process.

/// The memory of this process that is resident, in bytes. None where the system does not tell: it
/// is read from `/proc`, which Linux has.
///
/// What one actor needs is in [`ActorStats::bytes`](crate::observe::ActorStats::bytes).
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::observe::resident_memory;
///
/// if let Some(bytes) = resident_memory() {
///     println!("{} MiB", bytes >> 20);
/// }
/// # assert!(resident_memory().is_none_or(|bytes| bytes > 1 << 16));
/// # assert_eq!(resident_memory().is_some(), cfg!(target_os = "linux"));
/// ```
pub fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
