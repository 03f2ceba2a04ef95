//! Credit between a page and a node follows what is accepted in a round trip.

use lanemesh_net::{Access, Config, Token, transport::WebSocket};
use serde_json::json;

use super::{HOUR, KEY, Line, MINUTE, Setting, Urgent};
use crate::common::{log, lows, patient};

/// What is accepted, by the script's own clock.
const ACCOUNTS: &str = "
    const run = (messages, growth, roundTrip, perMillisecond) => {
        const first = { messages, bytes: 100 * messages };
        const owed = new lanemesh.Owed(first, { messages: growth * messages, bytes: growth * 100 * messages });
        let [now, outstanding] = [0, []];
        for (; now < 2000; now += 1) {
            // What was reported a round trip ago is known, and as much as there is room for is sent.
            outstanding = outstanding.filter(([until]) => until > now);
            const sent = outstanding.reduce((sum, [, count]) => sum + count, 0);
            const count = Math.max(0, Math.min(owed.room.messages - sent, perMillisecond));
            for (let one = 0; one < count; one += 1) { owed.receive(100); owed.accept(100); }
            if (count > 0) outstanding.push([now + roundTrip, count]);
            if (owed.report(true)) owed.grow(roundTrip, now);
        }
        return owed.room.messages;
    };
    const refused = () => {
        const owed = new lanemesh.Owed({ messages: 1, bytes: 10 }, { messages: 2, bytes: 20 });
        owed.receive(100); // larger than the room: alone
        try { owed.receive(1); } catch (error) { return error.message; }
    };
    // A long way; a short one; one that may not grow; and what is slow.
    return [run(64, 16, 100, 5), run(64, 16, 2, 5), run(64, 1, 100, 5), run(64, 1000, 20, 1), refused()]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_grows_between_page_and_node_up_to_its_limit() {
    let config = Config {
        low_messages: 4,
        ..patient()
    };
    let Some(setting) = Setting::with(WebSocket::new(), "ws:", config).await else {
        return;
    };
    let browser = &setting.browser;
    let tab = browser.open(&setting.url);
    browser.until(&tab, "return window.lanemesh !== undefined");
    let token = Token::new("page/1", HOUR)
        .grant("recorder", Access::ALL)
        .sign(&KEY);
    let script = format!(
        "window.page = await lanemesh.connect('{}', {{ name: 'page/1', token: '{token}', deadAfter: 3600000,
             timeout: 60000, credit: [{{ messages: 4, bytes: 4096 }}, {{ messages: 4, bytes: 4096 }}] }});
         page.export('page/1', 'test/guest', guest);
         window.actor = await page.lookup('recorder', 'test/recorder');
         return actor.room",
        setting.address
    );
    let room = browser.run(&tab, &script);
    assert_eq!(room[1]["messages"], json!(4));

    // The page to the actor, until there is more room.
    let told = browser.run(
        &tab,
        "let told = 0;
         while (actor.room[1].messages === 4) await actor.tell({ Number: told++ });
         await actor.idle();
         return [told, actor.room[1].messages]",
    );
    let (told, room) = (told[0].as_u64().unwrap(), told[1].as_u64().unwrap());
    assert!(room > 4 && room <= 64, "{room}");
    let entries = log(&mut setting.actor.clone()).await;
    assert_eq!(lows(&entries), (0..told).collect::<Vec<_>>());

    // The node to the page.
    let mut guest = setting.guest("page/1").await;
    let grown = "return [...page.link.owned.values()][0].owed[1].room.messages";
    let (mut sent, mut room) = (0, 4);
    while room == 4 {
        for _ in 0..1000 {
            guest.send_low(Line::Number(sent)).await.unwrap();
            sent += 1;
        }
        room = browser.run(&tab, grown).as_u64().unwrap();
    }
    assert!(room <= 64, "{room}");
    guest.idle().await;
    let counted = guest.ask(Urgent::Count, MINUTE).await;
    assert_eq!(counted, Ok((sent, sent * (sent - 1) / 2)));
    browser.run(&tab, "actor.close(); page.close()");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_of_a_page_is_what_is_accepted_in_a_round_trip() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let tab = setting.browser.open(&setting.url);
    let browser = &setting.browser;
    browser.until(&tab, "return window.lanemesh !== undefined");
    let rooms = browser.run(&tab, ACCOUNTS);
    let rooms: Vec<_> = rooms.as_array().unwrap().iter().collect();
    let messages = |index: usize| rooms[index].as_u64().unwrap();
    // 500 are accepted in the long round trip: that, a quarter more, and a step.
    assert!((500..=657).contains(&messages(0)), "{rooms:?}");
    assert_eq!([1, 2, 3].map(messages), [64; 3], "{rooms:?}");
    assert_eq!(rooms[4], "it sends without credit");
}
