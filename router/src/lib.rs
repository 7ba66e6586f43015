//! # uswitch-router: an IP router without hands
//!
//! It decides about packets, and has no device, clock or thread: bytes and the time go in,
//! verdicts come out. It knows nothing of the switch that gives it hands.
//!
//! 1. [`prefix`]: IP prefixes, as people write them and as tables want them.
//! 2. [`fib`]: the forwarding table, in which the longest prefix that matches wins.
//! 3. [`packet`]: headers, checked in place; [`stats`]: the reasons for which packets end;
//!    [`totals`]: the counters of a whole router.
//! 4. [`route`]: routes and legs, as a person gives them; [`tables`]: what is looked up.
//! 5. [`forward`]: what becomes of a packet. [`forward::Router::decide`] is the whole policy.
//!    [`fragment`] cuts what is too large, [`icmp`] tells senders, as often as [`limit`] allows.
//! 6. [`link`]: link-layer addresses, and [`link::Post`], by which the slow path speaks.
//!    [`neighbour`]: who has which of them, by ARP and neighbour discovery. Packets for who is not
//!    known wait there; [`neighbour::resolved`] is what workers see of who is.
//! 7. [`own`]: the router as a host, for what is for its own addresses.
//!    [`advertise`]: what it tells hosts of itself and their link.
//!
//! A packet from one link to another:
//!
//! ```
//! use std::sync::Arc;
//! use uswitch_router::{
//!     forward::{Arrival, Emit, Router, Verdict},
//!     limit::Tick,
//!     packet::PacketMeta,
//!     route::{Leg, LegId},
//!     tables::Tables,
//! };
//!
//! /// Has no room for new packets.
//! struct Nothing;
//! impl Emit for Nothing {
//!     fn room(&mut self, _: usize) -> Option<&mut [u8]> {
//!         None
//!     }
//! }
//!
//! let leg = |address: &str| Leg::new(vec![address.parse().unwrap()], 1500);
//! let tables = Tables::build(vec![leg("10.0.0.1/24"), leg("10.1.0.1/24")], &[]).unwrap();
//! let mut router = Router::new(Arc::new(tables), 1);
//!
//! // From 10.0.0.2 to 10.1.0.2, with 64 hops left, empty.
//! let mut octets = [69, 0, 0, 20, 0, 0, 0, 0, 64, 253, 101, 233, 10, 0, 0, 2, 10, 1, 0, 2];
//! let meta = PacketMeta::of(&octets);
//! let place = router.place(&octets);
//! let mut arrival = Arrival { octets: &mut octets, leg: LegId(0), meta };
//! let verdict = router.decide(&mut arrival, place, Tick(0), &mut Nothing);
//! let Verdict::Forward { hop, len: 20, .. } = verdict else { panic!("{verdict:?}") };
//! assert_eq!((hop.leg, hop.address), (LegId(1), [10, 1, 0, 2].into()));
//! assert_eq!(octets[8], 63);
//! ```

#[macro_use]
mod counters;

pub mod advertise;
pub mod emit;
pub mod fib;
pub mod forward;
pub mod fragment;
pub mod icmp;
pub mod limit;
pub mod link;
pub mod neighbour;
pub mod own;
pub mod packet;
pub mod prefix;
pub mod route;
pub mod slow;
pub mod stats;
pub mod tables;
pub mod totals;
