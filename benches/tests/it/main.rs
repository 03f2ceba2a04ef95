//! The integration tests, in one binary, so that they link once.

mod cancelled_sends;
mod compare;
mod faults;
