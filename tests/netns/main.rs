//! The switch between real hosts: TAPs of the kernel in network namespaces, and the traffic that
//! hosts really make. Needs root; see `lab.rs` for what stands in each test.

mod advertise;
mod cable;
mod child;
mod devices;
mod frames;
mod lab;
mod macvtap;
mod own;
mod packet;
mod program;
mod reload;
mod segments;
mod stations;
mod traffic;
mod tun;
