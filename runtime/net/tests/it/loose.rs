//! What goes beside the connections of a link: for whom it is, and that it is counted.

use std::{
    io,
    sync::{Arc, Mutex},
};

use lanemesh_net::{
    Access, LooseTraffic, Node, Token,
    streams::{Chunk, Mode, StreamError, Streams},
    transport::{Accepted, BoxFuture, Connection, Datagrams, InProcess, Listener, Transport},
};
use lanemesh_runtime::spawn;
use tokio::sync::mpsc;

use crate::common::{Recorder, SECOND, log, patient};

/// As another one, with a way for datagrams beside each connection, whose other end the test has: of those that connect,
/// and of those that are accepted.
#[derive(Clone, Default)]
struct WithDatagrams(InProcess, [Arc<Mutex<Vec<Datagrams>>>; 2]);

fn with(connection: Connection, ends: &Mutex<Vec<Datagrams>>) -> Connection {
    let (near, far) = Datagrams::pair(16, 1000);
    ends.lock().unwrap().push(far);
    connection.with_datagrams(near)
}

impl WithDatagrams {
    /// The other end of the way beside the first connection for high.
    fn far(&self, is_accepted: bool) -> Datagrams {
        self.1[usize::from(is_accepted)].lock().unwrap().remove(0)
    }
}

struct Accepting(Box<dyn Listener>, Arc<Mutex<Vec<Datagrams>>>);

impl Listener for Accepting {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (accepted, ends) = (self.0.accept().await?, self.1.clone());
            let accepted: Accepted = Box::pin(async move { Ok(with(accepted.await?, &ends)) });
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

impl Transport for WithDatagrams {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { Ok(with(self.0.connect(address).await?, &self.1[0])) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.0.listen(address).await?;
            let accepting: Box<dyn Listener> = Box::new(Accepting(inner, self.1[1].clone()));
            Ok(accepting)
        })
    }

    fn is_private(&self) -> bool {
        false
    }
}

/// A node `home` that was let into another one by a token, and what is between them.
async fn linked(token: Token) -> (Node, Node, WithDatagrams) {
    const KEY: [u8; 16] = *b"0123456789abcdef";
    let transport = WithDatagrams::default();
    let home = Node::builder("home").transport("mem", transport.clone());
    let home = home.config(patient()).token(&token.sign(&KEY)).build();
    let away = Node::builder("away").transport("mem", transport.clone());
    let away = away.config(patient()).token_key(KEY).build();
    away.bind("mem:away").await.unwrap();
    home.connect("mem:away").await.unwrap();
    (home, away, transport)
}

fn token() -> Token {
    Token::new("home", 3600 * SECOND)
}

/// A piece of a message, which is the only one of it.
fn whole(number: u32, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut datagram = number.to_le_bytes().to_vec();
    datagram.extend([0, 1, 0]);
    datagram.extend((name.len() as u16).to_le_bytes());
    datagram.extend(name.as_bytes());
    datagram.extend(payload);
    datagram
}

/// A chunk as another node sends it.
fn chunk(sequence: u8, payload: &str) -> Vec<u8> {
    let mut bytes = vec![1, b'x', 7, sequence, payload.len() as u8];
    bytes.extend(payload.as_bytes());
    bytes.push(0);
    bytes
}

fn traffic(node: &Node) -> LooseTraffic {
    node.links()[0].loose.unwrap()
}

async fn until(node: &Node, is_reached: impl Fn(LooseTraffic) -> bool) -> LooseTraffic {
    loop {
        let now = traffic(node);
        if is_reached(now) {
            return now;
        }
        tokio::time::sleep(SECOND / 100).await;
    }
}

#[tokio::test]
async fn what_may_be_lost_reaches_streams_alone_and_each_message_is_counted() {
    let (home, _away, transport) = linked(token()).await;
    let far = transport.far(false);
    let (tx, mut chunks) = mpsc::unbounded_channel();
    let stream = Streams::new(&home).register_stream("news", move |chunk: Chunk, from| {
        let sent = tx.send((chunk, from.to_string()));
        async move { Ok(sent?) }
    });
    let _stream = stream.unwrap();
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    let news = "lanemesh/streams/news";
    assert!(far.send(whole(0, news, &chunk(4, "first"))));
    let (arrived, from) = chunks.recv().await.unwrap();
    assert_eq!((arrived.sequence, &*arrived.payload), (4, &b"first"[..]));
    assert_eq!(from, "x@7");
    // An actor that never said that it can do with losses. Its messages have credit, and these would have none.
    assert!(far.send(whole(1, "recorder", &[0, 9])));
    assert!(far.send(whole(2, "nobody", &[0, 9])));
    // What is not a chunk, and not even a message.
    assert!(far.send(whole(3, news, &[1, b'x', 7])));
    assert!(far.send(vec![9; 9]));
    // Three are missing.
    assert!(far.send(whole(7, news, &chunk(9, "last"))));
    let (last, _) = chunks.recv().await.unwrap();
    assert_eq!(last.sequence, 9);
    let counts = until(&home, |now| now.arrived == 2).await;
    assert_eq!((counts.refused, counts.lost), (4, 3), "{counts:?}");
    assert_eq!((counts.sent, counts.passed_over), (0, 0));
    let mut recorder = home.lookup::<Recorder>("recorder").await.unwrap();
    assert_eq!(log(&mut recorder).await, []);
    // It goes on.
    assert!(far.send(whole(5, news, &chunk(7, "late"))));
    assert_eq!(chunks.recv().await.unwrap().0.sequence, 7);
    until(&home, |now| now.lost == 2 && now.arrived == 3).await;
}

#[tokio::test]
async fn rights_are_looked_at_for_each_message_that_may_be_lost() {
    let token = token().grant("lanemesh/streams/open", Access::ALL);
    let (_home, away, transport) = linked(token).await;
    let far = transport.far(true);
    let streams = Streams::new(&away);
    let (tx, mut taken) = mpsc::unbounded_channel();
    let mut registered = Vec::new();
    for id in ["open", "closed"] {
        let tx = tx.clone();
        let callback = move |chunk: Chunk, _| {
            let sent = tx.send((id, chunk.sequence));
            async move { Ok(sent?) }
        };
        registered.push(streams.register_stream(id, callback).unwrap());
    }
    assert!(far.send(whole(0, "lanemesh/streams/closed", &chunk(1, "x"))));
    assert!(far.send(whole(1, "lanemesh/streams/open", &chunk(2, "x"))));
    assert_eq!(taken.recv().await, Some(("open", 2)));
    let counts = until(&away, |now| now.arrived == 1).await;
    assert_eq!((counts.refused, counts.lost), (1, 0));
}

#[tokio::test]
async fn chunks_that_have_no_room_are_passed_over_and_counted_at_both_places() {
    let (home, away, transport) = linked(token().grant("*", Access::ALL)).await;
    let mut far = transport.far(false);
    let streams = Streams::new(&away);
    let _registered = streams
        .register_stream("news", |_, _| async { Ok(()) })
        .unwrap();
    let mut sender = Streams::new(&home)
        .open_stream("away", "news", Mode::LatencyFirst)
        .await
        .unwrap();
    for number in 0..20 {
        assert_eq!(sender.send(vec![1; 10]).await, Ok(number));
    }
    assert_eq!(sender.passed_over(), 4);
    let counts = traffic(&home);
    assert_eq!((counts.sent, counts.passed_over), (16, 4));
    for _ in 0..16 {
        far.receive().await.unwrap();
    }
    // In pieces, all of them or none.
    assert_eq!(sender.send(vec![1; 10_000]).await, Ok(20));
    assert_eq!(sender.send(vec![1; 10_000]).await, Ok(21));
    assert_eq!(sender.passed_over(), 5);
    let too_large = sender.send(vec![1; 16_000]).await;
    assert!(matches!(too_large, Err(StreamError::TooLarge(_))));
    // What is reliable does not go there.
    let streams = Streams::new(&home);
    let reliable = streams.open_stream("away", "news", Mode::Reliable);
    let mut reliable = reliable.await.unwrap();
    reliable.send(vec![2; 10]).await.unwrap();
    reliable.finish().await;
    assert_eq!(traffic(&home).sent, 17);
    sender.finish().await;
    away.drop_links("home");
    while !sender.is_closed() {
        tokio::time::sleep(SECOND / 100).await;
    }
    let closed = sender.send("x").await;
    assert_eq!(closed, Err(StreamError::Closed("x".into())));
}
