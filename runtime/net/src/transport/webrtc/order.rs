//! The order of the channel for high: its messages are sent unordered, so that they overtake what waits on low, and
//! each begins with its number.

use std::{collections::BTreeMap, io};

/// Bytes of the number before each message.
pub(super) const NUMBER: usize = 4;
/// Bytes of messages that wait for an earlier one, each counted with [`OVERHEAD`]: many times what a peer may have on its way.
const LIMIT: usize = 4 << 20;
/// What a message costs besides its bytes.
const OVERHEAD: usize = 64;

/// Brings messages into the order in which they were sent.
#[derive(Default)]
pub(super) struct Order {
    next: u32,
    waiting: BTreeMap<u32, Vec<u8>>,
    held: usize,
}

impl Order {
    /// Takes a message with its number, and gives those that are next, without their numbers, to `sink`.
    ///
    /// # Errors
    ///
    /// If it has no number, one that was there before, or too much waits for an earlier one.
    pub(super) fn put(
        &mut self,
        mut message: Vec<u8>,
        mut sink: impl FnMut(Vec<u8>),
    ) -> io::Result<()> {
        let wrong = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        let number = message.first_chunk().copied().map(u32::from_le_bytes);
        let number = number.ok_or_else(|| wrong("a message has no number"))?;
        message.drain(..NUMBER);
        // Numbers wrap: the half behind the next one is past.
        let ahead = number.wrapping_sub(self.next);
        if ahead > u32::MAX / 2 || self.waiting.contains_key(&number) {
            return Err(wrong("a message has the number of another one"));
        }
        if ahead > 0 {
            self.held += message.len() + OVERHEAD;
            if self.held > LIMIT {
                return Err(wrong("too many messages wait for an earlier one"));
            }
            self.waiting.insert(number, message);
            return Ok(());
        }
        sink(message);
        self.next = self.next.wrapping_add(1);
        while let Some(message) = self.waiting.remove(&self.next) {
            self.held -= message.len() + OVERHEAD;
            sink(message);
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32, text: &str) -> Vec<u8> {
        let mut message = number.to_le_bytes().to_vec();
        message.extend_from_slice(text.as_bytes());
        message
    }

    /// What comes out, and whether all was taken.
    fn run(order: &mut Order, messages: impl IntoIterator<Item = Vec<u8>>) -> (String, bool) {
        let mut text = String::new();
        let taken = messages.into_iter().all(|message| {
            let sink = |message: Vec<u8>| text.push_str(std::str::from_utf8(&message).unwrap());
            order.put(message, sink).is_ok()
        });
        (text, taken)
    }

    #[test]
    fn messages_come_out_in_the_order_of_their_numbers() {
        let mut random = fastrand::Rng::with_seed(7);
        for next in [0, u32::MAX - 3] {
            let mut order = Order {
                next,
                ..Order::default()
            };
            let letters = "abcdefghij".chars().enumerate();
            let mut messages: Vec<_> = letters
                .map(|(at, letter)| message(next.wrapping_add(at as u32), &letter.to_string()))
                .collect();
            random.shuffle(&mut messages);
            assert_eq!(run(&mut order, messages), ("abcdefghij".to_owned(), true));
            assert_eq!((order.held, order.waiting.len()), (0, 0));
        }
    }

    #[test]
    fn wrong_numbers_are_errors() {
        let mut order = Order::default();
        assert!(run(&mut order, [message(0, "a"), message(2, "c")]).1);
        for wrong in [
            vec![],
            vec![1, 2, 3],
            message(0, "a"),
            message(2, "c"),
            message(u32::MAX, ""),
        ] {
            assert!(!run(&mut order, [wrong]).1);
        }
        assert_eq!(run(&mut order, [message(1, "b")]), ("bc".to_owned(), true));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut order = Order::default();
        let mut held = 0;
        for number in 1.. {
            held += OVERHEAD + 1000;
            let taken = run(&mut order, [message(number, &"x".repeat(1000))]).1;
            assert_eq!(taken, held <= LIMIT);
            if !taken {
                break;
            }
        }
    }
}
