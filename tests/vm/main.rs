//! Real Linux guests under QEMU, and what they and hosts in namespaces say to each other through
//! the switch. Needs root, QEMU, a busybox and a kernel for the guests, which
//! `tests/vm/kernel.sh` fetches. Software emulation does: a guest boots in some seconds.

mod direct;
mod initramfs;
mod lab;
mod mixed;
mod sockets;
mod station;
mod systemd;
mod taps;
mod vhost;
