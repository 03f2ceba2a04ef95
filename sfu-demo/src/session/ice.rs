//! The credentials of an ICE session, and what else it has to remember.

use str0m::IceCreds;

use crate::ids::secret;

/// What the ICE session needs beside the stack's state.
#[derive(Debug)]
pub(super) struct Ice {
    /// The peer's credentials.
    pub(super) remote: Option<IceCreds>,
    /// The session's own before the last restart: checks with them are still signs of life.
    pub(super) previous: Option<IceCreds>,
    pub(super) restarts: u32,
    /// The end of each fragment: the bundle's first section, and the candidates.
    pub(super) ending: Box<str>,
}

/// New credentials of a session.
pub(super) fn credentials() -> IceCreds {
    let mut ufrag = secret();
    ufrag.truncate(16);
    let pass = secret();
    IceCreds { ufrag, pass }
}

impl Ice {
    pub(super) fn new(offer: &str, answer: &str) -> Self {
        let first = answer.split("\nm=").nth(1).unwrap_or_default();
        let keep = |line: &&str| line.starts_with("a=mid:") || line.starts_with("a=candidate:");
        let kind = first.lines().next().unwrap_or_default().trim_end();
        let lines = first.lines().map(str::trim_end).filter(keep);
        let ending = lines.fold(format!("m={kind}\r\n"), |end, line| end + line + "\r\n");
        Self {
            remote: remote_credentials(offer),
            previous: None,
            restarts: 0,
            ending: (ending + "a=end-of-candidates\r\n").into(),
        }
    }
}

/// The credentials in SDP: the first of each, since all sections are bundled.
pub(super) fn remote_credentials(sdp: &str) -> Option<IceCreds> {
    let value = |name: &str, least: usize| {
        let value = sdp
            .lines()
            .find_map(|line| line.strip_prefix(name))?
            .trim_end();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        let fits = (least..=256).contains(&value.len()) && value.bytes().all(plain);
        fits.then(|| value.to_owned())
    };
    Some(IceCreds {
        ufrag: value("a=ice-ufrag:", 4)?,
        pass: value("a=ice-pwd:", 22)?,
    })
}
