//! Any text as one chunk of a key of Zenoh, in which some characters have meanings of their own.

/// Letters, digits, `-`, `_` and `.` stay; each other byte becomes `=` and two hexadecimal digits. An empty
/// text is `=`.
pub(crate) fn chunk(text: &str) -> String {
    if text.is_empty() {
        return "=".to_owned();
    }
    let mut chunk = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                chunk.push(char::from(byte));
            }
            _ => chunk.push_str(&format!("={byte:02x}")),
        }
    }
    chunk
}

/// The text of a chunk, if [`chunk`] has made it.
pub(crate) fn text(chunk: &str) -> Option<String> {
    if chunk == "=" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(chunk.len());
    let mut rest = chunk.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (self::chunk(&text) == chunk).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_from_a_chunk_without_special_characters() {
        for known in [
            "", "=", "a", "room/42", "*", "$*", "a=b", "日本", "@x", "#?", " \n\0",
        ] {
            let chunk = chunk(known);
            assert!(!chunk.is_empty(), "{known:?}");
            assert!(
                !chunk.contains(['/', '*', '$', '?', '#', '@', ' ']),
                "{chunk}"
            );
            assert_eq!(text(&chunk).as_deref(), Some(known));
        }
    }

    #[test]
    fn chunk_of_others_is_refused() {
        for wrong in ["=4", "=zz", "=41", "=ff", "a b", "=E6=97=A5", "日", "=é"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
