//! The router as a host, and a real one that asks it: whether the kernel takes its answers.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use netlab::Namespace;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto,
        setsockopt, socket, sockopt::ReceiveTimeout,
    },
    sys::time::{TimeVal, TimeValLike},
};
use uswitch::{
    frame::{Arena, Batch, HEADER_LEN, Selection, Span},
    offload::{VNET_HEADER_LEN, checksum},
    port::{
        Port, Rx, Tx,
        tun::{TUN_HOST, TUN_LEG, Tun, TunConfig, TunRx, TunTx},
    },
};
use uswitch_router::{
    limit::Limit,
    own::Own,
    route::{Leg, LegId},
    tables::Tables,
};
use uswitch_tests::privileged;

use crate::lab::PATIENCE;

const DEVICE: &str = "tun0";
const OWN: [&str; 2] = ["10.9.0.1", "fd09::1"];

/// A machine with a TUN, behind which there is a router.
struct Lab {
    machine: Namespace,
    ended: Arc<AtomicBool>,
    router: Option<JoinHandle<()>>,
}

impl Lab {
    fn new() -> Lab {
        let machine = Namespace::new().unwrap();
        let config = TunConfig { netns: Some(machine.clone()), ..TunConfig::named(DEVICE) };
        let (mut rx, tx) = Tun::open(&config).unwrap().split().unwrap();
        let mut links = machine.links().unwrap();
        for address in ["10.9.0.2/24", "fd09::2/64"] {
            links.add_address(DEVICE, address.parse().unwrap()).unwrap();
        }
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let router = thread::spawn(move || serve(&mut rx.remove(0), tx, &end));
        Lab { machine, ended, router: Some(router) }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let ended = self.router.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Carries packets between the TUN and the router until the end.
fn serve(rx: &mut TunRx, mut tx: TunTx, ended: &AtomicBool) {
    let addresses = ["10.9.0.1/24", "fd09::1/64"].map(|text| text.parse().unwrap()).to_vec();
    let errors = Limit { per_tick: 1000, burst: 1000 };
    let leg = Leg { errors, ..Leg::new(addresses, 1500) };
    let mut own = Own::new(Arc::new(Tables::build(vec![leg], &[]).unwrap()), 1);
    let (begin, mut arena) = (Instant::now(), Arena::new());
    while !ended.load(Ordering::Relaxed) {
        let fd = rx.wait_on().unwrap();
        let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(50u8));
        let batch = rx.recv(&mut arena).unwrap();
        for frame in batch.frames().filter(|frame| frame.octets().len() > HEADER_LEN) {
            let (mut octets, offload) = (frame.octets().to_vec(), frame.offload());
            assert_eq!(octets[..6], TUN_LEG.octets());
            if !offload.is_done() {
                let [start, offset] = [offload.csum_start, offload.csum_offset].map(usize::from);
                assert!(checksum::complete(&mut octets, start, offset));
            }
            let kind = &octets[12..HEADER_LEN];
            let header = [&TUN_HOST.octets(), &TUN_LEG.octets(), kind].concat();
            let now = begin.elapsed().as_millis() as u64;
            own.packet(LegId(0), &octets[HEADER_LEN..], now, &mut |answer| {
                let wire = [&[0; VNET_HEADER_LEN], &header[..], answer].concat();
                let spans = [Span { start: 0, len: wire.len() as u32 }];
                let sent = tx.send(Selection { batch: Batch::new(&wire, &spans), mask: 1 });
                assert_eq!(sent.frames, 1);
            });
        }
    }
}

/// The sockets by which a host asks for an echo, with the first octet of question and answer.
fn echo_socket(six: bool) -> (OwnedFd, u8, u8) {
    let (family, protocol) = match six {
        false => (AddressFamily::Inet, SockProtocol::Icmp),
        true => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE.as_secs() as i64)).unwrap();
    if six { (socket, 128, 129) } else { (socket, 8, 0) }
}

#[test]
fn large_echo_comes_back_whole() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    lab.machine.set_sysctl("net/ipv4/ping_group_range", "0 2147483647").unwrap();
    for (own, len) in OWN.into_iter().flat_map(|own| [(own, 10), (own, 4000), (own, 65_000)]) {
        let address: IpAddr = own.parse().unwrap();
        let (to, asked) = (SockaddrStorage::from(SocketAddr::new(address, 0)), address.is_ipv6());
        let got = lab.machine.run(|| {
            let (socket, question, answer) = echo_socket(asked);
            let mut message = vec![question, 0, 0, 0, 0, 0, 0, 7];
            message.extend((0..len).map(|at| (at * 7) as u8));
            let fd = socket.as_fd().as_raw_fd();
            sendto(fd, &message, &to, MsgFlags::empty()).unwrap();
            let mut got = vec![0; 70_000];
            let count = recv(fd, &mut got, MsgFlags::empty()).unwrap();
            got.truncate(count);
            assert_eq!(got[0], answer);
            got[8..] == message[8..] && got[6..8] == message[6..8]
        });
        assert!(got.unwrap(), "{len} octets of {own}");
    }
}

#[test]
fn closed_ports_refuse_and_large_datagrams_too() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    for own in OWN {
        let to = SocketAddr::new(own.parse().unwrap(), 33434);
        let refused = lab.machine.run(|| TcpStream::connect(to).unwrap_err().kind()).unwrap();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "TCP to {to}");
        for len in [0, 1000, 4000, 60_000] {
            let refused = lab.machine.run(|| {
                let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect(to).unwrap();
                socket.send(&vec![7; len]).unwrap();
                socket.recv(&mut [0; 9]).unwrap_err().kind()
            });
            assert_eq!(refused.unwrap(), ErrorKind::ConnectionRefused, "{len} octets to {to}");
        }
    }
}
