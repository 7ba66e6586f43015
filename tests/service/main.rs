//! The switch as a service: what it tells the service manager, its metrics, its units.

mod lab;
mod log;
mod metrics;
mod notify;
#[path = "../sockets/station.rs"]
mod station;
mod units;
