//! TUNs: machines whose packets become frames, and frames packets.

use std::{net::SocketAddr, process};

use netlab::{
    NEVER, Namespace, Prefix, tap_persistent, transfer_tcp, transfer_udp, tun_persistent,
};
use uswitch::{
    frame::Mac,
    plug::Plugs,
    port::{
        any::AnyPort,
        tun::{TUN_HOST, TUN_LEG, Tun, TunConfig},
    },
    stats::Counter,
    switch::{self, Handle, PortConfig, SwitchConfig},
    topology::{PortSpec, TUN},
};
use uswitch_tests::privileged;

use crate::lab::{PATIENCE, check_accounts, eventually};

/// What every machine calls its end.
const DEVICE: &str = "tun0";
/// Octets of a transfer: some hundred of the largest frames.
const TCP_OCTETS: u64 = 16 << 20;
const UDP_OCTETS: u64 = 1 << 20;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// A machine asks another for an echo, which has to come.
fn ping(from: &Namespace, to: &str) {
    let trips = netlab::ping(from, to.parse().unwrap(), 1, PATIENCE).unwrap();
    assert_eq!(trips.len(), 1, "{to} answers");
}

/// What is sent to this address arrives.
fn transfer(from: &Namespace, to: &Namespace, address: &str) {
    let address = SocketAddr::new(address.parse().unwrap(), 0);
    let tcp = transfer_tcp(from, to, address, TCP_OCTETS, 1, &NEVER).unwrap();
    assert!(tcp.is_sound(), "{tcp:?}");
    let udp = transfer_udp(from, to, address, UDP_OCTETS, 2, &NEVER).unwrap();
    assert!(udp.is_sound(), "{udp:?}");
}

/// The mean length of the frames that came by the first port.
fn mean(handle: &Handle<impl uswitch::port::Port>) -> u64 {
    let stats = handle.report().ports[0].stats;
    stats.get(Counter::RxOctets) / stats.get(Counter::RxFrames)
}

/// With a group for the address of the leg, a TUN's packets are for whoever is there: two TUNs on
/// one switch are a cable.
#[test]
fn two_machines_reach_each_other_by_packets_far_above_the_mtu() {
    if !privileged() {
        return;
    }
    for queues in [1, 2] {
        let config = SwitchConfig { workers: 2, ..SwitchConfig::default() };
        let mut handle = switch::start(&config).unwrap();
        let machines = [1, 2].map(|host| {
            let namespace = Namespace::new().unwrap();
            let netns = Some(namespace.clone());
            let config = TunConfig {
                netns,
                queues,
                leg: Mac::BROADCAST,
                mtu: Some(1400),
                ..TunConfig::named(DEVICE)
            };
            let tun = Tun::open(&config).unwrap();
            assert!(tun.device().created() && tun.device().warnings().is_empty());
            assert_eq!(tun.device().mtu(), 1400);
            assert_eq!(tun.device().offloads().next(), Some("csum"));
            handle.add(PortConfig::named(format!("machine {host}")), tun).unwrap();
            let mut links = namespace.links().unwrap();
            for text in [format!("10.9.0.{host}/24"), format!("fd09::{host}/64")] {
                links.add_address(DEVICE, prefix(&text)).unwrap();
            }
            namespace
        });
        let [one, other] = &machines;
        for address in ["10.9.0.2", "fd09::2"] {
            ping(one, address);
            transfer(one, other, address);
        }
        assert!(mean(&handle) > 1400 + 14, "packets come whole: {}", mean(&handle));
        check_accounts(&handle.stop());
    }
}

/// The leg's part is played by a TAP with its address, which knows the machine's.
#[test]
fn spec_gives_a_machine_its_addresses_and_a_leg_that_answers() {
    if !privileged() {
        return;
    }
    let (machine, router) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    let options = [("host", "10.9.0.2/24"), ("host", "fd09::2/64"), ("mtu", "1400")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tun = PortSpec::read(&TUN, vec![DEVICE.to_owned()], &options).unwrap();
    let tap: PortSpec = format!("tap:leg0,mtu=1400,mac={TUN_LEG}").parse().unwrap();
    let mut plugs = machine.run(|| Plugs::open(&[tun])).unwrap().unwrap();
    router.run(|| plugs.open_more(&[tap])).unwrap().unwrap();
    let mut handle = switch::start::<AnyPort>(&SwitchConfig::default()).unwrap();
    let changes = plugs.plug_in(&mut handle).unwrap();
    let told = changes[0].to_string();
    assert!(told.starts_with("tun0: created, MTU 1400, offloads csum"), "{told}");
    assert!(told.ends_with(", 10.9.0.2/24, fd09::2/64"), "{told}");
    let mut links = router.links().unwrap();
    for (own, host) in [("10.9.0.1/24", "10.9.0.2"), ("fd09::1/64", "fd09::2")] {
        links.add_address("leg0", prefix(own)).unwrap();
        links.add_neighbour("leg0", host.parse().unwrap(), TUN_HOST.octets()).unwrap();
    }
    for (own, host) in [("10.9.0.1", "10.9.0.2"), ("fd09::1", "fd09::2")] {
        ping(&machine, own);
        ping(&router, host);
        transfer(&machine, &router, own);
        transfer(&router, &machine, host);
    }
    // Who is nobody's neighbour is asked for by ARP, which a TUN does not take.
    assert_eq!(netlab::ping(&router, "10.9.0.3".parse().unwrap(), 1, PATIENCE / 60).unwrap(), []);
    eventually("ARP is refused", || handle.report().ports[0].stats.get(Counter::TxRefused) > 0);
    assert!(mean(&handle) > 1400 + 14, "packets come whole: {}", mean(&handle));
    drop(plugs);
    check_accounts(&handle.stop());
    eventually("it goes with the switch", || {
        machine.links().unwrap().get(DEVICE).unwrap().is_none()
    });
}

#[test]
fn tun_that_was_there_stays_and_what_is_none_is_refused() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    tun_persistent(&namespace, "there", None, false).unwrap();
    tap_persistent(&namespace, "frames", None, false).unwrap();
    let mut links = namespace.links().unwrap();
    links.add_veth("cable", None, "end").unwrap();
    let config =
        |name: &str| TunConfig { netns: Some(namespace.clone()), ..TunConfig::named(name) };
    let open = |name: &str| Tun::open(&config(name));
    let refused = |config: &TunConfig| Tun::open(config).err().unwrap().to_string();

    let held = open("there").unwrap();
    assert!(!held.device().created());
    let text = refused(&config("there"));
    assert!(text.contains(&format!("(pid {})", process::id())), "{text}");
    assert!(text.ends_with("give one of the two another TUN"), "{text}");
    drop(held);
    let text = refused(&TunConfig { queues: 2, ..config("there") });
    assert!(text.ends_with("with `ip tuntap add mode tun multi_queue`"), "{text}");
    assert!(links.get("there").unwrap().is_some());
    assert!(refused(&config("frames")).starts_with("frames: it is a TAP device"));
    let text = "cable: it is there already, but as a veth device and not as a TUN";
    assert_eq!(refused(&config("cable")), text);

    // A child that a test beside this one starts has all our descriptors for a moment.
    drop(open("new").unwrap());
    eventually("it vanishes", || links.get("new").unwrap().is_none());
    drop(Tun::open(&TunConfig { persist: true, ..config("stays") }).unwrap());
    assert!(links.get("stays").unwrap().is_some());
}
