//! Back to words: what a person would have to write to get what there is.

use std::fmt;

use netlab::Prefix;

use super::{
    BRIDGE_DEFAULT, DgramSpec, HostSpec, KINDS, Kind, MacvlanSpec, PacketSpec, PcapSpec, PortKind,
    PortSpec, RouterConfig, Side, StreamSpec, TUN, TapSpec, Topology, TunSpec, UdpSpec, VdeSpec,
    VethSpec, VhostSpec,
};
use crate::{
    bridge::GroupForward,
    port::{pcap::Speed, tun::TUN_LEG},
    switch::{BusyPoll, SwitchConfig},
};

/// Options of a port, each with its value.
type Options = Vec<(&'static str, String)>;

impl PortSpec {
    /// The kind, its words and the options by which [`PortSpec::read`] gives this again.
    ///
    /// # Panics
    ///
    /// Never: each kind has its row.
    pub fn emit(&self) -> (&'static Kind, Vec<String>, Options) {
        let PortSpec { name, quota, bridge, netns, mtu, kind } = self;
        let (row, words, mut options) = kind.emit();
        let row =
            KINDS.iter().chain([&TUN]).find(|kind| kind.name == row).expect("a row for each kind");
        option(&mut options, "netns", netns.as_ref());
        option(&mut options, "mtu", mtu.as_ref());
        option(&mut options, "name", (*name != kind.name()).then_some(name));
        option(&mut options, "quota", quota.as_ref());
        option(&mut options, "bridge", (bridge != BRIDGE_DEFAULT).then_some(bridge));
        (row, words, options)
    }
}

impl fmt::Display for PortSpec {
    /// As on a command line. Only a second word that begins with a comma cannot be written there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, words, options) = self.emit();
        let options = options.into_iter().map(|(name, value)| format!("{name}={value}"));
        let fields = words.into_iter().chain(options).map(|field| field.replace(',', ",,"));
        write!(f, "{}:{}", kind.name, fields.collect::<Vec<_>>().join(","))
    }
}

impl Topology {
    /// The settings of the switch, by their names on the command line without the dashes, in the
    /// words by which they are said in a file. Those that say nothing are left out.
    pub fn emit_settings(&self) -> Vec<(&'static str, String)> {
        let SwitchConfig { workers, cpus, busy_poll, fdb, group_forward } = &self.switch;
        let RouterConfig { icmp_rate, icmp_burst } = self.router;
        let routed = self.router != RouterConfig::default() || !self.legs.is_empty();
        let icmp = |number: u32| if routed { number.to_string() } else { String::new() };
        let routes = self.route_file.as_ref().map(|file| file.path().display().to_string());
        let on = |on: bool| if on { on_off(on) } else { "" };
        let workers = if self.workers_auto { "auto".into() } else { workers.to_string() };
        let cpus = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let busy_poll = match busy_poll {
            BusyPoll::Off => "off".to_owned(),
            BusyPoll::For(time) => time.as_micros().to_string(),
            BusyPoll::Always => "always".to_owned(),
        };
        let group_forward = match group_forward {
            GroupForward::Standard => "standard",
            GroupForward::Wire => "wire",
        };
        let settings = [
            ("workers", workers),
            ("cpus", cpus),
            ("busy-poll", busy_poll),
            ("group-forward", group_forward.to_owned()),
            ("mtu", self.defaults.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
            ("persist", on(self.defaults.persist).to_owned()),
            ("metrics", self.metrics.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("fdb-size", fdb.size.to_string()),
            ("fdb-quota", fdb.quota.to_string()),
            ("ageing", fdb.ageing.as_secs().to_string()),
            ("icmp-rate", icmp(icmp_rate)),
            ("icmp-burst", icmp(icmp_burst)),
            ("routes", routes.unwrap_or_default()),
        ];
        settings.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }
}

impl PortKind {
    fn emit(&self) -> (&'static str, Vec<String>, Options) {
        let mut options = Vec::new();
        let (name, words) = match self {
            PortKind::Tap(TapSpec { device, side, owner, mac, queues, persist }) => {
                let side = match side {
                    Side::Auto => None,
                    Side::Descriptor => Some("fd"),
                    Side::Netdev => Some("netdev"),
                };
                option(&mut options, "side", side);
                option(&mut options, "owner", owner.as_ref());
                option(&mut options, "mac", mac.as_ref());
                option(&mut options, "queues", (*queues > 1).then_some(queues));
                option(&mut options, "persist", persist.map(on_off));
                ("tap", vec![device.clone()])
            }
            PortKind::Packet(PacketSpec { device, keep_host }) => {
                let host = keep_host.map(|keep| if keep { "keep" } else { "drop" });
                option(&mut options, "host", host);
                ("packet", vec![device.clone()])
            }
            PortKind::Macvtap(spec) => ("macvtap", macvlan(spec, &mut options)),
            PortKind::Macvlan(spec) => ("macvlan", macvlan(spec, &mut options)),
            PortKind::Veth(VethSpec { device, peer, addresses, mac }) => {
                option(&mut options, "peer", Some(peer));
                options.extend(addresses.iter().map(address));
                option(&mut options, "mac", mac.as_ref());
                ("veth", vec![device.clone()])
            }
            PortKind::Host(HostSpec { device, addresses, mac }) => {
                options.extend(addresses.iter().map(address));
                option(&mut options, "mac", mac.as_ref());
                ("host", vec![device.clone()])
            }
            PortKind::Tun(TunSpec { device, host, leg, queues, persist }) => {
                options.extend(host.iter().map(|host| ("host", host.to_string())));
                option(&mut options, "leg", (*leg != TUN_LEG).then_some(leg));
                option(&mut options, "queues", (*queues > 1).then_some(queues));
                option(&mut options, "persist", persist.map(on_off));
                ("tun", vec![device.clone()])
            }
            PortKind::Stream(StreamSpec { path, connect }) => {
                option(&mut options, "connect", connect.then_some("on"));
                ("stream", vec![path.display().to_string()])
            }
            PortKind::Dgram(DgramSpec { local, remote }) => {
                ("dgram", [local, remote].map(|path| path.display().to_string()).to_vec())
            }
            PortKind::Udp(UdpSpec { local, remote }) => {
                ("udp", vec![local.to_string(), remote.to_string()])
            }
            PortKind::Vhost(VhostSpec { path }) => ("vhost-user", vec![path.display().to_string()]),
            PortKind::Vde(VdeSpec { folder }) => ("vde", vec![folder.display().to_string()]),
            PortKind::Pcap(PcapSpec { input, output, speed }) => {
                option(&mut options, "in", input.as_ref().map(|path| path.display()));
                option(&mut options, "out", output.as_ref().map(|path| path.display()));
                let speed = match speed {
                    Speed::Original(1.0) => None,
                    Speed::Original(factor) => Some(format!("{factor}x")),
                    Speed::Flat(frames) => Some(frames.to_string()),
                    Speed::Top => Some("top".to_owned()),
                };
                option(&mut options, "speed", speed);
                ("pcap", Vec::new())
            }
        };
        (name, words, options)
    }
}

fn macvlan(spec: &MacvlanSpec, options: &mut Options) -> Vec<String> {
    let MacvlanSpec { device, lower, mode, mac } = spec;
    option(options, "lower", lower.as_ref());
    option(options, "mode", lower.as_ref().map(|_| mode));
    option(options, "mac", mac.as_ref());
    vec![device.clone()]
}

fn option(options: &mut Options, name: &'static str, value: Option<impl fmt::Display>) {
    options.extend(value.map(|value| (name, value.to_string())));
}

fn address(prefix: &Prefix) -> (&'static str, String) {
    ("addr", prefix.to_string())
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_every_kind_comes_back() {
        let texts = [
            "tap:t,side=fd,mac=02:00:00:00:00:01,queues=4,persist=off,name=u,quota=7",
            "tap:t,side=netdev,owner=nobody,persist=on,netns=/run/a,,b,mtu=9000",
            "tap:t",
            "packet:eth0,host=keep",
            "packet:eth0,host=drop,netns=h1",
            "macvtap:m,lower=eth0,mode=passthru,mac=02:00:00:00:00:01",
            "macvtap:m",
            "macvlan:m,lower=eth0,mode=vepa,mac=02:00:00:00:00:01",
            "veth:v,peer=eth0,addr=10.0.0.2/24,addr=fd00::2/64,mac=02:00:00:00:00:01,netns=h1",
            "host:lan0,addr=10.0.0.1/24,addr=fd00::1/64,mac=02:00:00:00:00:01",
            "stream:/run/a,,b.sock,connect=on",
            "stream:/run/a.sock,name=b",
            "dgram:/run/a.sock,/run/b,,.sock",
            "udp:127.0.0.1:1,[::1]:2,netns=h1",
            "vhost-user:/run/vm.sock",
            "vde:/run/vde.ctl",
            "pcap:in=a.pcap,out=b.pcap,speed=2.5x",
            "pcap:in=a.pcap,speed=1000",
            "pcap:in=a.pcap,speed=top",
        ];
        for text in texts {
            let spec: PortSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
            assert_eq!(spec.to_string(), text);
        }
        let there = |kind: &&Kind| texts.iter().any(|t| t.split(':').next() == Some(kind.name));
        assert_eq!(KINDS.iter().filter(there).count(), KINDS.len());
        for kind in KINDS {
            for setting in kind.options {
                let written = format!("{}=", setting.name);
                let of_kind = |text: &&&str| text.split(':').next() == Some(kind.name);
                let found = texts.iter().filter(of_kind).any(|text| text.contains(&written));
                assert!(found, "{} {written}", kind.name);
            }
        }
    }
}
