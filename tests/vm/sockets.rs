//! Guests on sockets of the switch: killed, frozen and started again, and the switch likewise.

use std::mem;

use crate::{
    initramfs::equipped,
    lab::{Lab, count, on_dgram, on_stream},
    station::all_pairs,
};

#[test]
fn guest_on_a_socket_that_is_killed_or_frozen_costs_only_itself() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let [stream, ours, theirs] = ["stream", "ours", "theirs"].map(|name| lab.path(name));
    let (listening, datagrams) =
        (format!("stream:{stream},name=stream"), format!("dgram:{ours},{theirs},name=dgram"));
    let switch = lab.switch(&[&lab.host_port(), &datagrams, &listening]);
    let start = [(1, on_dgram(&theirs, &ours)), (2, on_stream(&stream))];
    let mut guests = start.each_ref().map(|(number, netdev)| lab.guest(*number, netdev));
    let mut host = lab.host();
    guests.iter_mut().for_each(|guest| guest.booted());
    host.booted();

    for (index, (number, netdev)) in start.iter().enumerate() {
        let [victim, other] = guests.get_disjoint_mut([index, 1 - index]).unwrap();
        victim.signal("-STOP");
        lab.flood();
        host.reach(other);
        all_pairs(&mut [&mut host, other]);
        victim.signal("-CONT");
        host.reach(victim);

        lab.push(victim, &host);
        victim.signal("-KILL");
        all_pairs(&mut [&mut host, other]);
        mem::replace(victim, lab.guest(*number, netdev)).last_words();
        victim.booted();
        host.reach(victim);
        all_pairs(&mut [&mut host, other, victim]);
    }
    let report = switch.stop();
    for kind in ["dgram", "stream"] {
        assert!(count(&report, kind, "tx_full") > 0, "{kind} did not wait, but count: {report}");
    }
}

/// QEMU sends each datagram by the path, so that it finds whoever is there.
#[test]
fn guest_on_datagrams_outlives_the_switch() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let [ours, theirs] = ["ours", "theirs"].map(|name| lab.path(name));
    let ports = [lab.host_port(), format!("dgram:{ours},{theirs}")];
    let ports = ports.each_ref().map(String::as_str);
    let mut guest = lab.guest(1, &on_dgram(&theirs, &ours));
    guest.booted();
    let mut switch = lab.switch(&ports);
    let mut host = lab.host();
    host.booted();
    for signal in ["-KILL", "-TERM"] {
        host.reach(&guest);
        all_pairs(&mut [&mut host, &mut guest]);
        switch.signal(signal);
        switch.ended();
        switch = lab.switch(&ports);
    }
    guest.reach(&host);
    switch.stop();
}
