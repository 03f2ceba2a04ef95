//! aiortc, an independent WebRTC stack, publishes and plays.

use std::process::{Command, Stdio};

use sfu_demo::mailbox::mesh::Mesh;

use crate::support::{Killed, Running, config, python, real_time};

#[test]
fn aiortc_publishes_and_another_aiortc_decodes_it() {
    let Some(python) = python() else { return };
    let _turn = real_time();
    let server = Running::start::<Mesh>(config(2));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/aiortc_client.py");
    let publisher = Killed(
        Command::new(&python)
            .args([
                script,
                "publish",
                &format!("{}/whip/py", server.http),
                "120",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let player = Command::new(&python)
        .args([script, "play", &format!("{}/whep/py", server.http), "60"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&player.stdout);
    let why = String::from_utf8_lossy(&player.stderr);
    assert!(player.status.success(), "{said}\n{why}\n{}", server.stats());
    drop(publisher);
    server.stop();
}
