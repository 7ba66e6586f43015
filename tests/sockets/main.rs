//! Ports on sockets: clients as QEMU would be one, on a real switch, and passt.

mod clients;
mod either;
mod passt;
mod station;
