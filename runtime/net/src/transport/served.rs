//! What is accepted and is no connection: a request that was answered.

use std::io;

/// Whether an [`Accepted`](super::Accepted) has done all that there was to do: nothing was refused.
#[cfg(not(feature = "webrtc"))]
pub(crate) fn is_served(_: &io::Error) -> bool {
    false
}

/// Whether an [`Accepted`](super::Accepted) has done all that there was to do: nothing was refused.
#[cfg(feature = "webrtc")]
pub(crate) fn is_served(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Served>())
}

/// For an [`Accepted`](super::Accepted) that has answered a request from which no connection follows.
#[cfg(feature = "webrtc")]
pub(super) fn served() -> io::Error {
    io::Error::other(Served)
}

#[cfg(feature = "webrtc")]
#[derive(Debug)]
struct Served;

#[cfg(feature = "webrtc")]
impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a request was answered")
    }
}

#[cfg(feature = "webrtc")]
impl std::error::Error for Served {}
