//! A pure-userspace Ethernet switch for Linux.
pub mod bridge;
pub mod fdb;
pub mod frame;
pub mod offload;
pub mod port;
pub mod stats;
mod sys;
