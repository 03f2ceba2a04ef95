//! What comes before a session of data channels, and from anybody: requests, offers, answers; and numbered messages.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lanemesh_net::__private::check_signalling(bytes));
