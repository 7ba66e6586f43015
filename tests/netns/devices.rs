//! What befalls devices: they are deleted, moved, switched off and held by others.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    process::{self, Stdio},
    slice,
};

use netlab::{NEVER, Namespace, tap_persistent, transfer_tcp, tun_persistent};
use uswitch::{
    port::tap::{Tap, TapConfig},
    stats::Counter,
    switch::Event,
};
use uswitch_tests::{
    exchange::{BROADCAST, exchange, frame, station},
    privileged,
    running::Running,
};

use crate::{
    child,
    lab::{Lab, Plan, TAP, eventually, tap_in},
};

/// The one event that there is to be: this host's port left.
fn detached(lab: &mut Lab, host: usize) {
    match lab.event() {
        Event::Detached { port, .. } => assert_eq!(port, lab.hosts[host].port),
        other => panic!("a port left, but {other:?}"),
    }
    lab.hosts.remove(host);
}

#[test]
fn device_deleted_under_traffic_costs_nobody_else_a_frame() {
    if !privileged() {
        return;
    }
    for workers in [1, 2] {
        let mut lab = Lab::new(&Plan::quiet(4).workers(workers));
        let mut stream = lab.stream(0, 1);
        // One that also speaks, and one that only listens.
        for victim in [3, 2] {
            let socket = lab.hosts[victim].socket();
            socket.send(&frame(BROADCAST, station(9), b"still here")).unwrap();
            stream.beside(|| {
                lab.hosts[victim].namespace.links().unwrap().delete(TAP).unwrap();
                detached(&mut lab, victim);
            });
        }
        let report = lab.finish();
        let there: Vec<_> = report.ports.iter().map(|port| port.attached).collect();
        assert_eq!(there, [true, true, false, false]);
    }
}

#[test]
fn namespace_deleted_under_traffic_costs_nobody_else_a_frame() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan::quiet(2).workers(2));
    // Opened in one namespace and moved to another: a descriptor keeps the one alive in which it
    // was opened.
    let (cradle, home) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    let tap = Tap::open(&tap_in(&cradle)).unwrap();
    cradle.links().unwrap().move_to(TAP, &home).unwrap();
    home.links().unwrap().set_up(TAP).unwrap();
    lab.plug(home, tap);
    let mut stream = lab.stream(0, 1);
    stream.beside(|| {
        // The last to hold it: the kernel takes it down with all that is in it.
        lab.hosts[2].namespace = cradle.clone();
        detached(&mut lab, 2);
    });
    lab.finish();
}

#[test]
fn device_that_moved_to_another_namespace_goes_on() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan::hosts(2));
    lab.hosts[0].ping(lab.hosts[1].v4());
    let new = Namespace::new().unwrap();
    lab.hosts[0].namespace.links().unwrap().move_to(TAP, &new).unwrap();
    lab.hosts[0].namespace = new;
    lab.hosts[0].configure();
    let [moved, other] = lab.hosts.as_slice() else { unreachable!() };
    moved.ping(other.v4());
    other.ping(moved.v6());
    let address = SocketAddr::new(other.v4(), 0);
    let (near, far) = (&moved.namespace, &other.namespace);
    let sound = transfer_tcp(near, far, address, 1 << 20, 1, &NEVER).unwrap().is_sound();
    assert!(sound);
    lab.finish();
}

#[test]
fn host_that_was_down_for_a_while_is_served_again() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::quiet(3).workers(2));
    let mut stream = lab.stream(0, 1);
    let mut links = lab.hosts[2].namespace.links().unwrap();
    for round in 1..=3 {
        stream.beside(|| {
            let before = lab.count(2, Counter::TxDown);
            links.set_down(TAP).unwrap();
            eventually("frames come while it is down", || {
                lab.count(2, Counter::TxDown) > before + 10
            });
            links.set_up(TAP).unwrap();
        });
        let mut sockets = lab.sockets();
        let hello = frame(BROADCAST, station(1), &[round]);
        assert_eq!(
            exchange(&mut sockets, 2, &[&hello])[0],
            slice::from_ref(&hello),
            "round {round}"
        );
        assert_eq!(exchange(&mut sockets, 0, &[&hello])[2], [hello], "round {round}");
    }
    let port = lab.port(2);
    assert_eq!(port.stats.get(Counter::TxGone), 0);
    lab.finish();
}

#[test]
fn frame_that_a_device_refuses_while_it_is_down_is_told_once() {
    const FRAMES: u64 = 20;
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::quiet(2));
    lab.hosts[1].namespace.links().unwrap().set_down(TAP).unwrap();
    let socket = lab.hosts[0].socket();
    for number in 0..FRAMES {
        socket.send(&frame(BROADCAST, station(1), &number.to_be_bytes())).unwrap();
    }
    eventually("all were refused", || lab.count(1, Counter::TxDown) == FRAMES);
    assert_eq!(lab.hosts[1].link().counters.rx_dropped, FRAMES, "the kernel counts them too");
    assert_eq!(lab.port(1).kernel.tx, 0);
    lab.finish();
}

/// Opens a TAP that we have let go, as soon as it can be had: a child that a test beside this one
/// starts has all our descriptors until it runs its program, and only then is a TAP free, or gone.
fn open_again(config: &TapConfig) -> Tap {
    let mut opened = None;
    eventually("it is free", || {
        opened = Tap::open(config).ok();
        opened.is_some()
    });
    opened.unwrap()
}

#[test]
fn persistent_device_stays_and_created_one_vanishes() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    tap_persistent(&namespace, "there", None, false).unwrap();
    let open = |name: &str, persist| {
        Tap::open(&TapConfig { name: name.into(), persist, ..tap_in(&namespace) }).unwrap()
    };
    let taps = [open("there", false), open("mine", false), open("kept", true)];
    assert_eq!(taps.each_ref().map(Tap::created), [false, true, true]);
    drop(taps);
    let mut links = namespace.links().unwrap();
    eventually("what it made goes, and nothing else", || {
        let names: Vec<_> = links.list().unwrap().into_iter().map(|link| link.name).collect();
        assert!(["lo", "there", "kept"].iter().all(|kept| names.iter().any(|name| name == kept)));
        names.len() == 3
    });
    assert!(!open_again(&TapConfig { name: "kept".into(), ..tap_in(&namespace) }).created());
    assert!(links.get("kept").unwrap().is_some(), "it was there");
}

/// Attaching without IFF_VNET_HDR takes the header away from the device for good.
#[test]
fn device_that_others_used_without_offloads_gets_them_again() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan::hosts(1));
    let namespace = Namespace::new().unwrap();
    tap_persistent(&namespace, TAP, None, false).unwrap();
    for round in 0..2 {
        let tun = namespace.links().unwrap().expect(TAP).unwrap().tun.unwrap();
        assert_eq!((tun.vnet_hdr, tun.persist), (round == 1, true));
        let tap = open_again(&tap_in(&namespace));
        assert!(!tap.created());
        let offloads: Vec<_> = tap.offloads().collect();
        assert!(offloads.starts_with(&["csum", "tso4", "tso6"]), "{offloads:?}");
        let tun = namespace.links().unwrap().expect(TAP).unwrap().tun.unwrap();
        assert!(tun.vnet_hdr && tun.persist);
        lab.plug(namespace.clone(), tap);
        let host = lab.hosts.last().unwrap();
        if round == 0 {
            host.configure();
        }
        let address = SocketAddr::new(lab.hosts[0].v4(), 0);
        let (near, far) = (&host.namespace, &lab.hosts[0].namespace);
        assert!(transfer_tcp(near, far, address, 1 << 20, 1, &NEVER).unwrap().is_sound());
        let gone = lab.hosts.pop().unwrap();
        lab.handle.remove(gone.port).unwrap();
    }
    lab.finish();
}

#[test]
fn namespaces_are_found_by_name_by_path_and_by_process() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    let name = format!("uswitch-test-{}", process::id());
    let named = namespace.name_as(&name).unwrap();
    let sleep = || process::Command::new("sleep").arg("600").spawn();
    let sleeper = Running(namespace.run(sleep).unwrap().unwrap());
    let specs = [name, named.path().display().to_string(), sleeper.0.id().to_string()];
    let mut lab = Lab::new(&Plan::hosts(1));
    for spec in &specs {
        let netns = Some(Namespace::open(spec).unwrap());
        let tap = Tap::open(&TapConfig { netns, ..TapConfig::named(TAP) }).unwrap();
        lab.plug(namespace.clone(), tap);
        let host = lab.hosts.last().unwrap();
        host.configure();
        host.ping(lab.hosts[0].v4());
        let gone = lab.hosts.pop().unwrap();
        lab.handle.remove(gone.port).unwrap();
        eventually("it vanishes", || namespace.links().unwrap().get(TAP).unwrap().is_none());
    }
    lab.finish();
    assert!(Namespace::open("uswitch-test-nobody").is_err());
}

#[test]
fn what_is_no_tap_is_refused_by_a_sentence() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    tun_persistent(&namespace, "tun0", None, false).unwrap();
    tap_persistent(&namespace, "single", None, false).unwrap();
    let mut links = namespace.links().unwrap();
    links.add_veth("veth0", None, "veth1").unwrap();
    for (name, queues, sentence) in [
        ("tun0", 1, "tun0: it is a TUN device, which carries packets and no frames"),
        ("veth0", 1, "veth0: it is there already, but as a veth device and not as a TAP"),
        ("lo", 1, "lo: it is there already, but as a"),
        ("single", 2, "single: it has one queue"),
    ] {
        let config = TapConfig { name: name.into(), queues, ..tap_in(&namespace) };
        let error = Tap::open(&config).err().expect("it is no port for a switch").to_string();
        assert!(error.starts_with(sentence), "{error}");
    }
}

#[test]
fn device_that_another_program_holds_is_refused_with_its_name() {
    if !privileged() {
        return;
    }
    if let Some(word) = child::told() {
        return hold(&word);
    }
    // The kernel tells a holder the name of its device, not where it is: one that nobody has.
    let name = format!("h{}", process::id());
    let namespace = Namespace::new().unwrap();
    let path = format!("/proc/{}/fd/{}", process::id(), namespace.as_fd().as_raw_fd());
    let test = "devices::device_that_another_program_holds_is_refused_with_its_name";
    let mut command = child::command(test, &format!("{name} {path}"));
    let mut holder = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(holder.0.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(HELD)), "the child holds it");
    let config = TapConfig { name: name.clone(), ..tap_in(&namespace) };
    let error = Tap::open(&config).err().expect("another program holds it").to_string();
    let pid = holder.0.id();
    assert!(error.starts_with(&format!("{name}: it is held by netns-")), "{error}");
    assert!(error.contains(&format!(" (pid {pid}): end that program")), "{error}");
    drop(holder);
    eventually("it can be had again", || Tap::open(&config).is_ok());
}

const HELD: &str = "I hold it";

/// What the child does: holds the TAP until its input ends.
fn hold(word: &str) {
    let (name, path) = word.split_once(' ').unwrap();
    let config = TapConfig { name: name.into(), ..tap_in(&Namespace::open(path).unwrap()) };
    let _tap = Tap::open(&config).unwrap();
    println!("{HELD}");
    let _ = std::io::stdin().read(&mut [0]);
}
