//! The kernel's own bridge: what ours is compared with.

use std::io;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use crate::{Links, error::sentence};

/// An address in a bridge's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbEntry {
    /// The station.
    pub mac: [u8; 6],
    /// The number of the member link behind which it is.
    pub link: u32,
    /// It was learned. Otherwise it was entered, or is the address of a member itself.
    pub learned: bool,
}

impl Links {
    /// Makes a bridge. It has no members yet and is down.
    ///
    /// # Errors
    ///
    /// The name is taken or cannot be one, or this kernel has no bridges.
    pub fn add_bridge(&mut self, name: &str) -> io::Result<()> {
        self.add(name, vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)])])
            .map_err(|error| sentence(format!("the bridge `{name}` was not made"), error))
    }

    /// Sets after how many hundredths of a second a bridge forgets a silent station.
    ///
    /// # Errors
    ///
    /// There is no such bridge, or it does not take the value.
    pub fn set_bridge_ageing(&mut self, bridge: &str, centiseconds: u32) -> io::Result<()> {
        self.set_bridge(bridge, "ageing time", InfoBridge::AgeingTime(centiseconds))
    }

    /// Makes a bridge flood multicast instead of looking for its listeners, or the other way.
    ///
    /// # Errors
    ///
    /// There is no such bridge, or this kernel has no snooping to turn on.
    pub fn set_bridge_snooping(&mut self, bridge: &str, on: bool) -> io::Result<()> {
        self.set_bridge(bridge, "snooping", InfoBridge::MulticastSnooping(on))
    }

    /// Says which of the reserved addresses 01-80-C2-00-00-0x a bridge relays: one bit each. The
    /// kernel refuses bits 0 to 2.
    ///
    /// # Errors
    ///
    /// There is no such bridge, or it does not take the mask.
    pub fn set_bridge_group_fwd_mask(&mut self, bridge: &str, mask: u16) -> io::Result<()> {
        self.set_bridge(bridge, "group_fwd_mask", InfoBridge::GroupFwdMask(mask))
    }

    /// Makes a bridge forget all stations that it learned.
    ///
    /// # Errors
    ///
    /// There is no such bridge.
    pub fn flush_bridge(&mut self, bridge: &str) -> io::Result<()> {
        self.set_bridge(bridge, "a flush", InfoBridge::FdbFlush)
    }

    /// The table of a bridge, sorted by address.
    ///
    /// # Errors
    ///
    /// There is no such bridge, or what the kernel said.
    pub fn fdb(&mut self, bridge: &str) -> io::Result<Vec<FdbEntry>> {
        let index = self.expect(bridge)?.index;
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        let answers = self
            .netlink
            .dump(RouteNetlinkMessage::GetNeighbour(message))
            .map_err(|error| sentence(format!("the table of `{bridge}` was not read"), error))?;
        let entries = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) => FdbEntry::parse(&message, index),
            _ => None,
        });
        let mut entries: Vec<FdbEntry> = entries.collect();
        entries.sort();
        entries.dedup();
        Ok(entries)
    }

    fn set_bridge(&mut self, name: &str, what: &str, value: InfoBridge) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = self.expect(name)?.index;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![value])),
        ]));
        // Of all requests only RTM_NEWLINK, without NLM_F_CREATE, changes what is in LINKINFO.
        self.netlink
            .change(RouteNetlinkMessage::NewLink(message), 0)
            .map_err(|error| sentence(format!("the bridge `{name}` did not take {what}"), error))
    }
}

impl FdbEntry {
    /// The entry, if it is of the bridge with this number. The dump holds those of all bridges,
    /// and the unicast and multicast filters of all other links besides.
    fn parse(message: &NeighbourMessage, bridge: u32) -> Option<FdbEntry> {
        let mut mac = None;
        let mut master = None;
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::LinkLayerAddress(octets) => {
                    mac = octets.as_slice().try_into().ok();
                }
                NeighbourAttribute::Controller(index) => master = Some(*index),
                _ => {}
            }
        }
        let learned =
            !matches!(message.header.state, NeighbourState::Permanent | NeighbourState::Noarp);
        (master == Some(bridge)).then_some(FdbEntry {
            mac: mac?,
            link: message.header.ifindex,
            learned,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        FrameSocket, Namespace,
        test::{self, PATIENCE},
    };

    /// A frame that has not come by then was lost.
    const LOST_AFTER: Duration = Duration::from_secs(2);

    #[test]
    fn a_bridge_learns_forwards_and_forgets() {
        test::root!();
        let (one, middle, other) =
            (Namespace::new().unwrap(), Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut links = middle.links().unwrap();
        links.add_bridge("br").unwrap();
        links.set_bridge_snooping("br", false).unwrap();
        links.set_bridge_group_fwd_mask("br", 0x4000).unwrap();
        links.set_up("br").unwrap();
        for (host, port) in [(&one, "p1"), (&other, "p2")] {
            links.add_veth(port, Some(host), "eth0").unwrap();
            links.set_master(port, Some("br")).unwrap();
            links.set_up(port).unwrap();
            host.links().unwrap().set_up("eth0").unwrap();
        }
        for port in ["p1", "p2"] {
            assert!(links.wait_running(port, PATIENCE).unwrap());
        }
        for host in [&one, &other] {
            assert!(host.links().unwrap().wait_running("eth0", PATIENCE).unwrap());
        }
        let port = links.get("p1").unwrap().unwrap().index;
        assert_eq!(
            links.get("p1").unwrap().unwrap().master,
            Some(links.expect("br").unwrap().index)
        );

        let (near, mut far) =
            (FrameSocket::open(&one, "eth0").unwrap(), FrameSocket::open(&other, "eth0").unwrap());
        let mut frame = [0; 60];
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7, 0x88, 0xb5]);
        test::eventually("the frame arrives", || {
            test::send(&near, &frame);
            far.recv_matching(LOST_AFTER, |got| got == frame).unwrap().is_some()
        });

        let learned = |links: &mut Links| -> Vec<FdbEntry> {
            let station = [2, 0, 0, 0, 0, 7];
            links.fdb("br").unwrap().into_iter().filter(|entry| entry.mac == station).collect()
        };
        let entry = FdbEntry { mac: [2, 0, 0, 0, 0, 7], link: port, learned: true };
        assert_eq!(learned(&mut links), [entry]);
        // Where it was sent again, the first one may come late and be learned again.
        test::eventually("it forgets", || {
            links.flush_bridge("br").unwrap();
            learned(&mut links).is_empty()
        });
        links.set_bridge_ageing("br", 100).unwrap();
        links.set_master("p1", None).unwrap();
        assert_eq!(links.get("p1").unwrap().unwrap().master, None);
        assert!(links.set_bridge_ageing("nobody", 100).is_err());
    }
}
