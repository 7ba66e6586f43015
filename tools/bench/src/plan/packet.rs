//! Packets for routers, behind the header of a frame and in front of its signature: IPv4 after RFC
//! 2544, appendix C, and IPv6 after RFC 5180, each of protocol 253 (RFC 3692: experiments), which
//! no host answers and which has no checksum of its own.
//!
//! The stations of port P, the number of a host's link, and what is behind it:
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | the router's leg | 198.18.P.1/24 | 2001:2:0:P::1/64 |
//! | the host | 198.18.P.2 | 2001:2:0:P::2 |
//! | network N behind it | (16 + 16 P).0.0.0 + 256 N, /24 | 2001:db8:256 P + N / 65536:N::/64 |
//!
//! The first two are addresses for benchmarks (RFC 2544, appendix C.2.2; RFC 5180 section 8), which
//! are too few for the third: none of them leaves its namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::FramePlan;

/// Which packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// Octets of the longest header.
pub(super) const HEADER_MAX: usize = 40;

/// Ports of a router at the most: behind each are networks of its own.
pub const ROUTER_PORTS_MAX: usize = 8;

/// Routes at the most.
pub const ROUTES_MAX: usize = 1 << 20;

/// What no host answers (RFC 3692 section 2.1).
const PROTOCOL: u8 = 253;

/// With which a packet leaves its host, and one less with which it comes from a router.
const HOPS: u8 = 64;

impl Version {
    /// Octets of its header.
    pub fn header_len(self) -> usize {
        match self {
            Version::V4 => 20,
            Version::V6 => 40,
        }
    }

    pub(super) fn ether_type(self) -> [u8; 2] {
        match self {
            Version::V4 => [0x08, 0x00],
            Version::V6 => [0x86, 0xdd],
        }
    }

    /// The address of a router's leg at a port; the host's is the next.
    pub fn leg(self, port: u8) -> IpAddr {
        self.station(port, 1)
    }

    /// The address of the host at a port.
    pub fn host(self, port: u8) -> IpAddr {
        self.station(port, 2)
    }

    /// The length of a leg's prefix, in bits.
    pub fn leg_bits(self) -> u8 {
        if self == Version::V4 { 24 } else { 64 }
    }

    /// The length of a route's prefix, in bits.
    pub fn route_bits(self) -> u8 {
        self.leg_bits()
    }

    fn station(self, port: u8, number: u8) -> IpAddr {
        match self {
            Version::V4 => Ipv4Addr::new(198, 18, port, number).into(),
            Version::V6 => Ipv6Addr::new(0x2001, 2, 0, port.into(), 0, 0, 0, number.into()).into(),
        }
    }

    /// The network of this number behind a port.
    pub fn network(self, port: u8, number: usize) -> IpAddr {
        let number = number as u32;
        match self {
            Version::V4 => {
                let first = u32::from(16 + 16 * port) << 24;
                Ipv4Addr::from(first + (number << 8)).into()
            }
            Version::V6 => {
                let third = u16::from(port) << 8 | (number >> 16) as u16;
                Ipv6Addr::new(0x2001, 0xdb8, third, number as u16, 0, 0, 0, 0).into()
            }
        }
    }

    /// Writes the header of a packet from a port's host to a host of the network of this number
    /// behind another, as it is after so many routers.
    pub(super) fn write(
        self,
        head: &mut [u8],
        plan: &FramePlan,
        network: usize,
        octets: usize,
        routers: u8,
    ) {
        let (from, to) = (self.host(plan.from), self.network(plan.to, network));
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                head[..2].copy_from_slice(&[0x45, 0]);
                head[2..4].copy_from_slice(&(octets as u16).to_be_bytes());
                // Not to be fragmented.
                head[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
                head[8..12].copy_from_slice(&[HOPS - routers, PROTOCOL, 0, 0]);
                head[12..16].copy_from_slice(&from.octets());
                head[16..20].copy_from_slice(&u32::from(to).wrapping_add(1).to_be_bytes());
                let sum = checksum(&head[..20]);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                head[..4].copy_from_slice(&[0x60, 0, 0, 0]);
                head[4..6].copy_from_slice(&((octets - 40) as u16).to_be_bytes());
                head[6..8].copy_from_slice(&[PROTOCOL, HOPS - routers]);
                head[8..24].copy_from_slice(&from.octets());
                head[24..40].copy_from_slice(&u128::from(to).wrapping_add(1).to_be_bytes());
            }
            _ => unreachable!("both are of one version"),
        }
    }

    /// The MAC address of a router at a port.
    pub fn router(port: u8) -> [u8; 6] {
        FramePlan::address(port, 0xff_ffff)
    }
}

/// Whether this is a packet of somebody's: whose frames are hosts' and routers' own speech, and
/// where in it a signature would stand if it is the tester's.
pub(super) fn look(frame: &[u8]) -> Option<Option<usize>> {
    let own = |at: usize, len: usize| (frame.get(at) == Some(&PROTOCOL)).then_some(14 + len);
    match frame.get(12..14)? {
        [0x08, 0x00] => Some(own(14 + 9, 20)),
        [0x86, 0xdd] => Some(own(14 + 6, 40)),
        [0x08, 0x06] => Some(None),
        _ => None,
    }
}

/// Which of so many networks the packet of this number is for: drawn, and always the same
/// (SplitMix64; Steele, Lea, Flood). In turn, they would be found where the last one was.
pub(super) fn drawn(sequence: u64, networks: usize) -> usize {
    let mut mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % networks as u64) as usize
}

/// RFC 1071.
pub(super) fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks_exact(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Found, Purpose, Signature, Size, look},
        *,
    };

    fn frame(plan: &FramePlan, sequence: u64, routers: u8) -> Vec<u8> {
        let signature = Signature { purpose: Purpose::Measure, stream: 0, sequence, due_ns: 5 };
        let (head, len) = plan.head_behind(sequence, routers);
        let filler = &plan.fillers()[0];
        [&head[..len], &filler.sign(signature), filler.octets()].concat()
    }

    #[test]
    fn packets_of_ipv4_octet_for_octet_and_one_hop_on() {
        let plan = FramePlan::new(0, 0, 1, Size::Octets(60)).of_packets(Version::V4, 1);
        let sent = frame(&plan, 0, 0);
        assert_eq!(sent.len(), 60);
        assert_eq!(sent[..14], [2, 0xb5, 0, 0xff, 0xff, 0xff, 2, 0xb5, 0, 0, 0, 0, 8, 0]);
        let header =
            [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 253, 0x3a, 0xe8, 198, 18, 0, 2, 32, 0, 0, 1];
        assert_eq!(sent[14..24], header[..10]);
        assert_eq!(sent[26..34], header[12..]);
        assert_eq!(checksum(&sent[14..34]), 0);
        let came = frame(&plan, 0, 1);
        assert_eq!(came[..12], [2, 0xb5, 1, 0, 0, 0, 2, 0xb5, 1, 0xff, 0xff, 0xff]);
        assert_eq!((came[22], checksum(&came[14..34])), (63, 0));
        assert!(matches!(look(&came), Found::Own(_)));
        assert!(plan.is_head(&came, None, 0) && !plan.is_head(&sent, None, 0));
    }

    #[test]
    fn packets_of_ipv6_and_networks_drawn_among_many() {
        let plan = FramePlan::new(0, 1, 0, Size::Octets(100)).of_packets(Version::V6, ROUTES_MAX);
        let networks: Vec<usize> = (0..4).map(|sequence| drawn(sequence, ROUTES_MAX)).collect();
        assert!(networks.iter().all(|network| *network < ROUTES_MAX));
        assert!(networks.windows(2).all(|two| two[0] != two[1]), "{networks:?}");
        let came = frame(&plan, 3, 1);
        assert_eq!(came.len(), 100);
        assert_eq!(came[14..22], [0x60, 0, 0, 0, 0, 46, 253, 63]);
        let IpAddr::V6(to) = Version::V6.network(0, networks[3]) else { panic!("IPv6") };
        assert_eq!(came[38..46], to.octets()[..8]);
        assert!(plan.is_head(&came, None, 3) && !plan.is_head(&came, None, 2));
        for bit in 0..came.len() * 8 {
            let mut damaged = came.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let sound = match look(&damaged) {
                Found::Own(signature) => plan.is_head(&damaged, None, signature.sequence),
                _ => false,
            };
            assert!(!sound, "bit {bit}");
        }
    }

    #[test]
    fn what_hosts_and_routers_say_by_themselves_is_foreign() {
        let mut arp = [FramePlan::address(0, 0), Version::router(0)].concat();
        arp.extend([8, 6]);
        arp.resize(60, 0);
        assert_eq!(look(&arp), Found::Foreign);
        arp[12..14].copy_from_slice(&Version::V6.ether_type());
        assert_eq!(look(&arp), Found::Foreign);
    }
}
