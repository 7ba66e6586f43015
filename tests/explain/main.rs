//! `uswitch explain`: what it says that would become of a frame, and what then becomes of it.

#[path = "../control/lab.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod lab;
#[path = "../sockets/station.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod station;

mod foretold;
mod routed;
mod told;
