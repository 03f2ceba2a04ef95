//! What must hold for any bytes: for the fuzz target.

use super::{
    codec,
    frame::{Codec, next},
};

/// A little of everything: the derive is not a dependency of this package.
type Sample = (u8, String, Vec<Option<(u32, i64)>>, Result<(), Box<[u16]>>);

/// Reads `bytes` as frames, writes each again, and compares; reads the rest as a message, and so on.
///
/// # Panics
///
/// If something does not come back as it was.
pub(crate) fn check(mut bytes: &[u8]) {
    while let Ok(Some((frame, length))) = next(bytes, 4096) {
        let mut again = Vec::new();
        frame.write(&mut again);
        assert_eq!(again, bytes[..length], "{frame:?}");
        bytes = &bytes[length..];
    }
    for codec in [Codec::Postcard, Codec::Json] {
        if let Ok((sample, answers)) = codec::decode::<Sample>(codec, bytes) {
            assert!(answers.is_empty());
            let mut again = Vec::new();
            let asks = codec::encode(codec, &sample, 0, 1 << 16, &mut again);
            assert!(asks.is_ok_and(|asks| asks.is_empty()));
            let read = codec::decode::<Sample>(codec, &again).map(|(read, _)| read);
            assert_eq!(read.ok().as_ref(), Some(&sample));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in 0..3000 {
            let mut bytes = vec![0; length % 300];
            random.fill(&mut bytes);
            check(&bytes);
            if let [length, _, _, _, kind, ..] = &mut bytes[..] {
                (*length, *kind) = (random.u8(1..40), random.u8(1..20));
                bytes[1..4].fill(0);
                check(&bytes);
            }
        }
    }
}
