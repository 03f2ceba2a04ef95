//! What the ends of a session say to each other about its sections.

use crate::wire::{Fields, FrameError, put_text};

/// The answer: there is a track on the section.
const DONE: u8 = 255;
/// The answer: the track takes frames from a lane.
const LANE: u8 = 254;

/// A message. Both ends number what they ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// A page asks for frames on a section to go to a track, or a node for a section on which those for a track may go.
    Ask {
        number: u32,
        /// Empty if the other end has to choose.
        mid: &'a str,
        track: &'a str,
    },
    /// What was asked for is over.
    Close {
        number: u32,
    },
    Answer {
        number: u32,
        answer: Answer<'a>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// On this section.
    Section(&'a str),
    /// The track takes its frames from a lane.
    Lane,
    /// As of look-ups.
    Refused(u8, &'a str),
}

impl<'a> Message<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut fields = Fields(bytes);
        let (kind, number) = (fields.u8()?, fields.u32()?);
        let message = match kind {
            1 => Self::Ask {
                number,
                mid: fields.text()?,
                track: fields.text()?,
            },
            2 => Self::Close { number },
            3 => Self::Answer {
                number,
                answer: match (fields.u8()?, fields.text()?) {
                    (DONE, mid) => Answer::Section(mid),
                    (LANE, _) => Answer::Lane,
                    (why, text) => Answer::Refused(why, text),
                },
            },
            _ => return Err(FrameError::Unknown),
        };
        fields.end()?;
        Ok(message)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let head = |kind: u8, number: &u32| {
            let mut bytes = vec![kind];
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes
        };
        match self {
            Self::Ask { number, mid, track } => {
                let mut bytes = head(1, number);
                put_text(&mut bytes, mid);
                put_text(&mut bytes, track);
                bytes
            }
            Self::Close { number } => head(2, number),
            Self::Answer { number, answer } => {
                let mut bytes = head(3, number);
                let (what, text) = match answer {
                    Answer::Section(mid) => (DONE, *mid),
                    Answer::Lane => (LANE, ""),
                    Answer::Refused(why, text) => (*why, *text),
                };
                bytes.push(what);
                put_text(&mut bytes, text);
                bytes
            }
        }
    }
}

/// Takes `bytes` for a message: for the fuzz target.
///
/// # Panics
///
/// If it does not come back as it was.
pub(crate) fn check_message(bytes: &[u8]) {
    if let Ok(message) = Message::read(bytes) {
        let again = message.write();
        assert_eq!(Message::read(&again).as_ref(), Ok(&message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let answer = |answer| Message::Answer { number: 7, answer };
        for message in [
            Message::Ask {
                number: u32::MAX,
                mid: "0",
                track: "lanemesh/media/camera",
            },
            Message::Close { number: 1 },
            answer(Answer::Section("1")),
            answer(Answer::Lane),
            answer(Answer::Refused(2, "no")),
        ] {
            let bytes = message.write();
            assert_eq!(Message::read(&bytes), Ok(message));
            for end in 0..bytes.len() {
                assert!(Message::read(&bytes[..end]).is_err());
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Message::read(&longer), Err(FrameError::TooLong));
        }
        assert_eq!(Message::read(&[4, 0, 0, 0, 0]), Err(FrameError::Unknown));
    }

    #[test]
    fn any_bytes_are_a_message_or_none() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..5000 {
            let mut bytes = vec![0; random.usize(0..24)];
            random.fill(&mut bytes);
            if let [kind, ..] = &mut bytes[..] {
                *kind %= 4;
            }
            if let [_, _, _, _, _, low, high, ..] = &mut bytes[..] {
                (*low, *high) = (*low % 4, 0);
            }
            check_message(&bytes);
        }
    }
}
