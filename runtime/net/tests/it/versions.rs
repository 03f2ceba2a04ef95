//! The protocol byte by byte, as it was when its version got its number: a change of it that others would not understand
//! fails here, and needs another number. And what both ends are told whose numbers differ.

use hmac::{Hmac, KeyInit, Mac};
use lanemesh_net::{
    Config, ConnectError, DownReason, Event, Node, Remote,
    transport::{BoxReader, BoxWriter, Connection, InProcess, Transport},
};
use lanemesh_runtime::{ActorResult, Context, Handler, Reply, spawn};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{SECOND, event, patient};

const SECRET: &[u8; 16] = b"0123456789abcdef";

struct Counter(u64);

#[derive(Debug, Serialize, Deserialize)]
enum Msg {
    Add(u64),
    Get(Reply<u64>),
}

impl Handler for Counter {
    type Msg = Msg;

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Add(number) => self.0 += number,
            Msg::Get(reply) => drop(reply.send(self.0)), // the asker may be gone
        }
        Ok(())
    }
}

impl Remote for Counter {
    const TYPE: &'static str = "test/counter";
}

fn node(network: &InProcess) -> Node {
    let config = Config {
        heartbeat: 3600 * SECOND, // which would report credit
        ..patient()
    };
    let node = Node::builder("home").incarnation(5).config(config);
    node.secret(*SECRET)
        .transport("mem", network.clone())
        .build()
}

fn mac(role: &[u8], said: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(role);
    mac.update(said);
    mac.finalize().into_bytes().into()
}

/// Who the other end is: its incarnation, a number that nobody has used before, and its name.
fn identity(incarnation: u8, name: &str) -> Vec<u8> {
    let mut bytes = vec![incarnation, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0xa5; 32]);
    bytes.push(name.len() as u8);
    bytes.extend(name.as_bytes());
    bytes
}

/// One connection of a peer that does everything by hand.
struct Bare {
    reader: BoxReader,
    writer: BoxWriter,
}

impl Bare {
    fn new(connection: Connection) -> Self {
        let (reader, writer) = connection.into_halves();
        Self { reader, writer }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
        self.writer.flush().await.unwrap();
    }

    async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// The next frame that is no heartbeat, and does not say how much has arrived.
    async fn frame(&mut self) -> Vec<u8> {
        loop {
            let mut frame = self.hear(4).await;
            let length = u32::from_le_bytes(frame[..4].try_into().unwrap());
            frame.extend(self.hear(length as usize).await);
            if ![13, 14, 15].contains(&frame[4]) {
                return frame;
            }
        }
    }

    /// Connects to the node, and greets it.
    async fn greet(network: &InProcess, class: u8) -> Self {
        let mut bare = Self::new(network.connect("home").await.unwrap());
        let mut said = b"LMSH\x02\x00".to_vec();
        said.push(class);
        said.extend([7, 0, 0, 0, 0, 0, 0, 0]); // the number of the link
        said.extend(identity(3, "bare"));
        bare.say(&said).await;
        let answer = bare.hear(4 + 2 + 8 + 32 + 1 + 4).await;
        assert_eq!(answer[..14], *b"LMSH\x02\x00\x05\0\0\0\0\0\0\0");
        assert_eq!(answer[46..], *b"\x04home");
        said.extend(answer);
        assert_eq!(bare.hear(32).await, mac(b"accepting", &said));
        bare.say(&mac(b"connecting", &said)).await;
        if class == 0 {
            assert_eq!(bare.hear(1).await, [0], "welcome");
        }
        bare
    }
}

/// Both connections of a link that the peer has made.
async fn link(network: &InProcess) -> [Bare; 2] {
    let high = Bare::greet(network, 0).await;
    let mut low = Bare::greet(network, 1).await;
    assert_eq!(low.hear(1).await, [0], "welcome");
    [high, low]
}

#[tokio::test]
async fn peer_of_this_version_that_knows_no_later_additions_is_understood() {
    let network = InProcess::default();
    let home = node(&network);
    home.bind("mem:home").await.unwrap();
    let (counter, _child) = spawn(Counter(0));
    home.export("counter", &counter).unwrap();
    let [mut high, mut low] = link(&network).await;
    // Lane 9 to the counter, of versions 1 to 1, by postcard.
    let open = b"\x25\0\0\0\x01\x09\0\0\0\x01\0\0\0\x01\0\0\0\x01\x0c\0test/counter\x07\0counter";
    high.say(open).await;
    // 64 and 1024 messages, 256 KiB and 4 MiB.
    let opened = b"\x22\0\0\0\x02\x09\0\0\0\x01\0\0\0\x00\x40\0\0\0\0\x04\0\0\0\0\x04\0\0\0\0\0\0\0\x40\0\0\0\0\0";
    assert_eq!(high.frame().await, opened);
    // Adds 300, and expires in a minute (60,000,000 µs).
    low.say(b"\x10\0\0\0\x04\x09\0\0\0\x00\x87\x93\x03\0\0\0\0\x00\xac\x02")
        .await;
    // Asks; the answer is to have the number 5.
    low.say(b"\x0f\0\0\0\x05\x09\0\0\0\0\0\0\0\0\0\0\0\x01\x05")
        .await;
    assert_eq!(
        low.frame().await,
        b"\x0b\0\0\0\x0b\x05\0\0\0\0\0\0\0\xac\x02"
    );
    // Credit of both classes as soon as all is accepted: two messages of low, with five bytes.
    high.say(b"\x05\0\0\0\x07\x09\0\0\0").await;
    assert_eq!(
        high.frame().await,
        b"\x16\0\0\0\x06\x09\0\0\0\x01\x02\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"
    );
    // There is no such actor.
    high.say(b"\x1e\0\0\0\x01\x0a\0\0\0\x01\0\0\0\x01\0\0\0\x01\x0c\0test/counter\x00\0")
        .await;
    let refused = high.frame().await;
    assert_eq!(refused[4..10], *b"\x03\x0a\0\0\0\x00");
    // Closes both classes of the lane.
    high.say(b"\x05\0\0\0\x08\x09\0\0\0").await;
    low.say(b"\x05\0\0\0\x08\x09\0\0\0").await;
    while home.links()[0].lanes_owned > 0 {
        tokio::task::yield_now().await;
    }
    // It goes.
    let mut events = home.events();
    high.say(b"\x01\0\0\0\x10").await;
    let why = event(&mut events, |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    });
    assert_eq!(why.await, DownReason::ClosedByPeer);
}

#[tokio::test]
async fn node_speaks_this_version_as_it_was_to_a_peer_that_knows_no_later_additions() {
    let network = InProcess::default();
    let home = node(&network);
    home.bind("mem:home").await.unwrap();
    let [mut high, mut low] = link(&network).await;
    let asking = tokio::spawn(async move {
        let lookup = home.lookup::<Counter>("counter").on("bare");
        let mut counter = lookup.await.unwrap();
        counter.tell(Msg::Add(300)).await.unwrap();
        let asked = counter.ask_low(Msg::Get, 60 * SECOND).await;
        counter.idle().await;
        (home, counter, asked)
    });
    let open = high.frame().await;
    // The codecs are bits: JSON, if it is there, and two additions, which others overlook.
    let codecs = 0xc1 | u8::from(cfg!(feature = "json")) << 1;
    let mut expected =
        b"\x25\0\0\0\x01\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\x0c\0test/counter\x07\0counter".to_vec();
    expected[17] = codecs;
    assert_eq!(open, expected);
    high.say(b"\x22\0\0\0\x02\0\0\0\0\x01\0\0\0\x00\x40\0\0\0\0\x04\0\0\0\0\x04\0\0\0\0\0\0\0\x40\0\0\0\0\0")
        .await;
    assert_eq!(
        low.frame().await,
        b"\x10\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\x00\xac\x02"
    );
    let ask = low.frame().await;
    assert_eq!(ask[4..9], *b"\x05\0\0\0\0");
    let expires = u64::from_le_bytes(ask[9..17].try_into().unwrap());
    assert!(expires > 0 && expires <= 60_000_000, "{expires}");
    assert_eq!(ask[17], 1, "the variant");
    // Its number, as it came: seven bits in a byte.
    let bits = ask[18..].iter().rev();
    let slot = bits.fold(0, |slot: u64, byte| slot << 7 | u64::from(byte & 127));
    let mut answer = b"\x0a\0\0\0\x0b".to_vec();
    answer.extend(slot.to_le_bytes());
    answer.push(9);
    low.say(&answer).await;
    // It wants to know what has arrived: two messages.
    assert_eq!(high.frame().await, b"\x05\0\0\0\x07\0\0\0\0");
    assert_eq!(low.frame().await, b"\x05\0\0\0\x07\0\0\0\0");
    let mut credit = b"\x16\0\0\0\x06\0\0\0\0\x01\x02\0\0\0\0\0\0\0".to_vec();
    credit.extend((3 + ask.len() as u64 - 17).to_le_bytes());
    high.say(&credit).await;
    let (_home, counter, asked) = asking.await.unwrap();
    assert_eq!(asked, Ok(9));
    drop(counter);
    assert_eq!(high.frame().await, b"\x05\0\0\0\x08\0\0\0\0");
    assert_eq!(low.frame().await, b"\x05\0\0\0\x08\0\0\0\0");
}

#[tokio::test]
async fn both_ends_are_told_that_their_versions_differ() {
    let network = InProcess::default();
    let home = node(&network);
    home.bind("mem:home").await.unwrap();
    // One that connects.
    for (count, version) in [1_u8, 3, 255].into_iter().enumerate() {
        let mut bare = Bare::new(network.connect("home").await.unwrap());
        let mut greeting = b"LMSH".to_vec();
        greeting.extend([version, 0]);
        greeting.extend([0xee; 500]); // whatever follows in that version
        bare.say(&greeting).await;
        assert_eq!(bare.hear(6).await, *b"LMSH\x02\x00");
        let mut rest = Vec::new();
        bare.reader.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        drop(bare);
        while home.refusals().unreadable <= count as u64 {
            tokio::task::yield_now().await;
        }
    }
    // One that is connected to.
    let mut listener = network.listen("later").await.unwrap();
    let accepting = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().await.unwrap();
        let mut bare = Bare::new(connection);
        bare.say(b"LMSH\x03\x00").await;
        bare.hear(6).await
    });
    let error = home.connect("mem:later").await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Version { ours: 2, theirs: 3 }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("version 3") && text.contains("version 2"),
        "{text}"
    );
    assert_eq!(accepting.await.unwrap(), *b"LMSH\x02\x00");
    // A stranger is told nothing.
    let mut stranger = Bare::new(network.connect("home").await.unwrap());
    stranger.say(b"GET / HTTP/1.1\r\n\r\n").await;
    let mut rest = Vec::new();
    let _ = stranger.reader.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
}
