//! A message as a line of JSON.

use std::fmt::{self, Write as _};

/// What the command exports of a message.
pub(super) struct Line<'a> {
    pub(super) state: &'a str,
    pub(super) queue: &'a str,
    pub(super) id: u64,
    pub(super) is_high: bool,
    pub(super) type_name: &'a str,
    pub(super) version: u32,
    pub(super) stored_at: u64,
    pub(super) payload: &'a [u8],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"state\":\"{}\",\"queue\":", self.state)?;
        string(f, self.queue)?;
        let class = if self.is_high { "high" } else { "low" };
        write!(f, ",\"id\":{},\"class\":\"{class}\",\"type\":", self.id)?;
        string(f, self.type_name)?;
        write!(
            f,
            ",\"version\":{},\"stored_at\":{},\"payload\":\"",
            self.version, self.stored_at
        )?;
        for byte in self.payload {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("\"}")
    }
}

/// A string of JSON.
fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
