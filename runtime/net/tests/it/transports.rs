//! The same over each kind of connection.

use std::time::Duration;

use lanemesh_net::{ConnectError, Node, NodeBuilder, transport::InProcess};
use lanemesh_runtime::spawn;
use tokio::io::AsyncReadExt;

use crate::common::{Command, Data, Entry, Recorder, SECOND, log, lows, patient};

pub(crate) async fn tell_and_ask(node: impl Fn(&str) -> NodeBuilder, address: &str) {
    let [home, away] = ["home", "away"].map(|name| node(name).config(patient()).build());
    let address = home.bind(address).await.unwrap();
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    assert_eq!(&away.connect(&address).await.unwrap(), home.info());
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    for number in 0..5000 {
        handle.send_low(Data::Number(number)).await.unwrap();
    }
    handle.send_high(Command::Mark(7)).await.unwrap();
    handle.idle().await; // there is no order between the classes
    let count = handle.ask_low(Data::Ask, 10 * SECOND).await.unwrap();
    assert_eq!(count, 5001);
    let log = log(&mut handle).await;
    assert_eq!(lows(&log), (0..5000).collect::<Vec<_>>());
    assert!(log.contains(&Entry::High(7)));
    handle.idle().await;
    assert_eq!(away.links()[0].unconfirmed, 0);
    assert_eq!(away.links()[0].asks, 0);
    assert!(away.shutdown(10 * SECOND).await);
    assert!(home.shutdown(10 * SECOND).await);
}

#[tokio::test]
async fn in_process() {
    let network = InProcess::default();
    let node = |name: &str| Node::builder(name).transport("mem", network.clone());
    tell_and_ask(node, "mem:home").await;
}

#[tokio::test]
async fn tcp() {
    let node = |name: &str| Node::builder(name).secret(*b"0123456789abcdef");
    tell_and_ask(node, "tcp://127.0.0.1:0").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unix_socket() {
    let path = std::env::temp_dir().join(format!("lanemesh-net-{}", std::process::id()));
    // What a process has left that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    tell_and_ask(
        |name| Node::builder(name),
        &format!("unix:{}", path.display()),
    )
    .await;
}

#[tokio::test]
async fn network_needs_a_secret_and_an_address_a_transport() {
    let node = Node::builder("a").build();
    for address in ["tcp://127.0.0.1:0", "tcp:127.0.0.1:1"] {
        let bound = node.bind(address).await.unwrap_err();
        assert!(matches!(bound, ConnectError::NoSecret), "{bound}");
        let connected = node.connect(address).await.unwrap_err();
        assert!(matches!(connected, ConnectError::NoSecret), "{connected}");
    }
    for address in ["", "mem", "mem:x", "://"] {
        let connected = node.connect(address).await.unwrap_err();
        assert!(matches!(connected, ConnectError::Address(_)), "{connected}");
    }
}

#[tokio::test]
async fn address_in_use_and_nobody_there_are_errors() {
    let network = InProcess::default();
    let node = |name: &str| {
        let node = Node::builder(name).secret(*b"0123456789abcdef");
        node.transport("mem", network.clone()).build()
    };
    let (a, b) = (node("a"), node("b"));
    a.bind("mem:a").await.unwrap();
    assert!(matches!(b.bind("mem:a").await, Err(ConnectError::Io(_))));
    assert!(matches!(b.connect("mem:b").await, Err(ConnectError::Io(_))));
    let address = a.bind("tcp://127.0.0.1:0").await.unwrap();
    assert!(matches!(b.bind(&address).await, Err(ConnectError::Io(_))));
    a.shutdown(Duration::ZERO).await;
    assert!(b.connect("mem:a").await.is_err());
    assert!(matches!(
        a.connect("mem:a").await,
        Err(ConnectError::Closed)
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn unix_socket_without_a_path_is_an_error() {
    let node = Node::builder("node").build();
    let bound = node.bind("unix:").await;
    assert!(matches!(bound, Err(ConnectError::Io(_))), "{bound:?}");
}

#[tokio::test]
async fn program_that_hangs_up_is_said_to_have_done_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // All that is sent is read, so that it is an end and no reset.
        let mut greeting = [0; 7 + 8 + 8 + 32 + 1 + 4];
        stream.read_exact(&mut greeting).await.unwrap();
    });
    let node = Node::builder("node")
        .secret(*b"16 random bytes!")
        .config(patient())
        .build();
    let error = node.connect(&address).await.unwrap_err();
    let text = "the other end has closed the connection in the greeting";
    assert_eq!(error.to_string(), text);
}
