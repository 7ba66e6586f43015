//! The lives of ports, by the program: devices that are made, deleted, renamed and moved, clients
//! that come and go, and what is refused. Most needs root; see `lab.rs` for what stands in each
//! test.

mod devices;
mod kinds;
mod lab;
mod loops;
mod made;
mod rights;
mod sockets;
#[path = "../sockets/station.rs"]
mod station;
mod streams;
mod taps;
