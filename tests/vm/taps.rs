//! A guest on a TAP or macvtap, in each order in which QEMU and the switch can begin and end.

use crate::{
    initramfs::equipped,
    lab::{GUEST_TAP, Lab, ON_TAP},
    station::{Station, all_pairs, mac},
};

/// The README has QEMU's words, and what helps.
#[test]
fn tap_that_we_hold_is_refused_to_qemu() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let switch = lab.switch(&[GUEST_TAP, &lab.host_port()]);
    let words = lab.guest(1, ON_TAP).last_words();
    let refused =
        format!("could not configure /dev/net/tun ({GUEST_TAP}): Device or resource busy");
    assert!(words.contains(&refused), "{words}");
    switch.stop();
}

#[test]
fn guest_on_a_macvtap_over_our_tap_is_reached() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let switch = lab.switch(&["lower0", &lab.host_port()]);
    let address = mac(1);
    lab.ip(&format!(
        "link add link lower0 name macvtap0 address {address} type macvtap mode bridge"
    ));
    lab.ip("link set lower0 up");
    lab.ip("link set macvtap0 up");
    let mut guest = Station::guest_on_macvtap(&lab.machine, 1, "macvtap0", &lab.path("node"));
    let mut host = lab.host();
    guest.booted();
    host.booted();
    all_pairs(&mut [&mut guest, &mut host]);
    switch.stop();
}

/// The switch takes the netdev side, and so leaves the other to QEMU, whoever comes first.
#[test]
fn guest_on_a_tap_comes_back_whatever_befell_qemu_the_tap_or_the_switch() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let ports = [&format!("tap:{GUEST_TAP},side=netdev"), &lab.host_port()];
    let ports = ports.map(String::as_str);
    let mut switch = lab.switch(&ports);
    let mut guest = lab.guest(1, ON_TAP);
    let mut host = lab.host();
    guest.booted();
    host.booted();
    all_pairs(&mut [&mut guest, &mut host]);

    for signal in ["-KILL", "-TERM"] {
        switch.signal(signal);
        switch.ended();
        switch = lab.switch(&ports);
        host.reach(&guest);
    }

    lab.push(&mut guest, &host);
    guest.signal("-KILL");
    guest.last_words();
    let mut guest = lab.guest(1, ON_TAP);
    guest.booted();
    all_pairs(&mut [&mut guest, &mut host]);

    lab.machine.links().unwrap().delete(GUEST_TAP).unwrap();
    guest.run("! ping -c 1 -W 1 10.0.0.9");
    guest.signal("-KILL");
    guest.last_words();
    lab.add_tap();
    let mut guest = lab.guest(1, ON_TAP);
    guest.booted();
    host.reach(&guest);
    all_pairs(&mut [&mut guest, &mut host]);
    switch.stop();
}
