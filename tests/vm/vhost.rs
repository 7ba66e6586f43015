//! Guests that share their memory with the switch, and a host on a TAP.

use crate::{
    initramfs::equipped,
    lab::Lab,
    station::{Station, all_pairs},
};

/// What a card is not to offer its driver: then the switch completes and cuts.
const PLAIN: &str = ",csum=off,guest_csum=off,guest_tso4=off,guest_tso6=off,host_tso4=off,\
                     host_tso6=off,mrg_rxbuf=off,indirect_desc=off,event_idx=off";

#[test]
fn guests_on_shared_memory_and_a_host_reach_each_other_and_one_is_killed_and_comes_back() {
    if !equipped() {
        return;
    }
    let lab = Lab::new();
    let paths = ["one", "two"].map(|name| lab.path(name));
    let ports = paths.each_ref().map(|path| format!("vhost-user:{path}"));
    let switch = lab.switch(&[&lab.host_port(), &ports[0], &ports[1]]);
    let guest = |number: usize, card| {
        Station::guest_on_vhost(&lab.machine, number as u8, &paths[number - 1], card)
    };
    let (mut one, mut two, mut host) = (guest(1, ""), guest(2, PLAIN), lab.host());
    for station in [&mut one, &mut two, &mut host] {
        station.booted();
    }
    all_pairs(&mut [&mut one, &mut two, &mut host]);

    one.signal("-KILL");
    one.last_words();
    two.reach(&host);
    let mut one = guest(1, "");
    one.booted();
    all_pairs(&mut [&mut one, &mut two, &mut host]);

    let report = switch.stop();
    for name in ["one", "two"] {
        let ports = report["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == name).unwrap();
        let count = |counter: &str| port[counter].as_u64().unwrap();
        assert!(count("rx_frames") > 0 && count("tx_frames") > 0, "{port}");
        assert_eq!(count("rx_runt"), 0, "{port}");
    }
}
