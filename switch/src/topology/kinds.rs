//! The kinds of port: one row each in [`KINDS`], one variant of [`PortKind`], and one function
//! that turns the words and options of a spec into it. Help, manual page and `uswitch port kinds`
//! are made from the same rows.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use netlab::{MacvlanMode, Prefix};

mod path;
mod tun;
mod vhost;

pub use tun::{TUN, TUN_REFUSED, TunSpec};
pub use vhost::VhostSpec;

use self::path::{parse_path, stem};
use super::{
    fields::{Fields, Setting, check_device, parse_mac},
    number,
};
use crate::{
    frame::Mac,
    port::{pcap::Speed, stream, vde},
};

/// Queues that one TAP can have (drivers/net/tun.c, `MAX_TAP_QUEUES`).
pub const QUEUES_RANGE: RangeInclusive<u16> = 1..=256;

/// Kinds of port: the first is meant when a spec names none.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tap",
        words: &["DEVICE"],
        about: "a TAP, made if it is not there",
        example: "tap:tap0,netns=h1,mtu=9000",
        options: &[
            setting("side", "auto|fd|netdev", "which side is ours; the other is a guest's"),
            setting("owner", "USER", "who may attach to the TAP that side=netdev makes"),
            setting("mac", "ADDRESS", "MAC address of the host's end"),
            setting("queues", "N", "queues of the device, 1 to 256"),
            setting("persist", "on|off", "the device stays at the end"),
        ],
        parse: tap,
    },
    Kind {
        name: "packet",
        words: &["DEVICE"],
        about: "any network device: a veth, a card, a TAP's other side",
        example: "packet:veth0,netns=h1",
        options: &[HOST],
        parse: packet,
    },
    Kind {
        name: "macvtap",
        words: &["DEVICE"],
        about: "a macvtap, made on a lower device if lower= is given",
        example: "macvtap:mvt0,lower=eth0,mode=bridge",
        options: &[LOWER, MODE, setting("mac", "ADDRESS", "MAC address of the device")],
        parse: macvtap,
    },
    Kind {
        name: "macvlan",
        words: &["DEVICE"],
        about: "a macvlan, made on a lower device",
        example: "macvlan:mv0,lower=eth0",
        options: &[LOWER, MODE, setting("mac", "ADDRESS", "MAC address of the device")],
        parse: macvlan,
    },
    Kind {
        name: "veth",
        words: &["DEVICE"],
        about: "a veth pair, made: our end here, the other in a container",
        example: "veth:lab1,peer=eth0,netns=h1",
        options: &[
            setting("peer", "DEVICE", "name of the other end, which goes to netns="),
            many("addr", "ADDRESS/BITS", "an address of the other end; as many as you like"),
            setting("mac", "ADDRESS", "MAC address of the other end"),
        ],
        parse: veth,
    },
    Kind {
        name: "host",
        words: &["DEVICE"],
        about: "this machine itself, by a TAP of ours with addresses",
        example: "host:lan0,addr=10.0.0.1/24,addr=fd00::1/64",
        options: &[
            many("addr", "ADDRESS/BITS", "an address of the machine there; as many as you like"),
            setting("mac", "ADDRESS", "MAC address of the machine there"),
        ],
        parse: host,
    },
    Kind {
        name: "stream",
        words: &["PATH"],
        about: "a stream socket, for QEMU and passt: a port for each client",
        example: "stream:/run/vm.sock",
        options: &[setting("connect", "on|off", "connect to a server there; off: we listen")],
        parse: stream,
    },
    Kind {
        name: "dgram",
        words: &["LOCAL", "REMOTE"],
        about: "a pair of datagram sockets, for QEMU and vfkit",
        example: "dgram:/run/switch.sock,/run/vm.sock",
        options: &[],
        parse: dgram,
    },
    Kind {
        name: "udp",
        words: &["LOCAL", "REMOTE"],
        about: "Ethernet over UDP, for QEMU and others",
        example: "udp:127.0.0.1:5001,127.0.0.1:5002",
        options: &[],
        parse: udp,
    },
    Kind {
        name: "vde",
        words: &["FOLDER"],
        about: "a VDE switch: vde_plug, QEMU; a port for each client",
        example: "vde:/run/vde.ctl",
        options: &[],
        parse: vde,
    },
    vhost::KIND,
    Kind {
        name: "pcap",
        words: &[],
        about: "a capture that is played, a file that records what leaves",
        example: "pcap:in=yesterday.pcap,out=today.pcapng,speed=2x",
        options: &[
            setting("in", "FILE", "what is played, pcap or pcapng"),
            setting("out", "FILE", "what is written, anew: pcapng, or pcap by its name"),
            setting("speed", "original|Nx|N|top", "as captured, N times that, N frames/s, full"),
        ],
        parse: pcap,
    },
];

/// Options that every kind of port has.
pub const COMMON: &[Setting] = &[
    setting("netns", "NAME|PATH|PID", "network namespace of the device or socket"),
    setting("mtu", "OCTETS", "largest payload, 68 to 65521; a device's MTU is set to it"),
    setting("name", "NAME", "name in tables, if not the device's"),
    setting("quota", "N", "addresses learned behind it, at most"),
    setting("bridge", "NAME", "the bridge that it is in, if not `br`"),
];

/// One kind of port: a row of [`KINDS`].
#[derive(Debug)]
pub struct Kind {
    /// The word before the colon.
    pub name: &'static str,
    /// What stands behind the colon, separated by commas; if nothing, options do.
    pub words: &'static [&'static str],
    /// What it is, in a few words.
    pub about: &'static str,
    /// A spec that could be typed.
    pub example: &'static str,
    /// Its options, besides [`COMMON`].
    pub options: &'static [Setting],
    pub(super) parse: fn(&mut Fields<'_>) -> Option<PortKind>,
}

impl Kind {
    /// How it is written, without options.
    pub fn form(&self) -> String {
        format!("{}:{}", self.name, self.words.join(","))
    }
}

const fn setting(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: false }
}

const fn many(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: true }
}

/// What a port is.
#[derive(Clone, Debug, PartialEq)]
pub enum PortKind {
    /// A TAP.
    Tap(TapSpec),
    /// Any network device, by a packet socket.
    Packet(PacketSpec),
    /// A macvtap.
    Macvtap(MacvlanSpec),
    /// A macvlan, by a packet socket.
    Macvlan(MacvlanSpec),
    /// A veth pair, of which we serve one end.
    Veth(VethSpec),
    /// The machine itself.
    Host(HostSpec),
    /// A stream socket.
    Stream(StreamSpec),
    /// A pair of unix datagram sockets.
    Dgram(DgramSpec),
    /// Ethernet over UDP.
    Udp(UdpSpec),
    /// A VDE switch.
    Vde(VdeSpec),
    /// Captures.
    Pcap(PcapSpec),
    /// A TUN.
    Tun(TunSpec),
    /// A virtual machine.
    Vhost(VhostSpec),
}

impl PortKind {
    /// What a port of this kind is called, unless somebody gives it a name.
    pub fn name(&self) -> String {
        match self {
            PortKind::Stream(StreamSpec { path, .. }) | PortKind::Vhost(VhostSpec { path }) => {
                stem(path)
            }
            PortKind::Dgram(DgramSpec { local, .. }) => stem(local),
            PortKind::Udp(UdpSpec { local, .. }) => format!("udp-{}", local.port()),
            PortKind::Vde(VdeSpec { folder }) => stem(folder),
            PortKind::Pcap(PcapSpec { input, output, .. }) => {
                output.as_deref().or(input.as_deref()).map(stem).unwrap_or_default()
            }
            device => device.device().unwrap_or_default().to_owned(),
        }
    }

    /// The network device that it is, or has.
    pub fn device(&self) -> Option<&str> {
        match self {
            PortKind::Tap(TapSpec { device, .. })
            | PortKind::Packet(PacketSpec { device, .. })
            | PortKind::Macvtap(MacvlanSpec { device, .. })
            | PortKind::Macvlan(MacvlanSpec { device, .. })
            | PortKind::Veth(VethSpec { device, .. })
            | PortKind::Host(HostSpec { device, .. })
            | PortKind::Tun(TunSpec { device, .. }) => Some(device),
            _ => None,
        }
    }

    /// How many receiving halves it may have at a time, those of all clients together.
    pub fn queues_max(&self) -> usize {
        match self {
            PortKind::Stream(StreamSpec { connect: false, .. }) => stream::CLIENTS_MAX,
            PortKind::Vde(_) => vde::CLIENTS_MAX,
            PortKind::Tap(tap) => usize::from(tap.queues),
            PortKind::Tun(tun) => usize::from(tun.queues),
            _ => 1,
        }
    }
}

/// A TAP as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct TapSpec {
    /// The device's name.
    pub device: String,
    /// Which side of it is ours.
    pub side: Side,
    /// A user who may attach to the device that [`Side::Netdev`] makes: a name or a number.
    pub owner: Option<String>,
    /// The address of the host's end. `None`: as the device has it.
    pub mac: Option<Mac>,
    /// How many queues.
    pub queues: u16,
    /// Whether the device stays at the end, if it was not there before (then it always does).
    /// `None`: as is said for all ports.
    pub persist: Option<bool>,
}

/// The sides of a TAP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Its descriptor, unless another program holds that: then its netdev.
    #[default]
    Auto,
    /// Its descriptor: behind the netdev is the host.
    Descriptor,
    /// Its netdev: the descriptor is for a virtual machine, whenever it comes.
    Netdev,
}

fn tap(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let side = fields.parse("side", |text| match text {
        "auto" => Ok(Side::Auto),
        "fd" => Ok(Side::Descriptor),
        "netdev" => Ok(Side::Netdev),
        _ => Err(format!("side `{text}` is neither `auto`, `fd` nor `netdev`")),
    });
    let side = side.unwrap_or_default();
    let owner = fields.text("owner");
    let mac = fields.parse("mac", parse_mac);
    let queues = fields.parse("queues", |text| number(text, "queues", QUEUES_RANGE)).unwrap_or(1);
    let persist = fields.switch("persist");
    if owner.is_some() && side != Side::Netdev {
        fields.faults.push("owner= goes with side=netdev: a TAP of ours is held by us");
    }
    if queues > 1 && side == Side::Netdev {
        fields.faults.push("queues= goes with the descriptor side: leave it out, or side=netdev");
    }
    Some(PortKind::Tap(TapSpec { device: device?, side, owner, mac, queues, persist }))
}

/// Any network device.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketSpec {
    /// The device's name.
    pub device: String,
    /// Whether the host's own stack gets what comes in there too. `None`: on a card, no on others.
    pub keep_host: Option<bool>,
}

const HOST: Setting = setting("host", "drop|keep", "what comes in there is kept from this host");

fn packet(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let keep_host = fields.parse("host", |text| match text {
        "keep" => Ok(true),
        "drop" => Ok(false),
        _ => Err(format!("host `{text}` is neither `drop` nor `keep`")),
    });
    Some(PortKind::Packet(PacketSpec { device: device?, keep_host }))
}

/// A macvlan or macvtap as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct MacvlanSpec {
    /// The device's name.
    pub device: String,
    /// The device on which it is made. `None`: it is there.
    pub lower: Option<String>,
    /// What passes between those that share the lower device.
    pub mode: MacvlanMode,
    /// The device's address. `None`: as the device has it.
    pub mac: Option<Mac>,
}

const LOWER: Setting = setting("lower", "DEVICE", "the device on which it is made");
const MODE: Setting = setting("mode", "MODE", "bridge, vepa, private or passthru: who hears whom");

fn macvtap(fields: &mut Fields<'_>) -> Option<PortKind> {
    macvlan_spec(fields).map(PortKind::Macvtap)
}

fn macvlan(fields: &mut Fields<'_>) -> Option<PortKind> {
    let spec = macvlan_spec(fields)?;
    fields.require(spec.lower.as_ref(), "lower", "one that is there already is `packet:DEVICE`")?;
    Some(PortKind::Macvlan(spec))
}

fn macvlan_spec(fields: &mut Fields<'_>) -> Option<MacvlanSpec> {
    let device = fields.word(0, check_device);
    let lower = fields.parse("lower", check_device);
    let mode = fields.parse("mode", |text| text.parse().map_err(|error| format!("{error}")));
    if mode.is_some() && lower.is_none() && !fields.has("lower") {
        fields.faults.push("mode= goes with lower=: one that is there already has its mode");
    }
    let mac = fields.parse("mac", parse_mac);
    Some(MacvlanSpec { device: device?, lower, mode: mode.unwrap_or(MacvlanMode::Bridge), mac })
}

/// A veth pair as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct VethSpec {
    /// The name of our end.
    pub device: String,
    /// The name of the other end.
    pub peer: String,
    /// Addresses of the other end.
    pub addresses: Vec<Prefix>,
    /// The MAC address of the other end. `None`: as the kernel draws it.
    pub mac: Option<Mac>,
}

fn veth(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let peer = fields.parse("peer", check_device);
    let peer = fields.require(peer, "peer", "it names the other end, as in peer=eth0,netns=h1");
    let addresses = fields.parse_all("addr", parse_prefix);
    let mac = fields.parse("mac", parse_mac);
    Some(PortKind::Veth(VethSpec { device: device?, peer: peer?, addresses, mac }))
}

/// The machine's own place on the switch.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpec {
    /// The name of the TAP by which the machine is reached.
    pub device: String,
    /// Its addresses there.
    pub addresses: Vec<Prefix>,
    /// Its MAC address there. `None`: as the device has it.
    pub mac: Option<Mac>,
}

fn host(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let addresses = fields.parse_all("addr", parse_prefix);
    let mac = fields.parse("mac", parse_mac);
    Some(PortKind::Host(HostSpec { device: device?, addresses, mac }))
}

fn parse_prefix(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|error| format!("addr `{text}`: {error}"))
}

/// A stream socket in the file system.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSpec {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is another's, to connect to; else we listen.
    pub connect: bool,
}

fn stream(fields: &mut Fields<'_>) -> Option<PortKind> {
    let path = fields.word(0, parse_path);
    let connect = fields.switch("connect").unwrap_or(false);
    Some(PortKind::Stream(StreamSpec { path: path?, connect }))
}

/// A pair of unix datagram sockets.
#[derive(Clone, Debug, PartialEq)]
pub struct DgramSpec {
    /// Where ours is made.
    pub local: PathBuf,
    /// Where the other's is.
    pub remote: PathBuf,
}

fn dgram(fields: &mut Fields<'_>) -> Option<PortKind> {
    let (local, remote) = (fields.word(0, parse_path), fields.word(1, parse_path));
    Some(PortKind::Dgram(DgramSpec { local: local?, remote: remote? }))
}

/// Two ends of a tunnel over UDP.
#[derive(Clone, Debug, PartialEq)]
pub struct UdpSpec {
    /// Ours.
    pub local: SocketAddr,
    /// The other's.
    pub remote: SocketAddr,
}

fn udp(fields: &mut Fields<'_>) -> Option<PortKind> {
    let address = |text: &str| {
        text.parse()
            .map_err(|_| format!("`{text}` is no address with a port, as in 127.0.0.1:5001"))
    };
    let (local, remote) = (fields.word(0, address), fields.word(1, address));
    Some(PortKind::Udp(UdpSpec { local: local?, remote: remote? }))
}

/// A VDE switch for clients.
#[derive(Clone, Debug, PartialEq)]
pub struct VdeSpec {
    /// The folder of its sockets.
    pub folder: PathBuf,
}

fn vde(fields: &mut Fields<'_>) -> Option<PortKind> {
    Some(PortKind::Vde(VdeSpec { folder: fields.word(0, parse_path)? }))
}

/// Captures in place of a station.
#[derive(Clone, Debug, PartialEq)]
pub struct PcapSpec {
    /// What is played.
    pub input: Option<PathBuf>,
    /// What is written.
    pub output: Option<PathBuf>,
    /// How fast the input is played.
    pub speed: Speed,
}

fn pcap(fields: &mut Fields<'_>) -> Option<PortKind> {
    let (input, output) = (fields.parse("in", parse_path), fields.parse("out", parse_path));
    let speed = fields.parse("speed", |text| text.parse().map_err(|e| format!("{e}")));
    if input == output {
        fields.faults.push(match input {
            None => "it needs in=FILE to play, or out=FILE to record, or both",
            Some(_) => "in= and out= are one file: what is to be played would be written over",
        });
        return None;
    }
    Some(PortKind::Pcap(PcapSpec { input, output, speed: speed.unwrap_or(Speed::Original(1.0)) }))
}
