//! Fields of fixed layout: little-endian numbers, and texts with their length before them.

use std::fmt;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    TooLarge,
    TooShort,
    TooLong,
    Unknown,
    NotText,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "a frame is larger than allowed",
            Self::TooShort => "a frame ends before its fields",
            Self::TooLong => "a frame goes on after its fields",
            Self::Unknown => "a frame is of an unknown kind",
            Self::NotText => "a text in a frame is not UTF-8",
        })
    }
}

/// Reads fields off a slice. It never panics and never allocates.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(FrameError::TooShort)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(FrameError::TooShort)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, FrameError> {
        let len = self.u16()?;
        std::str::from_utf8(self.bytes(usize::from(len))?).map_err(|_| FrameError::NotText)
    }

    /// What is left, all of it.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn end(&self) -> Result<(), FrameError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(FrameError::TooLong),
        }
    }
}

/// Bytes of a text for people: so that it does not make a frame larger than any node lets through.
const NOTE: usize = 4000;

/// Appends a text, cut at a character if it is longer than a length says.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &str) {
    put_up_to(into, text, usize::from(u16::MAX));
}

/// Appends a text for people, such as an error's, as far as it is not too long.
pub(crate) fn put_note(into: &mut Vec<u8>, text: &str) {
    put_up_to(into, text, NOTE);
}

fn put_up_to(into: &mut Vec<u8>, text: &str, most: usize) {
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    into.extend_from_slice(&(len as u16).to_le_bytes());
    into.extend_from_slice(&text.as_bytes()[..len]);
}
