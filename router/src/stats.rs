//! Counters: what became of packets, and the reasons for which they ended.
//!
//! Every packet that is decided about is counted once: forwarded, fragmented, local, to be
//! finished first, answered, or dropped for one reason. A packet that ended with an ICMP error is
//! a drop, and the error is counted beside it. Plain numbers: who has several workers gives each a
//! block of its own. [`crate::totals`] adds them up.

counters! {
    /// Why a packet ends here.
    Reason:
    /// Shorter than a header of IPv4 or IPv6.
    IpRunt = "ip_runt",
    /// Neither version 4 nor 6.
    IpVersion = "ip_version",
    /// The length of the header is less than a header or more than there is.
    IpHeaderLength = "ip_header_length",
    /// The length of the packet is less than its header or more than there is.
    IpLength = "ip_length",
    /// The checksum of the header is wrong.
    IpChecksum = "ip_checksum",
    /// From an address that no host has (RFC 1812, section 5.3.7).
    MartianSource = "martian_source",
    /// For an address that is on no network (the same section).
    MartianDestination = "martian_destination",
    /// From one of the router's own addresses.
    OwnSource = "own_source",
    /// For an address of the router that it does not use: somebody else may have it, or has it (RFC
    /// 4862, section 5.4).
    UnusedAddress = "unused_address",
    /// From and for the same address (a land attack).
    Land = "land",
    /// Came by a leg by which its source is not reached (RFC 3704).
    ReversePath = "reverse_path",
    /// With a source route (RFC 7126, section 4.3).
    SourceRoute = "source_route",
    /// With options that cannot be read, or that are to be known and are not.
    Options = "options",
    /// A fragment that ends behind the largest packet.
    FragmentOverflow = "fragment_overflow",
    /// A fragment that splits a TCP header (RFC 3128).
    FragmentTiny = "fragment_tiny",
    /// More extension headers than are followed.
    ExtensionChain = "extension_chain",
    /// An extension header runs past the end of the packet.
    ExtensionTruncated = "extension_truncated",
    /// For an address of a single host, in a frame for a group (RFC 1812, section 5.3.4).
    LinkGroup = "link_group",
    /// From or for a link-local address, which no router forwards (RFC 3927, section 7).
    LinkLocal = "link_local",
    /// For a group beyond the link: there is no multicast routing.
    Multicast = "multicast",
    /// For the broadcast address of another link (RFC 2644).
    DirectedBroadcast = "directed_broadcast",
    /// No route to the destination.
    NoRoute = "no_route",
    /// The route is a blackhole.
    Blackhole = "blackhole",
    /// The route says unreachable.
    Unreachable = "unreachable",
    /// The route says prohibit.
    Prohibit = "prohibit",
    /// No hops were left.
    Ttl = "ttl",
    /// Larger than the MTU, and not to be fragmented.
    TooBig = "too_big",
    /// To be fragmented, but there was no room for the fragments.
    NoRoom = "no_room",
    /// An echo request for the router itself whose checksum is wrong.
    EchoChecksum = "echo_checksum",
    /// To be cut or completed first, by a virtio-net header by which that cannot be done.
    Unfinishable = "unfinishable",
    /// The neighbour to whom it would go does not answer.
    NoAnswer = "no_answer",
    /// There was no room for the neighbour to whom it would go.
    NeighbourFull = "neighbour_full",
    /// Waited for a neighbour, and gave way to others who waited.
    HeldFull = "held_full",
    /// Waited for a neighbour who was removed meanwhile.
    HeldLost = "held_lost",
    /// For a neighbour who is not known, on a leg that had asked for as many as it may.
    AskLimited = "ask_limited",
    /// To go on by a leg that had no room.
    LegFull = "leg_full",
    /// To go on by a leg that was just being removed.
    LegGone = "leg_gone",
}

impl Reason {
    /// Whether a packet ends so that was to be sent: one that goes on, or that the router has made.
    /// All others end as they come in.
    pub fn is_out(self) -> bool {
        self as usize >= Reason::NoAnswer as usize
    }
}

/// Numbers of what became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Packets that went on.
    pub forwarded: u64,
    /// Packets that went on as fragments.
    pub fragmented: u64,
    /// The fragments that those became.
    pub fragments: u64,
    /// Packets for the router itself, handed up.
    pub local: u64,
    /// Echo requests that were answered.
    pub echoes: u64,
    /// Packets that have to be cut and completed first.
    pub unfinished: u64,
    /// Packets that wait for a neighbour to be asked where it is.
    pub unresolved: u64,
    /// ICMP errors sent.
    pub icmp_sent: u64,
    /// ICMP errors that a limit kept back.
    pub icmp_limited: u64,
    pub(crate) dropped: [u64; Reason::ALL.len()],
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            forwarded: 0,
            fragmented: 0,
            fragments: 0,
            local: 0,
            echoes: 0,
            unfinished: 0,
            unresolved: 0,
            icmp_sent: 0,
            icmp_limited: 0,
            dropped: [0; Reason::ALL.len()],
        }
    }
}

impl Stats {
    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Counts a packet that ended for this reason.
    #[inline]
    pub fn drop(&mut self, reason: Reason) {
        self.dropped[reason as usize] += 1;
    }

    /// Packets for which a leg had no room.
    pub(crate) fn fill(&mut self, packets: u64) {
        self.dropped[Reason::LegFull as usize] += packets;
    }

    /// Packets that were to leave by a leg that has left.
    pub fn lose(&mut self, packets: u64) {
        self.dropped[Reason::LegGone as usize] += packets;
    }

    /// Packets that were decided about.
    pub fn packets(&self) -> u64 {
        let ended = self.drops().filter(|(reason, _)| !reason.is_out());
        let ended = ended.map(|(_, count)| count).sum::<u64>();
        let waiting = [self.unfinished, self.unresolved];
        let others = [self.forwarded, self.fragmented, self.local, self.echoes];
        ended + others.iter().chain(&waiting).sum::<u64>()
    }

    /// Reasons with their numbers, in the order of [`Reason::ALL`].
    pub fn drops(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|reason| (*reason, self.dropped(*reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_explained() {
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| reason.about().ends_with('.')));
    }

    #[test]
    fn a_drop_is_a_packet_of_its_reason() {
        let mut stats = Stats { forwarded: 2, icmp_sent: 1, ..Stats::default() };
        stats.drop(Reason::Ttl);
        assert_eq!((stats.packets(), stats.dropped(Reason::Ttl)), (3, 1));
        assert_eq!(stats.drops().map(|(_, count)| count).sum::<u64>(), 1);
    }
}
