//! Links: network devices, made, changed and looked at by netlink.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd},
    thread,
    time::{Duration, Instant},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Nla};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        InfoData, InfoKind, InfoTun, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
        State, Stats64,
    },
};

use crate::{
    Lower, MacvlanMode, Namespace,
    error::{errno, refused, sentence},
    netlink::Netlink,
    sys::LINK_NAME_MAX,
};

/// A network device as it was when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number, unique within its namespace.
    pub index: u32,
    /// Its name, unique within its namespace.
    pub name: String,
    /// A note for people ([`Links::set_alias`]).
    pub alias: Option<String>,
    /// Its MAC address. A TUN has none.
    pub mac: Option<[u8; 6]>,
    /// The largest packet that it takes, in octets, Ethernet header not counted.
    pub mtu: u32,
    /// It was switched on.
    pub up: bool,
    /// It is on, has a carrier, and its queue is in place: what is sent goes out. The queue comes
    /// a moment after the carrier, and until then all is thrown away: [`Links::wait_running`].
    pub running: bool,
    /// Its kind as `ip -details link` shows it: "tun", "veth", "bridge". `None`: hardware, or
    /// loopback.
    pub kind: Option<String>,
    /// The number of the bridge that it is a member of.
    pub master: Option<u32>,
    /// What it stands on, if it is a macvlan, a macvtap or an end of a veth pair.
    pub lower: Option<Lower>,
    /// The mode of a macvlan or macvtap.
    pub macvlan: Option<MacvlanMode>,
    /// What only a TUN or a TAP has.
    pub tun: Option<Tun>,
    /// What it has counted since it was made.
    pub counters: Counters,
}

/// What the kernel tells of a TUN or a TAP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tun {
    /// It carries frames and is a TAP; otherwise it carries packets.
    pub tap: bool,
    /// It stays when the last program lets go of it.
    pub persist: bool,
    /// More than one descriptor may be attached.
    pub multi_queue: bool,
    /// A virtio-net header is in front of each frame.
    pub vnet_hdr: bool,
    /// Descriptors that are attached to one with several queues; 0 for any other, of which the
    /// kernel does not tell.
    pub queues: u32,
    /// The user who may attach to it without further rights.
    pub owner: Option<u32>,
}

/// A link's counters, as the kernel sees it: what a host sends through a TAP is `tx` there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_octets: u64,
    /// Octets sent.
    pub tx_octets: u64,
    /// Frames received for which there was no room or no use.
    pub rx_dropped: u64,
    /// Frames that did not get out: a TAP whose queue nobody reads, for one.
    pub tx_dropped: u64,
    /// Damaged frames.
    pub rx_errors: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}

/// A netlink socket in one namespace: what it is asked for is found, made and changed there.
#[derive(Debug)]
pub struct Links {
    pub(crate) netlink: Netlink,
}

impl Links {
    /// A socket in the namespace of the calling thread. See [`Namespace::links`].
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn here() -> io::Result<Links> {
        let netlink = Netlink::open()
            .map_err(|error| sentence("no netlink socket was opened".to_string(), error))?;
        Ok(Links { netlink })
    }

    /// The link of this name. `None`: there is none.
    ///
    /// # Errors
    ///
    /// The name cannot be one, or what the kernel said.
    pub fn get(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(link_name(name)?));
        match self.netlink.get(RouteNetlinkMessage::GetLink(message)) {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(Link::parse(message))),
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(None),
            Ok(_) => Err(io::Error::other(format!("the kernel's answer is not link `{name}`"))),
            Err(error) => Err(sentence(format!("link `{name}` was not looked up"), error)),
        }
    }

    /// The link of this name, which has to be there.
    ///
    /// # Errors
    ///
    /// There is none: the sentence names it.
    pub fn expect(&mut self, name: &str) -> io::Result<Link> {
        self.get(name)?.ok_or_else(|| {
            refused(io::ErrorKind::NotFound, format!("there is no link `{name}` in its namespace"))
        })
    }

    /// All links of the namespace, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn list(&mut self) -> io::Result<Vec<Link>> {
        let answers = self
            .netlink
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .map_err(|error| sentence("the links were not listed", error))?;
        let links = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(Link::parse(message)),
            _ => None,
        });
        let mut links: Vec<Link> = links.collect();
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// Makes a veth pair: `name` here, its other end `peer` in `peer_namespace`, or here as well.
    ///
    /// # Errors
    ///
    /// A name is taken or cannot be one, or what the kernel said.
    pub fn add_veth(
        &mut self,
        name: &str,
        peer_namespace: Option<&Namespace>,
        peer: &str,
    ) -> io::Result<()> {
        let mut end = LinkMessage::default();
        end.attributes.push(LinkAttribute::IfName(link_name(peer)?));
        if let Some(namespace) = peer_namespace {
            end.attributes.push(LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()));
        }
        let info = vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(end))),
        ];
        self.add(name, vec![LinkAttribute::LinkInfo(info)]).map_err(|error| {
            sentence(format!("the veth pair `{name}` and `{peer}` was not made"), error)
        })
    }

    /// Deletes a link; the other end of a veth pair goes with it.
    ///
    /// # Errors
    ///
    /// There is none, it cannot be deleted, or what the kernel said.
    pub fn delete(&mut self, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(link_name(name)?));
        self.netlink
            .change(RouteNetlinkMessage::DelLink(message), 0)
            .map_err(|error| sentence(format!("link `{name}` was not deleted"), error))
    }

    /// Switches a link on.
    ///
    /// # Errors
    ///
    /// There is no such link, or what the kernel said.
    pub fn set_up(&mut self, name: &str) -> io::Result<()> {
        self.set_flags(name, LinkFlags::Up, true)
            .map_err(|error| sentence(format!("link `{name}` did not go up"), error))
    }

    /// Switches a link off.
    ///
    /// # Errors
    ///
    /// There is no such link, or what the kernel said.
    pub fn set_down(&mut self, name: &str) -> io::Result<()> {
        self.set_flags(name, LinkFlags::Up, false)
            .map_err(|error| sentence(format!("link `{name}` did not go down"), error))
    }

    /// Lets a link receive all multicast, not only the groups that its host has joined, or ends
    /// that. (A packet socket in promiscuous mode asks for this by itself.)
    ///
    /// # Errors
    ///
    /// There is no such link, or what the kernel said.
    pub fn set_all_multicast(&mut self, name: &str, on: bool) -> io::Result<()> {
        self.set_flags(name, LinkFlags::Allmulti, on).map_err(|error| {
            sentence(format!("link `{name}` did not change the groups it receives"), error)
        })
    }

    /// Sets the largest packet that a link takes, in octets.
    ///
    /// # Errors
    ///
    /// There is no such link, or it does not take this MTU.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> io::Result<()> {
        self.set(name, LinkAttribute::Mtu(mtu))
            .map_err(|error| sentence(format!("link `{name}` did not take the MTU {mtu}"), error))
    }

    /// Sets the MAC address of a link.
    ///
    /// # Errors
    ///
    /// There is no such link, or it does not take this address.
    pub fn set_mac(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        self.set(name, LinkAttribute::Address(mac.to_vec()))
            .map_err(|error| sentence(format!("link `{name}` did not take its address"), error))
    }

    /// Gives a link a note for people, which `ip link` shows as its alias.
    ///
    /// # Errors
    ///
    /// There is no such link, or the note is longer than 255 octets.
    pub fn set_alias(&mut self, name: &str, alias: &str) -> io::Result<()> {
        self.set(name, LinkAttribute::IfAlias(alias.to_owned()))
            .map_err(|error| sentence(format!("link `{name}` did not take its alias"), error))
    }

    /// Makes a link a member of a bridge, or of none.
    ///
    /// # Errors
    ///
    /// One of the two is not there, or the kernel refused.
    pub fn set_master(&mut self, name: &str, bridge: Option<&str>) -> io::Result<()> {
        let (index, text) = match bridge {
            Some(bridge) => {
                (self.expect(bridge)?.index, format!("link `{name}` did not join `{bridge}`"))
            }
            None => (0, format!("link `{name}` did not leave its bridge")),
        };
        self.set(name, LinkAttribute::Controller(index)).map_err(|error| sentence(text, error))
    }

    /// Gives a link another name. Older kernels ask for it to be down.
    ///
    /// # Errors
    ///
    /// There is no such link, the new name is taken, or it cannot be one.
    pub fn rename(&mut self, name: &str, to: &str) -> io::Result<()> {
        let to_name = link_name(to)?;
        let index = self.expect(name)?.index;
        self.set_by_index(index, LinkAttribute::IfName(to_name))
            .map_err(|error| sentence(format!("link `{name}` was not renamed to `{to}`"), error))
    }

    /// Moves a link to another namespace, where it is down and without addresses.
    ///
    /// # Errors
    ///
    /// There is no such link, its name is taken there, or it has to stay.
    pub fn move_to(&mut self, name: &str, namespace: &Namespace) -> io::Result<()> {
        self.set(name, LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd())).map_err(|error| {
            sentence(format!("link `{name}` was not moved to {namespace:?}"), error)
        })
    }

    /// Waits until a link is there and runs. `false`: it did not happen in time. To be called when
    /// both ends of a veth pair are up, or the first frames are lost.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn wait_running(&mut self, name: &str, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.get(name)?.is_some_and(|link| link.running) {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Makes a link of some kind.
    pub(crate) fn add(&mut self, name: &str, attributes: Vec<LinkAttribute>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(link_name(name)?));
        message.attributes.extend(attributes);
        self.netlink.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn set(&mut self, name: &str, attribute: LinkAttribute) -> io::Result<()> {
        let index = self.expect(name)?.index;
        self.set_by_index(index, attribute)
    }

    fn set_by_index(&mut self, index: u32, attribute: LinkAttribute) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(attribute);
        self.netlink.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    fn set_flags(&mut self, name: &str, flags: LinkFlags, on: bool) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = self.expect(name)?.index;
        message.header.flags = if on { flags } else { LinkFlags::empty() };
        message.header.change_mask = flags;
        self.netlink.change(RouteNetlinkMessage::SetLink(message), 0)
    }
}

impl Link {
    pub(crate) fn parse(message: LinkMessage) -> Link {
        let flags = message.header.flags;
        let mut link = Link {
            index: message.header.index,
            up: flags.contains(LinkFlags::Up),
            ..Link::default()
        };
        let (mut state, mut carrier_changes) = (State::Unknown, 0);
        let (mut lower, mut lower_namespace) = (None, None);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Address(octets) => link.mac = octets.try_into().ok(),
                LinkAttribute::Controller(index) => link.master = Some(index),
                LinkAttribute::Stats64(stats) => link.counters = Counters::parse(&stats),
                LinkAttribute::LinkInfo(info) => link.parse_info(info),
                LinkAttribute::Link(index) => lower = Some(index),
                LinkAttribute::LinkNetNsId(number) => lower_namespace = Some(number),
                LinkAttribute::OperState(told) => state = told,
                LinkAttribute::CarrierChanges(count) => carrier_changes = count,
                _ => {}
            }
        }
        link.lower = lower.map(|index| Lower { index, namespace: lower_namespace });
        // linkwatch_do_dev() in net/core/link_watch.c sets the state and activates the queue,
        // some time after the carrier changed. A state that is not known means that this is
        // still to come, or that the carrier was there from the start (loopback, a TAP).
        let active = state == State::Up || (state == State::Unknown && carrier_changes == 0);
        link.running = active && flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        link
    }

    fn parse_info(&mut self, info: Vec<LinkInfo>) {
        for one in info {
            match one {
                LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
                LinkInfo::Data(InfoData::Tun(attributes)) => {
                    self.tun = Some(Tun::parse(&attributes));
                }
                LinkInfo::Data(data) => self.macvlan = MacvlanMode::of(&data),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Tun {
    /// Reads the attributes that the crate leaves raw (`IFLA_TUN_*` in linux/if_link.h).
    fn parse(attributes: &[InfoTun]) -> Tun {
        let mut tun = Tun::default();
        for attribute in attributes {
            let mut octets = vec![0; attribute.value_len()];
            attribute.emit_value(&mut octets);
            let first = octets.first().copied().unwrap_or_default();
            match attribute.kind() {
                IFLA_TUN_OWNER => tun.owner = octets.try_into().ok().map(u32::from_ne_bytes),
                // Those that were switched off (TUNSETQUEUE) are attached all the same.
                IFLA_TUN_NUM_QUEUES | IFLA_TUN_NUM_DISABLED_QUEUES => {
                    tun.queues += octets.try_into().map_or(0, u32::from_ne_bytes);
                }
                IFLA_TUN_TYPE => tun.tap = libc::c_int::from(first) == libc::IFF_TAP,
                IFLA_TUN_VNET_HDR => tun.vnet_hdr = first != 0,
                IFLA_TUN_PERSIST => tun.persist = first != 0,
                IFLA_TUN_MULTI_QUEUE => tun.multi_queue = first != 0,
                _ => {}
            }
        }
        tun
    }
}

impl Counters {
    fn parse(stats: &Stats64) -> Counters {
        Counters {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_octets: stats.rx_bytes,
            tx_octets: stats.tx_bytes,
            rx_dropped: stats.rx_dropped,
            tx_dropped: stats.tx_dropped,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
        }
    }
}

/// Tells whether a link may have this name (`dev_valid_name` in net/core/dev.c). One with a
/// percent sign is refused as well: the kernel would put a number in its place.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub fn check_link_name(name: &str) -> Result<(), String> {
    // The kernel's isspace() reads Latin-1, in which 0xa0 is a space.
    let bad = |octet: u8| matches!(octet, 0 | 9..=13 | b' ' | b'/' | b':' | b'%' | 0xa0);
    let shown = name.escape_debug();
    if name.is_empty() {
        return Err("the name of a link cannot be empty".to_string());
    }
    if name.len() > LINK_NAME_MAX {
        return Err(format!(
            "`{shown}` has {} octets: the name of a link has {LINK_NAME_MAX} at the most",
            name.len()
        ));
    }
    if name == "." || name == ".." {
        return Err(format!("`{shown}` cannot be the name of a link"));
    }
    if name.bytes().any(bad) {
        return Err(format!(
            "`{shown}` cannot be the name of a link: no space, slash, colon or percent sign may \
             be in it"
        ));
    }
    Ok(())
}

pub(crate) fn link_name(name: &str) -> io::Result<String> {
    match check_link_name(name) {
        Ok(()) => Ok(name.to_string()),
        Err(text) => Err(refused(io::ErrorKind::InvalidInput, text)),
    }
}

const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_VNET_HDR: u16 = 5;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;
const IFLA_TUN_NUM_QUEUES: u16 = 8;
const IFLA_TUN_NUM_DISABLED_QUEUES: u16 = 9;

/// How often [`Links::wait_running`] looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn names_that_the_kernel_refuses_are_refused_with_a_sentence() {
        for name in ["tap0", "a", "fifteen_octets_", "a.b", "..."] {
            assert_eq!(check_link_name(name), Ok(()), "{name}");
        }
        let bad = ["", ".", "..", "a/b", "a b", "a\tb", "a:b", "a\u{b}b", "a\0b", "tap%d", "à"];
        for name in bad.into_iter().chain(["sixteen_octets__", "fifteen_oktets\u{f6}"]) {
            assert!(check_link_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_veth_pair_is_made_changed_and_deleted() {
        test::root!();
        let (one, other) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut links = one.links().unwrap();
        links.add_veth("a", Some(&other), "b").unwrap();
        let a = links.get("a").unwrap().unwrap();
        assert_eq!((a.kind.as_deref(), a.up, a.running), (Some("veth"), false, false));
        assert_eq!(links.get("b").unwrap(), None);

        let mac = [2, 0, 0, 0, 0, 1];
        links.set_mac("a", mac).unwrap();
        links.set_mtu("a", 1400).unwrap();
        links.set_up("a").unwrap();
        assert!(!links.get("a").unwrap().unwrap().running, "its peer is down");
        assert!(!links.wait_running("a", Duration::ZERO).unwrap());
        other.links().unwrap().set_up("b").unwrap();
        assert!(links.wait_running("a", test::PATIENCE).unwrap());
        let a = links.get("a").unwrap().unwrap();
        assert_eq!((a.mac, a.mtu, a.up), (Some(mac), 1400, true));
        assert_eq!(a.mac, Some(mac));
        links.set_down("a").unwrap();
        links.rename("a", "c").unwrap();
        let names: Vec<String> = links.list().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names[0], "lo");
        assert!(names.contains(&"c".to_string()) && !names.contains(&"a".to_string()));

        links.delete("c").unwrap();
        assert_eq!(links.get("c").unwrap(), None);
        assert_eq!(other.links().unwrap().get("b").unwrap(), None);
    }

    #[test]
    fn a_link_moves_to_another_namespace() {
        test::root!();
        let (one, other) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut links = one.links().unwrap();
        links.add_veth("a", None, "b").unwrap();
        links.move_to("b", &other).unwrap();
        assert_eq!(links.get("b").unwrap(), None);
        assert!(other.links().unwrap().get("b").unwrap().is_some());
    }

    #[test]
    fn refusals_name_the_link_and_keep_the_number() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        let mut links = namespace.links().unwrap();
        let error = links.set_up("nobody").unwrap_err();
        assert!(crate::explain(&error).contains("there is no link `nobody`"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = links.delete("nobody").unwrap_err();
        assert_eq!(errno(&error), Some(libc::ENODEV));
        links.add_veth("a", None, "b").unwrap();
        let error = links.add_veth("a", None, "c").unwrap_err();
        assert_eq!(errno(&error), Some(libc::EEXIST));
        let error = links.set_mtu("a", 1).unwrap_err();
        assert_eq!(error.to_string(), "link `a` did not take the MTU 1");
        assert!(crate::explain(&error).contains("the kernel says"), "{}", crate::explain(&error));
    }
}
