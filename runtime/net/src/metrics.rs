//! Publishing the links of a node through the `metrics` facade, for Prometheus and others.

use metrics::{Label, counter, gauge};

use crate::node::Node;

/// Publishes the counts of every link of a node, labelled with the peer's name.
///
/// Counters: `lanemesh_link_bytes_total` (by `class`: high, low, and `direction`: written, read), and
/// `lanemesh_link_loose_total` (by `outcome`: sent, passed over, arrived, lost, refused) where messages may be lost, and
/// `lanemesh_link_media_total` (by `outcome`, as in [`MediaTraffic`](crate::MediaTraffic)) where media go by RTP; they
/// begin again with each link. What is lost becomes less when it comes late. Gauges: `lanemesh_link_lanes` (by `end`: opened, owned), `lanemesh_link_asks`,
/// `lanemesh_link_unconfirmed`, `lanemesh_link_window_bytes`, `lanemesh_link_round_trip_seconds`.
///
/// Lanes are published as actors: `lanemesh_runtime::observe::publish_metrics(&node.tree())`.
///
/// # Examples
///
/// ```
/// let node = lanemesh_net::Node::builder("home").build();
/// lanemesh_net::publish_metrics(&node); // to the recorder that the program has installed
/// ```
pub fn publish_metrics(node: &Node) {
    for link in node.links() {
        let peer = Label::new("peer", link.peer.name.to_string());
        let with = |more: &[(&'static str, &'static str)]| {
            let more = more.iter().map(|(key, value)| Label::new(*key, *value));
            std::iter::once(peer.clone())
                .chain(more)
                .collect::<Vec<_>>()
        };
        for (class, traffic) in [("high", link.high), ("low", link.low)] {
            let bytes = "lanemesh_link_bytes_total";
            let labels = |direction| with(&[("class", class), ("direction", direction)]);
            counter!(bytes, labels("written")).absolute(traffic.written);
            counter!(bytes, labels("read")).absolute(traffic.read);
        }
        let outcomes = |name: &'static str, counts: &[(&'static str, u64)]| {
            for (outcome, count) in counts {
                counter!(name, with(&[("outcome", *outcome)])).absolute(*count);
            }
        };
        if let Some(loose) = link.loose {
            let counts = [
                ("sent", loose.sent),
                ("passed over", loose.passed_over),
                ("arrived", loose.arrived),
                ("lost", loose.lost),
                ("refused", loose.refused),
            ];
            outcomes("lanemesh_link_loose_total", &counts);
        }
        if let Some(media) = link.media {
            let counts = [
                ("sent", media.sent),
                ("passed over", media.passed_over),
                ("arrived", media.arrived),
                ("interrupted", media.interrupted),
                ("useless", media.useless),
                ("refused", media.refused),
                ("key frames wanted", media.key_frames_wanted),
            ];
            outcomes("lanemesh_link_media_total", &counts);
        }
        let lanes = "lanemesh_link_lanes";
        gauge!(lanes, with(&[("end", "opened")])).set(link.lanes_opened as f64);
        gauge!(lanes, with(&[("end", "owned")])).set(link.lanes_owned as f64);
        gauge!("lanemesh_link_asks", with(&[])).set(link.asks as f64);
        gauge!("lanemesh_link_unconfirmed", with(&[])).set(link.unconfirmed as f64);
        gauge!("lanemesh_link_window_bytes", with(&[])).set(link.window as f64);
        if let Some(round_trip) = link.round_trip {
            gauge!("lanemesh_link_round_trip_seconds", with(&[])).set(round_trip.as_secs_f64());
        }
    }
}
