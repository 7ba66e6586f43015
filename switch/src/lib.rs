//! # uswitch: a pure-userspace Ethernet switch for Linux
//!
//! This is the library; the program `uswitch` is built on it. Read it in the order in which a
//! frame does:
//!
//! 1. [`port`]: where frames come in. A [`port::Port`] splits into a receiving half, which one
//!    worker owns, and a sending half, of which each worker has a clone. [`port::tap`] is a
//!    network device of the kernel, [`port::tun`] one that carries packets, [`port::packet`] a
//!    socket on one that is there for others, [`port::datagram`] any descriptor of which one read
//!    is one frame, [`port::stream`] a socket on which frames follow each other behind their
//!    lengths, [`port::pcap`] a capture that is played and another that is recorded,
//!    [`port::memory`] a cable between two pieces of code, [`port::any`] a port of any of these
//!    kinds.
//! 2. [`frame`]: what comes in. A [`frame::Batch`] of frames, each behind its virtio-net header
//!    ([`offload`]), lent by the port until it receives again.
//! 3. [`bridge`]: what becomes of it. [`bridge::Bridge::decide`] is the whole policy, from the
//!    top down; it learns into and looks up in the forwarding database, [`fdb`]. What it would
//!    say can be asked as well ([`switch::Handle::foresee`]), and changes nothing.
//! 4. [`worker`]: who does it. [`worker::Worker::turn`] moves one batch from device to device on
//!    one thread, with no queue, lock, allocation or clock between. Its way out, `egress`, sorts
//!    frames by port, and finishes those that leave by a port without offloads.
//! 5. [`switch`]: who runs the workers. [`switch::start`] gives a [`switch::Handle`] by which
//!    ports come and go while frames flow; [`stats`] is what it reports.
//!    [`capture`] looks on, if somebody wants to see the frames.
//! 6. [`topology`]: what there should be, read from text and checked whole; [`plug`]: what opens
//!    it, and opens it again.
//!
//! A switch between two ends of two cables, in one program:
//!
//! ```
//! use uswitch::{port::memory::cable, switch::{self, PortConfig, SwitchConfig}};
//!
//! let mut handle = switch::start(&SwitchConfig::default())?;
//! let (mut host, plug) = cable(1500, 64);
//! let (mut other_host, other_plug) = cable(1500, 64);
//! handle.add(PortConfig::named("a"), plug)?;
//! handle.add(PortConfig::named("b"), other_plug)?;
//!
//! // To everybody, from 02:00:00:00:00:01, with a type for experiments (IEEE 802).
//! let frame = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello";
//! host.put(frame);
//! let received = loop {
//!     if let Some(frame) = other_host.take() {
//!         break frame;
//!     }
//! };
//! assert_eq!(received, frame);
//! assert_eq!(handle.stop().fdb_used, 1);
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod bridge;
pub mod capture;
mod egress;
pub mod fdb;
mod flap;
pub mod frame;
pub mod offload;
mod parcel;
pub mod plug;
pub mod port;
#[cfg(feature = "router")]
pub mod routing;
#[cfg(not(feature = "router"))]
#[path = "routing/none.rs"]
mod routing;
mod run;
pub mod stats;
pub mod switch;
pub mod sys;
pub mod topology;
pub mod worker;
