//! What is seen of links and lanes: trees, counts, metrics, events.

use lanemesh_net::{Event, publish_metrics};
use lanemesh_runtime::observe;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::common::{Data, SECOND, event, log, pair};

#[tokio::test]
async fn tree_shows_links_and_the_actors_behind_them() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    for number in 0..3 {
        handle.send_low(Data::Number(number)).await.unwrap();
    }
    handle.idle().await; // there is no order between the classes
    pair.actor.idle().await;
    assert_eq!(log(&mut handle).await.len(), 3);
    handle.idle().await;
    let tree = pair.away.tree();
    assert_eq!((&*tree.name, tree.len()), ("away@1", 3));
    let link = &tree.children[0];
    assert_eq!((&*link.name, link.kind, link.id), ("home@1", "Link", None));
    let lane = &link.children[0];
    assert_eq!((&*lane.name, lane.kind), ("recorder", "Recorder"));
    assert_eq!(
        (lane.stats.high, lane.stats.low, lane.stats.depth),
        (1, 3, 0)
    );
    assert_eq!(lane.id, Some(handle.id()));
    // Messages that are not confirmed count as queued.
    handle.send_low(Data::Hold).await.unwrap();
    handle.idle().await;
    for number in 0..60 {
        handle.send_low(Data::Number(number)).await.unwrap();
    }
    while pair.away.links()[0].unconfirmed == 0 {
        tokio::task::yield_now().await;
    }
    assert!(pair.away.tree().children[0].children[0].stats.depth > 0);
    // The other end has no handles.
    assert_eq!(pair.home.tree().len(), 2);
    drop(handle);
    pair.gate.add_permits(1);
    while pair.away.tree().len() > 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn metrics_show_links_and_lanes() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    assert!(log(&mut handle).await.is_empty());
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        publish_metrics(&pair.away);
        observe::publish_metrics(&pair.away.tree());
    });
    let text = recorder.handle().render();
    let high = pair.away.links()[0].high;
    assert!(high.written > 0 && high.read > 0, "{high:?}");
    for line in [
        "lanemesh_link_lanes{peer=\"home\",end=\"opened\"} 1",
        "lanemesh_link_lanes{peer=\"home\",end=\"owned\"} 0",
        "lanemesh_link_asks{peer=\"home\"} 0",
        "lanemesh_link_window_bytes{peer=\"home\"}",
        "lanemesh_link_bytes_total{peer=\"home\",class=\"high\",direction=\"read\"}",
        "lanemesh_actor_messages_total{actor=\"recorder\",kind=\"Recorder\",class=\"high\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn failed_attempts_to_link_again_are_told() {
    let pair = pair().await;
    let mut events = pair.away.events();
    pair.home.shutdown(20 * SECOND).await;
    for expected in 1..4 {
        let failed = event(&mut events, |event| match event {
            Event::ConnectFailed {
                address, failures, ..
            } => Some((address, failures)),
            _ => None,
        });
        assert_eq!(failed.await, ("mem:home".into(), expected));
    }
}
