//! The beginning of each connection: who is there, and whether it knows the secret or has a token.
//!
//! Both ends prove by an HMAC over all that was said before, with a fresh number of each, that they know
//! the secret, which is not sent. Who has a token shows it instead; the other end proves nothing then, unless its
//! transport does. Everything has a fixed layout and a limit; no frame is read before.

use std::io::{self, ErrorKind};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    error::ConnectError,
    event::PeerInfo,
    token::{MAX_TOKEN, Token, TokenError},
    transport::Connection,
    wire::{Class, Fields},
};

const MAGIC: [u8; 4] = *b"LMSH";
/// The version of the protocol.
const VERSION: u16 = 2;
/// Bytes that the name of a node may have.
pub(crate) const MAX_NAME: usize = 255;
const NONCE: usize = 32;
const PROOF: usize = 32;
/// Bytes of a greeting of another version that are thrown away.
const MAX_GREETING: u64 = 64 << 10;
/// Of the byte that says the class: a token follows the greeting.
const TOKEN: u8 = 0x80;

/// What the accepting end says last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Welcome = 0,
    /// A later incarnation of the node was here.
    Stale = 1,
    /// The node has the name of the one that it connects to.
    OwnName = 2,
    /// There is no connection for high that this one belongs to.
    Alone = 3,
    /// The node shuts down.
    Closing = 4,
    /// The certificate of the node does not carry its name.
    WrongName = 5,
    /// The token is not signed with the key of the node.
    Forged = 6,
    /// The token has expired.
    Expired = 7,
    /// The token is for another name.
    OtherName = 8,
    /// The other node has a link to this one, or makes one itself.
    Linked = 9,
}

impl Verdict {
    /// Returns whether the node is not welcome because there is another link to it.
    fn read(byte: u8) -> Result<bool> {
        Err(ConnectError::Refused(match byte {
            0 => return Ok(false),
            9 => return Ok(true),
            1 => "a later incarnation of this node is known there",
            2 => return Err(ConnectError::OwnName),
            3 => "the other connection of the link is gone",
            5 => "the certificate of this node does not carry its name",
            6 => "the token is not valid",
            7 => "the token has expired",
            8 => "the token is for another name",
            _ => "it shuts down",
        }))
    }
}

impl From<TokenError> for Verdict {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Forged => Self::Forged,
            TokenError::Expired => Self::Expired,
            TokenError::OtherName => Self::OtherName,
        }
    }
}

/// Who a node is, and what it knows.
pub(crate) struct Identity {
    pub(crate) me: PeerInfo,
    /// Without one, what is proven is nothing: between nodes that no stranger reaches.
    pub(crate) secret: Option<Vec<u8>>,
    /// Checks the tokens of peers.
    pub(crate) token_key: Option<Vec<u8>>,
    /// What is shown to the nodes that this one connects to, instead of a proof.
    pub(crate) token: Option<Vec<u8>>,
}

/// Who has connected, and what for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) peer: PeerInfo,
    pub(crate) purpose: Purpose,
    /// With which it came, if it has not proven that it knows the secret.
    pub(crate) token: Option<Token>,
}

/// Who was connected to.
pub(crate) struct Met {
    pub(crate) peer: PeerInfo,
    /// The other node has a link to this one, or makes one itself, so this connection is not needed.
    pub(crate) is_linked: bool,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    pub(crate) class: Class,
    /// The number of the link, which the connecting node has chosen.
    pub(crate) link: u64,
}

type Result<T> = std::result::Result<T, ConnectError>;

/// Greets as the end that has connected. Returns who is there.
pub(crate) async fn greet(
    connection: &mut Connection,
    identity: &Identity,
    purpose: Purpose,
) -> Result<Met> {
    let mut said = Vec::with_capacity(256);
    said.extend_from_slice(&MAGIC);
    said.extend_from_slice(&VERSION.to_le_bytes());
    let flag = identity.token.as_ref().map_or(0, |_| TOKEN);
    said.push(purpose.class as u8 | flag);
    said.extend_from_slice(&purpose.link.to_le_bytes());
    put_identity(&mut said, &identity.me)?;
    if let Some(token) = &identity.token {
        said.extend_from_slice(&(token.len() as u16).to_le_bytes());
        said.extend_from_slice(token);
    }
    connection.writer.write_all(&said).await?;
    connection.writer.flush().await?;

    hear(connection, &mut said, 6).await?;
    check_version(&said[said.len() - 6..])?;
    let peer = hear_identity(connection, &mut said).await?;
    if !connection.may_be(&peer.name) {
        return Err(ConnectError::WrongName(peer.name));
    }
    if identity.token.is_some() {
        let verdict = connection.reader.read_u8().await.map_err(cut_short)?;
        let is_linked = Verdict::read(verdict)?;
        return Ok(Met { peer, is_linked });
    }
    let mut proof = [0; PROOF];
    connection.reader.read_exact(&mut proof).await?;
    let mac = mac(identity, b"accepting", &said)?;
    mac.verify_slice(&proof)
        .map_err(|_| ConnectError::Unauthenticated)?;
    let mac = self::mac(identity, b"connecting", &said)?;
    connection
        .writer
        .write_all(&mac.finalize().into_bytes())
        .await?;
    connection.writer.flush().await?;
    let verdict = connection.reader.read_u8().await.map_err(|error| {
        // It closes without a word to those that do not know the secret.
        match error.kind() {
            ErrorKind::UnexpectedEof => ConnectError::Unauthenticated,
            _ => error.into(),
        }
    })?;
    let is_linked = Verdict::read(verdict)?;
    Ok(Met { peer, is_linked })
}

/// Answers a greeting. Returns who is there and what for; [`conclude`] follows. If the transport `is_private`, a peer
/// without a token may do without a secret, where there is none.
pub(crate) async fn answer(
    connection: &mut Connection,
    identity: &Identity,
    is_private: bool,
) -> Result<Greeting> {
    let mut said = Vec::with_capacity(256);
    hear(connection, &mut said, 15).await?;
    if let Err(error) = check_version(&said) {
        if let ConnectError::Version { .. } = error {
            // Whether it hears that changes nothing.
            let _ = say_version(connection).await;
        }
        return Err(error);
    }
    let mut fields = Fields(&said[6..]);
    let class = fields.u8().map_err(garbled)?;
    let purpose = Purpose {
        class: Class::from_u8(class & !TOKEN).map_err(garbled)?,
        link: fields.u64().map_err(garbled)?,
    };
    let peer = hear_identity(connection, &mut said).await?;
    let has_token = class & TOKEN != 0;
    let token = match has_token {
        true => Some(hear_token(connection, identity, &peer.name).await?),
        false if identity.secret.is_none() && !is_private => {
            return Err(ConnectError::Unauthenticated);
        }
        false => None,
    };

    let before = said.len();
    said.extend_from_slice(&MAGIC);
    said.extend_from_slice(&VERSION.to_le_bytes());
    put_identity(&mut said, &identity.me)?;
    if let Some(token) = token {
        connection.writer.write_all(&said[before..]).await?;
        return match token {
            Ok(token) => Ok(Greeting {
                peer,
                purpose,
                token: Some(token),
            }),
            Err(error) => {
                conclude(connection, error.into()).await?;
                Err(ConnectError::Unauthenticated)
            }
        };
    }
    let mac = mac(identity, b"accepting", &said)?;
    connection.writer.write_all(&said[before..]).await?;
    connection
        .writer
        .write_all(&mac.finalize().into_bytes())
        .await?;
    connection.writer.flush().await?;
    let mut proof = [0; PROOF];
    connection.reader.read_exact(&mut proof).await?;
    let mac = self::mac(identity, b"connecting", &said)?;
    mac.verify_slice(&proof)
        .map_err(|_| ConnectError::Unauthenticated)?;
    let token = None;
    Ok(Greeting {
        peer,
        purpose,
        token,
    })
}

/// Reads a token, and checks it for a peer that announces a name.
async fn hear_token(
    connection: &mut Connection,
    identity: &Identity,
    name: &str,
) -> Result<std::result::Result<Token, TokenError>> {
    let length = usize::from(connection.reader.read_u16_le().await?);
    if length > MAX_TOKEN {
        return Err(garbled(()));
    }
    let mut token = Vec::with_capacity(length);
    hear(connection, &mut token, length).await?;
    let Some(key) = &identity.token_key else {
        return Ok(Err(TokenError::Forged));
    };
    Ok(Token::check(key, &token, name))
}

/// Says whether the connection is welcome.
pub(crate) async fn conclude(connection: &mut Connection, verdict: Verdict) -> Result<()> {
    connection.writer.write_u8(verdict as u8).await?;
    connection.writer.flush().await?;
    Ok(())
}

fn garbled<E>(_: E) -> ConnectError {
    ConnectError::Protocol("the other end does not speak this protocol")
}

fn check_version(bytes: &[u8]) -> Result<()> {
    let mut fields = Fields(bytes);
    if fields.array::<4>().map_err(garbled)? != MAGIC {
        return Err(garbled(()));
    }
    let theirs = fields.u16().map_err(garbled)?;
    if theirs != VERSION {
        let ours = VERSION;
        return Err(ConnectError::Version { ours, theirs });
    }
    Ok(())
}

/// Says which version is spoken here, to who speaks another one: of that, this much is understood in all versions.
async fn say_version(connection: &mut Connection) -> Result<()> {
    connection.writer.write_all(&MAGIC).await?;
    connection.writer.write_u16_le(VERSION).await?;
    connection.writer.shutdown().await?;
    // With bytes that nobody has read, the end of a connection could overtake what was said on it.
    let mut rest = (&mut connection.reader).take(MAX_GREETING);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

fn put_identity(said: &mut Vec<u8>, me: &PeerInfo) -> Result<()> {
    let mut nonce = [0; NONCE];
    let filled = getrandom::fill(&mut nonce);
    filled.map_err(|error| io::Error::other(error.to_string()))?;
    said.extend_from_slice(&me.incarnation.to_le_bytes());
    said.extend_from_slice(&nonce);
    said.push(me.name.len() as u8);
    said.extend_from_slice(me.name.as_bytes());
    Ok(())
}

async fn hear_identity(connection: &mut Connection, said: &mut Vec<u8>) -> Result<PeerInfo> {
    let at = said.len();
    hear(connection, said, 8 + NONCE + 1).await?;
    let length = said[said.len() - 1];
    hear(connection, said, usize::from(length)).await?;
    let mut fields = Fields(&said[at..]);
    let incarnation = fields.u64().map_err(garbled)?;
    fields.bytes(NONCE + 1).map_err(garbled)?;
    let name = std::str::from_utf8(fields.rest()).map_err(garbled)?;
    Ok(PeerInfo {
        name: name.into(),
        incarnation,
    })
}

/// Appends the next `count` bytes.
async fn hear(connection: &mut Connection, said: &mut Vec<u8>, count: usize) -> Result<()> {
    let before = said.len();
    said.resize(before + count, 0);
    let read = connection.reader.read_exact(&mut said[before..]).await;
    read.map_err(cut_short)?;
    Ok(())
}

/// Says what an end in the middle of a greeting is: of a node that is overloaded or going away, or of another program.
fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            let text = "the other end has closed the connection in the greeting";
            io::Error::new(ErrorKind::UnexpectedEof, text)
        }
        _ => error,
    }
}

fn mac(identity: &Identity, role: &[u8], said: &[u8]) -> Result<Hmac<Sha256>> {
    // A key of any length will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(identity.secret.as_deref().unwrap_or_default())
        .map_err(garbled)?;
    mac.update(role);
    mac.update(said);
    Ok(mac)
}
