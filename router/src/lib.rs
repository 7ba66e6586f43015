//! # uswitch-router: an IP router without hands
//!
//! It decides about packets, and has no device, clock or thread: bytes and the time go in,
//! verdicts come out. It knows nothing of the switch that gives it hands.
//!
//! 1. [`prefix`]: IP prefixes, as people write them and as tables want them.
//! 2. [`fib`]: the forwarding table, in which the longest prefix that matches wins.
//! 3. [`packet`]: headers, checked in place; [`stats`]: the reasons for which packets end.
//! 4. [`route`]: routes and legs, as a person gives them; [`tables`]: what is looked up.
//! 5. [`limit`]: how many ICMP errors may leave.

pub mod fib;
pub mod limit;
pub mod packet;
pub mod prefix;
pub mod route;
pub mod stats;
pub mod tables;
