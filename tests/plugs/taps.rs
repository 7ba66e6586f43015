//! The two sides of a TAP: a virtual machine may have the descriptor, whenever it comes.

use std::process;

use netlab::{FrameSocket, Namespace, tap_persistent};
use uswitch::{
    frame::{Arena, Batch, Selection, Span},
    offload::VNET_HEADER_LEN,
    port::{
        Port, Rx, Tx,
        datagram::DatagramRx,
        tap::{Tap, TapConfig, TapTx},
    },
};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
};

use crate::lab::{ETH, PATIENCE, Program, lay, links, refused, silent, socket};

/// A TAP that a virtual machine is to have.
const VM: &str = "vm0";

/// What holds the descriptor side of a TAP, as QEMU does.
struct Vm {
    rx: DatagramRx,
    tx: TapTx,
}

impl Vm {
    fn attach(machine: &Namespace) -> Vm {
        let config = TapConfig { netns: Some(machine.clone()), ..TapConfig::named(VM) };
        let (mut rx, tx) = Tap::open(&config).unwrap().split().unwrap();
        assert!(machine.links().unwrap().wait_running(VM, PATIENCE).unwrap());
        Vm { rx: rx.remove(0), tx }
    }

    fn send(&mut self, frame: &[u8]) {
        let wire = [&[0; VNET_HEADER_LEN][..], frame].concat();
        let spans = [Span { start: 0, len: wire.len() as u32 }];
        let selection = Selection { batch: Batch::new(&wire, &spans), mask: 1 };
        assert_eq!(self.tx.send(selection).frames, 1);
    }

    /// Waits for this frame.
    fn hears(&mut self, frame: &[u8]) {
        let begin = std::time::Instant::now();
        let mut arena = Arena::new();
        while !self.rx.recv(&mut arena).unwrap().frames().any(|got| got.octets() == frame) {
            assert!(begin.elapsed() < PATIENCE, "a frame comes to the virtual machine");
        }
    }

    /// Frames pass between it and a host.
    fn talks(&mut self, host: &mut FrameSocket, word: &str) {
        let (there, back) = (frame(BROADCAST, station(1), word.as_bytes()), station(2));
        self.send(&there);
        let got = host.recv_matching(PATIENCE, |got| got.starts_with(&there)).unwrap();
        assert!(got.is_some(), "`{word}` arrives");
        let back = frame(station(1), back, word.as_bytes());
        host.send(&back).unwrap();
        self.hears(&back);
    }
}

/// Opens a TAP as soon as it can be had again: a child that a test beside this one starts has all
/// our descriptors until it runs its program.
fn let_go(config: &TapConfig) -> Tap {
    let begin = std::time::Instant::now();
    loop {
        match Tap::open(config) {
            Ok(tap) => return tap,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// A machine with a host behind `packet:p0`.
fn machine() -> (Namespace, Namespace) {
    let (machine, host) = (silent(), silent());
    lay(&machine, "p0", &host);
    (machine, host)
}

#[test]
fn netdev_side_makes_a_tap_for_its_owner_and_serves_whoever_has_the_other() {
    if !privileged() {
        return;
    }
    let (machine, host) = machine();
    let spec = "tap:vm0,side=netdev,owner=1234,mac=02:00:00:00:00:09";
    let mut program = Program::start(&machine, &["packet:p0", spec]);
    program.says("vm0: created (it stays), served from its netdev for who attaches to it");
    let mut here = machine.links().unwrap();
    let link = here.expect(VM).unwrap();
    let tun = link.tun.unwrap();
    assert_eq!((tun.owner, tun.persist, tun.multi_queue), (Some(1234), true, false));
    assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 9]));
    let mut socket = socket(&host);
    for word in ["first", "killed and started again", "and again"] {
        let mut vm = Vm::attach(&machine);
        vm.talks(&mut socket, word);
    }
    // Deleted while somebody holds it, and while nobody does.
    for held in [true, false] {
        let vm = held.then(|| Vm::attach(&machine));
        here.delete(VM).unwrap();
        program.says("vm0: asleep until its device is back");
        drop(vm);
        tap_persistent(&machine, VM, None, false).unwrap();
        program.says("vm0: packet socket");
        Vm::attach(&machine).talks(&mut socket, "made again");
    }
    // One that goes with its holder comes back with the next.
    here.delete(VM).unwrap();
    program.says("vm0: asleep until its device is back");
    for word in ["short-lived", "short-lived again"] {
        let mut vm = Vm::attach(&machine);
        program.says("vm0: packet socket");
        vm.talks(&mut socket, word);
        drop(vm);
        program.says("vm0: asleep until its device is back");
    }
    program.stop();
    assert_eq!(links(&machine), ["p0"]);
}

#[test]
fn tap_that_the_netdev_side_made_stays_unless_it_is_told_not_to() {
    if !privileged() {
        return;
    }
    let (machine, _host) = machine();
    let spec = "tap:vm0,side=netdev,persist=off";
    let mut program = Program::start(&machine, &["packet:p0", spec]);
    program.says("vm0: created, served from its netdev");
    program.stop();
    assert_eq!(links(&machine), ["p0"]);
    for done in ["created (it stays), served", "served from its netdev, waiting for who attaches"] {
        let mut program = Program::start(&machine, &["packet:p0", "tap:vm0,side=netdev"]);
        program.says(&format!("vm0: {done}"));
        program.stop();
        assert_eq!(links(&machine), ["p0", VM]);
    }
}

#[test]
fn tap_that_somebody_holds_is_adopted_and_the_holder_named() {
    if !privileged() {
        return;
    }
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let held = format!("held by {} (pid {})", comm.trim_end(), process::id());
    for multi_queue in [false, true] {
        let (machine, host) = machine();
        // Nobody else's: the kernel tells a holder by the name of his TAP alone.
        let name = format!("h{}{}", process::id(), u8::from(multi_queue));
        tap_persistent(&machine, &name, None, multi_queue).unwrap();
        let config = TapConfig { netns: Some(machine.clone()), ..TapConfig::named(&name) };
        let (mut rx, tx) = Tap::open(&config).unwrap().split().unwrap();
        let mut vm = Vm { rx: rx.remove(0), tx };

        let text = refused(&machine, &["packet:p0", &format!("tap:{name},side=fd")]);
        let sentence = format!("{name}: it is {held}: end that program, or give one of the two");
        assert!(text.contains(&sentence), "{text}");

        let mut program = Program::start(&machine, &["packet:p0", &name]);
        program.says(&format!("{name}: it is {held}, so served from its netdev, packet socket"));
        vm.talks(&mut socket(&host), "to and fro");
        // It was decided once: the descriptor is for the next one, too.
        drop(vm);
        let (mut rx, tx) = let_go(&config).split().unwrap();
        assert!(machine.links().unwrap().wait_running(&name, PATIENCE).unwrap());
        Vm { rx: rx.remove(0), tx }.talks(&mut socket(&host), "the next one");
        program.stop();
    }
}

#[test]
fn tap_that_nobody_holds_is_ours_and_a_port_that_lost_it_is_gone() {
    if !privileged() {
        return;
    }
    let (machine, host) = machine();
    tap_persistent(&machine, VM, None, true).unwrap();
    for spec in ["vm0", "tap:vm0,side=fd,queues=2"] {
        let mut program = Program::start(&machine, &["packet:p0", spec]);
        program.says("vm0: attached (it was there, and stays)");
        let mut behind = FrameSocket::open(&machine, VM).unwrap();
        crate::lab::passes(&socket(&host), &mut behind, "to the machine itself");
        program.stop();
    }
    let mut program = Program::start(&machine, &["packet:p0", VM]);
    machine.links().unwrap().delete(VM).unwrap();
    program.says("vm0: detached, its device is gone");
    assert!(host.links().unwrap().expect(ETH).unwrap().running);
    program.stop();
}
