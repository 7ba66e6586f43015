//! Network namespaces, links, addresses and routes by netlink; a sender and a sink.
//!
//! It knows nothing of the switch. What creates devices, the demo, labs, tests and benchmarks
//! stand on it, and none of them needs `ip`, `ping` or another program.
//!
//! A tour: [`Namespace`] is held by descriptor and leaves nothing behind. [`Namespace::links`]
//! opens a [`Links`], which makes and changes links, addresses, routes and bridges in there.
//! [`ping`], [`tcp_send`], [`Burst`], [`round_trips`] and [`transfer_tcp`] make traffic between
//! two namespaces, and [`FrameSocket`] sends and receives frames octet for octet. [`FrameOutlet`]
//! and [`FrameRing`] do so by the million: for testers.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! fn main() -> std::io::Result<()> {
//!     let (one, other) = (netlab::Namespace::new()?, netlab::Namespace::new()?);
//!     one.links()?.add_veth("a", Some(&other), "b")?;
//!     for (host, link, address) in [(&one, "a", "10.0.0.1/24"), (&other, "b", "10.0.0.2/24")] {
//!         let mut links = host.links()?;
//!         links.add_address(link, address.parse().map_err(std::io::Error::other)?)?;
//!         links.set_up(link)?;
//!     }
//!     one.links()?.wait_running("a", Duration::from_secs(5))?;
//!     let trips = netlab::ping(&one, [10, 0, 0, 2].into(), 3, Duration::from_secs(1))?;
//!     println!("{trips:?}");
//!     Ok(())
//! }
//! ```
//!
//! Errors are `io::Error`s whose text is a sentence; [`explain`] adds the kernel's reason and
//! [`errno`] finds its number.

mod address;
mod bridge;
mod created;
mod error;
mod ingress;
mod link;
mod lower;
mod lro;
mod macvlan;
mod macvtap;
mod namespace;
mod netlink;
mod offload;
mod sys;
#[cfg(test)]
mod test;
pub mod traffic;
mod tun;
mod watch;

pub use address::{Prefix, PrefixError};
pub use bridge::FdbEntry;
pub use created::Created;
pub use error::{errno, explain, reason};
pub use ingress::IngressDrop;
pub use link::{Counters, Link, Links, Tun, check_link_name};
pub use lower::Lower;
pub use macvlan::{MacvlanMode, MacvlanModeError};
pub use macvtap::MacvtapDevice;
pub use namespace::{Named, Namespace, unshare_user};
pub use traffic::{
    NEVER,
    frames::{Burst, BurstSent, FrameSocket},
    outlet::{FrameOutlet, OUTLET_FRAMES_MAX, OutletConfig, Sending},
    ping::{Ping, ping},
    ring::{Arrival, FrameRing, RING_FRAME_OCTETS_MAX},
    round_trip::{Echo, quantile, round_trips, udp_echo},
    tcp::{Sent, Sink, tcp_send, tcp_sink},
    transfer::{Transferred, transfer_tcp, transfer_udp},
};
pub use tun::{Holder, tap_persistent, tun_holders, tun_persistent};
pub use watch::{LinkEvent, LinkWatch};
