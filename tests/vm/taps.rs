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
