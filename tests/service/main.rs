//! The switch as a service: what it tells the service manager, and its metrics.

mod lab;
mod metrics;
mod notify;
#[path = "../sockets/station.rs"]
mod station;
