//! What hosts send each other across the router.

use std::net::SocketAddr;

use netlab::{NEVER, transfer_tcp, transfer_udp};
use uswitch::stats::Counter;
use uswitch_tests::privileged;

use crate::lab::{Bridge, Host, Lab, own};

const TCP_OCTETS: u64 = 16 << 20;
const UDP_OCTETS: u64 = 1 << 20;

fn everybody_pings_everybody(lab: &Lab) {
    let hosts: Vec<&Host> = lab.hosts.iter().flatten().collect();
    for host in &hosts {
        for other in hosts.iter().filter(|other| other.v4() != host.v4()) {
            host.ping(other.v4());
            host.ping(other.v6());
        }
        for bridge in 0..lab.hosts.len() as u8 {
            own(bridge).into_iter().for_each(|router| host.ping(router));
        }
    }
}

#[test]
fn hosts_of_three_bridges_ping_each_other_and_the_router() {
    if !privileged() {
        return;
    }
    for workers in [1, 2] {
        let lab = Lab::new(&[Bridge { hosts: 2, mtu: 1500 }; 3], workers);
        everybody_pings_everybody(&lab);
        everybody_pings_everybody(&lab);
        assert!(lab.forwarded() >= 48, "the second time workers know the way");
    }
}

#[test]
fn transfers_cross_in_frames_far_above_the_mtu() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&[Bridge { hosts: 1, mtu: 1500 }; 2], 2);
    let (from, to) = (&lab.hosts[0][0], &lab.hosts[1][0]);
    for address in [to.v4(), to.v6()] {
        let (near, far) = (&from.namespace, &to.namespace);
        let address = SocketAddr::new(address, 0);
        let tcp = transfer_tcp(near, far, address, TCP_OCTETS, 1, &NEVER).unwrap();
        assert!(tcp.is_sound(), "{tcp:?}");
        let udp = transfer_udp(near, far, address, UDP_OCTETS, 2, &NEVER).unwrap();
        assert!(udp.is_sound(), "{udp:?}");
    }
    let stats = lab.handle.stats(from.port).unwrap();
    let mean = stats.get(Counter::RxOctets) / stats.get(Counter::RxFrames);
    assert!(mean > 1514, "{mean} octets a frame");
    let out = lab.handle.stats(to.port).unwrap();
    assert_eq!(out.get(Counter::TxCut), 0, "nothing is cut on the way");
}

#[test]
fn smaller_link_behind_the_router_is_found_out() {
    if !privileged() {
        return;
    }
    let bridges = [Bridge { hosts: 1, mtu: 9000 }, Bridge { hosts: 1, mtu: 1400 }];
    let lab = Lab::new(&bridges, 2);
    let (from, to) = (&lab.hosts[0][0], &lab.hosts[1][0]);
    for address in [to.v4(), to.v6()] {
        let address = SocketAddr::new(address, 0);
        let tcp =
            transfer_tcp(&from.namespace, &to.namespace, address, TCP_OCTETS, 1, &NEVER).unwrap();
        assert!(tcp.is_sound(), "{tcp:?}");
    }
}
