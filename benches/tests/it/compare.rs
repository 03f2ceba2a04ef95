//! `compare` as a command: the files it writes and its exit codes.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn compare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("compare does not start: {error}"))
}

fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn run_prints_tables_and_writes_all_files() {
    let out = directory("all_files");
    let path = out.to_string_lossy();
    let output = compare(&[
        "--quick",
        "--target",
        "1",
        "--shapes",
        "funnel",
        "--channels",
        "tokio,kanal",
        "--out",
        &path,
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("funnel, M msg/s, rigs 61"), "{text}");
    assert!(text.contains("1.00×"), "{text}");

    let results = fs::read_to_string(out.join("results.json")).expect("results");
    let results: serde_json::Value = serde_json::from_str(&results).expect("an array");
    let entries = results.as_array().expect("an array");
    assert!(entries.iter().all(|entry| entry["shape"] == "funnel"));
    assert!(entries.iter().any(|entry| entry["subject"] == "tokio"));
    assert!(
        entries
            .iter()
            .all(|entry| entry["median"].as_f64() > Some(0.0))
    );
    let report = fs::read_to_string(out.join("RESULTS.md")).expect("a report");
    assert!(report.contains("## funnel"));
    let plot = fs::read_to_string(out.join("plots/funnel/61.svg")).expect("a plot");
    assert!(plot.starts_with("<svg"));

    // A plot of an earlier report goes, another file stays.
    let earlier = format!("{report}\n![earlier](plots/earlier.svg)\n");
    fs::write(out.join("RESULTS.md"), earlier).expect("a report");
    fs::write(out.join("plots/earlier.svg"), "<svg").expect("a plot");
    fs::write(out.join("plots/foreign.svg"), "<svg").expect("a plot");
    assert!(compare(&["--render", &path]).status.success());
    assert!(!out.join("plots/earlier.svg").exists());
    assert!(out.join("plots/foreign.svg").exists());

    fs::remove_file(out.join("RESULTS.md")).expect("a report");
    fs::remove_file(out.join("plots/funnel/61.svg")).expect("a plot");
    let output = compare(&["--render", &path]);
    assert!(output.status.success(), "{output:?}");
    let rendered = fs::read_to_string(out.join("RESULTS.md")).expect("a report");
    assert_eq!(rendered, report);
    let rendered = fs::read_to_string(out.join("plots/funnel/61.svg")).expect("a plot");
    assert_eq!(rendered, plot);
}

#[test]
fn second_process_measures_without_membarrier() {
    let out = directory("membarrier");
    let path = out.to_string_lossy();
    let common = [
        "--quick",
        "--target",
        "1",
        "--channels",
        "lanemesh",
        "--out",
        &path,
    ];
    let rows = |shapes: &str, more: &[&str]| {
        let output = compare(&[&common[..], &["--shapes", shapes], more].concat());
        assert!(output.status.success(), "{output:?}");
        let results = fs::read_to_string(out.join("results.json")).expect("results");
        let results: Vec<serde_json::Value> = serde_json::from_str(&results).expect("an array");
        let of = |entry: &serde_json::Value| entry["subject"] == "lanemesh-no-membarrier";
        results.into_iter().filter(of).collect::<Vec<_>>()
    };
    let registered = lanemesh::register_membarrier().is_ok();
    let rate = rows("latency", &[]);
    let readings = rows("priority", &[]);
    assert_eq!(rate.is_empty(), !registered);
    assert_eq!(readings.is_empty(), !registered);
    for entry in rate.iter().chain(&readings) {
        assert!(
            entry["median"].as_f64() > Some(0.0) || entry["unit"] == "count",
            "{entry}"
        );
        assert!(entry["bytes"].is_null(), "{entry}");
    }
    assert_eq!(rows("latency", &["--no-membarrier"]).len(), 0);
    assert!(compare(&["--render", &path]).status.success());
}

#[test]
fn render_without_results_ends_with_an_error() {
    let out = directory("nothing_to_render");
    let output = compare(&["--render", &out.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("results.json"), "{text}");
}

#[test]
fn unknown_name_ends_with_an_error() {
    for arguments in [["--shapes", "funel"], ["--channels", "tokyo"]] {
        let output = compare(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("expected one of"), "{text}");
    }
}

#[test]
fn subject_that_does_not_end_in_time_fails_the_command() {
    let out = directory("hung");
    let path = out.to_string_lossy();
    let output = compare(&[
        "--quick",
        "--watchdog",
        "0",
        "--shapes",
        "uncontended",
        "--channels",
        "rtrb-chunks",
        "--out",
        &path,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("FAILED uncontended"), "{text}");
    let report = fs::read_to_string(out.join("RESULTS.md")).expect("a report");
    assert!(report.contains("## Failures"), "{report}");
}
