//! A pure-userspace Ethernet switch for Linux.
pub mod frame;
pub mod offload;
pub mod port;
pub mod stats;
