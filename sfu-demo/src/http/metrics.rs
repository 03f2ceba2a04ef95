//! The server's figures: as JSON for the page's panel, and as text for Prometheus.

use std::fmt::Write as _;

use crate::stats::{ShardStats, Stats};

/// The figures as Prometheus reads them.
#[must_use]
pub(super) fn prometheus(stats: &Stats) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&ShardStats) -> u64| {
        let _ = writeln!(text, "# HELP sfu_{name} {help}\n# TYPE sfu_{name} {kind}");
        for shard in &stats.shards {
            let _ = writeln!(
                text,
                "sfu_{name}{{shard=\"{}\"}} {}",
                shard.shard,
                value(shard)
            );
        }
    };
    let counter = "counter";
    family("peers", "gauge", "Connected peers.", &|s| s.peers as u64);
    family("tracks", "gauge", "Tracks that somebody wants.", &|s| {
        s.tracks as u64
    });
    family("datagrams_in_total", counter, "Datagrams received.", &|s| {
        s.counters.datagrams_in
    });
    family("datagrams_out_total", counter, "Datagrams sent.", &|s| {
        s.counters.datagrams_out
    });
    family("bytes_in_total", counter, "Bytes received.", &|s| {
        s.counters.bytes_in
    });
    family("bytes_out_total", counter, "Bytes sent.", &|s| {
        s.counters.bytes_out
    });
    family(
        "media_in_total",
        counter,
        "Media packets of publishers.",
        &|s| s.counters.media_in,
    );
    family(
        "media_out_total",
        counter,
        "Media packets to subscribers.",
        &|s| s.counters.media_out,
    );
    family(
        "media_crossed_total",
        counter,
        "Media packets to other shards.",
        &|s| s.counters.media_crossed,
    );
    family(
        "redirected_total",
        counter,
        "Datagrams passed on to their shard.",
        &|s| s.counters.redirected,
    );
    family(
        "keyframes_asked_total",
        counter,
        "Keyframe requests to publishers.",
        &|s| s.counters.keyframes_asked,
    );
    family(
        "panics_total",
        counter,
        "Sessions ended by a fault of their own.",
        &|s| s.counters.panics,
    );
    family(
        "mailbox_high_depth",
        "gauge",
        "Control messages that wait.",
        &|s| s.high_depth as u64,
    );
    family(
        "mailbox_low_depth",
        "gauge",
        "Media messages that wait.",
        &|s| s.low_depth as u64,
    );
    family(
        "mailbox_sleeps_total",
        counter,
        "Times the reader went to sleep.",
        &|s| s.sleeps,
    );
    family("tcp_open", "gauge", "TCP connections of peers.", &|s| {
        s.tcp.open
    });
    family(
        "tcp_accepted_total",
        counter,
        "TCP connections that became a peer's.",
        &|s| s.tcp.accepted,
    );
    family(
        "tcp_strangers_total",
        counter,
        "TCP connections that no peer had signed.",
        &|s| s.tcp.strangers,
    );
    family(
        "tcp_frames_in_total",
        counter,
        "Frames received by TCP.",
        &|s| s.tcp.frames_in,
    );
    family(
        "tcp_frames_out_total",
        counter,
        "Frames sent by TCP.",
        &|s| s.tcp.frames_out,
    );
    family(
        "tcp_dropped_total",
        counter,
        "Frames that a slow TCP reader did not get.",
        &|s| s.tcp.dropped,
    );
    family(
        "tcp_stalled_total",
        counter,
        "TCP connections ended since nothing went out any more.",
        &|s| s.tcp.stalled,
    );
    family(
        "tcp_malformed_total",
        counter,
        "TCP connections ended since they sent what is no frame.",
        &|s| s.tcp.malformed,
    );
    let mut single = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(
            text,
            "# HELP sfu_{name} {help}\n# TYPE sfu_{name} {kind}\nsfu_{name} {value}"
        );
    };
    single(
        "tcp_connections_total",
        counter,
        "TCP connections that came in.",
        stats.tcp.connections,
    );
    single(
        "tcp_too_many_total",
        counter,
        "TCP connections that were too many.",
        stats.tcp.too_many,
    );
    single(
        "tcp_nameless_total",
        counter,
        "TCP connections that did not say whose they are.",
        stats.tcp.nameless,
    );
    let name = "sfu_cpu_seconds_total";
    let _ = writeln!(text, "# HELP {name} CPU time of the shard's thread.");
    let _ = writeln!(text, "# TYPE {name} counter");
    for shard in &stats.shards {
        let _ = writeln!(
            text,
            "{name}{{shard=\"{}\"}} {}",
            shard.shard,
            shard.cpu.as_secs_f64()
        );
    }
    let name = "sfu_dropped_total";
    let _ = writeln!(text, "# HELP {name} Datagrams not forwarded, by reason.");
    let _ = writeln!(text, "# TYPE {name} counter");
    for shard in &stats.shards {
        for (reason, count) in shard.counters.drops.iter() {
            let (shard, reason) = (shard.shard, reason.label());
            let _ = writeln!(
                text,
                "{name}{{shard=\"{shard}\",reason=\"{reason}\"}} {count}"
            );
        }
    }
    let name = "sfu_forward_latency_microseconds";
    let _ = writeln!(
        text,
        "# HELP {name} From arrival to the call that sends, last 10 to 20 s."
    );
    let _ = writeln!(text, "# TYPE {name} gauge");
    for shard in &stats.shards {
        let latency = shard.latency;
        for (quantile, value) in [
            ("0.5", latency.p50),
            ("0.99", latency.p99),
            ("0.999", latency.p999),
        ] {
            let shard = shard.shard;
            let _ = writeln!(
                text,
                "{name}{{shard=\"{shard}\",quantile=\"{quantile}\"}} {value}"
            );
        }
    }
    let _ = writeln!(
        text,
        "# HELP sfu_rooms Rooms with participants.\n# TYPE sfu_rooms gauge"
    );
    let _ = writeln!(text, "sfu_rooms {}", stats.rooms.len());
    text
}
