//! Two processes in two network namespaces, with a real link between them: a rate, a delay, losses, and cuts.
//!
//! The tests need root, and `ip`, `tc` and `iptables` (`scripts/install-test-tools`): elsewhere they say that they
//! are skipped. What a flood adds to a round trip is printed by
//! `cargo test --release -p lanemesh-net --test shaped -- --ignored --nocapture`.
#![cfg(target_os = "linux")]

mod far;
mod near;
mod network;

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use self::{
    far::{Far, PART},
    network::Network,
};

/// The network, or none where there can be none.
fn network(megabits: u32, round_trip_ms: u32) -> Option<Network> {
    match Network::new(megabits, round_trip_ms) {
        Ok(network) => Some(network),
        Err(error) => {
            // The test harness captures `eprintln!`, and a skipped test must show.
            let _ = writeln!(std::io::stderr(), "SKIPPED: no network namespaces: {error}");
            None
        }
    }
}

/// Runs this test again in the near namespace, as the process that plays a part. Lines that it prints go to
/// `line`, with its standard input.
fn near(network: &Network, part: &str, mut line: impl FnMut(&str, &mut dyn Write)) {
    let test = std::env::current_exe().unwrap();
    let mut process = network
        .command(false, test.to_str().unwrap())
        .args(["--exact", "near_process", "--nocapture"])
        .env(PART, part)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    for printed in output.lines().map_while(Result::ok) {
        line(&printed, &mut input);
    }
    assert!(process.wait().unwrap().success(), "{part} failed");
}

/// The far process, if it is asked for.
#[test]
fn far_process() {
    if std::env::var(PART).is_ok_and(|part| part == "far") {
        far::serve();
    }
}

/// The near process, if it is asked for.
#[test]
fn near_process() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match part.as_str() {
            "loss" => near::loss().await,
            "cut" => near::cut(ask_for_cut).await,
            "row" => near::row(15).await,
            _ => {}
        }
    });
}

/// Has the link taken down or up by the process that may do so.
fn ask_for_cut(is_up: bool) {
    println!("\nlink {}", if is_up { "up" } else { "down" });
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn everything_arrives_in_order_over_a_link_that_loses_packets() {
    let Some(network) = network(50, 0) else {
        return;
    };
    network.lose(0.01);
    let _far = Far::start(&network);
    near(&network, "loss", |_, _| {});
}

#[test]
fn everything_is_accounted_for_when_a_link_is_cut_during_a_flood() {
    let Some(network) = network(50, 0) else {
        return;
    };
    let _far = Far::start(&network);
    let mut changes = 0;
    near(&network, "cut", |line, input| {
        if let Some(state) = line.strip_prefix("link ") {
            network.set_up(state == "up");
            changes += 1;
            writeln!(input).unwrap();
        }
    });
    assert_eq!(changes, 2);
}

#[test]
#[ignore = "a measurement, which takes minutes and needs a quiet machine"]
fn table() {
    for round_trip in [0, 20, 100] {
        let Some(network) = network(100, round_trip) else {
            return;
        };
        let _far = Far::start(&network);
        near(&network, "row", |line, _| {
            if let Some(row) = line.strip_prefix("row ") {
                println!("100 Mbit/s, {round_trip} ms of round trip: {row}");
            }
        });
    }
}
