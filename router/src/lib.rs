//! # uswitch-router: an IP router without hands
//!
//! It decides about packets, and has no device, clock or thread: bytes and the time go in,
//! verdicts come out. It knows nothing of the switch that gives it hands.
//!
//! 1. [`prefix`]: IP prefixes, as people write them and as tables want them.
//! 2. [`fib`]: the forwarding table, in which the longest prefix that matches wins.

pub mod fib;
pub mod prefix;
