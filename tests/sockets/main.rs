//! Ports on sockets: clients as QEMU would be one, on a real switch, passt, and QEMU itself.

mod clients;
mod passt;
mod qemu;
mod station;
