//! `run.json`: how the figures of a `results.json` were taken.

use serde_json::{Value as Json, json};

use crate::report::machine::Machine;

/// How the figures were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The machine, the compiler and the versions of the subjects.
    pub machine: Machine,
    /// The arguments of `compare`.
    pub arguments: String,
    /// Number of measured runs of every cell.
    pub runs: usize,
    /// Start of the random numbers that decided the order of the subjects.
    pub seed: u64,
    /// Duration in milliseconds that one run aims at.
    pub target_ms: u64,
}

impl RunInfo {
    /// The text of `run.json`.
    pub fn to_json(&self) -> String {
        let machine = &self.machine;
        let versions: Vec<String> = machine
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let object = json!({
            "cpu": machine.cpu,
            "cores": machine.cores,
            "system": machine.system,
            "compiler": machine.compiler,
            "commit": machine.commit,
            "arguments": self.arguments,
            "runs": self.runs,
            "seed": self.seed,
            "target_ms": self.target_ms,
            "versions": versions,
        });
        format!("{object:#}\n")
    }

    /// Reads the text of a `run.json`.
    ///
    /// # Errors
    ///
    /// What is wrong with the JSON, or the name of the first field that is missing or has another
    /// type.
    pub fn from_json(text: &str) -> Result<RunInfo, String> {
        let object: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let text = |name: &str| {
            let text = object[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("no text `{name}`"))
        };
        let number = |name: &str| {
            let number = object[name].as_u64();
            number.ok_or_else(|| format!("no number `{name}`"))
        };
        let version = |version: &Json| {
            let (name, version) = version.as_str()?.split_once(' ')?;
            Some((name.to_owned(), version.to_owned()))
        };
        let versions = object["versions"]
            .as_array()
            .and_then(|versions| versions.iter().map(version).collect())
            .ok_or_else(|| "no list `versions`".to_owned())?;
        Ok(RunInfo {
            machine: Machine {
                cpu: text("cpu")?,
                cores: number("cores")? as usize,
                system: text("system")?,
                compiler: text("compiler")?,
                commit: text("commit")?,
                versions,
            },
            arguments: text("arguments")?,
            runs: number("runs")? as usize,
            seed: number("seed")?,
            target_ms: number("target_ms")?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn run_info() -> RunInfo {
        RunInfo {
            machine: Machine {
                cpu: "Some CPU".to_owned(),
                cores: 2,
                system: "linux x86_64".to_owned(),
                compiler: "rustc 1.0.0".to_owned(),
                commit: "abcdef".to_owned(),
                versions: vec![("tokio".to_owned(), "1.0.0".to_owned())],
            },
            arguments: "--runs 1".to_owned(),
            runs: 1,
            seed: 7,
            target_ms: 80,
        }
    }

    #[test]
    fn run_info_reads_back() {
        let info = run_info();
        assert_eq!(RunInfo::from_json(&info.to_json()), Ok(info));
    }

    #[test]
    fn missing_field_is_named() {
        let text = run_info().to_json().replace("\"commit\"", "\"commits\"");
        let error = RunInfo::from_json(&text).unwrap_err();
        assert_eq!(error, "no text `commit`");
    }
}
