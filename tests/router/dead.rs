//! Who is not there, and who invents that he is: neither costs those who are.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use netlab::FrameSocket;
use uswitch_router::{
    neighbour::{QUOTA_DEFAULT, State},
    route::LegId,
};
use uswitch_tests::{exchange, privileged};

use crate::{
    cases::{ICMP6, v6},
    differential::ROUTERS,
    lab::{Bridge, Host, Lab, PATIENCE, TAP},
};

const DEAD: u32 = 1000;
/// Stations that one link invents: several times as many as it may have.
const INVENTED: u32 = 4 * QUOTA_DEFAULT as u32;
/// How long an answer is waited for, and the dead are left alone.
const ROUND: Duration = Duration::from_millis(100);

/// The same number on another link.
fn on(bridge: u16, number: u32) -> Ipv6Addr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    Ipv6Addr::new(0xfd00, bridge, 0, 0, 0, 2, high, low)
}

/// Asks until there is an answer: for new neighbours there is a limit.
fn reaches(host: &Host, address: IpAddr) {
    let tries = PATIENCE.as_millis() / ROUND.as_millis();
    let answered =
        (0..tries).any(|_| !netlab::ping(&host.namespace, address, 1, ROUND).unwrap().is_empty());
    assert!(answered, "{address} answers");
}

fn states(lab: &Lab, leg: u16) -> Vec<State> {
    let known = lab.legs.neighbours().unwrap();
    known.iter().filter(|known| known.hop.leg == LegId(leg)).map(|known| known.state).collect()
}

#[test]
fn a_thousand_dead_neighbours_do_not_keep_a_live_one_from_being_found() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&[Bridge { hosts: 1, mtu: 1500 }; 2], 1);
    let (near, far) = (&lab.hosts[0][0], &lab.hosts[1][0]);
    let socket = near.namespace.run(|| UdpSocket::bind("[::]:0").unwrap()).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for number in 0..DEAD {
                    // What the router says of them is told in the place of a datagram.
                    let _ = socket.send_to(b"?", SocketAddr::new(on(1, number).into(), 9));
                }
                thread::sleep(ROUND);
            }
        });
        let stop = Stop(&ended);
        let asks = |state: &State| *state == State::Incomplete;
        while !states(&lab, 1).iter().any(asks) {
            thread::sleep(ROUND);
        }
        reaches(near, far.v6());
        reaches(near, far.v4());
        assert!(states(&lab, 1).iter().any(asks), "of the dead some are still asked for");
        drop(stop);
    });
}

#[test]
fn stations_that_one_link_invents_cost_no_other_link_and_nobody_who_is_spoken_to() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&[Bridge { hosts: 1, mtu: 1500 }; 3], 1);
    let hosts: Vec<&Host> = lab.hosts.iter().flatten().collect();
    reaches(hosts[0], hosts[1].v6());
    let socket = FrameSocket::open(&hosts[0].namespace, TAP).unwrap();
    let target = "fd00::1".parse::<Ipv6Addr>().unwrap().octets();
    for number in 0..INVENTED {
        let [_, a, b, c] = number.to_be_bytes();
        let mac = [2, 0, 0xfe, a, b, c];
        let nd = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target, &[1, 1], &mac].concat();
        let packet = v6(&on(0, number).to_string(), "fd00::1", 255, &[], ICMP6, &nd);
        let frame = [&ROUTERS[0][..], &mac, &[0x86, 0xdd], &packet].concat();
        exchange::send(&socket, &frame).unwrap();
    }
    // Those whom nobody has asked for before, and those whom they ask.
    reaches(hosts[1], hosts[2].v6());
    reaches(hosts[2], hosts[1].v4());
    reaches(hosts[0], hosts[1].v6());
    reaches(hosts[2], hosts[0].v6());
    assert!(states(&lab, 0).len() <= QUOTA_DEFAULT, "a link has its quota");
    assert!(states(&lab, 0).len() > QUOTA_DEFAULT / 2, "and it was tried");
}

/// Ends what goes on, also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
