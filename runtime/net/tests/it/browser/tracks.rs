//! Tracks of a page that go by RTP: its camera to a node, and back into an element of the page.

use lanemesh_net::{
    Access, Event, LookupError, MediaTraffic, Node, Token,
    streams::{MediaFrame, MediaKind, Registered, StreamError, Streams},
    transport::WebRtc,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{HOUR, KEY, MINUTE, Setting, Urgent};
use crate::common::{SECOND, event, patient};

const BOTH: &str = "{ send: ['video'], receive: ['video'] }";
/// Plays a track of the node, and counts its frames that are shown.
const MIRROR: &str = "
    window.shown = 0;
    page.receiveTrack('mirror', (track, from, ended) => {
        const video = document.createElement('video');
        Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream([track]) });
        document.body.append(video);
        const count = () => { window.shown += 1; video.requestVideoFrameCallback(count); };
        video.requestVideoFrameCallback(count);
        window.video = video;
        window.from = from.name;
        window.isEnded = false;
        ended.then(() => { window.isEnded = true; });
    });";
const CAMERA: &str = "
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 }, audio: true });
    window.camera = stream.getVideoTracks()[0];
    window.microphone = stream.getAudioTracks()[0];";

async fn setting() -> Option<Setting> {
    let sessions = WebRtc::bind("127.0.0.1:0").await.unwrap();
    Setting::by_channels(&sessions, patient()).await
}

fn connect(setting: &Setting, media: &str) -> String {
    let token = Token::new("page/1", HOUR)
        .grant("lanemesh/media/camera", Access::ALL)
        .grant("lanemesh/media/nothing", Access::ALL)
        .grant("recorder", Access::ALL)
        .sign(&KEY);
    let address = &setting.address;
    format!(
        "lanemesh.connect('{address}', {{ name: 'page/1', token: '{token}', timeout: 60000, deadAfter: 3600000, media: {media} }})"
    )
}

/// A tab whose page has declared sections, and has a camera.
fn page(setting: &Setting, media: &str) -> String {
    let browser = &setting.browser;
    let tab = browser.open(&setting.url);
    browser.until(&tab, "return window.join !== undefined");
    let connect = connect(setting, media);
    browser.run(&tab, &format!("window.page = await {connect};"));
    browser.run(&tab, CAMERA);
    tab
}

type Frames = mpsc::UnboundedReceiver<MediaFrame>;

fn register(node: &Node, track: &str) -> (Registered, Frames) {
    let (tx, frames) = mpsc::unbounded_channel();
    let registered = Streams::new(node).register_media_track(track, move |frame, from| {
        assert_eq!(&*from.name, "page/1");
        let sent = tx.send(frame);
        async move { Ok(sent?) }
    });
    (registered.unwrap(), frames)
}

fn traffic(node: &Node) -> MediaTraffic {
    node.links()[0].media.unwrap()
}

/// Waits for frames, and returns the first, whose timestamps grow.
async fn take(frames: &mut Frames, count: usize) -> MediaFrame {
    let first = frames.recv().await.unwrap();
    let mut last = first.timestamp;
    for _ in 1..count {
        let frame = frames.recv().await.unwrap();
        assert_eq!((frame.kind, &frame.codec), (first.kind, &first.codec));
        let ahead = frame.timestamp.wrapping_sub(last);
        assert!((1..u32::MAX / 2).contains(&ahead), "{ahead} after {last}");
        last = frame.timestamp;
    }
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn camera_of_a_page_comes_to_a_node_and_goes_back_into_an_element() {
    let Some(setting) = setting().await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let (registered, mut frames) = register(home, "camera");
    let tab = page(&setting, "{ send: ['video', 'audio'], receive: ['video'] }");
    browser.run(&tab, MIRROR);
    browser.run(
        &tab,
        "window.sent = await page.sendTrack('camera', camera, { timeout: 60000 });",
    );
    let first = take(&mut frames, 20).await;
    assert_eq!((first.kind, &*first.codec), (MediaKind::Video, "VP8"));
    assert_eq!(first.is_key_frame(), Some(true));
    // And back. What the page wants is asked of its own camera.
    let streams = Streams::new(home);
    let mut mirror = streams.open_media_track("page/1", "mirror").await.unwrap();
    assert!(mirror.is_rtp() && mirror.wants_key_frame());
    mirror.key_frame_wanted().await;
    let mut keys = 0;
    loop {
        let frame = frames.recv().await.unwrap();
        keys += u32::from(frame.is_key_frame() == Some(true));
        if mirror.wants_key_frame() {
            registered.request_key_frame();
        }
        mirror.send(frame).unwrap();
        if browser.run(&tab, "return shown >= 10 && video.videoWidth === 320") == json!(true) {
            break;
        }
    }
    assert!(keys > 0);
    assert_eq!(browser.run(&tab, "return from"), json!("home"));
    let counts = traffic(home);
    assert!(counts.sent > 10 && counts.arrived > 20, "{counts:?}");
    assert!(counts.key_frames_wanted > 0, "{counts:?}");
    // Nothing of it went over the channels.
    let loose = home.links()[0].loose.unwrap();
    assert_eq!((loose.sent, loose.arrived), (0, 0));
    // The node closes its track, and may open it again: there is one section for it.
    drop(mirror);
    browser.until(&tab, "return isEnded");
    let again = streams.open_media_track("page/1", "mirror").await.unwrap();
    assert!(!again.is_closed());
    // The page withdraws it.
    browser.run(&tab, "page.withdrawMediaTrack('mirror')");
    browser.until(&tab, "return isEnded");
    while !again.is_closed() {
        tokio::time::sleep(SECOND / 100).await;
    }
    again.key_frame_wanted().await;
    // So does the page, with its own.
    browser.run(&tab, "await sent.close(); await sent.closed;");
    while !frames.is_empty() {
        frames.recv().await.unwrap();
    }
    browser.run(
        &tab,
        "window.sent = await page.sendTrack('camera', camera, { timeout: 60000 });
         window.voice = await page.sendTrack('camera', microphone, { timeout: 60000 });",
    );
    let mut kinds = [0; 2];
    while kinds.iter().any(|count| *count < 10) {
        let frame = frames.recv().await.unwrap();
        kinds[usize::from(frame.kind == MediaKind::Video)] += 1;
        let codec = ["opus", "VP8"][usize::from(frame.kind == MediaKind::Video)];
        assert_eq!(frame.codec, codec);
    }
    // The track is gone.
    drop(registered);
    browser.run(&tab, "await sent.closed; await voice.closed;");
    assert_eq!(browser.run(&tab, "return sent.sender.track"), json!(null));
}

/// A frame that any section for video takes.
fn frame(size: usize) -> MediaFrame {
    MediaFrame {
        kind: MediaKind::Video,
        codec: "VP8".into(),
        timestamp: 0,
        data: vec![0x10; size].into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_without_a_right_a_section_or_a_codec_are_refused() {
    let Some(setting) = setting().await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let (_registered, mut frames) = register(home, "camera");
    let (_secret, _) = register(home, "secret");
    let tab = page(&setting, BOTH);
    let failure = |script: &str, kind: &str| {
        let heard = browser.run(&tab, &format!("return failure({script})"));
        assert!(
            heard.as_str().unwrap().starts_with(kind),
            "{script}: {heard}"
        );
    };
    let send = |track: &str| format!("page.sendTrack('{track}', camera, {{ timeout: 60000 }})");
    failure(&send("nothing"), "unknown");
    failure(&send("secret"), "denied");
    failure(
        "page.sendTrack('camera', microphone)",
        "limit: no section to send audio",
    );
    // A page that asks for what `sendTrack` would not. Nothing of that takes a section away.
    browser.run(
        &tab,
        "const [outward, inward] = page.link.streams.media.sections;
         window.bind = (section, name) => page.link.sections.bind(section, name, 60000);
         Object.assign(window, { outward, inward, other: { transceiver: { mid: 'none' } } });",
    );
    let camera = "'lanemesh/media/camera'";
    for (script, kind) in [
        (format!("bind(inward, {camera})"), "mismatch: no section"),
        (format!("bind(other, {camera})"), "mismatch: no section"),
        ("bind(outward, 'lanemesh/media/secret')".into(), "denied"),
        ("bind(outward, 'lanemesh/media/nothing')".into(), "unknown"),
        (
            "bind(outward, 'recorder')".into(),
            "mismatch: recorder is no track",
        ),
    ] {
        failure(&script, kind);
    }
    browser.run(&tab, &format!("window.sent = await {}", send("camera")));
    take(&mut frames, 3).await;
    failure(&send("camera"), "limit: no section to send video");
    failure(
        &format!("bind(outward, {camera})"),
        "limit: the section has",
    );
    // And in the other direction.
    let streams = Streams::new(home);
    let open = |track| streams.open_media_track("page/1", track);
    assert_eq!(open("mirror").await.unwrap_err(), LookupError::Unknown);
    browser.run(&tab, MIRROR);
    browser.run(&tab, "page.registerMediaTrack('frames', () => {});");
    let mut mirror = open("mirror").await.unwrap();
    assert_eq!(open("mirror").await.unwrap_err(), LookupError::Limit);
    let lane = open("frames").await.unwrap();
    assert!(lane.is_loose() && !lane.is_rtp());
    for (kind, codec) in [
        (MediaKind::Audio, "opus"),
        (MediaKind::Video, "depth"),
        (MediaKind::Audio, "VP8"),
    ] {
        let codec = codec.to_owned();
        let wrong = MediaFrame {
            kind,
            codec,
            ..frame(9)
        };
        assert_eq!(mirror.send(wrong.clone()), Err(StreamError::Codec(wrong)));
    }
    let large = frame(home.config().max_frame + 1);
    assert_eq!(
        mirror.send(large.clone()),
        Err(StreamError::TooLarge(large))
    );
    mirror.send(frame(1000)).unwrap();
    // Sections are part of an offer by data channels, and not many.
    let many = "{ send: Array(9).fill('video') }";
    for (media, address, kind) in [
        (
            many,
            "http:",
            "refused: the offer was refused with status 400",
        ),
        (BOTH, "ws:", "refused: media need"),
    ] {
        let script = connect(&setting, media).replace("http:", address);
        failure(&format!("(async () => {script})()"), kind);
    }
    failure(
        "(async () => page.receiveTrack('voice', () => {}, { kind: 'audio' }))()",
        "limit",
    );
    // Without sections all is as it was.
    let plain = setting.join("page/2");
    let heard = browser.run(
        &plain,
        "return failure(page.sendTrack('camera', { kind: 'video' }))",
    );
    assert!(
        heard
            .as_str()
            .unwrap()
            .starts_with("limit: `connect` has declared"),
        "{heard}"
    );
    let media = home
        .links()
        .into_iter()
        .find(|link| &*link.peer.name == "page/2");
    assert_eq!(media.unwrap().media, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_that_is_closed_in_mid_track_leaves_nothing_and_may_come_again() {
    let Some(setting) = setting().await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let (registered, mut frames) = register(home, "camera");
    let tab = page(&setting, BOTH);
    let send = "window.sent = await page.sendTrack('camera', camera, { timeout: 60000 });";
    browser.run(&tab, MIRROR);
    browser.run(&tab, send);
    take(&mut frames, 3).await;
    let streams = Streams::new(home);
    let mut mirror = streams.open_media_track("page/1", "mirror").await.unwrap();
    mirror.send(frame(1000)).unwrap();
    let mut events = home.events();
    browser.reload(&tab);
    event(&mut events, |event| {
        matches!(event, Event::LinkDown(_)).then_some(())
    })
    .await;
    while !mirror.is_closed() {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert_eq!(mirror.send(frame(9)), Err(StreamError::Closed(frame(9))));
    assert_eq!(home.links(), []);
    registered.request_key_frame(); // of nobody
    // The same page again.
    while frames.try_recv().is_ok() {}
    browser.until(&tab, "return window.join !== undefined");
    browser.run(
        &tab,
        &format!("window.page = await {};", connect(&setting, BOTH)),
    );
    browser.run(&tab, CAMERA);
    browser.run(&tab, MIRROR);
    browser.run(&tab, send);
    assert_eq!(take(&mut frames, 3).await.is_key_frame(), Some(true));
    let again = streams.open_media_track("page/1", "mirror").await.unwrap();
    assert!(!again.is_closed() && mirror.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_media_stops_no_question() {
    let Some(setting) = setting().await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let (_registered, mut frames) = register(home, "camera");
    let tab = page(&setting, BOTH);
    browser.run(&tab, MIRROR);
    browser.run(
        &tab,
        "window.sent = await page.sendTrack('camera', camera, { timeout: 60000 });
         page.export('page/1', 'test/guest', guest);",
    );
    let streams = Streams::new(home);
    let mut mirror = streams.open_media_track("page/1", "mirror").await.unwrap();
    let flood = tokio::spawn(async move {
        for number in 0_u32.. {
            let timestamp = number.wrapping_mul(300);
            if mirror
                .send(MediaFrame {
                    timestamp,
                    ..frame(100_000)
                })
                .is_err()
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    while traffic(home).sent == 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    let mut guest = setting.guest("page/1").await;
    for _ in 0..20 {
        assert_eq!(guest.ask(Urgent::Count, MINUTE).await, Ok((0, 0)));
    }
    let asked = browser.run(
        &tab,
        "const actor = await page.lookup('recorder', 'test/recorder', { timeout: 60000 });
         return (await actor.ask((reply) => ({ Log: reply }), { timeout: 60000 })).length",
    );
    assert_eq!(asked, json!(0));
    take(&mut frames, 3).await;
    home.drop_links("page/1");
    flood.await.unwrap();
}
