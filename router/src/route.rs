//! Routes and legs: what a person says about where packets go, checked whole.
//!
//! [`Tables::build`](crate::tables::Tables::build) makes tables of them, or says all that is wrong
//! with them at once.

use std::{fmt, net::IpAddr};

use crate::{
    limit::Limit,
    prefix::{LegAddress, Prefix},
};

/// Legs of one router.
pub const LEGS_MAX: usize = 1024;
/// Addresses of one leg.
pub const LEG_ADDRESSES_MAX: usize = 64;
/// Next hops of one route.
pub const NEXT_HOPS_MAX: usize = 64;
/// The least that a leg must carry: what IPv4 needs to make progress (RFC 791, section 3.2).
pub const MTU_MIN: usize = 68;
/// The same where IPv6 is spoken (RFC 8200, section 5).
pub const MTU_MIN_V6: usize = 1280;

/// The number of a leg: where the router has a foot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u16);

impl LegId {
    /// As an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Whether a packet must come by the leg by which its source is reached (RFC 3704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReversePath {
    /// No matter.
    #[default]
    Off,
    /// There must be a route to the source, by any leg (section 2.4).
    Loose,
    /// By this leg, be it one of several (section 2.3).
    Strict,
}

/// A foot of the router: on a bridge, a port or a TUN. It knows what it is there, not where.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Its own addresses, each with the prefix of its link.
    pub addresses: Vec<LegAddress>,
    /// Octets of the largest packet that leaves.
    pub mtu: usize,
    /// What is asked of sources of packets that come in.
    pub reverse_path: ReversePath,
    /// How many ICMP errors packets that come in may cause.
    pub errors: Limit,
    /// Whether hosts are told of routers on their link that are nearer to them (RFC 1812, section
    /// 5.2.7.2; RFC 4861, section 8.2).
    pub redirects: bool,
}

impl Leg {
    /// A leg with these addresses, all else as usual.
    pub fn new(addresses: Vec<LegAddress>, mtu: usize) -> Leg {
        let (reverse_path, errors) = (ReversePath::Off, Limit::default());
        Leg { addresses, mtu, reverse_path, errors, redirects: false }
    }
}

/// Who gets a packet next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The router there; `None`: the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// Which leg; `None`: the one on whose link the gateway is.
    pub leg: Option<LegId>,
    /// Its share of the flows, beside those of the others.
    pub weight: u16,
}

/// Who gets a packet next, when that is settled: this address, on the link of this leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The leg by which it leaves.
    pub leg: LegId,
    /// The neighbour: a router, or the destination itself.
    pub address: IpAddr,
}

/// What becomes of packets for a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// They go to one of these, the same for all of a flow.
    Unicast(Vec<NextHop>),
    /// They end without a word.
    Blackhole,
    /// They end, and the sender is told that the host is unreachable.
    Unreachable,
    /// They end, and the sender is told that it is prohibited.
    Prohibit,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For whom.
    pub prefix: Prefix,
    /// Of several for the same prefix the lowest counts.
    pub metric: u32,
    /// What becomes of them.
    pub kind: Kind,
}

impl Route {
    /// A route by one gateway.
    pub fn via(prefix: Prefix, gateway: IpAddr) -> Route {
        let hop = NextHop { gateway: Some(gateway), leg: None, weight: 1 };
        Route { prefix, metric: 0, kind: Kind::Unicast(vec![hop]) }
    }
}

/// What is wrong with a set of legs and routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More legs than [`LEGS_MAX`].
    Legs,
    /// More prefixes than a table has.
    Routes,
    /// More addresses on a leg than [`LEG_ADDRESSES_MAX`].
    LegAddresses(LegId),
    /// No host can have such an address.
    Unusable(LegId, LegAddress),
    /// The address is another leg's too, or twice this one's.
    AddressTwice(LegId, IpAddr, LegId),
    /// Two legs have links with addresses in common.
    Overlap(LegId, Prefix, LegId, Prefix),
    /// The leg carries too little.
    Mtu(LegId, usize),
    /// Two routes with this prefix and metric: the indexes of both.
    Twice(usize, usize, Prefix),
    /// The route has no next hop, or more than [`NEXT_HOPS_MAX`].
    NextHops(usize, Prefix),
    /// A next hop says neither gateway nor leg.
    Nowhere(usize, Prefix),
    /// There is no such leg.
    NoLeg(usize, Prefix, LegId),
    /// The gateway is on no link, or not on that of the leg which is named.
    Gateway(usize, Prefix, IpAddr),
    /// The gateway is the router itself.
    OwnGateway(usize, Prefix, IpAddr),
    /// The gateway speaks another version of IP.
    Version(usize, Prefix, IpAddr),
    /// A share of nothing.
    Weight(usize, Prefix),
    /// There is no unicast routing to groups, or within one link.
    Destination(usize, Prefix),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Legs => write!(f, "more than {LEGS_MAX} legs"),
            Fault::Routes => write!(f, "more than {} routes", crate::fib::NETS_MAX),
            Fault::LegAddresses(LegId(leg)) => {
                write!(f, "leg {leg} has more than {LEG_ADDRESSES_MAX} addresses")
            }
            Fault::Unusable(LegId(leg), address) => {
                write!(f, "leg {leg} cannot have {address}: no host may have that address")
            }
            Fault::AddressTwice(LegId(leg), address, LegId(other)) => {
                write!(f, "leg {leg} has {address}, and so has leg {other}: give one another")
            }
            Fault::Overlap(LegId(leg), prefix, LegId(other), overlapped) => write!(
                f,
                "leg {leg} is on {prefix}, and leg {other} on {overlapped}: who has an address of \
                 both could be on either link"
            ),
            Fault::Mtu(LegId(leg), mtu) => write!(
                f,
                "leg {leg} carries {mtu} octets: IPv4 needs {MTU_MIN} and IPv6 {MTU_MIN_V6}"
            ),
            Fault::Twice(_, _, prefix) => {
                write!(f, "two routes to {prefix} with one metric: make it one with two next hops")
            }
            Fault::NextHops(_, prefix) => {
                write!(f, "the route to {prefix} needs 1 to {NEXT_HOPS_MAX} next hops")
            }
            Fault::Nowhere(_, prefix) => {
                write!(f, "the route to {prefix} leads nowhere: name a gateway or a leg")
            }
            Fault::NoLeg(_, prefix, LegId(leg)) => {
                write!(f, "the route to {prefix} names leg {leg}, which is not there")
            }
            Fault::Gateway(_, prefix, gateway) => write!(
                f,
                "the gateway {gateway} of the route to {prefix} is not on the link of any leg that \
                 it could be reached by"
            ),
            Fault::OwnGateway(_, prefix, gateway) => {
                write!(f, "the gateway {gateway} of the route to {prefix} is this router itself")
            }
            Fault::Version(_, prefix, gateway) => {
                write!(
                    f,
                    "the gateway {gateway} of the route to {prefix} is of another version of IP"
                )
            }
            Fault::Weight(_, prefix) => {
                write!(f, "a next hop of the route to {prefix} has weight 0: leave it out")
            }
            Fault::Destination(_, prefix) => {
                write!(f, "{prefix} cannot be routed: it is for groups, loopback or one link")
            }
        }
    }
}

impl std::error::Error for Fault {}
