//! What must hold for any bytes with which a connection begins: for the fuzz target.

use std::io::Cursor;

use futures_util::FutureExt;
use tokio::io::sink;

use super::handshake::{Greeting, Identity, answer};
use crate::{event::PeerInfo, token::Token, transport::Connection};

const KEY: &[u8] = b"0123456789abcdef";

/// What is read of a peer that says these bytes and no more.
fn heard(said: Vec<u8>) -> Option<Greeting> {
    let identity = Identity {
        me: PeerInfo {
            name: "home".into(),
            incarnation: 1,
        },
        secret: Some(b"a secret".to_vec()),
        token_key: Some(KEY.to_vec()),
        token: None,
    };
    let mut connection = Connection::new(Cursor::new(said), sink());
    // It waits for nothing.
    let answered = answer(&mut connection, &identity, false).now_or_never();
    answered.and_then(Result::ok)
}

/// Takes `bytes` for the beginning of a connection: for a greeting, for what is signed in the token of one, or for what
/// a browser sends.
///
/// # Panics
///
/// If somebody is let in who does not know the key, or a token is not what was signed.
pub fn check_beginning(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 3 {
        0 => assert!(heard(bytes.to_vec()).is_none(), "nobody knows the secret"),
        1 => {
            let signed = Token::seal(KEY, bytes);
            let token = Token::check(KEY, &signed, "page").ok();
            if let Some(token) = &token {
                assert_eq!(crate::token::bytes(&token.sign(KEY)), Some(signed.clone()));
            }
            let mut said = b"LMSH\x02\0\x80".to_vec();
            said.extend_from_slice(&[0; 8 + 8 + 32]);
            said.extend_from_slice(b"\x04page");
            said.extend_from_slice(&(signed.len() as u16).to_le_bytes());
            said.extend_from_slice(&signed);
            assert_eq!(heard(said).and_then(|greeting| greeting.token), token);
        }
        _ => {
            #[cfg(feature = "websocket")]
            crate::transport::check_websocket(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_beginning;

    #[test]
    fn any_beginning_is_refused_or_what_was_signed() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut greeting = b"\0LMSH\x02\0\x80".to_vec();
        greeting.resize(200, 0);
        let mut token = vec![1];
        token.extend_from_slice(&[0xff; 8]);
        token.extend_from_slice(b"\x04\0page\x03\x04\0room");
        let frame = [
            2, 0x82, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0x89, 0x80, 0, 0, 0, 0,
        ];
        for seed in [&greeting[..], &token, &frame] {
            check_beginning(seed);
            for _ in 0..1000 {
                let mut bytes = seed.to_vec();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
                bytes.truncate(random.usize(0..=bytes.len()));
                check_beginning(&bytes);
            }
        }
    }
}
