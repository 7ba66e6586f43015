//! What a router says of itself and its link, and whether that can be said.

use std::{fmt, net::Ipv6Addr};

use crate::{
    prefix::{Net, Prefix},
    route::MTU_MIN_V6,
};

/// Seconds between two advertisements at the most, and at the least (RFC 4861, section 6.2.1).
const INTERVAL_MAX_S: std::ops::RangeInclusive<u16> = 4..=1800;
const INTERVAL_MIN_S: u16 = 3;
/// Seconds for which a router may say that it is a default one, at the most.
const LIFETIME_MAX_S: u16 = 9000;
/// Milliseconds for which a neighbour may be taken to be reachable, at the most.
const REACHABLE_MAX_MS: u32 = 3_600_000;
/// Octets of an address by which a host on Ethernet completes a prefix (RFC 2464, section 4).
const AUTONOMOUS_LEN: u8 = 64;
/// A lifetime without an end.
pub const FOREVER_S: u32 = u32::MAX;

/// What a router advertises on one link. Each field has the name and the meaning of RFC 4861,
/// section 6.2.1, in a shorter form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertiseConfig {
    /// Seconds between two advertisements, at most: 4 to 1800.
    pub interval_max_s: u16,
    /// At least: 3 to three quarters of the most.
    pub interval_min_s: u16,
    /// Seconds for which it is a default router: none, or the interval to 9000.
    pub lifetime_s: u16,
    /// Before which others (RFC 4191).
    pub preference: Preference,
    /// Addresses are had by DHCPv6.
    pub managed: bool,
    /// Other settings are had by DHCPv6.
    pub other: bool,
    /// Hops that a host's packets begin with; 0: not said.
    pub hop_limit: u8,
    /// Octets of the largest packet of the link; `None`: not said.
    pub mtu: Option<u32>,
    /// Milliseconds for which a neighbour is reachable that was heard; 0: not said.
    pub reachable_ms: u32,
    /// Milliseconds between two questions for a neighbour; 0: not said.
    pub retransmit_ms: u32,
    /// The prefixes of the link.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// Servers of DNS (RFC 8106, section 5.1).
    pub dns: Vec<Ipv6Addr>,
    /// Where DNS looks for names that are not whole (RFC 8106, section 5.2).
    pub search: Vec<String>,
    /// Seconds for which both are good.
    pub dns_lifetime_s: u32,
}

/// Which of several default routers a host takes (RFC 4191, section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// If there is no other.
    Low,
    /// As usual.
    #[default]
    Medium,
    /// Before others.
    High,
}

/// A prefix of a link (RFC 4861, section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedPrefix {
    /// Of IPv6.
    pub prefix: Prefix,
    /// Who has an address in it is on the link.
    pub on_link: bool,
    /// Hosts make addresses of it (RFC 4862).
    pub autonomous: bool,
    /// Seconds for which addresses in it are good; [`FOREVER_S`].
    pub valid_s: u32,
    /// Seconds for which they are taken for what is new.
    pub preferred_s: u32,
}

impl AdvertisedPrefix {
    /// With what RFC 4861 has if nothing else is said: 30 days, 7 of them preferred.
    pub fn new(prefix: Prefix) -> AdvertisedPrefix {
        let (valid_s, preferred_s) = (2_592_000, 604_800);
        AdvertisedPrefix { prefix, on_link: true, autonomous: true, valid_s, preferred_s }
    }
}

impl Default for AdvertiseConfig {
    fn default() -> AdvertiseConfig {
        AdvertiseConfig::every(600)
    }
}

impl AdvertiseConfig {
    /// An advertisement every so many seconds at the most, all else as RFC 4861 and RFC 8106 have
    /// it if nothing is said.
    pub fn every(interval_max_s: u16) -> AdvertiseConfig {
        let interval = u32::from(interval_max_s);
        let share = if interval >= 9 { interval * 33 / 100 } else { interval * 3 / 4 };
        AdvertiseConfig {
            interval_max_s,
            interval_min_s: (share as u16).max(INTERVAL_MIN_S),
            lifetime_s: interval_max_s.saturating_mul(3),
            preference: Preference::Medium,
            managed: false,
            other: false,
            hop_limit: 64,
            mtu: None,
            reachable_ms: 0,
            retransmit_ms: 0,
            prefixes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            dns_lifetime_s: interval * 3,
        }
    }

    /// Everything that is wrong with it, but for its length: that is known when it is written.
    pub(super) fn faults(&self) -> Vec<AdvertiseFault> {
        let mut faults = Vec::new();
        let (max, min) = (self.interval_max_s, self.interval_min_s);
        if !INTERVAL_MAX_S.contains(&max) {
            faults.push(AdvertiseFault::IntervalMax(max));
        } else if min < INTERVAL_MIN_S || u32::from(min) * 4 > u32::from(max) * 3 {
            faults.push(AdvertiseFault::IntervalMin(min, max));
        }
        if self.lifetime_s != 0 && !(max..=LIFETIME_MAX_S).contains(&self.lifetime_s) {
            faults.push(AdvertiseFault::Lifetime(self.lifetime_s, max));
        }
        if self.lifetime_s == 0 && self.preference != Preference::Medium {
            faults.push(AdvertiseFault::Preference);
        }
        if let Some(mtu) = self.mtu.filter(|mtu| !(MTU_MIN_V6 as u32..=65_535).contains(mtu)) {
            faults.push(AdvertiseFault::Mtu(mtu));
        }
        if self.reachable_ms > REACHABLE_MAX_MS {
            faults.push(AdvertiseFault::Reachable(self.reachable_ms));
        }
        for (index, prefix) in self.prefixes.iter().enumerate() {
            faults.extend(prefix.fault());
            if self.prefixes[..index].iter().any(|other| other.prefix == prefix.prefix) {
                faults.push(AdvertiseFault::Twice(prefix.prefix));
            }
        }
        let server = |address: &&Ipv6Addr| !address.is_multicast() && !address.is_unspecified();
        let servers = self.dns.iter().filter(|address| !server(address));
        faults.extend(servers.map(|address| AdvertiseFault::Dns(*address)));
        let domains = self.search.iter().filter(|domain| !is_domain(domain));
        faults.extend(domains.map(|domain| AdvertiseFault::Search(domain.clone())));
        faults
    }
}

impl AdvertisedPrefix {
    /// It as a number, if it is of IPv6.
    pub(super) fn net(&self) -> Option<Net<u128>> {
        match self.prefix {
            Prefix::V4(_) => None,
            Prefix::V6(net) => Some(net),
        }
    }

    fn fault(&self) -> Option<AdvertiseFault> {
        let prefix = self.prefix;
        let Some(net) = self.net() else { return Some(AdvertiseFault::Version(prefix)) };
        let first = Ipv6Addr::from_bits(net.first());
        // RFC 4861, section 6.2.1; groups and loopback are on no link.
        let link = !first.is_unicast_link_local() && !first.is_multicast();
        if !link || first.is_loopback() || net.is_default() {
            return Some(AdvertiseFault::Scope(prefix));
        }
        if self.autonomous && net.length() != AUTONOMOUS_LEN {
            return Some(AdvertiseFault::Autonomous(prefix));
        }
        let longer = self.preferred_s > self.valid_s;
        longer.then_some(AdvertiseFault::Preferred(prefix, self.preferred_s, self.valid_s))
    }
}

/// Whether a name can be written as DNS has it (RFC 1035, section 3.1).
fn is_domain(domain: &str) -> bool {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    let octet = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(octet);
    // With an octet for each length and one for the end.
    name.len() + 2 <= 255 && name.split('.').all(label)
}

/// What is wrong with what is to be advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvertiseFault {
    /// The longest interval.
    IntervalMax(u16),
    /// The shortest interval, beside the longest.
    IntervalMin(u16, u16),
    /// The lifetime as a default router, beside the longest interval.
    Lifetime(u16, u16),
    /// Who is no default router is not before others.
    Preference,
    /// The MTU.
    Mtu(u32),
    /// The time for which neighbours are reachable.
    Reachable(u32),
    /// The prefix is not of IPv6.
    Version(Prefix),
    /// The prefix is of no link.
    Scope(Prefix),
    /// No host could make an address of the prefix.
    Autonomous(Prefix),
    /// Addresses would be preferred for longer than they are valid.
    Preferred(Prefix, u32, u32),
    /// Two prefixes are the same.
    Twice(Prefix),
    /// No server of DNS can have the address.
    Dns(Ipv6Addr),
    /// The text is no domain.
    Search(String),
    /// All of it has so many octets: more than a packet that every link carries.
    Long(usize),
}

impl fmt::Display for AdvertiseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdvertiseFault::IntervalMax(max) => {
                write!(f, "{max} s between advertisements: there must be one every 4 to 1800 s")
            }
            AdvertiseFault::IntervalMin(min, max) => write!(
                f,
                "at least {min} s between advertisements: it may be 3 s to three quarters of the \
                 {max} s at most"
            ),
            AdvertiseFault::Lifetime(lifetime, max) => write!(
                f,
                "a lifetime of {lifetime} s: it is 0, or at least the {max} s between \
                 advertisements and at most {LIFETIME_MAX_S} s"
            ),
            AdvertiseFault::Preference => {
                f.write_str("a preference without a lifetime: it is that of a default router")
            }
            AdvertiseFault::Mtu(mtu) => {
                write!(f, "an MTU of {mtu}: links that carry IPv6 have {MTU_MIN_V6} to 65535")
            }
            AdvertiseFault::Reachable(ms) => {
                write!(f, "{ms} ms reachable: at most {REACHABLE_MAX_MS} may be said")
            }
            AdvertiseFault::Version(prefix) => {
                write!(f, "{prefix} is of IPv4, of which nothing can be advertised")
            }
            AdvertiseFault::Scope(prefix) => {
                write!(f, "{prefix} is no prefix of one link: it is everything, or of all links")
            }
            AdvertiseFault::Autonomous(prefix) => write!(
                f,
                "{prefix}: hosts make addresses of prefixes of 64 bits alone; say that it is not \
                 autonomous, or give another"
            ),
            AdvertiseFault::Preferred(prefix, preferred, valid) => write!(
                f,
                "{prefix}: preferred for {preferred} s, but valid for {valid} s: it must be the \
                 other way round"
            ),
            AdvertiseFault::Twice(prefix) => write!(f, "{prefix} is advertised twice"),
            AdvertiseFault::Dns(address) => write!(f, "{address} is no address of a server"),
            AdvertiseFault::Search(text) => {
                write!(f, "`{}` is no domain, as in home.example", text.escape_debug())
            }
            AdvertiseFault::Long(octets) => write!(
                f,
                "an advertisement of {octets} octets: at most {MTU_MIN_V6} are carried by every \
                 link; say less"
            ),
        }
    }
}

impl std::error::Error for AdvertiseFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> AdvertisedPrefix {
        AdvertisedPrefix::new(text.parse().unwrap())
    }

    #[test]
    fn what_is_usual_can_be_said_at_any_interval() {
        for max in INTERVAL_MAX_S {
            assert_eq!(AdvertiseConfig::every(max).faults(), [], "{max}");
        }
        let config = AdvertiseConfig::default();
        assert_eq!((config.interval_min_s, config.lifetime_s), (198, 1800));
        assert_eq!(AdvertiseConfig::every(4).interval_min_s, 3);
    }

    #[test]
    fn each_fault_is_found_and_is_a_sentence() {
        let usual = || AdvertiseConfig::every(100);
        let with = |prefix| AdvertiseConfig { prefixes: vec![prefix], ..usual() };
        let search = |text: &str| AdvertiseConfig { search: vec![text.to_owned()], ..usual() };
        let server = |text: &str| AdvertiseConfig { dns: vec![text.parse().unwrap()], ..usual() };
        let twice = vec![prefix("fd01::/64"), prefix("fd01::/64")];
        let cases = [
            (AdvertiseConfig::every(3), "3 s between"),
            (AdvertiseConfig::every(1801), "1801 s between"),
            (AdvertiseConfig { interval_min_s: 2, ..usual() }, "at least 2 s"),
            (AdvertiseConfig { interval_min_s: 76, ..usual() }, "at least 76 s"),
            (AdvertiseConfig { lifetime_s: 99, ..usual() }, "a lifetime of 99 s"),
            (AdvertiseConfig { lifetime_s: 9001, ..usual() }, "a lifetime of 9001 s"),
            (
                AdvertiseConfig { lifetime_s: 0, preference: Preference::High, ..usual() },
                "a preference without",
            ),
            (AdvertiseConfig { mtu: Some(1279), ..usual() }, "an MTU of 1279"),
            (AdvertiseConfig { mtu: Some(65_536), ..usual() }, "an MTU of 65536"),
            (AdvertiseConfig { reachable_ms: 3_600_001, ..usual() }, "3600001 ms"),
            (with(prefix("10.0.0.0/24")), "10.0.0.0/24 is of IPv4"),
            (with(prefix("fe80::/64")), "fe80::/64 is no prefix"),
            (with(prefix("::/0")), "::/0 is no prefix"),
            (with(prefix("ff05::/64")), "ff05::/64 is no prefix"),
            (with(prefix("fd01::/63")), "fd01::/63: hosts make"),
            (with(AdvertisedPrefix { valid_s: 9, ..prefix("fd01::/64") }), "fd01::/64: preferred"),
            (AdvertiseConfig { prefixes: twice, ..usual() }, "fd01::/64 is advertised twice"),
            (server("ff02::1"), "ff02::1 is no address"),
            (server("::"), ":: is no address"),
            (search(""), "`` is no domain"),
            (search("a..b"), "`a..b` is no domain"),
            (search("a b"), "`a b` is no domain"),
            (search(&"x".repeat(64)), "`xxx"),
            (search(&["x".repeat(49).as_str(); 6].join(".")), "`xxx"),
        ];
        for (config, sentence) in cases {
            let faults = config.faults();
            assert_eq!(faults.len(), 1, "{sentence}: {faults:?}");
            assert!(faults[0].to_string().starts_with(sentence), "{}", faults[0]);
        }
        assert!(AdvertiseFault::Long(1281).to_string().starts_with("an advertisement of 1281"));
    }

    #[test]
    fn what_is_at_a_bound_can_be_said() {
        let config = AdvertiseConfig {
            interval_min_s: 75,
            lifetime_s: 9000,
            mtu: Some(1280),
            reachable_ms: 3_600_000,
            prefixes: vec![
                AdvertisedPrefix { autonomous: false, ..prefix("fd01::/48") },
                AdvertisedPrefix { valid_s: FOREVER_S, ..prefix("fd02::/64") },
            ],
            dns: vec!["fe80::1".parse().unwrap()],
            search: vec!["home.example.".into(), "_x-1".into(), "x".repeat(63)],
            ..AdvertiseConfig::every(100)
        };
        assert_eq!(config.faults(), []);
        let none = AdvertiseConfig { lifetime_s: 0, ..AdvertiseConfig::every(1800) };
        assert_eq!(none.faults(), []);
    }
}
