//! Statistics in the text format of Prometheus.

use std::fmt::{Display, Write as _};

use crate::stats::{ShardStats, Stats};

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A metric with a value for each shard: name without prefix, type, help, and where the value comes from.
type ShardMetric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ShardStats) -> u64,
);

#[rustfmt::skip]
const SHARD_METRICS: &[ShardMetric] = &[
    ("peers", GAUGE, "Connected peers.", |s| s.peers as u64),
    ("tracks", GAUGE, "Tracks with subscribers.", |s| s.tracks as u64),
    ("datagrams_in_total", COUNTER, "Datagrams received.", |s| s.counters.datagrams_in),
    ("datagrams_out_total", COUNTER, "Datagrams sent.", |s| s.counters.datagrams_out),
    ("bytes_in_total", COUNTER, "Bytes received.", |s| s.counters.bytes_in),
    ("bytes_out_total", COUNTER, "Bytes sent.", |s| s.counters.bytes_out),
    ("media_in_total", COUNTER, "Media packets from publishers.", |s| s.counters.media_in),
    ("media_out_total", COUNTER, "Media packets to subscribers.", |s| s.counters.media_out),
    ("media_crossed_total", COUNTER, "Media packets to other shards.", |s| s.counters.media_crossed),
    ("redirected_total", COUNTER, "Datagrams passed on to the shard of their peer.", |s| s.counters.redirected),
    ("keyframes_asked_total", COUNTER, "Keyframe requests to publishers.", |s| s.counters.keyframes_asked),
    ("messages_refused_total", COUNTER, "Messages of pages not handled.", |s| s.counters.messages_refused),
    ("panics_total", COUNTER, "Sessions ended by a panic in their code.", |s| s.counters.panics),
    ("incarnation", GAUGE, "Incarnation of the shard: one more for each restart.", |s| s.incarnation.into()),
    ("hangs", GAUGE, "Whether the shard's thread hangs.", |s| s.hangs.into()),
    ("room_drops_total", COUNTER, "Messages that a room had no room for.", |s| s.counters.room_drops),
    ("stale_news_total", COUNTER, "News from earlier incarnations of rooms.", |s| s.counters.stale_news),
    ("mailbox_high_depth", GAUGE, "Control messages in the mailbox.", |s| s.high_depth as u64),
    ("mailbox_low_depth", GAUGE, "Media messages in the mailbox.", |s| s.low_depth as u64),
    ("mailbox_sleeps_total", COUNTER, "Times the mailbox's receiver went to sleep.", |s| s.sleeps),
    ("tcp_open", GAUGE, "TCP connections of peers.", |s| s.tcp.open),
    ("tcp_accepted_total", COUNTER, "TCP connections that became a peer's.", |s| s.tcp.accepted),
    ("tcp_strangers_total", COUNTER, "TCP connections whose first frame no peer had signed.", |s| s.tcp.strangers),
    ("tcp_frames_in_total", COUNTER, "Frames received by TCP.", |s| s.tcp.frames_in),
    ("tcp_frames_out_total", COUNTER, "Frames sent by TCP.", |s| s.tcp.frames_out),
    ("tcp_dropped_total", COUNTER, "Frames dropped because a TCP reader was too slow.", |s| s.tcp.dropped),
    ("tcp_stalled_total", COUNTER, "TCP connections closed because nothing could be written.", |s| s.tcp.stalled),
    ("tcp_malformed_total", COUNTER, "TCP connections closed because of a malformed frame.", |s| s.tcp.malformed),
];

/// A metric of the server: name without prefix, type, help, and where the value comes from.
type ServerMetric = (&'static str, &'static str, &'static str, fn(&Stats) -> u64);

#[rustfmt::skip]
const SERVER_METRICS: &[ServerMetric] = &[
    ("tcp_connections_total", COUNTER, "TCP connections accepted.", |s| s.tcp.connections),
    ("tcp_too_many_total", COUNTER, "TCP connections refused by a limit.", |s| s.tcp.too_many),
    ("tcp_nameless_total", COUNTER, "TCP connections closed before their first frame named a peer.", |s| s.tcp.nameless),
    ("http_connections_total", COUNTER, "HTTP connections accepted.", |s| s.http.connections),
    ("http_displaced_total", COUNTER, "Waiting HTTP connections closed in favour of others.", |s| s.http.displaced),
    ("http_refused_total", COUNTER, "HTTP connections refused by a limit.", |s| s.http.refused),
    ("claims_refused_total", COUNTER, "STUN messages that name nobody who is waited for, or are not signed by that peer.", |s| s.claims_refused),
    ("rooms", GAUGE, "Rooms with participants.", |s| s.rooms.len() as u64),
];

/// The statistics in the text format of Prometheus.
#[must_use]
pub(super) fn prometheus(stats: &Stats) -> String {
    let mut text = Text(String::new());
    for &(name, kind, help, value) in SHARD_METRICS {
        text.family(name, kind, help);
        for shard in &stats.shards {
            text.sample(name, &[("shard", &shard.shard)], value(shard));
        }
    }
    for &(name, kind, help, value) in SERVER_METRICS {
        text.family(name, kind, help);
        text.sample(name, &[], value(stats));
    }
    text.family(
        "cpu_seconds_total",
        COUNTER,
        "CPU time of the shard's thread.",
    );
    for shard in &stats.shards {
        let labels: Labels<'_> = &[("shard", &shard.shard)];
        text.sample("cpu_seconds_total", labels, shard.cpu.as_secs_f64());
    }
    text.family(
        "dropped_total",
        COUNTER,
        "Datagrams not forwarded, by reason.",
    );
    for shard in &stats.shards {
        for (reason, count) in shard.counters.drops.iter() {
            let labels: Labels<'_> = &[("shard", &shard.shard), ("reason", &reason.label())];
            text.sample("dropped_total", labels, count);
        }
    }
    let name = "forward_latency_microseconds";
    text.family(
        name,
        GAUGE,
        "From arrival to the send call, over the last 10 to 20 s.",
    );
    for shard in &stats.shards {
        let latency = shard.latency;
        let quantiles = [
            ("0.5", latency.p50),
            ("0.99", latency.p99),
            ("0.999", latency.p999),
        ];
        for (quantile, value) in quantiles {
            let labels: Labels<'_> = &[("shard", &shard.shard), ("quantile", &quantile)];
            text.sample(name, labels, value);
        }
    }
    text.0
}

type Labels<'a> = &'a [(&'a str, &'a dyn Display)];

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP sfu_{name} {help}\n# TYPE sfu_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        let _ = write!(self.0, "sfu_{name}");
        for (index, (label, content)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{content}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}
