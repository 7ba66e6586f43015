//! From a spec to what is open: one function for each kind of port. It takes the rights that a
//! switch needs, and nothing here is on the way of what it does from then on: so it may be another
//! process that calls this (opener.rs).

use std::{fs, io};

use netlab::{Created, LinkWatch, Links, Namespace, Prefix};
use nix::unistd::User;

use super::{
    Opened, made,
    origin::{Device, NOTHING, Origin, Outcome, Watched},
};
use crate::{
    frame::Mac,
    port::{
        any::AnyPort,
        macvtap::{Macvtap, MacvtapConfig},
        packet::{Host, Packet, PacketConfig},
        pcap::{Files, Pcap, PcapConfig},
        socket::{DgramConfig, Socket, UdpConfig},
        stream::{self, Listener, StreamConfig},
        tap::{Tap, TapConfig, TapError},
        tun::{Tun, TunConfig},
        vde::{Vde, VdeConfig},
        vhost::{Vhost, VhostConfig},
    },
    switch::PortConfig,
    topology::{
        DgramSpec, HostSpec, MacvlanSpec, PacketSpec, PcapSpec, PortKind, PortSpec, Side,
        StreamSpec, TapSpec, TunSpec, UdpSpec, VdeSpec, VethSpec, VhostSpec,
    },
};

/// The MTU of a port that has no device to ask.
const MTU_DEFAULT: u32 = 1500;

/// A plug that is to be opened.
struct Opening<'a> {
    spec: &'a PortSpec,
    /// The namespace that its spec names.
    netns: Option<Namespace>,
    /// The namespaces that are watched.
    watched: &'a [Namespace],
}

/// Opens a plug. `watched`: the namespaces whose links are watched, each by its place.
///
/// # Errors
///
/// A sentence that says what is wrong, and what helps.
pub(super) fn open(spec: &PortSpec, watched: &[Namespace]) -> Result<Outcome, String> {
    let netns = spec.netns.as_deref().map(Namespace::open).transpose().map_err(reason)?;
    let opening = Opening { spec, netns, watched };
    match &spec.kind {
        PortKind::Tap(tap) => opening.tap(tap),
        PortKind::Packet(packet) => opening.packet(packet),
        PortKind::Macvtap(macvtap) => opening.macvtap(macvtap),
        PortKind::Macvlan(macvlan) => opening.macvlan(macvlan),
        PortKind::Veth(veth) => opening.veth(veth),
        PortKind::Host(host) => opening.host(host),
        PortKind::Stream(stream) => opening.stream(stream),
        PortKind::Dgram(dgram) => opening.dgram(dgram),
        PortKind::Udp(udp) => opening.udp(udp),
        PortKind::Vde(vde) => opening.vde(vde),
        PortKind::Pcap(pcap) => opening.pcap(pcap),
        PortKind::Tun(tun) => opening.tun(tun),
        PortKind::Vhost(vhost) => opening.vhost(vhost),
    }
}

impl Opening<'_> {
    fn tap(self, tap: &TapSpec) -> Result<Outcome, String> {
        if tap.side == Side::Netdev {
            return self.tap_netdev(tap);
        }
        match self.open_tap(tap) {
            Ok((opened, made)) => Ok(Outcome { made, stays: true, ..once(opened) }),
            // The other side is free, for a virtual machine has this one.
            Err(error) if error.is_held() && tap.side == Side::Auto => {
                let held = without(&tap.device, &error.to_string());
                let held = held.split(':').next().unwrap_or_default().to_owned();
                self.netdev(
                    &tap.device,
                    Host::Drop,
                    None,
                    &format!("{held}, so served from its netdev"),
                )
            }
            Err(error) => Err(without(&tap.device, &error.to_string())),
        }
    }

    /// With what is to be removed again if another port does not open, for it would stay.
    fn open_tap(&self, tap: &TapSpec) -> Result<(Opened, Option<Created>), TapError> {
        let config = TapConfig {
            name: tap.device.clone(),
            netns: self.netns.clone(),
            mtu: self.spec.mtu,
            mac: tap.mac,
            queues: tap.queues,
            persist: tap.persist.unwrap_or(false),
        };
        let port = Tap::open(&config)?;
        let done = describe(how(port.created()), port.mtu(), port.offloads());
        let warnings = port.warnings().to_vec();
        let stays = port.created() && config.persist;
        let made = stays.then(|| Created::new(&self.namespace().ok()?, &tap.device).ok());
        let config = config_of(self.spec);
        Ok((Opened { config, done, warnings, port: port.into() }, made.flatten()))
    }

    /// A TAP whose descriptor is for a virtual machine, made if it is not there.
    fn tap_netdev(self, tap: &TapSpec) -> Result<Outcome, String> {
        let namespace = self.namespace().map_err(reason)?;
        let mut links = namespace.links().map_err(reason)?;
        let there = links.get(&tap.device).map_err(reason)?;
        let (mut made, stays) = (None, tap.persist != Some(false));
        match there {
            Some(link) if !link.tun.as_ref().is_some_and(|tun| tun.tap) => {
                let kind = link.kind.as_deref().unwrap_or("hardware").to_owned();
                return Err(format!(
                    "it is there already, but as a {kind} device and not as a TAP; \
                     `packet:{}` serves any device",
                    tap.device
                ));
            }
            Some(_) => {}
            None => {
                let owner = tap.owner.as_deref().map(user).transpose()?;
                let created = netlab::tap_persistent(&namespace, &tap.device, owner, false)
                    .and_then(|()| Created::new(&namespace, &tap.device));
                made = Some(created.map_err(reason)?);
            }
        }
        let set_mac = |mac: Mac| links.set_mac(&tap.device, mac.octets());
        tap.mac.map_or(Ok(()), set_mac).map_err(reason)?;
        let done = match (&made, stays) {
            (None, _) => "served from its netdev, waiting for who attaches to it",
            (_, true) => "created (it stays), served from its netdev for who attaches to it",
            (_, false) => "created, served from its netdev for who attaches to it",
        };
        let outcome = self.netdev(&tap.device, Host::Drop, made, done)?;
        Ok(Outcome { stays, ..outcome })
    }

    fn packet(self, packet: &PacketSpec) -> Result<Outcome, String> {
        let host = match packet.keep_host {
            None => Host::Auto,
            Some(true) => Host::Keep,
            Some(false) => Host::Drop,
        };
        self.netdev(&packet.device, host, None, "opened")
    }

    fn macvtap(self, macvtap: &MacvlanSpec) -> Result<Outcome, String> {
        let MacvlanSpec { device: name, lower, mode, mac } = macvtap.clone();
        let (netns, mtu) = (self.netns.clone(), self.spec.mtu);
        let config = MacvtapConfig { name, netns, lower, mode, mtu, mac };
        let device = Device::Macvtap(config);
        if macvtap.lower.is_some() {
            let namespace = device.namespace();
            namespace.and_then(|there| made::clear(&there, device.name())).map_err(reason)?;
        }
        self.device(device, None, None)
    }

    fn macvlan(self, macvlan: &MacvlanSpec) -> Result<Outcome, String> {
        let MacvlanSpec { device, lower, mode, mac } = macvlan;
        let lower = lower.as_deref().expect("a macvlan without one is refused as it is read");
        let add = |links: &mut Links| links.add_macvlan(device, lower, *mode);
        let finish =
            |links: &mut Links| mac.map_or(Ok(()), |mac| links.set_mac(device, mac.octets()));
        let made = self.make(device, add, finish)?;
        self.netdev(device, Host::Drop, Some(made), &format!("created on {lower}"))
    }

    /// Here `netns` is where the other end goes; ours is where we are.
    fn veth(self, veth: &VethSpec) -> Result<Outcome, String> {
        let VethSpec { device, peer, addresses, mac } = veth;
        let far = self.netns.clone();
        let here = Opening { netns: None, ..self };
        let mtu = here.spec.mtu;
        let add = |links: &mut Links| links.add_veth(device, far.as_ref(), peer);
        let finish = |_: &mut Links| {
            let mut there = far.as_ref().map_or_else(Links::here, Namespace::links)?;
            mtu.map_or(Ok(()), |mtu| there.set_mtu(peer, mtu))?;
            mac.map_or(Ok(()), |mac| there.set_mac(peer, mac.octets()))?;
            there.set_up(peer)?;
            addresses.iter().try_for_each(|address| there.add_address(peer, *address))
        };
        let made = here.make(device, add, finish)?;
        here.netdev(device, Host::Drop, Some(made), &format!("created with {peer}"))
    }

    fn host(self, host: &HostSpec) -> Result<Outcome, String> {
        let HostSpec { device, addresses, mac } = host;
        // The same at each start, so that the others need not learn it again.
        let mac = Some(mac.unwrap_or_else(|| stable_mac(&self.spec.name)));
        let device = device.clone();
        let (side, owner, queues, persist) = (Side::Descriptor, None, 1, None);
        let tap = TapSpec { device, side, owner, mac, queues, persist };
        let opened = self.open_tap(&tap);
        let (mut opened, _) = opened.map_err(|error| without(&tap.device, &error.to_string()))?;
        self.address(&tap.device, addresses, &mut opened)?;
        Ok(once(opened))
    }

    /// Gives this machine addresses on a device that is open.
    fn address(&self, device: &str, to: &[Prefix], opened: &mut Opened) -> Result<(), String> {
        let mut links = self.links().map_err(reason)?;
        for address in to {
            match links.add_address(device, *address) {
                Err(error) if netlab::errno(&error) != Some(libc::EEXIST) => {
                    return Err(reason(error));
                }
                _ => opened.done.push_str(&format!(", {address}")),
            }
        }
        Ok(())
    }

    fn tun(self, tun: &TunSpec) -> Result<Outcome, String> {
        let config = TunConfig {
            name: tun.device.clone(),
            netns: self.netns.clone(),
            mtu: self.spec.mtu,
            queues: tun.queues,
            persist: tun.persist.unwrap_or(false),
            leg: tun.leg,
        };
        let port = Tun::open(&config).map_err(|e| without(&tun.device, &e.to_string()))?;
        let device = port.device();
        let stays = device.created() && config.persist;
        let made = stays.then(|| Created::new(&self.namespace().ok()?, &tun.device).ok());
        let done = describe(how(device.created()), device.mtu(), device.offloads());
        let warnings = device.warnings().to_vec();
        let mut opened = Opened { warnings, ..self.opened(port, done) };
        self.address(&tun.device, &tun.host, &mut opened)?;
        Ok(Outcome { made: made.flatten(), stays: true, ..once(opened) })
    }

    fn stream(self, stream: &StreamSpec) -> Result<Outcome, String> {
        let config = stream_config(self.spec, stream);
        if !stream.connect {
            let listener = Listener::bind(&config).map_err(|error| error.to_string())?;
            return Ok(Outcome { origin: Origin::Stream(listener), ..NOTHING });
        }
        let port = match stream::connect(&config) {
            Ok(port) => Some(port),
            Err(error) if error.is_passing() => None,
            Err(error) => return Err(error.to_string()),
        };
        let done = format!("connected, MTU {}", config.mtu);
        let opened = port.map(|port| self.opened(port, done));
        Ok(Outcome { origin: Origin::Connection, opened, ..NOTHING })
    }

    fn dgram(self, dgram: &DgramSpec) -> Result<Outcome, String> {
        let DgramSpec { local, remote } = dgram.clone();
        let mtu = mtu_of(self.spec);
        let port = Socket::dgram(&DgramConfig { local, remote, mtu });
        let port = port.map_err(|error| error.to_string())?;
        let remote = dgram.remote.display();
        Ok(once(self.opened(port, format!("bound, its other end is {remote}, MTU {mtu}"))))
    }

    fn udp(self, udp: &UdpSpec) -> Result<Outcome, String> {
        let UdpSpec { local, remote } = *udp;
        let mtu = mtu_of(self.spec);
        let port = Socket::udp(&UdpConfig { local, remote, netns: self.netns.clone(), mtu });
        let port = port.map_err(|error| error.to_string())?;
        Ok(once(self.opened(port, format!("bound, its other end is {remote}, MTU {mtu}"))))
    }

    fn vde(self, vde: &VdeSpec) -> Result<Outcome, String> {
        let mtu = mtu_of(self.spec);
        let vde = Vde::listen(&VdeConfig { mtu, ..VdeConfig::new(&vde.folder) });
        let vde = vde.map_err(|error| error.to_string())?;
        Ok(Outcome { origin: Origin::Vde(vde), ..NOTHING })
    }

    fn vhost(self, vhost: &VhostSpec) -> Result<Outcome, String> {
        let (path, mtu) = (vhost.path.clone(), mtu_of(self.spec));
        let port = Vhost::open(&VhostConfig { path, mtu }).map_err(|error| error.to_string())?;
        Ok(once(self.opened(port, format!("listens for a virtual machine, MTU {mtu}"))))
    }

    fn pcap(self, pcap: &PcapSpec) -> Result<Outcome, String> {
        let files = Files::open(&pcap_config(self.spec, pcap)).map_err(|e| e.to_string())?;
        Ok(once(open_files(self.spec, pcap, files)?))
    }

    fn opened(&self, port: impl Into<AnyPort>, done: String) -> Opened {
        let (config, warnings) = (config_of(self.spec), Vec::new());
        Opened { config, port: port.into(), done, warnings }
    }

    /// A device that is served by its netdev.
    fn netdev(
        self,
        device: &str,
        host: Host,
        made: Option<Created>,
        done: &str,
    ) -> Result<Outcome, String> {
        let (netns, mtu) = (self.netns.clone(), self.spec.mtu);
        let config = PacketConfig { device: device.to_owned(), netns, mtu, host };
        self.device(Device::Packet(config), made, Some(done))
    }

    /// A device that is followed through its lives.
    fn device(
        self,
        device: Device,
        made: Option<Created>,
        done: Option<&str>,
    ) -> Result<Outcome, String> {
        // First the watch: what happens after the opening must be told.
        let namespace = device.namespace().map_err(reason)?;
        let known = self.watched.iter().position(|known| *known == namespace);
        let watched = match known {
            Some(_) => None,
            None => Some(Watched {
                events: LinkWatch::open(&namespace).map_err(reason)?,
                links: namespace.links().map_err(reason)?,
            }),
        };
        let watch = known.unwrap_or(self.watched.len());
        let (mut opened, index) = open_device(self.spec, &device)?;
        if let Some(done) = done {
            opened.done = format!("{done}, {}", opened.done);
        }
        let origin = Origin::Device { watch, watched, index };
        Ok(Outcome { origin, opened: Some(opened), made, device: Some(device), ..NOTHING })
    }

    /// Makes a device that goes with the plug, and at once if it cannot be finished.
    fn make(
        &self,
        device: &str,
        add: impl FnOnce(&mut Links) -> io::Result<()>,
        finish: impl FnOnce(&mut Links) -> io::Result<()>,
    ) -> Result<Created, String> {
        let namespace = self.namespace().map_err(reason)?;
        made::make(&namespace, device, add, finish).map_err(denied)
    }

    /// The plug's namespace.
    fn namespace(&self) -> io::Result<Namespace> {
        self.netns.clone().map_or_else(Namespace::current, Ok)
    }

    /// The links of the plug's namespace.
    fn links(&self) -> io::Result<Links> {
        self.netns.as_ref().map_or_else(Links::here, Namespace::links)
    }
}

/// Opens a device, and says which number it has.
///
/// # Errors
///
/// A sentence that says what is wrong, and what helps.
pub(super) fn open_device(spec: &PortSpec, device: &Device) -> Result<(Opened, u32), String> {
    let config = config_of(spec);
    let failed = |error: &dyn std::fmt::Display| without(device.name(), &error.to_string());
    match device {
        Device::Packet(asked) => {
            let port = Packet::open(asked).map_err(|error| failed(&error))?;
            let (index, warnings) = (port.index(), port.warnings().to_vec());
            let done = describe("packet socket", port.mtu(), port.offloads());
            Ok((Opened { config, done, warnings, port: port.into() }, index))
        }
        Device::Macvtap(asked) => {
            let port = Macvtap::open(asked).map_err(|error| failed(&error))?;
            let (index, warnings) = (port.index(), port.warnings().to_vec());
            let done = describe(how(port.created()), port.mtu(), port.offloads());
            Ok((Opened { config, done, warnings, port: port.into() }, index))
        }
    }
}

/// The port of captures whose files are open.
///
/// # Errors
///
/// A sentence: what is in them is no capture.
pub(super) fn open_files(spec: &PortSpec, pcap: &PcapSpec, files: Files) -> Result<Opened, String> {
    let port = Pcap::of(&pcap_config(spec, pcap), files).map_err(|error| error.to_string())?;
    let show = |path: &std::path::PathBuf| path.display().to_string();
    let played = pcap.input.as_ref().map(|path| format!("plays {}", show(path)));
    let recorded = pcap.output.as_ref().map(|path| format!("records into {}", show(path)));
    let done = played.into_iter().chain(recorded).collect::<Vec<_>>().join(", ");
    let (config, warnings) = (config_of(spec), Vec::new());
    Ok(Opened { config, port: port.into(), done, warnings })
}

/// What a port of captures is to be like.
pub(super) fn pcap_config(spec: &PortSpec, pcap: &PcapSpec) -> PcapConfig {
    let PcapSpec { input, output, speed } = pcap.clone();
    PcapConfig { input, output, speed, mtu: spec.mtu.unwrap_or(PcapConfig::new().mtu) }
}

/// What makes a connection again.
pub(super) fn reconnect(spec: &PortSpec) -> impl Fn() -> Option<AnyPort> + Send + use<> {
    let config = match &spec.kind {
        PortKind::Stream(stream) => Some(stream_config(spec, stream)),
        _ => None,
    };
    move || stream::connect(config.as_ref()?).ok().map(AnyPort::from)
}

/// The MTU of a port that has no device to ask.
pub(super) fn mtu_of(spec: &PortSpec) -> u32 {
    spec.mtu.unwrap_or(MTU_DEFAULT)
}

/// What a port on a stream socket is to be like.
pub(super) fn stream_config(spec: &PortSpec, stream: &StreamSpec) -> StreamConfig {
    let StreamSpec { path, connect } = stream.clone();
    StreamConfig { path, connect, mtu: mtu_of(spec) }
}

/// An address for this machine by this name: locally administered (IEEE 802-2014, 8.2.2), and the
/// same each time.
fn stable_mac(name: &str) -> Mac {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    // FNV-1a: it need not be secret, only spread.
    let spread = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3);
    let hash = machine.bytes().chain(name.bytes()).fold(0xcbf2_9ce4_8422_2325, spread);
    let [_, _, octets @ ..] = hash.to_be_bytes();
    Mac::new([octets[0] & 0xfc | 2, octets[1], octets[2], octets[3], octets[4], octets[5]])
}

/// A port that comes once.
fn once(opened: Opened) -> Outcome {
    Outcome { opened: Some(opened), ..NOTHING }
}

pub(super) fn config_of(spec: &PortSpec) -> PortConfig {
    PortConfig { quota: spec.quota, ..PortConfig::named(&spec.name) }
}

/// How a device was opened.
fn how(created: bool) -> &'static str {
    if created { "created" } else { "attached (it was there, and stays)" }
}

fn describe(done: &str, mtu: u32, offloads: impl Iterator<Item = &'static str>) -> String {
    let offloads: Vec<_> = offloads.collect();
    match &*offloads {
        [] => format!("{done}, MTU {mtu}, no offloads"),
        names => format!("{done}, MTU {mtu}, offloads {}", names.join(" ")),
    }
}

/// The number of a user, by name or number.
fn user(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let found = User::from_name(text).map_err(|error| reason(error.into()))?;
    found.map(|user| user.uid.as_raw()).ok_or_else(|| format!("there is no user `{text}`"))
}

fn reason(error: io::Error) -> String {
    netlab::reason(&error)
}

/// Why a device was not made.
fn denied(error: io::Error) -> String {
    let help = match netlab::errno(&error) {
        Some(libc::EPERM) => {
            "; CAP_NET_ADMIN is needed for that: run this with sudo, or give the program the right \
             with `sudo setcap cap_net_admin,cap_net_raw+ep $(command -v uswitch)`"
        }
        _ => "",
    };
    reason(error) + help
}

/// The sentence without the name at its head: the port's name will stand there.
fn without(name: &str, sentence: &str) -> String {
    sentence.strip_prefix(&format!("{name}: ")).unwrap_or(sentence).to_owned()
}
