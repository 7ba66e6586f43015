//! The switch as a service: what it tells the service manager.

mod lab;
mod notify;
#[path = "../sockets/station.rs"]
mod station;
