//! passt at the other end of a stream: a host behind the switch gets its address by DHCP and
//! reaches what passt's machine reaches, by passt's sockets. No internet is needed: "the machine"
//! is a namespace with a default route to nowhere, and what is reached is its loopback, which
//! passt shows as the router.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use netlab::{FrameSocket, Namespace, Prefix};
use uswitch::{
    port::{
        any::AnyPort,
        stream::{self, Stream, StreamConfig},
        tap::{Tap, TapConfig},
    },
    switch::{self, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE},
    privileged,
};

/// The machine's address, which passt hands on to its guest, and its router's.
const MACHINE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// What goes through the connection in each direction.
const OCTETS: usize = 4 << 20;
const TAP: &str = "tap0";

/// passt, which ends with its test.
struct Passt(Child);

impl Passt {
    fn start(machine: &Namespace, path: &Path) -> Passt {
        let mut command = Command::new("passt");
        // As root it would become nobody, who has no right to the folder.
        command.args(["--foreground", "--ipv4-only", "--dns", "none", "--runas", "0", "--socket"]);
        command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = machine.run(|| command.spawn()).unwrap();
        Passt(child.expect("passt is installed (Debian: passt)"))
    }
}

impl Drop for Passt {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace with an address and a default route.
fn machine() -> Namespace {
    let machine = Namespace::new().unwrap();
    let mut links = machine.links().unwrap();
    links.add_veth("eth0", None, "nowhere").unwrap();
    links.add_address("eth0", Prefix::new(MACHINE.into(), 24).unwrap()).unwrap();
    links.set_up("nowhere").unwrap();
    links.set_up("eth0").unwrap();
    links.add_route(Prefix::ALL_V4, Some(ROUTER.into()), Some("eth0")).unwrap();
    machine
}

/// Connects as often as it takes until passt listens.
fn connect(path: &Path) -> Stream {
    let begin = Instant::now();
    loop {
        match stream::connect(&StreamConfig { path: path.into(), connect: true, mtu: 1500 }) {
            Ok(stream) => return stream,
            Err(error) => assert!(error.is_passing() && begin.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A message of a DHCP client (RFC 2131, section 2) with this type (RFC 2132, 9.6).
fn dhcp(mac: [u8; 6], kind: u8) -> Vec<u8> {
    let mut message = vec![0; 236];
    // A request, by Ethernet, with addresses of six octets, and a number of the transaction.
    message[..8].copy_from_slice(&[1, 1, 6, 0, 7, 7, 7, 7]);
    message[28..34].copy_from_slice(&mac);
    message.extend([99, 130, 83, 99, 53, 1, kind, 255]);
    message.resize(300, 0);
    let packet = PacketBuilder::ethernet2(mac, BROADCAST).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    let mut frame = Vec::with_capacity(packet.size(message.len()));
    packet.write(&mut frame, &message).unwrap();
    frame
}

/// Sends a message and waits for the answer: its type, and the address that it offers.
fn ask(socket: &mut FrameSocket, mac: [u8; 6], kind: u8) -> (u8, Ipv4Addr) {
    socket.send(&dhcp(mac, kind)).unwrap();
    // From UDP port 67 to 68, behind an Ethernet and an IPv4 header without options.
    const UDP: usize = 34;
    const MESSAGE: usize = UDP + 8;
    let answer = socket
        .recv_matching(PATIENCE, |frame| {
            frame.get(UDP..UDP + 4) == Some(&[0, 67, 0, 68]) && frame.len() > MESSAGE + 243
        })
        .unwrap()
        .expect("passt answers");
    let offered: [u8; 4] = *answer[MESSAGE + 16..].first_chunk().unwrap();
    (message_type(&answer[MESSAGE + 240..]), offered.into())
}

/// Option 53 among others, each its number, its length and so many octets.
fn message_type(mut options: &[u8]) -> u8 {
    loop {
        match options {
            [53, 1, kind, ..] => return *kind,
            [_, len, rest @ ..] => options = &rest[usize::from(*len)..],
            _ => panic!("an answer has a type"),
        }
    }
}

/// Octets without a period that a shift would not show.
fn pattern() -> Vec<u8> {
    (0..OCTETS).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Takes one connection, reads the pattern and then sends it back.
fn serve(listener: TcpListener) {
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut received = vec![0; OCTETS];
    connection.read_exact(&mut received).unwrap();
    assert!(received == pattern(), "octets arrive as they were sent");
    connection.write_all(&received).unwrap();
}

#[test]
fn host_behind_the_switch_gets_an_address_from_passt_and_reaches_its_machine() {
    if !privileged() {
        return;
    }
    let (machine, host) = (machine(), Namespace::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passt");
    let _passt = Passt::start(&machine, &path);

    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    let tap = Tap::open(&TapConfig { netns: Some(host.clone()), ..TapConfig::named(TAP) }).unwrap();
    handle.add(PortConfig::named("host"), AnyPort::Tap(tap)).unwrap();
    handle.add(PortConfig::named("passt"), AnyPort::Stream(connect(&path))).unwrap();

    let mac = host.links().unwrap().expect(TAP).unwrap().mac.unwrap();
    let mut socket = FrameSocket::open(&host, TAP).unwrap();
    // DISCOVER is answered by OFFER, REQUEST by ACK.
    assert_eq!(ask(&mut socket, mac, 1), (2, MACHINE));
    assert_eq!(ask(&mut socket, mac, 3), (5, MACHINE));
    drop(socket);

    let mut links = host.links().unwrap();
    links.add_address(TAP, Prefix::new(MACHINE.into(), 24).unwrap()).unwrap();
    links.add_route(Prefix::ALL_V4, Some(ROUTER.into()), Some(TAP)).unwrap();
    let listener = machine.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
    let address = SocketAddr::new(IpAddr::V4(ROUTER), listener.local_addr().unwrap().port());
    let server = thread::spawn(|| serve(listener));
    let connection = host.run(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
    let mut connection = connection.expect("passt connects to its machine's loopback");
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(&pattern()).unwrap();
    let mut received = vec![0; OCTETS];
    connection.read_exact(&mut received).unwrap();
    assert!(received == pattern(), "octets come back as they were sent");
    server.join().unwrap();
    assert!(handle.tend().is_empty(), "no port left");
    handle.stop();
}
