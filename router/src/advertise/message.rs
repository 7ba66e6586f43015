//! Router advertisements and solicitations in octets (RFC 4861, sections 4.1, 4.2 and 4.6; RFC
//! 4191; RFC 8106).

use std::net::Ipv6Addr;

use super::config::{AdvertiseConfig, AdvertisedPrefix, Preference};
use crate::{
    link::LinkAddress,
    packet::{IPV6_HEADER_LEN, Ipv6, checksum_icmpv6, protocol},
};

/// All hosts of a link, and all routers (RFC 4291, section 2.7.1).
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Hops of neighbour discovery: who has more has not been forwarded.
const HOP_LIMIT: u8 = 255;
/// Types of messages.
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Types of options.
mod option {
    pub const SOURCE: u8 = 1;
    pub const PREFIX: u8 = 3;
    pub const MTU: u8 = 5;
    pub const DNS: u8 = 25;
    pub const SEARCH: u8 = 31;
}
/// Flags of an advertisement (RFC 4861, section 4.2; RFC 4191, section 2.2).
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const HIGH: u8 = 0x08;
const LOW: u8 = 0x18;
/// Flags of a prefix.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// An advertisement for all nodes, as a whole packet; `lifetime_s` is that as a default router.
pub(super) fn advertisement(
    config: &AdvertiseConfig,
    (own, link_local): (LinkAddress, Ipv6Addr),
    lifetime_s: u16,
) -> Vec<u8> {
    // RFC 4191, section 2.2: of who is no default router it is medium.
    let preference = match config.preference {
        Preference::Low if lifetime_s > 0 => LOW,
        Preference::High if lifetime_s > 0 => HIGH,
        _ => 0,
    };
    let flags = if config.managed { MANAGED } else { 0 } | if config.other { OTHER } else { 0 };
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, config.hop_limit, flags | preference];
    message.extend(lifetime_s.to_be_bytes());
    message.extend(config.reachable_ms.to_be_bytes());
    message.extend(config.retransmit_ms.to_be_bytes());
    message.extend([option::SOURCE, 1]);
    message.extend(own.0);
    if let Some(mtu) = config.mtu {
        message.extend([option::MTU, 1, 0, 0]);
        message.extend(mtu.to_be_bytes());
    }
    config.prefixes.iter().for_each(|prefix| emit_prefix(&mut message, prefix));
    emit_dns(&mut message, config);
    let check = checksum_icmpv6(link_local, ALL_NODES, &message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((message.len() as u16).to_be_bytes());
    packet.extend([protocol::ICMPV6, HOP_LIMIT]);
    packet.extend(link_local.octets());
    packet.extend(ALL_NODES.octets());
    packet.extend(message);
    packet
}

fn emit_prefix(message: &mut Vec<u8>, prefix: &AdvertisedPrefix) {
    // One of IPv4 was refused.
    let Some(net) = prefix.net() else { return };
    let on_link = if prefix.on_link { ON_LINK } else { 0 };
    let flags = on_link | if prefix.autonomous { AUTONOMOUS } else { 0 };
    message.extend([option::PREFIX, 4, net.length(), flags]);
    message.extend(prefix.valid_s.to_be_bytes());
    message.extend(prefix.preferred_s.to_be_bytes());
    message.extend([0; 4]);
    message.extend(net.first().to_be_bytes());
}

/// Servers and domains (RFC 8106, sections 5.1 and 5.2). An option that is too long to be one
/// makes a packet that is too long to be sent: see the caller.
fn emit_dns(message: &mut Vec<u8>, config: &AdvertiseConfig) {
    let lifetime = config.dns_lifetime_s.to_be_bytes();
    if !config.dns.is_empty() {
        message.extend([option::DNS, (1 + 2 * config.dns.len()) as u8, 0, 0]);
        message.extend(lifetime);
        config.dns.iter().for_each(|server| message.extend(server.octets()));
    }
    if !config.search.is_empty() {
        let mut names = Vec::new();
        for domain in &config.search {
            for label in domain.strip_suffix('.').unwrap_or(domain).split('.') {
                names.push(label.len() as u8);
                names.extend(label.bytes());
            }
            names.push(0);
        }
        names.resize(names.len().next_multiple_of(8), 0);
        message.extend([option::SEARCH, (1 + names.len() / 8) as u8, 0, 0]);
        message.extend(lifetime);
        message.extend(names);
    }
}

/// Whether a packet is a solicitation that a router must answer (RFC 4861, section 6.1.1).
pub(super) fn is_solicitation(octets: &[u8]) -> bool {
    let Ok(packet) = Ipv6::parse(octets) else { return false };
    let message = &octets[IPV6_HEADER_LEN..packet.len];
    let [SOLICITATION, 0, _, _, _, _, _, _, options @ ..] = message else { return false };
    let direct = packet.next_header == protocol::ICMPV6 && packet.hop_limit == HOP_LIMIT;
    if !direct || checksum_icmpv6(packet.source, packet.destination, message) != 0 {
        return false;
    }
    let mut options = options;
    while let [kind, units, ..] = options {
        // Who has no address yet has nothing to be answered to.
        let bad = *kind == option::SOURCE && packet.source.is_unspecified();
        let len = usize::from(*units) * 8;
        if bad || len == 0 || len > options.len() {
            return false;
        }
        options = &options[len..];
    }
    options.is_empty()
}
