//! IP prefixes: an address of which only the first bits count (RFC 4632, section 3.1; RFC 4291,
//! section 2.3).
//!
//! [`Prefix`] is what people write and tables show. [`Net`] is the same as a number, of 32 or 128
//! bits: what the tables are built of.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// An address as a number, so that one text serves both versions of IP: `u32` and `u128`, in the
/// order in which the bits stand on the wire, the first one uppermost.
pub trait Bits: Copy + Ord + fmt::Debug + Send + Sync + 'static {
    /// How many there are.
    const LEN: u8;
    /// The lowest address.
    const ZERO: Self;
    /// The highest address.
    const MAX: Self;

    /// A number whose first `len` bits are set, and no others.
    fn mask(len: u8) -> Self;
    /// The bits that both have.
    fn and(self, other: Self) -> Self;
    /// The bits that one of them has.
    fn or(self, other: Self) -> Self;
    /// The bits that this one has not.
    fn not(self) -> Self;
    /// The address behind this one; `None` behind the highest.
    fn next(self) -> Option<Self>;
}

macro_rules! bits {
    ($bits:ty) => {
        impl Bits for $bits {
            const LEN: u8 = <$bits>::BITS as u8;
            const ZERO: Self = 0;
            const MAX: Self = <$bits>::MAX;

            #[inline]
            fn mask(len: u8) -> Self {
                // A shift by all bits is none in Rust.
                <$bits>::MAX.checked_shl(u32::from(Self::LEN - len)).unwrap_or(0)
            }

            #[inline]
            fn and(self, other: Self) -> Self {
                self & other
            }

            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }

            #[inline]
            fn not(self) -> Self {
                !self
            }

            #[inline]
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
        }
    };
}

bits!(u32);
bits!(u128);

/// A prefix of one version of IP: all addresses that begin with the same bits. They are ordered
/// by first address, the shorter of two that begin alike before the longer, so that each stands
/// behind those that contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net<B> {
    first: B,
    len: u8,
}

impl<B: Bits> Net<B> {
    /// The prefix of this length to which the address belongs.
    ///
    /// # Panics
    ///
    /// If it is longer than an address.
    pub fn of(address: B, len: u8) -> Net<B> {
        assert!(len <= B::LEN, "length of a prefix");
        Net { first: address.and(B::mask(len)), len }
    }

    /// The lowest address.
    pub fn first(self) -> B {
        self.first
    }

    /// The highest address.
    pub fn last(self) -> B {
        self.first.or(B::mask(self.len).not())
    }

    /// How many bits count.
    pub fn length(self) -> u8 {
        self.len
    }

    /// Whether it is the prefix of all addresses.
    pub fn is_default(self) -> bool {
        self.len == 0
    }

    /// Whether the address begins with its bits.
    pub fn contains(self, address: B) -> bool {
        address.and(B::mask(self.len)) == self.first
    }

    /// Whether all addresses of the other one are among its own.
    pub fn covers(self, other: Net<B>) -> bool {
        self.len <= other.len && self.contains(other.first)
    }
}

/// A prefix, of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// Of IPv4.
    V4(Net<u32>),
    /// Of IPv6.
    V6(Net<u128>),
}

impl Prefix {
    /// The prefix with this network address.
    ///
    /// # Errors
    ///
    /// If it is longer than an address, or the address has bits set behind it.
    pub fn new(address: IpAddr, len: u8) -> Result<Prefix, PrefixFault> {
        let prefix = Prefix::of(address, len).ok_or(PrefixFault::Long { address, len })?;
        if prefix.address() == address {
            Ok(prefix)
        } else {
            Err(PrefixFault::HostBits { address, meant: prefix })
        }
    }

    /// The prefix of this length to which the address belongs; `None`: longer than an address.
    pub fn of(address: IpAddr, len: u8) -> Option<Prefix> {
        match address {
            IpAddr::V4(v4) => (len <= 32).then(|| Prefix::V4(Net::of(v4.to_bits(), len))),
            IpAddr::V6(v6) => (len <= 128).then(|| Prefix::V6(Net::of(v6.to_bits(), len))),
        }
    }

    /// This address alone.
    pub fn host(address: IpAddr) -> Prefix {
        match address {
            IpAddr::V4(v4) => Prefix::V4(Net::of(v4.to_bits(), 32)),
            IpAddr::V6(v6) => Prefix::V6(Net::of(v6.to_bits(), 128)),
        }
    }

    /// The network address: the lowest one.
    pub fn address(self) -> IpAddr {
        match self {
            Prefix::V4(net) => Ipv4Addr::from_bits(net.first()).into(),
            Prefix::V6(net) => Ipv6Addr::from_bits(net.first()).into(),
        }
    }

    /// How many bits count.
    pub fn length(self) -> u8 {
        match self {
            Prefix::V4(net) => net.length(),
            Prefix::V6(net) => net.length(),
        }
    }

    /// Whether it is of IPv4.
    pub fn is_v4(self) -> bool {
        matches!(self, Prefix::V4(_))
    }

    /// Whether it is the prefix of all addresses.
    pub fn is_default(self) -> bool {
        self.length() == 0
    }

    /// Whether the address is one of its own.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Prefix::V4(net), IpAddr::V4(address)) => net.contains(address.to_bits()),
            (Prefix::V6(net), IpAddr::V6(address)) => net.contains(address.to_bits()),
            _ => false,
        }
    }

    /// Whether the two have addresses in common.
    pub fn overlaps(self, other: Prefix) -> bool {
        match (self, other) {
            (Prefix::V4(a), Prefix::V4(b)) => a.covers(b) || b.covers(a),
            (Prefix::V6(a), Prefix::V6(b)) => a.covers(b) || b.covers(a),
            _ => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}

impl FromStr for Prefix {
    type Err = PrefixFault;

    /// Reads `10.0.0.0/8`, `fd00::/8`, or a lone address.
    fn from_str(text: &str) -> Result<Prefix, PrefixFault> {
        let (address, len) = read(text)?;
        match len {
            Some(len) => Prefix::new(address, len),
            None => Ok(Prefix::host(address)),
        }
    }
}

/// An address and the length of the prefix on its link, as `10.0.0.1/24`: what a leg has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LegAddress {
    /// The router's own.
    pub address: IpAddr,
    /// Who else is on the link.
    pub prefix: Prefix,
}

impl fmt::Display for LegAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix.length())
    }
}

impl FromStr for LegAddress {
    type Err = PrefixFault;

    /// Reads `10.0.0.1/24`. A lone address has nobody else on its link.
    fn from_str(text: &str) -> Result<LegAddress, PrefixFault> {
        let (address, len) = read(text)?;
        let len = len.unwrap_or(Prefix::host(address).length());
        let prefix = Prefix::of(address, len).ok_or(PrefixFault::Long { address, len })?;
        Ok(LegAddress { address, prefix })
    }
}

/// An address, and what follows behind its stroke.
fn read(text: &str) -> Result<(IpAddr, Option<u8>), PrefixFault> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let address = address.parse().map_err(|_| PrefixFault::Address { text: address.into() })?;
    let len = len.map(|len| match len.parse::<u8>() {
        // Rust reads a sign, too.
        Ok(number) if !len.starts_with('+') => Ok(number),
        _ => Err(PrefixFault::Length { text: len.into(), address }),
    });
    Ok((address, len.transpose()?))
}

/// What is wrong with a text that should be a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// What stands before the stroke is no address.
    Address {
        /// It.
        text: String,
    },
    /// What stands behind the stroke is no number of bits.
    Length {
        /// It.
        text: String,
        /// What stands before.
        address: IpAddr,
    },
    /// More bits than an address has.
    Long {
        /// The address.
        address: IpAddr,
        /// So many.
        len: u8,
    },
    /// Bits are set that do not count.
    HostBits {
        /// In this address.
        address: IpAddr,
        /// The prefix to which the address belongs.
        meant: Prefix,
    },
}

impl fmt::Display for PrefixFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixFault::Address { text } => {
                write!(f, "\"{text}\" is no address: write 10.0.0.0/8 or fd00::/8")
            }
            PrefixFault::Length { text, address } => {
                let longest = Prefix::host(*address).length();
                write!(f, "\"{text}\" is no length of a prefix: write 0 to {longest} behind the /")
            }
            PrefixFault::Long { address, len } => {
                let longest = Prefix::host(*address).length();
                write!(f, "{address}/{len} is longer than an address, which has {longest} bits")
            }
            PrefixFault::HostBits { address, meant } => write!(
                f,
                "{address}/{} has bits set behind its length: write {meant} for the network, or \
                 {} for this address alone",
                meant.length(),
                Prefix::host(*address),
            ),
        }
    }
}

impl std::error::Error for PrefixFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn fault(text: &str) -> String {
        text.parse::<Prefix>().unwrap_err().to_string()
    }

    #[test]
    fn prefixes_are_read_and_shown_again() {
        for text in
            ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "fd00::/8", "2001:db8::1/128"]
        {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("192.0.2.1").to_string(), "192.0.2.1/32");
        assert_eq!(prefix("fd00::1").length(), 128);
        assert!(prefix("::/0").is_default() && !prefix("::/1").is_default());
    }

    #[test]
    fn prefix_with_host_bits_is_refused_and_says_what_was_meant() {
        assert_eq!(
            fault("10.0.0.1/24"),
            "10.0.0.1/24 has bits set behind its length: write 10.0.0.0/24 for the network, or \
             10.0.0.1/32 for this address alone"
        );
        assert!(fault("fd00::1/64").contains("write fd00::/64 for the network, or fd00::1/128"));
        assert!(fault("128.0.0.0/0").contains("0.0.0.0/0"));
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_a_sentence() {
        assert!(fault("10.0.0/8").starts_with("\"10.0.0\" is no address"));
        assert!(fault("").starts_with("\"\" is no address"));
        assert!(fault("10.0.0.0/33").contains("which has 32 bits"));
        assert!(fault("fd00::/129").contains("which has 128 bits"));
        for text in ["10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/256"] {
            assert!(fault(text).contains("write 0 to 32 behind the /"), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_its_first_and_last_address_and_no_other_neighbour() {
        let net = Net::of(0x0a00_0180_u32, 25);
        assert_eq!((net.first(), net.last()), (0x0a00_0180, 0x0a00_01ff));
        assert!(net.contains(net.first()) && net.contains(net.last()));
        assert!(!net.contains(net.first() - 1) && !net.contains(net.last() + 1));
        assert_eq!(Net::of(7_u128, 0).last(), u128::MAX);
        assert_eq!(Net::of(7_u128, 128).last(), 7);
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn overlap_is_seen_from_both_sides() {
        let pairs = [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("::/0", "fd00::1/128", true),
            ("0.0.0.0/0", "::/0", false),
        ];
        for (a, b, overlap) in pairs {
            assert_eq!(prefix(a).overlaps(prefix(b)), overlap, "{a} {b}");
            assert_eq!(prefix(b).overlaps(prefix(a)), overlap, "{b} {a}");
        }
    }

    #[test]
    fn address_of_a_leg_keeps_its_host_bits() {
        let leg: LegAddress = "10.0.0.1/24".parse().unwrap();
        assert_eq!(leg.prefix, prefix("10.0.0.0/24"));
        assert_eq!(leg.to_string(), "10.0.0.1/24");
        assert_eq!("fd00::1".parse::<LegAddress>().unwrap().prefix.length(), 128);
        assert!("10.0.0.1/33".parse::<LegAddress>().is_err());
    }
}
