//! A macvtap as a port: on one end of a veth pair, with a host at the other end.

use std::{io, net::SocketAddr, process};

use netlab::{
    FrameSocket, Link, LinkEvent, LinkWatch, MacvlanMode, NEVER, Namespace, Prefix, transfer_tcp,
};
use uswitch::{
    frame::{Arena, Mac, Selection},
    port::{
        KernelDrops, Port, Rx, Sent, Tx,
        datagram::DatagramRx,
        macvtap::{Macvtap, MacvtapConfig, MacvtapTx},
        tap::{Tap, TapConfig, TapTx},
    },
    stats::Counter,
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::{self, exchange, frame, station},
    privileged,
};

use crate::lab::{PATIENCE, TAP, check_accounts, eventually, silence, tap_in};

/// A TAP or a macvtap: a switch has ports of one type.
enum Plug {
    Tap(Tap),
    Macvtap(Macvtap),
}

enum PlugTx {
    Tap(TapTx),
    Macvtap(MacvtapTx),
}

impl Port for Plug {
    type Rx = DatagramRx;
    type Tx = PlugTx;

    fn split(self) -> io::Result<(Vec<DatagramRx>, PlugTx)> {
        match self {
            Plug::Tap(port) => port.split().map(|(rx, tx)| (rx, PlugTx::Tap(tx))),
            Plug::Macvtap(port) => port.split().map(|(rx, tx)| (rx, PlugTx::Macvtap(tx))),
        }
    }
}

impl Tx for PlugTx {
    fn mtu(&self) -> u32 {
        match self {
            PlugTx::Tap(tx) => tx.mtu(),
            PlugTx::Macvtap(tx) => tx.mtu(),
        }
    }

    fn clone_for(&self, worker: usize) -> io::Result<PlugTx> {
        match self {
            PlugTx::Tap(tx) => tx.clone_for(worker).map(PlugTx::Tap),
            PlugTx::Macvtap(tx) => tx.clone_for(worker).map(PlugTx::Macvtap),
        }
    }

    fn send(&mut self, frames: Selection<'_>) -> Sent {
        match self {
            PlugTx::Tap(tx) => tx.send(frames),
            PlugTx::Macvtap(tx) => tx.send(frames),
        }
    }

    fn kernel_drops(&self) -> KernelDrops {
        match self {
            PlugTx::Tap(tx) => tx.kernel_drops(),
            PlugTx::Macvtap(tx) => tx.kernel_drops(),
        }
    }
}

/// The machine that has the card: a namespace with `eth0`, and the far end of its cable.
struct Machine {
    near: Namespace,
    far: Namespace,
}

/// Its card.
const CARD: &str = "eth0";

impl Machine {
    fn new(mtu: u32) -> Machine {
        let (near, far) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        silence(&near);
        near.links().unwrap().add_veth(CARD, Some(&far), CARD).unwrap();
        for end in [&near, &far] {
            end.links().unwrap().set_mtu(CARD, mtu).unwrap();
            end.links().unwrap().set_up(CARD).unwrap();
        }
        for end in [&near, &far] {
            assert!(end.links().unwrap().wait_running(CARD, PATIENCE).unwrap());
        }
        Machine { near, far }
    }

    fn config(&self, mode: MacvlanMode) -> MacvtapConfig {
        MacvtapConfig {
            netns: Some(self.near.clone()),
            lower: Some(CARD.to_string()),
            mode,
            ..MacvtapConfig::named("mt0")
        }
    }

    fn macvtap(&self) -> Option<Link> {
        self.near.links().unwrap().get("mt0").unwrap()
    }

    /// Why this does not open. Nothing is to be left of it.
    fn refusal(&self, config: &MacvtapConfig) -> String {
        let before = self.near.links().unwrap().list().unwrap().len();
        let error = Macvtap::open(config).err().expect("it does not open").to_string();
        assert_eq!(self.near.links().unwrap().list().unwrap().len(), before);
        error
    }
}

/// A switch between the machine's macvtap and a TAP in a namespace of its own.
fn connect(macvtap: Macvtap, tap: &TapConfig) -> Handle<Plug> {
    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    handle.add(PortConfig::named("macvtap"), Plug::Macvtap(macvtap)).unwrap();
    handle.add(PortConfig::named("tap"), Plug::Tap(Tap::open(tap).unwrap())).unwrap();
    handle
}

fn give_address(host: &Namespace, link: &str, number: u8) {
    let mut links = host.links().unwrap();
    for text in [format!("10.0.0.{number}/24"), format!("fd00::{number}/64")] {
        links.add_address(link, text.parse::<Prefix>().unwrap()).unwrap();
    }
}

#[test]
fn frames_pass_a_macvtap_octet_for_octet_both_ways() {
    if !privileged() {
        return;
    }
    let (machine, host) = (Machine::new(1500), Namespace::new().unwrap());
    silence(&machine.far);
    silence(&host);
    let macvtap = Macvtap::open(&machine.config(MacvlanMode::Passthru)).unwrap();
    assert_eq!((macvtap.created(), macvtap.mtu(), macvtap.warnings()), (true, 1500, &[][..]));
    assert!(macvtap.offloads().collect::<Vec<_>>().starts_with(&["csum", "tso4", "tso6"]));
    let handle = connect(macvtap, &tap_in(&host));

    let filled = |head: &[u8], octets: usize| {
        let mut frame = [&station(1)[..], &station(2), head].concat();
        let len = frame.len();
        frame.extend((len..octets).map(|at| at as u8));
        frame
    };
    let mut frames = Vec::new();
    let heads: [&[u8]; 3] =
        [&[0x88, 0xb5], &[0x81, 0, 0xe0, 0x2a, 0x88, 0xb5], &[0, 38, 0x42, 0x42, 3]];
    for head in heads {
        frames.extend([20, 59, 60, 61, 1000, 1514].map(|octets| filled(head, octets)));
    }
    frames.push(filled(heads[0], 14));
    frames.push(filled(heads[1], 1518));
    let group = |last| frame([1, 0, 0x5e, 1, 2, last], station(2), b"a group that nobody joined");
    let groups: Vec<_> = (0..20).map(group).collect();

    let far = FrameSocket::open(&machine.far, CARD).unwrap();
    let mut sockets = [far, FrameSocket::open(&host, TAP).unwrap()];
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        assert_eq!(exchange(&mut sockets, from, &frames)[to], frames);
        assert_eq!(exchange(&mut sockets, from, &groups)[to], groups);
    }
    check_accounts(&handle.stop());
}

#[test]
fn transfers_pass_a_macvtap_in_frames_far_above_the_mtu() {
    if !privileged() {
        return;
    }
    for mtu in [1500, 9000] {
        let (machine, host) = (Machine::new(mtu), Namespace::new().unwrap());
        let macvtap = Macvtap::open(&machine.config(MacvlanMode::Passthru)).unwrap();
        assert_eq!(macvtap.mtu(), mtu);
        let handle = connect(macvtap, &TapConfig { mtu: Some(mtu), ..tap_in(&host) });
        give_address(&machine.far, CARD, 1);
        give_address(&host, TAP, 2);
        let ends = [(&machine.far, &host, "2"), (&host, &machine.far, "1")];
        for (from, to, number) in ends {
            for network in ["10.0.0.", "fd00::"] {
                let address = format!("{network}{number}").parse().unwrap();
                let address = SocketAddr::new(address, 0);
                let tcp = transfer_tcp(from, to, address, 8 << 20, 1, &NEVER).unwrap();
                assert!(tcp.is_sound(), "{tcp:?}");
            }
        }
        for report in handle.report().ports {
            let count = |counter| report.stats.get(counter);
            let mean = count(Counter::RxOctets) / count(Counter::RxFrames);
            // Half of the frames only acknowledge.
            assert!(mean > u64::from(mtu) / 2, "{}: {mean} octets a frame", report.name);
        }
        check_accounts(&handle.stop());
    }
}

#[test]
fn mode_bridge_receives_its_own_address_and_groups_and_says_so() {
    if !privileged() {
        return;
    }
    let (machine, host) = (Machine::new(1500), Namespace::new().unwrap());
    silence(&machine.far);
    silence(&host);
    let mac = Mac::new(station(7));
    let config = MacvtapConfig { mac: Some(mac), ..machine.config(MacvlanMode::Bridge) };
    let macvtap = Macvtap::open(&config).unwrap();
    let warning = "in mode bridge it receives groups and what is for its own address, \
                   02:00:00:00:01:07: one station behind the switch may have that; mode=passthru \
                   receives all";
    assert_eq!(macvtap.warnings(), [warning]);
    let handle = connect(macvtap, &tap_in(&host));
    let far = FrameSocket::open(&machine.far, CARD).unwrap();
    let mut sockets = [far, FrameSocket::open(&host, TAP).unwrap()];
    let own = frame(station(7), station(1), b"to the macvtap");
    let other = frame(station(8), station(1), b"to another station");
    assert_eq!(exchange(&mut sockets, 0, &[&own, &other])[1], [own]);
    check_accounts(&handle.stop());
}

#[test]
fn what_was_created_goes_and_what_was_there_stays() {
    if !privileged() {
        return;
    }
    let (machine, host) = (Machine::new(1500), Namespace::new().unwrap());
    let passthru = machine.config(MacvlanMode::Passthru);
    let handle = connect(Macvtap::open(&passthru).unwrap(), &tap_in(&host));
    machine.near.links().unwrap().rename("mt0", "other").unwrap();
    drop(handle.stop());
    assert_eq!(machine.near.links().unwrap().list().unwrap().len(), 2, "lo and eth0");

    let mut macvtap = Macvtap::open(&passthru).unwrap();
    let created = macvtap.take_created();
    drop(macvtap);
    assert!(machine.macvtap().is_some());
    drop(created);
    assert_eq!(machine.macvtap(), None);

    machine.near.links().unwrap().add_macvtap("mt0", CARD, MacvlanMode::Passthru).unwrap();
    // With and without a lower device to compare.
    for config in [passthru.clone(), MacvtapConfig { lower: None, ..passthru }] {
        let macvtap = Macvtap::open(&config).unwrap();
        assert!(!macvtap.created());
        assert_eq!(machine.macvtap().unwrap().index, macvtap.index());
        drop(macvtap.split().unwrap());
        assert!(machine.macvtap().unwrap().up);
    }
}

#[test]
fn deleted_macvtap_is_told_by_its_number() {
    if !privileged() {
        return;
    }
    let machine = Machine::new(1500);
    let macvtap = Macvtap::open(&machine.config(MacvlanMode::Bridge)).unwrap();
    let index = macvtap.index();
    let mut watch = LinkWatch::open(&machine.near).unwrap();
    // It goes with its lower device.
    machine.far.links().unwrap().delete(CARD).unwrap();
    eventually("the macvtap is gone", || match watch.recv().unwrap() {
        Some(LinkEvent::Gone { index: gone, .. }) => gone == index,
        _ => false,
    });
    let (mut rx, tx) = macvtap.split().unwrap();
    // The descriptor does not tell: when what the hosts said before is read, nothing is ready.
    let mut arena = Arena::new();
    eventually("nothing is ready", || rx[0].recv(&mut arena).unwrap().is_empty());
    assert_eq!(tx.kernel_drops(), KernelDrops::default());
}

#[test]
fn frames_that_a_macvtap_had_no_room_for_are_told() {
    // What waits in its queue counts for the socket that sent it, which waits when that is much.
    const SOCKETS: u64 = 9;
    const FRAMES: u64 = 100;
    if !privileged() {
        return;
    }
    let machine = Machine::new(1500);
    silence(&machine.far);
    let macvtap = Macvtap::open(&machine.config(MacvlanMode::Passthru)).unwrap();
    let (mut rx, tx) = macvtap.split().unwrap();
    assert_eq!(tx.kernel_drops(), KernelDrops::default());
    let sockets: Vec<_> =
        (0..SOCKETS).map(|_| FrameSocket::open(&machine.far, CARD).unwrap()).collect();
    for socket in &sockets {
        for _ in 0..FRAMES {
            exchange::send(socket, &frame(station(1), station(2), &[0; 46])).unwrap();
        }
    }
    let mut arena = Arena::new();
    let mut received = 0;
    eventually("each frame is received or counted", || {
        received += rx[0].recv(&mut arena).unwrap().len() as u64;
        received + tx.kernel_drops().rx == SOCKETS * FRAMES
    });
    assert!(received < SOCKETS * FRAMES, "the queue was too short for all");
}

#[test]
fn refusals_say_what_is_wrong_and_leave_nothing() {
    if !privileged() {
        return;
    }
    let machine = Machine::new(1500);
    let bridge = machine.config(MacvlanMode::Bridge);
    let has = |config: &MacvtapConfig, text: &str| {
        let error = machine.refusal(config);
        assert!(error.starts_with(&format!("{}: ", config.name)), "{error}");
        assert!(error.contains(text), "{error}\nand not: {text}");
    };
    has(&MacvtapConfig { lower: None, ..bridge.clone() }, "there is no such link: give it a lower");
    let nobody = MacvtapConfig { lower: Some("nobody".into()), ..bridge.clone() };
    has(&nobody, "there is no link `nobody` in its namespace");
    has(&MacvtapConfig { name: CARD.into(), ..bridge.clone() }, "as a veth device and not as");
    has(&MacvtapConfig { name: "a/b".into(), ..bridge.clone() }, "cannot be the name of a link");
    let jumbo = MacvtapConfig { mtu: Some(9000), ..bridge.clone() };
    has(&jumbo, "its MTU cannot be 9000: that of its lower device `eth0` is 1500");

    let first = Macvtap::open(&bridge).unwrap();
    has(&bridge, &format!("(pid {}), and two would each get a part", process::id()));
    let vepa = machine.config(MacvlanMode::Vepa);
    has(&vepa, "it is there already, but in mode bridge and not in mode vepa");
    let passthru = machine.config(MacvlanMode::Passthru);
    let second = MacvtapConfig { name: "mt1".into(), ..passthru.clone() };
    has(&second, "in mode passthru it wants `eth0` for itself, but there is mt0 on it");
    machine.near.links().unwrap().add_veth("veth0", None, "veth1").unwrap();
    let other = MacvtapConfig { lower: Some("veth0".into()), ..bridge.clone() };
    has(&other, "it is there already, but does not stand on `veth0`");
    drop(first);
    let _whole = Macvtap::open(&passthru).unwrap();
    let second = MacvtapConfig { name: "mt1".into(), ..bridge.clone() };
    has(&second, "`eth0` belongs wholly to mt0, which is in mode passthru");

    let mut links = machine.near.links().unwrap();
    links.add_bridge("br0").unwrap();
    links.set_master("veth0", Some("br0")).unwrap();
    let member = MacvtapConfig { name: "mt1".into(), lower: Some("veth0".into()), ..bridge };
    has(&member, "`veth0` is a member of a bridge or a bond");
}
