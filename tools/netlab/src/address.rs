//! Addresses, routes and neighbours.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use crate::{Links, error::sentence};

/// An address and how many of its leading bits name the network, as in `10.0.0.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// Everything of IPv4: 0.0.0.0/0.
    pub const ALL_V4: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// Everything of IPv6: ::/0.
    pub const ALL_V6: Prefix = Prefix { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// A prefix of `len` bits. `None`: the address has fewer.
    pub fn new(address: IpAddr, len: u8) -> Option<Prefix> {
        (len <= bits(address)).then_some(Prefix { address, len })
    }

    /// The address, with all its bits.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits name the network.
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// The network alone: all bits behind the prefix are zero.
    pub fn network(self) -> IpAddr {
        let host_bits = u32::from(bits(self.address) - self.len);
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `ADDRESS/LENGTH`; an address alone has the length of all its bits.
    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError)?;
        let len = match len {
            // `parse` would take a sign.
            Some(len) if len.bytes().all(|b| b.is_ascii_digit()) => {
                len.parse().map_err(|_| PrefixError)?
            }
            Some(_) => return Err(PrefixError),
            None => bits(address),
        };
        Prefix::new(address, len).ok_or(PrefixError)
    }
}

/// The text is not a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixError;

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prefix is an address and a length in bits, as in 10.0.0.1/24 or fd00::1/64")
    }
}

impl std::error::Error for PrefixError {}

impl Links {
    /// Gives a link an address. One of IPv6 can be used at once: nobody else is asked whether he
    /// has it (RFC 4862 section 5.4 takes a second and more).
    ///
    /// # Errors
    ///
    /// There is no such link, it has this address already, or IPv6 is turned off.
    pub fn add_address(&mut self, link: &str, address: Prefix) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewAddress(self.address_message(link, address)?);
        self.netlink
            .change(message, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|error| sentence(format!("link `{link}` did not get {address}"), error))
    }

    /// Takes an address away from a link.
    ///
    /// # Errors
    ///
    /// There is no such link, or it does not have this address.
    pub fn delete_address(&mut self, link: &str, address: Prefix) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelAddress(self.address_message(link, address)?);
        self.netlink
            .change(message, 0)
            .map_err(|error| sentence(format!("link `{link}` did not give up {address}"), error))
    }

    /// Adds a route to a network: by way of a router, or out of a link, or both. For the default
    /// route, `to` is [`Prefix::ALL_V4`] or [`Prefix::ALL_V6`].
    ///
    /// # Errors
    ///
    /// There is no such link, the router is not reachable, or the route is there already.
    pub fn add_route(
        &mut self,
        to: Prefix,
        via: Option<IpAddr>,
        link: Option<&str>,
    ) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewRoute(self.route_message(to, via, link)?);
        self.netlink
            .change(message, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|error| sentence(format!("the route to {to} was not added"), error))
    }

    /// Deletes a route that [`Links::add_route`] added with the same words.
    ///
    /// # Errors
    ///
    /// There is no such link or route.
    pub fn delete_route(
        &mut self,
        to: Prefix,
        via: Option<IpAddr>,
        link: Option<&str>,
    ) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelRoute(self.route_message(to, via, link)?);
        self.netlink
            .change(message, 0)
            .map_err(|error| sentence(format!("the route to {to} was not deleted"), error))
    }

    /// Says for good which MAC address an address on a link has: nobody is asked by ARP or NDP.
    ///
    /// # Errors
    ///
    /// There is no such link, or what the kernel said.
    pub fn add_neighbour(&mut self, link: &str, address: IpAddr, mac: [u8; 6]) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.expect(link)?.index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        self.netlink
            .change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|error| {
                sentence(format!("link `{link}` did not take the neighbour {address}"), error)
            })
    }

    fn address_message(&mut self, link: &str, prefix: Prefix) -> io::Result<AddressMessage> {
        let mut message = AddressMessage::default();
        message.header.index = self.expect(link)?.index;
        message.header.family = family(prefix.address);
        message.header.prefix_len = prefix.len;
        message.attributes.push(AddressAttribute::Local(prefix.address));
        message.attributes.push(AddressAttribute::Address(prefix.address));
        match prefix.address {
            IpAddr::V4(address) => {
                // RFC 3021: two stations on a link need no broadcast address.
                if prefix.len < 31 {
                    let host = u32::MAX.checked_shr(prefix.len.into()).unwrap_or(0);
                    let broadcast = Ipv4Addr::from_bits(address.to_bits() | host);
                    message.attributes.push(AddressAttribute::Broadcast(broadcast));
                }
            }
            IpAddr::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
        }
        Ok(message)
    }

    fn route_message(
        &mut self,
        to: Prefix,
        via: Option<IpAddr>,
        link: Option<&str>,
    ) -> io::Result<RouteMessage> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to.address);
        message.header.destination_prefix_length = to.len;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        // What is not behind a router must be on the link itself.
        message.header.scope = if via.is_some() { RouteScope::Universe } else { RouteScope::Link };
        // The default route has no destination.
        if to.len > 0 {
            let network = RouteAddress::from(to.network());
            message.attributes.push(RouteAttribute::Destination(network));
        }
        if let Some(router) = via {
            message.attributes.push(RouteAttribute::Gateway(router.into()));
        }
        if let Some(link) = link {
            message.attributes.push(RouteAttribute::Oif(self.expect(link)?.index));
        }
        Ok(message)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// How many bits an address has.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, errno, ping, test};
    use std::time::Duration;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_and_shown() {
        for text in ["10.0.0.1/24", "0.0.0.0/0", "fd00::1/64", "::/0", "10.0.0.1/32"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.0.0.1"), prefix("10.0.0.1/32"));
        assert_eq!(prefix("::1"), prefix("::1/128"));
        for text in ["", "/", "10.0.0.1/", "10.0.0.1/33", "::/129", "10.0.0/8", "::/+1", "a/8"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
        }
    }

    #[test]
    fn the_network_has_no_host_bits() {
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0"),
            ("10.1.2.3/0", "0.0.0.0"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("fd00:1::2/64", "fd00:1::"),
            ("fd00::1/0", "::"),
            ("fd00::1/128", "fd00::1"),
        ] {
            assert_eq!(prefix(text).network().to_string(), network);
        }
    }

    #[test]
    fn an_address_comes_and_goes() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        let mut links = namespace.links().unwrap();
        for text in ["10.9.9.9/24", "fd09::9/64"] {
            links.add_address("lo", prefix(text)).unwrap();
            let error = links.add_address("lo", prefix(text)).unwrap_err();
            assert_eq!(errno(&error), Some(libc::EEXIST));
            links.delete_address("lo", prefix(text)).unwrap();
            let error = links.delete_address("lo", prefix(text)).unwrap_err();
            assert_eq!(errno(&error), Some(libc::EADDRNOTAVAIL));
        }
    }

    #[test]
    fn packets_follow_routes() {
        test::root!();
        let (one, other) = test::pair();
        let (mut near, mut far) = (one.links().unwrap(), other.links().unwrap());
        for (text, router) in [("192.0.2.1", "10.0.0.2"), ("2001:db8::1", "fd00::2")] {
            let (address, router) = (text.parse().unwrap(), router.parse().unwrap());
            far.add_address("lo", prefix(text)).unwrap();
            let all =
                if prefix(text).address().is_ipv4() { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
            near.add_route(all, Some(router), None).unwrap();
            // A first packet may be lost while the neighbour is looked for.
            let wait = Duration::from_secs(1);
            let answers = || (0..10).any(|_| ping(&one, address, 1, wait).unwrap().len() == 1);
            assert!(answers(), "{text}");
            near.delete_route(all, Some(router), None).unwrap();
            near.add_route(prefix(text), None, Some("a")).unwrap();
            // IPv6 does not answer on a link for an address that another link has.
            let mac = far.expect("b").unwrap().mac.unwrap();
            near.add_neighbour("a", address, mac).unwrap();
            assert!(answers(), "{text}");
        }
        let error = near.add_route(prefix("10.3.0.0/16"), None, Some("nobody")).unwrap_err();
        assert_eq!(error.to_string(), "there is no link `nobody` in its namespace");
    }

    #[test]
    fn a_permanent_neighbour_is_believed() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        // Nobody has this MAC address: with it the peer's answers stop.
        links.add_neighbour("a", "10.0.0.2".parse().unwrap(), [2, 9, 9, 9, 9, 9]).unwrap();
        let wait = Duration::from_millis(50);
        assert_eq!(ping(&one, "10.0.0.2".parse().unwrap(), 1, wait).unwrap().len(), 0);
    }
}
