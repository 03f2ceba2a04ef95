//! Tokens, and what nodes may do with actors: what is granted, and each refusal.

use std::time::Duration;

use lanemesh_net::{
    Access, ConnectError, DownReason, Event, ExportOptions, LookupError, Node, NodeBuilder, Token,
};
use lanemesh_runtime::{ActorHandle, Child, ExitReason, spawn};

use crate::common::{Command, Data, Entry, Recorder, SECOND, event, log, pair, patient};

const KEY: [u8; 16] = *b"a key of tokens.";
const HOUR: Duration = Duration::from_secs(3600);

fn node(name: &str) -> NodeBuilder {
    Node::builder(name).config(patient())
}

/// A node that takes tokens and exports an actor as `room/1`, and its address.
async fn home() -> (Node, String, ActorHandle<Recorder>, Child) {
    let home = node("home").token_key(KEY).build();
    let address = home.bind("tcp://127.0.0.1:0").await.unwrap();
    let (actor, child) = spawn(Recorder::new());
    home.export("room/1", &actor).unwrap();
    (home, address, actor, child)
}

/// What a node with this token hears when it connects.
async fn refusal(address: &str, name: &str, token: &str) -> String {
    let refused = node(name).token(token).build().connect(address).await;
    match refused.unwrap_err() {
        ConnectError::Refused(why) => why.to_owned(),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn token_opens_what_it_grants_and_nothing_else() {
    let (home, address, _actor, _child) = home().await;
    let (other, _other_child) = spawn(Recorder::new());
    home.export("lobby", &other).unwrap();
    let token = Token::new("page/*", HOUR).grant("room/*", Access::ALL);
    let page = node("page/7").token(&token.sign(&KEY)).build();
    page.connect(&address).await.unwrap();
    let mut room = page.lookup::<Recorder>("room/1").await.unwrap();
    room.send_low(Data::Number(1)).await.unwrap();
    room.idle().await;
    room.send_high(Command::Mark(2)).await.unwrap();
    assert_eq!(log(&mut room).await, [Entry::Low(1), Entry::High(2)]);
    // Neither what it does not grant, nor whether that exists.
    for name in ["lobby", "nobody"] {
        let denied = page.lookup::<Recorder>(name).await.unwrap_err();
        assert!(matches!(denied, LookupError::Denied(_)), "{denied:?}");
    }
    room.stop();
    let reason = room.monitor().await;
    assert!(matches!(reason, ExitReason::Failed(_)), "{reason}");
    // The node tells and asks what the page exports, whatever the token says.
    page.export("own", &other).unwrap();
    let mut own = home.lookup::<Recorder>("own").on("page/7").await;
    let own = own.as_mut().map(|_| ());
    assert!(own.is_ok(), "{own:?}");
}

#[tokio::test]
async fn token_for_one_class_ends_the_lane_of_a_message_of_the_other() {
    let (_home, address, actor, _child) = home().await;
    for (access, is_high) in [(Access::HIGH, false), (Access::LOW, true)] {
        let token = Token::new("page", HOUR).grant("room/1", access);
        let page = node("page").token(&token.sign(&KEY)).build();
        page.connect(&address).await.unwrap();
        let mut room = page.lookup::<Recorder>("room/1").await.unwrap();
        if is_high {
            room.send_high(Command::Mark(9)).await.unwrap();
        } else {
            room.send_low(Data::Number(9)).await.unwrap();
        }
        let reason = room.monitor().await;
        assert!(
            matches!(&reason, ExitReason::Failed(error) if error.to_string().contains("may not")),
            "{reason}"
        );
        page.shutdown(10 * SECOND).await;
    }
    assert!(log(&mut actor.clone()).await.is_empty());
}

#[tokio::test]
async fn each_wrong_token_is_refused_and_counted_and_none_is_too() {
    let (home, address, _actor, _child) = home().await;
    let good = Token::new("page", HOUR).sign(&KEY);
    let other_key = Token::new("page", HOUR).sign(b"another key");
    let mut forged = good.clone();
    forged.replace_range(70..71, if &good[70..71] == "0" { "1" } else { "0" });
    for (name, token, text) in [
        ("page", &*other_key, "not valid"),
        ("page", &forged, "not valid"),
        ("page", "", "not valid"),
        ("pages", &good, "another name"),
    ] {
        let why = refusal(&address, name, token).await;
        assert!(why.contains(text), "{why}");
    }
    let over = Token::new("page", Duration::ZERO).sign(&KEY);
    tokio::time::sleep(SECOND).await; // it is rounded up to seconds
    let why = refusal(&address, "page", &over).await;
    assert!(why.contains("expired"), "{why}");
    // Neither a secret nor none is as good as a token.
    let secret = node("page").secret(*b"0123456789abcdef").build();
    let error = secret.connect(&address).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unauthenticated | ConnectError::Io(_)),
        "{error:?}"
    );
    let error = node("page").build().connect(&address).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoSecret), "{error:?}");
    while home.refusals().unauthenticated < 6 {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert!(home.links().is_empty());
    node("page")
        .token(&good)
        .build()
        .connect(&address)
        .await
        .unwrap();

    // A node that takes no tokens.
    let other = node("other").secret(*b"0123456789abcdef").build();
    let there = other.bind("tcp://127.0.0.1:0").await.unwrap();
    let why = refusal(&there, "page", &good).await;
    assert!(why.contains("not valid"), "{why}");
    let bare = node("bare").build().bind("tcp://127.0.0.1:0").await;
    assert!(matches!(bare, Err(ConnectError::NoSecret)));
    let shower = node("shower").token(&good).build();
    let shown = shower.bind("tcp://127.0.0.1:0").await;
    assert!(
        matches!(shown, Err(ConnectError::NoSecret)),
        "a token opens no port"
    );
}

#[tokio::test]
async fn link_ends_when_the_token_expires_and_is_made_again_with_another() {
    let (home, address, _actor, _child) = home().await;
    let mut events = home.events();
    let grant = |valid| {
        Token::new("page", valid)
            .grant("room/1", Access::ALL)
            .sign(&KEY)
    };
    let page = node("page").incarnation(1).token(&grant(SECOND)).build();
    page.connect(&address).await.unwrap();
    let room = page.lookup::<Recorder>("room/1").await.unwrap();
    let down = event(&mut events, |event| match event {
        Event::LinkDown(down) => Some(down),
        _ => None,
    });
    assert_eq!(down.await.why, DownReason::Expired);
    assert!(matches!(room.monitor().await, ExitReason::Unreachable));
    page.shutdown(10 * SECOND).await;
    // The same incarnation, as of a page that fetches a new token.
    let again = node("page").incarnation(1).token(&grant(HOUR)).build();
    again.connect(&address).await.unwrap();
    assert!(again.lookup::<Recorder>("room/1").await.is_ok());
}

#[tokio::test]
async fn earlier_incarnation_with_a_token_is_fenced_off_as_long_as_a_later_one_is_linked() {
    let (home, address, _actor, _child) = home().await;
    let token = Token::new("page", HOUR).sign(&KEY);
    let page = |incarnation| node("page").incarnation(incarnation).token(&token).build();
    let mut events = home.events();
    let (first, second) = (page(1), page(2));
    first.connect(&address).await.unwrap();
    second.connect(&address).await.unwrap();
    let down = event(&mut events, |event| match event {
        Event::LinkDown(down) => Some(down),
        _ => None,
    });
    let down = down.await;
    assert_eq!((down.why, down.peer.incarnation), (DownReason::Replaced, 1));
    let why = match page(1).connect(&address).await.unwrap_err() {
        ConnectError::Refused(why) => why,
        error => panic!("{error:?}"),
    };
    assert!(why.contains("later incarnation"), "{why}");
}

#[tokio::test]
async fn export_grants_each_node_its_own() {
    let pair = pair().await;
    let third = Node::builder("third").config(patient());
    let third = third.transport("mem", pair.network.clone()).build();
    third.connect("mem:home").await.unwrap();
    let (actor, _child) = spawn(Recorder::new());
    let options = ExportOptions::new()
        .only(["away"])
        .grant("thi*", Access::LOW.and_stop())
        .grant("third", Access::ALL);
    pair.home.export_with("limited", &actor, options).unwrap();
    let mut away = pair.away.lookup::<Recorder>("limited").await.unwrap();
    assert!(log(&mut away).await.is_empty());
    let mut limited = third.lookup::<Recorder>("limited").await.unwrap();
    limited.send_high(Command::Mark(1)).await.unwrap();
    let reason = limited.monitor().await;
    assert!(matches!(reason, ExitReason::Failed(_)), "{reason}");
    let mut limited = third.lookup::<Recorder>("limited").await.unwrap();
    limited.send_low(Data::Number(2)).await.unwrap();
    limited.idle().await;
    assert_eq!(log(&mut away).await, [Entry::Low(2)]);
    limited.stop();
    assert!(matches!(limited.monitor().await, ExitReason::Stopped));

    let (actor, _child) = spawn(Recorder::new());
    let options = ExportOptions::new().grant("away", Access::NONE);
    pair.home.export_with("hidden", &actor, options).unwrap();
    let denied = pair.away.lookup::<Recorder>("hidden").await.unwrap_err();
    assert!(matches!(denied, LookupError::Denied(_)), "{denied:?}");
    assert!(third.lookup::<Recorder>("hidden").await.is_ok());
}
