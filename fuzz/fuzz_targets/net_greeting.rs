//! The beginning of a connection, which anybody may make: greetings, what is signed in tokens, and frames of WebSockets.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lanemesh_net::__private::check_beginning(bytes));
