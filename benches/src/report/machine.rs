//! The machine and the software versions that figures were taken with.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::rig::executor;

/// The lock file that this binary was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The packages whose versions the report lists.
const PACKAGES: &[&str] = &[
    "lanemesh",
    "lanemesh-runtime",
    "tokio",
    "tachyonix",
    "kanal",
    "flume",
    "async-channel",
    "crossfire",
    "fibre",
    "thingbuf",
    "futures-channel",
    "crossbeam-channel",
    "async-priority-channel",
    "rtrb",
    "kameo",
    "ractor",
    "actix",
    "bytes",
    "mimalloc",
];

/// Machine, compiler, commit and versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Number of cores that this process may use.
    pub cores: usize,
    /// Operating system and architecture, such as `linux x86_64`.
    pub system: String,
    /// Output of `rustc --version`.
    pub compiler: String,
    /// Abbreviated hash of the checked-out commit, followed by `with changes` if tracked files
    /// differ from it.
    pub commit: String,
    /// Name and version of each package that the report lists.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// Describes this machine.
    pub fn this() -> Machine {
        Machine {
            cpu: cpu().unwrap_or_else(|| "unknown processor".to_owned()),
            cores: executor::cores(),
            system: format!("{OS} {ARCH}"),
            compiler: env!("BENCHES_RUSTC").to_owned(),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            versions: versions(LOCK, PACKAGES),
        }
    }

    /// The versions, separated by commas.
    pub fn versions_line(&self) -> String {
        let named: Vec<String> = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        named.join(", ")
    }
}

fn cpu() -> Option<String> {
    let info = fs::read_to_string(Path::new("/proc/cpuinfo")).ok()?;
    field(&info, "model name")
}

fn field(info: &str, name: &str) -> Option<String> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        hash
    } else {
        format!("{hash} with changes")
    })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The versions of these packages in a lock file. A package that occurs twice is listed twice.
fn versions(lock: &str, packages: &[&str]) -> Vec<(String, String)> {
    let quoted = |line: &str, key: &str| {
        let value = line
            .strip_prefix(key)?
            .strip_prefix(" = \"")?
            .strip_suffix('"')?;
        Some(value.to_owned())
    };
    let mut found = Vec::new();
    for package in packages {
        let mut lines = lock.lines();
        while let Some(line) = lines.next() {
            if quoted(line, "name").as_deref() != Some(*package) {
                continue;
            }
            if let Some(version) = lines.next().and_then(|line| quoted(line, "version")) {
                found.push(((*package).to_owned(), version));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b\",\n]\n";
        let expected = [("a", "1.0.0"), ("b", "2.0.0")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(versions(lock, &["a", "b", "c"]), expected);
    }

    #[test]
    fn own_lock_file_names_the_peers() {
        let machine = Machine::this();
        for peer in ["tokio", "tachyonix", "kanal", "crossfire", "rtrb"] {
            assert!(
                machine.versions_line().contains(&format!("{peer} ")),
                "{peer}"
            );
        }
        assert!(machine.compiler.starts_with("rustc "));
    }

    #[test]
    fn processor_is_named_by_its_field() {
        let info = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(
            field(info, "model name").as_deref(),
            Some("Some CPU @ 2 GHz")
        );
        assert_eq!(field(info, "bogomips"), None);
    }
}
