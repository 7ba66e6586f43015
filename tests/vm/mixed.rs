//! Guests and a host, each on a port of another kind.

use crate::{
    initramfs::equipped,
    lab::{GUEST_TAP, Lab, ON_TAP, on_dgram, on_stream},
    station::all_pairs,
};

#[test]
fn three_guests_and_a_host_reach_each_other_over_unlike_ports() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let [stream, ours, theirs] = ["stream", "ours", "theirs"].map(|name| lab.path(name));
    lab.add_tap();
    // It opens its TAP before the switch looks at it.
    let mut on_tap = lab.guest(1, ON_TAP);
    lab.wait_guest();
    let mut host = lab.host_on_veth("veth0");
    let ports = [&format!("stream:{stream}"), &format!("dgram:{ours},{theirs}")];
    let switch = lab.switch(&[GUEST_TAP, "packet:veth0", ports[0], ports[1]]);
    let mut on_stream = lab.guest(2, &on_stream(&stream));
    let mut on_dgram = lab.guest(3, &on_dgram(&theirs, &ours));
    let mut stations = [&mut on_tap, &mut on_stream, &mut on_dgram, &mut host];
    stations.iter_mut().for_each(|station| station.booted());
    all_pairs(&mut stations);
    switch.stop();
}
