//! Tracks of a page that go by RTP: its camera to a node, and back into an element of the page.

use lanemesh_net::{
    Access, MediaTraffic, Node, Token,
    streams::{MediaFrame, MediaKind, Registered, Streams},
    transport::WebRtc,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{HOUR, KEY, Setting};
use crate::common::{SECOND, patient};

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
