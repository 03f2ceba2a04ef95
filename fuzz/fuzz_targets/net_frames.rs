//! Bytes of a peer: frames and messages are read or refused, and come back as they were; pieces of what may be lost.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lanemesh_net::__private::check(bytes));
