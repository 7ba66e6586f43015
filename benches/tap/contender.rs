//! Those who take part: each stands between two hosts, and is a process of its own if it is not
//! the kernel.

use std::{
    env,
    io::{self, BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    process::{self, Child, Command, ExitCode, Stdio},
    time::Duration,
};

use netlab::Namespace;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use uswitch::{
    bridge::BridgeId,
    port::{
        Port,
        any::AnyPort,
        packet::{Packet, PacketConfig},
        tap::{Tap, TapConfig},
        tun::{TUN_HOST, TUN_LEG, Tun, TunConfig},
    },
    routing::{LegConfig, Legs},
    switch::{self, BusyPoll, PortConfig, SwitchConfig},
};
use uswitch_bench::device::{
    Device,
    bare::{self, Loop, Wait},
};
use uswitch_router::{link::LinkAddress, neighbour::Link, route::Leg};

use crate::{rings, strip};

/// The environment variable that tells a child which contender it is.
pub const ROLE: &str = "USWITCH_TAP_ROLE";
/// The name of a host's link.
pub const LINK: &str = "eth0";
/// The hosts' addresses.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// The router's addresses, where there is one: each host shares a link of two with it (RFC 3021).
pub const ROUTERS: [&str; 2] = ["10.77.0.0", "10.77.0.3"];
/// Our router's link-layer address on the first host's link.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0xee, 0];
/// The other ends of the hosts' links, where they are veth pairs.
pub const OUTER: [&str; 2] = ["p0", "p1"];
/// How long `--busy-poll 50` spins.
const SPIN: Duration = Duration::from_micros(50);

/// By what a host is plugged in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Plug {
    /// A TAP.
    Tap,
    /// A veth pair, with a packet socket at its outer end.
    Packet,
    /// A TUN, with a router in front of it.
    Tun,
}

/// One that takes part.
pub struct Contender {
    /// In tables.
    pub name: &'static str,
    /// The namespaces at its two ends, each with a link [`LINK`].
    pub hosts: [Namespace; 2],
    /// Its processes, if it is of this program; the first does the work.
    pub processes: Vec<Child>,
    /// It, if it is somebody else's.
    pub device: Option<Device>,
    /// It burns a processor, so it is stopped while others are measured.
    pub polls: bool,
    /// Small frames bear packets, to be sent to this address on the first host's link.
    pub next_hop: Option<[u8; 6]>,
    /// The namespace in which it lives, if not with us.
    pub _between: Option<Namespace>,
}

impl Contender {
    /// A bare loop.
    pub fn bare(name: &'static str, threads: Loop, wait: Wait) -> io::Result<Option<Contender>> {
        let threads = match threads {
            Loop::Single => 1,
            Loop::Pair => 2,
        };
        Contender::ours(name, "bare", threads, wait, [Plug::Tap; 2])
    }

    /// A bare loop on two packet sockets, a thread for each direction.
    pub fn bare_rings(name: &'static str) -> io::Result<Option<Contender>> {
        Contender::ours(name, "bare", 2, Wait::Sleep, [Plug::Packet; 2])
    }

    /// The switch.
    pub fn switch(
        name: &'static str,
        workers: usize,
        wait: Wait,
        plugs: [Plug; 2],
    ) -> io::Result<Option<Contender>> {
        Contender::ours(name, "switch", workers, wait, plugs)
    }

    /// A child of this program, which makes its TAPs in the hosts' namespaces, and finds the
    /// outer ends of veth pairs in one between them.
    fn ours(
        name: &'static str,
        kind: &str,
        threads: usize,
        wait: Wait,
        plugs: [Plug; 2],
    ) -> io::Result<Option<Contender>> {
        let (between, hosts) = (Namespace::new()?, [Namespace::new()?, Namespace::new()?]);
        let wait_text = match wait {
            Wait::Sleep => "sleep",
            Wait::Spin => "spin",
            Wait::Always => "always",
        };
        let path = |namespace: &Namespace| {
            format!("/proc/{}/fd/{}", process::id(), namespace.as_fd().as_raw_fd())
        };
        let mut specs = Vec::new();
        for ((plug, host), outer) in plugs.iter().zip(&hosts).zip(OUTER) {
            specs.push(match plug {
                Plug::Tap => format!("tap:{}", path(host)),
                Plug::Tun => format!("tun:{}", path(host)),
                Plug::Packet => {
                    let mut links = between.links()?;
                    links.add_veth(outer, Some(host), LINK)?;
                    links.set_up(outer)?;
                    host.links()?.set_up(LINK)?;
                    format!("packet:{}", path(&between))
                }
            });
        }
        let mut child = Command::new(env::current_exe()?)
            .env(ROLE, format!("{kind} {threads} {wait_text} {}", specs.join(" ")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        if line != "ready\n" {
            return Err(io::Error::other(format!("`{name}` did not start")));
        }
        let polls = wait == Wait::Always;
        let (processes, _between) = (vec![child], Some(between));
        let next_hop = None;
        let mut contender =
            Contender { name, hosts, processes, device: None, polls, next_hop, _between };
        if kind == "router" || plugs.contains(&Plug::Tun) {
            contender.route(ROUTER)?;
        } else {
            contender.address()?;
        }
        Ok(Some(contender))
    }

    /// The router, between two bridges with a host each.
    pub fn router(name: &'static str, workers: usize) -> io::Result<Option<Contender>> {
        Contender::ours(name, "router", workers, Wait::Sleep, [Plug::Tap; 2])
    }

    /// The router, between a bridge with a host and a TUN.
    pub fn router_tun(name: &'static str) -> io::Result<Option<Contender>> {
        Contender::ours(name, "router", 2, Wait::Sleep, [Plug::Tap, Plug::Tun])
    }

    /// A bare loop between a TAP and a TUN.
    pub fn bare_tun(name: &'static str) -> io::Result<Option<Contender>> {
        Contender::ours(name, "bare", 2, Wait::Sleep, [Plug::Tap, Plug::Tun])
    }

    /// The switch, with small frames that are packets, as a router gets them.
    pub fn switch_packets(name: &'static str, workers: usize) -> io::Result<Option<Contender>> {
        let contender = Contender::switch(name, workers, Wait::Sleep, [Plug::Tap; 2])?;
        let Some(mut contender) = contender else { return Ok(None) };
        contender.next_hop = contender.hosts[1].links()?.expect(LINK)?.mac;
        Ok(Some(contender))
    }

    /// The kernel's router in a namespace of its own, with veth pairs.
    pub fn kernel_router(name: &'static str) -> io::Result<Option<Contender>> {
        let (between, hosts) = (Namespace::new()?, [Namespace::new()?, Namespace::new()?]);
        between.set_sysctl("net/ipv4/ip_forward", "1")?;
        let mut links = between.links()?;
        for ((end, host), address) in OUTER.into_iter().zip(&hosts).zip(ROUTERS) {
            links.add_veth(end, Some(host), LINK)?;
            let prefix = format!("{address}/31").parse().map_err(io::Error::other)?;
            links.add_address(end, prefix)?;
            links.set_up(end)?;
        }
        let mac = links.expect(OUTER[0])?.mac.unwrap_or_default();
        let (processes, between) = (Vec::new(), Some(between));
        let (polls, next_hop) = (false, None);
        let mut contender =
            Contender { name, hosts, processes, device: None, polls, next_hop, _between: between };
        contender.route(mac)?;
        Ok(Some(contender))
    }

    /// Gives the hosts links of two addresses each, with a router on them, which the first host
    /// knows already: a bare loop says nothing of its own. Lets each hear the other once.
    fn route(&mut self, router: [u8; 6]) -> io::Result<()> {
        for ((host, address), router) in self.hosts.iter().zip(ADDRESSES).zip(ROUTERS) {
            let mut links = host.links()?;
            links.add_address(LINK, format!("{address}/31").parse().map_err(io::Error::other)?)?;
            links.set_up(LINK)?;
            let router = router.parse().expect("an address");
            links.add_route(netlab::Prefix::ALL_V4, Some(router), None)?;
        }
        let own = ROUTERS[0].parse().expect("an address");
        self.hosts[0].links()?.add_neighbour(LINK, own, router)?;
        let other = ADDRESSES[1].parse().expect("an address");
        netlab::ping(&self.hosts[0], other, 2, Duration::from_secs(10))?;
        self.next_hop = Some(router);
        Ok(())
    }

    /// The kernel's bridge in a namespace of its own, with veth pairs.
    pub fn kernel_bridge(name: &'static str) -> io::Result<Option<Contender>> {
        let (between, hosts) = (Namespace::new()?, [Namespace::new()?, Namespace::new()?]);
        let mut links = between.links()?;
        links.add_bridge("br")?;
        for (member, host) in ["a", "b"].into_iter().zip(&hosts) {
            links.add_veth(member, Some(host), LINK)?;
            links.set_master(member, Some("br"))?;
            links.set_up(member)?;
        }
        links.set_up("br")?;
        let (processes, between) = (Vec::new(), Some(between));
        let contender = Contender {
            name,
            hosts,
            processes,
            device: None,
            polls: false,
            next_hop: None,
            _between: between,
        };
        contender.address()?;
        Ok(Some(contender))
    }

    /// Gives the hosts their addresses, and lets each hear the other once.
    pub fn address(&self) -> io::Result<()> {
        for (host, address) in self.hosts.iter().zip(ADDRESSES) {
            let mut links = host.links()?;
            let prefix = format!("{address}/24").parse().map_err(io::Error::other)?;
            links.add_address(LINK, prefix)?;
            links.set_up(LINK)?;
        }
        let other = ADDRESSES[1].parse().expect("an address");
        netlab::ping(&self.hosts[0], other, 1, Duration::from_secs(10))?;
        if self.polls {
            self.signal(Signal::SIGSTOP);
        }
        Ok(())
    }

    /// The numbers of its processes; the first does the work.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        let others = self.device.iter().flat_map(Device::pids);
        self.processes.iter().map(Child::id).chain(others)
    }

    /// Stops or continues one that polls.
    pub fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            // It has ended: the measurement will show that.
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        for child in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a child does: opens its ports and runs until its parent ends.
pub fn play(role: &str) -> ExitCode {
    let words: Vec<_> = role.split(' ').collect();
    let [kind, threads, wait, a, b] = words[..] else { panic!("a role has five words") };
    let threads: usize = threads.parse().expect("threads are a number");
    // The parent holds the other end of our standard input: it ends, and so do we.
    std::thread::spawn(|| {
        let _ = io::stdin().read_line(&mut String::new());
        process::exit(0);
    });
    let wait = match wait {
        "sleep" => Wait::Sleep,
        "spin" => Wait::Spin,
        _ => Wait::Always,
    };
    let specs = [a, b].map(|spec| spec.split_once(':').expect("a kind and a namespace"));
    match (kind, specs) {
        ("bare", [("tap", a), ("tap", b)]) => {
            let taps = [tap(a), tap(b)];
            println!("ready");
            let threads = if threads == 1 { Loop::Single } else { Loop::Pair };
            bare::run(taps, threads, wait);
        }
        ("bare", [("tap", a), ("tun", b)]) => {
            let hosts = Namespace::open(a).expect("the parent holds its namespaces");
            let (tap, tun) = (tap(a), tun(b));
            let host = hosts.links().and_then(|mut links| links.expect(LINK));
            let host = host.expect("the TAP's other side").mac.expect("it has an address");
            println!("ready");
            strip::run(tap, tun, host, ROUTER);
        }
        ("bare", [(_, between), _]) => {
            let between = Namespace::open(between).expect("the parent holds its namespaces");
            let rings = OUTER.map(|name| rings::open(&between, name).expect("a ring is made"));
            println!("ready");
            rings::run(&rings);
        }
        ("router", [(_, a), ("tun", b)]) => run_router([tap(a).into(), tun(b).into()], threads),
        ("router", [(_, a), (_, b)]) => run_router([tap(a).into(), tap(b).into()], threads),
        (_, [("tap", a), ("tap", b)]) => run_switch([tap(a), tap(b)], threads, wait),
        (_, [("tap", a), (_, b)]) => {
            let ports = [AnyPort::Tap(tap(a)), AnyPort::Packet(packet(b, OUTER[1]))];
            run_switch(ports, threads, wait);
        }
        (_, [(_, a), ("tap", b)]) => {
            let ports = [AnyPort::Packet(packet(a, OUTER[0])), AnyPort::Tap(tap(b))];
            run_switch(ports, threads, wait);
        }
        (_, [(_, a), (_, b)]) => {
            run_switch([packet(a, OUTER[0]), packet(b, OUTER[1])], threads, wait);
        }
    }
    ExitCode::SUCCESS
}

fn tap(namespace: &str) -> Tap {
    let netns = Some(Namespace::open(namespace).expect("the parent holds its namespaces"));
    Tap::open(&TapConfig { netns, ..TapConfig::named(LINK) }).expect("a TAP is made")
}

fn tun(namespace: &str) -> Tun {
    let netns = Some(Namespace::open(namespace).expect("the parent holds its namespaces"));
    Tun::open(&TunConfig { netns, ..TunConfig::named(LINK) }).expect("a TUN is made")
}

fn packet(namespace: &str, device: &str) -> Packet {
    let netns = Some(Namespace::open(namespace).expect("the parent holds its namespaces"));
    Packet::open(&PacketConfig { netns, ..PacketConfig::named(device) }).expect("a port opens")
}

fn run_switch<P: Port>(ports: [P; 2], workers: usize, wait: Wait) {
    let busy_poll = match wait {
        Wait::Sleep => BusyPoll::Off,
        Wait::Spin => BusyPoll::For(SPIN),
        Wait::Always => BusyPoll::Always,
    };
    let config = SwitchConfig { workers, busy_poll, ..SwitchConfig::default() };
    let mut handle = switch::start(&config).expect("a switch starts");
    for (name, port) in ["a", "b"].into_iter().zip(ports) {
        handle.add(PortConfig::named(name), port).expect("a port is added");
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// A router between two bridges with a port each.
fn run_router(ports: [AnyPort; 2], workers: usize) {
    let config = SwitchConfig { workers, ..SwitchConfig::default() };
    let mut handle = switch::start::<AnyPort>(&config).expect("a switch starts");
    let mut configs = Vec::new();
    for (number, port) in ports.into_iter().enumerate() {
        let bridge = BridgeId::new(number);
        let named = |name: &str| PortConfig { bridge, ..PortConfig::named(name) };
        let is_tun = matches!(port, AnyPort::Tun(_));
        handle.add(named(&format!("host {number}")), port).expect("a port is added");
        let own = format!("{}/31", ROUTERS[number]).parse().expect("an address and its link");
        let mac = match number {
            0 => ROUTER,
            _ if is_tun => TUN_LEG.octets(),
            _ => [2, 0, 0, 0, 0xee, 1],
        };
        let link = Link::new(LinkAddress(mac), vec![own]);
        let point_to_point = is_tun.then_some(LinkAddress(TUN_HOST.octets()));
        let link = Link { point_to_point, ..link };
        let leg = Leg::new(vec![own], 1500);
        configs.push(LegConfig {
            port: named(&format!("leg {number}")),
            link,
            leg,
            advertise: None,
        });
    }
    let mut legs = Legs::start(&handle).expect("a slow path starts");
    legs.apply(&mut handle, configs, &[]).expect("two legs");
    println!("ready");
    loop {
        std::thread::park();
    }
}
