//! The two sides: a bridge of the kernel with veth pairs, and the switch with TAPs. Each in a
//! fresh namespace of its own, in which nobody says anything that is not in the script.

use std::{collections::BTreeMap, time::Duration};

use netlab::{FrameSocket, Links, Namespace};
use uswitch::{
    bridge::GroupForward,
    fdb::FdbConfig,
    port::tap::{Tap, TapConfig},
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::exchange::PATIENCE;

use crate::script::{MTUS, Mac, PORTS};

/// Which station is behind which port.
pub type Table = BTreeMap<Mac, usize>;

/// Entries of the switch's table: small, for it is read from end to end after each step, but with
/// room behind each port for all stations of a script.
const FDB_SIZE: u32 = 512;

/// Reserved addresses that Linux can be told to relay: all but the first three.
const GROUP_FWD_MASK: u16 = 0xfff8;

/// What both sides are to be like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Reserved addresses pass.
    pub wire: bool,
    /// How long a silent station is remembered.
    pub ageing: Duration,
    /// Workers of the switch.
    pub workers: usize,
}

/// The kernel's bridge.
pub struct Kernel {
    /// The hosts' ends.
    pub sockets: Vec<FrameSocket>,
    links: Links,
    /// The numbers of the bridge's members.
    members: Vec<u32>,
}

impl Kernel {
    pub fn new(setting: Setting) -> Kernel {
        let namespace = silent_namespace();
        let mut links = namespace.links().unwrap();
        links.add_bridge("br").unwrap();
        links.set_bridge_snooping("br", false).unwrap();
        let centiseconds = setting.ageing.as_millis() as u32 / 10;
        links.set_bridge_ageing("br", centiseconds).unwrap();
        if setting.wire {
            links.set_bridge_group_fwd_mask("br", GROUP_FWD_MASK).unwrap();
        }
        links.set_up("br").unwrap();
        let mut members = Vec::new();
        for (port, mtu) in MTUS.iter().enumerate() {
            let (member, host) = (format!("p{port}"), format!("h{port}"));
            links.add_veth(&member, None, &host).unwrap();
            // The host takes all that the bridge sends: what is compared is the bridge's limit.
            links.set_mtu(&host, 9100).unwrap();
            links.set_mtu(&member, *mtu as u32).unwrap();
            links.set_master(&member, Some("br")).unwrap();
            links.set_up(&member).unwrap();
            links.set_up(&host).unwrap();
            members.push(links.expect(&member).unwrap().index);
        }
        for port in 0..PORTS {
            for end in ["p", "h"] {
                assert!(links.wait_running(&format!("{end}{port}"), PATIENCE).unwrap());
            }
        }
        Kernel { sockets: sockets(&namespace, "h"), links, members }
    }

    /// What it has learned.
    pub fn table(&mut self) -> Table {
        let entries = self.links.fdb("br").unwrap();
        let learned = entries.into_iter().filter(|entry| entry.learned);
        let place = |link| self.members.iter().position(|member| *member == link);
        learned.map(|entry| (entry.mac, place(entry.link).expect("a member"))).collect()
    }
}

/// The switch.
pub struct Switch {
    /// The hosts' ends.
    pub sockets: Vec<FrameSocket>,
    handle: Handle<Tap>,
}

impl Switch {
    pub fn new(setting: Setting) -> Switch {
        let namespace = silent_namespace();
        let mut config = SwitchConfig { workers: setting.workers, ..SwitchConfig::default() };
        config.fdb = FdbConfig { ageing: setting.ageing, ..FdbConfig::new(FDB_SIZE) };
        if setting.wire {
            config.group_forward = GroupForward::Wire;
        }
        let mut handle = switch::start(&config).unwrap();
        for (port, mtu) in MTUS.iter().enumerate() {
            let name = format!("t{port}");
            let netns = Some(namespace.clone());
            let mtu = Some(*mtu as u32);
            let tap = Tap::open(&TapConfig { netns, mtu, ..TapConfig::named(&name) }).unwrap();
            let id = handle.add(PortConfig::named(name), tap).unwrap();
            assert_eq!(id.index(), port);
        }
        Switch { sockets: sockets(&namespace, "t"), handle }
    }

    /// What it has learned.
    pub fn table(&self) -> Table {
        let entries = self.handle.fdb().entries(self.handle.now());
        entries.map(|entry| (entry.mac.octets(), entry.port.index())).collect()
    }
}

fn silent_namespace() -> Namespace {
    let namespace = Namespace::new().unwrap();
    for which in ["all", "default"] {
        let name = format!("net/ipv6/conf/{which}/disable_ipv6");
        namespace.set_sysctl(&name, "1").unwrap();
    }
    namespace
}

fn sockets(namespace: &Namespace, name: &str) -> Vec<FrameSocket> {
    let open = |port| FrameSocket::open(namespace, &format!("{name}{port}")).unwrap();
    (0..PORTS).map(open).collect()
}
