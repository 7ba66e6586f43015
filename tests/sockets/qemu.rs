//! QEMU's own sockets, without a guest: with no machine and two `-netdev` on a hub it is a cable,
//! whose ends are plugged into two switches. So each kind of socket is spoken by the program for
//! which it was made.
//!
//! ```text
//! station - switch - [-netdev stream - hub - -netdev dgram] - switch - station
//! ```

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
};

use uswitch::{
    port::{
        PortId,
        any::AnyPort,
        socket::{DgramConfig, Socket, UdpConfig},
        stream::{self, StreamConfig},
    },
    stats::Counter,
    switch::PortConfig,
};
use uswitch_tests::exchange::station;

use crate::{
    clients::{Lab, eventually, numbered},
    station::Station,
};

/// Frames on their way at a time: a unix datagram socket queues ten.
const WINDOW: u32 = 8;
const WINDOWS: u32 = 20;

/// QEMU, which ends with its test.
struct Qemu(Child);

impl Qemu {
    /// A cable between these two, each as it stands behind `-netdev`, with `id=near` and `id=far`.
    fn start(near: &str, far: &str) -> Qemu {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-machine", "none", "-nodefaults", "-display", "none"]);
        for (netdev, port) in [(near, "near"), (far, "far")] {
            command.args(["-netdev", netdev, "-netdev"]);
            command.arg(format!("hubport,id=hub-{port},hubid=0,netdev={port}"));
        }
        // It warns that there is no guest.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Qemu(command.spawn().expect("QEMU is installed (Debian: qemu-system-x86)"))
    }

    fn kill(mut self) {
        // As if by SIGKILL: it is SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a port of the far switch, and what stands behind `-netdev` for QEMU's end of it.
type FarEnd = fn(&Lab) -> (Socket, String);

/// A port of the far switch on a unix datagram socket, and QEMU's other end of it.
fn dgram(lab: &Lab) -> (Socket, String) {
    let [local, remote] = ["switch-end", "qemu-end"].map(|name| lab.folder.path().join(name));
    let netdev = format!(
        "dgram,id=far,local.type=unix,local.path={},remote.type=unix,remote.path={}",
        remote.display(),
        local.display()
    );
    (Socket::dgram(&DgramConfig { local, remote, mtu: 1500 }).unwrap(), netdev)
}

/// The same by UDP, from 127.0.0.2 to 127.0.0.1.
fn udp(netdev: fn(u16) -> String) -> (Socket, String) {
    // A number that nobody has here, nobody has at another address of the loopback.
    let remote = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let local = SocketAddr::new([127, 0, 0, 2].into(), remote.port());
    let port = Socket::udp(&UdpConfig { local, remote, netns: None, mtu: 1500 });
    (port.unwrap(), netdev(remote.port()))
}

fn udp_dgram(port: u16) -> String {
    format!(
        "dgram,id=far,local.type=inet,local.host=127.0.0.1,local.port={port},\
         remote.type=inet,remote.host=127.0.0.2,remote.port={port}"
    )
}

fn udp_socket(port: u16) -> String {
    format!("socket,id=far,udp=127.0.0.2:{port},localaddr=127.0.0.1:{port}")
}

fn client_of(lab: &Lab) -> String {
    format!("stream,id=near,server=off,addr.type=unix,addr.path={}", lab.path.display())
}

/// Plugs QEMU's end into a switch that listens, when it comes.
fn accept(lab: &mut Lab) -> PortId {
    let mut client = None;
    eventually("QEMU connects", || {
        client = lab.listener.accept().unwrap();
        client.is_some()
    });
    let client = AnyPort::Stream(client.expect("it has come"));
    lab.handle.add(PortConfig::named("qemu"), client).unwrap()
}

/// Frames of all lengths from the one to the other, and back.
fn converse(one: &mut Station, other: &mut Station) {
    for (from, to) in [(1, 2), (2, 1)] {
        let (sender, receiver) =
            if from == 1 { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
        for window in 0..WINDOWS {
            let numbers = window * WINDOW..(window + 1) * WINDOW;
            let frame =
                |n: u32| numbered(station(to), station(from), n, 60 + (n * 97 % 1455) as usize);
            let frames: Vec<_> = numbers.map(frame).collect();
            frames.iter().for_each(|frame| sender.put(frame));
            frames.iter().for_each(|frame| assert!(receiver.take() == *frame));
        }
    }
}

#[test]
fn qemu_carries_frames_between_a_stream_and_each_kind_of_datagrams() {
    let far_ends: [FarEnd; 3] = [dgram, |_| udp(udp_dgram), |_| udp(udp_socket)];
    for far_end in far_ends {
        let (mut near, mut far) = (Lab::new(1), Lab::new(1));
        let (port, netdev) = far_end(&far);
        far.handle.add(PortConfig::named("qemu"), AnyPort::Socket(port)).unwrap();
        let (mut one, _) = near.client();
        let (mut other, _) = far.client();
        let qemu = Qemu::start(&client_of(&near), &netdev);
        let port = accept(&mut near);
        converse(&mut one, &mut other);
        qemu.kill();
        near.detached(port);
        near.finish();
        far.finish();
    }
}

#[test]
fn qemu_that_is_killed_and_started_again_is_served_as_before() {
    let (mut near, mut far) = (Lab::new(2), Lab::new(2));
    let (port, netdev) = dgram(&far);
    let far_port = far.handle.add(PortConfig::named("qemu"), AnyPort::Socket(port)).unwrap();
    let (mut one, _) = near.client();
    let (mut other, _) = far.client();
    for _ in 0..3 {
        let qemu = Qemu::start(&client_of(&near), &netdev);
        let port = accept(&mut near);
        converse(&mut one, &mut other);
        qemu.kill();
        near.detached(port);
        // The datagram socket's name is there still, and nobody behind it.
        let down = far.count(far_port, Counter::TxDown);
        other.put(&numbered(station(1), station(2), 0, 60));
        eventually("a frame is lost", || far.count(far_port, Counter::TxDown) == down + 1);
    }
    near.finish();
    far.finish();
}

#[test]
fn qemu_as_the_server_is_connected_to_as_soon_as_it_listens() {
    let (mut near, mut far) = (Lab::new(1), Lab::new(1));
    let path = near.folder.path().join("qemu");
    let qemu = Qemu::start(
        &format!("stream,id=near,server=on,addr.type=unix,addr.path={}", path.display()),
        &client_of(&far).replace("id=near", "id=far"),
    );
    let config = StreamConfig { path, connect: true, mtu: 1500 };
    let mut port = None;
    eventually("QEMU listens", || match stream::connect(&config) {
        Ok(stream) => {
            port = Some(stream);
            true
        }
        Err(error) => {
            assert!(error.is_passing(), "{error}");
            false
        }
    });
    let port = AnyPort::Stream(port.expect("it is connected"));
    near.handle.add(PortConfig::named("qemu"), port).unwrap();
    accept(&mut far);
    let (mut one, _) = near.client();
    let (mut other, _) = far.client();
    converse(&mut one, &mut other);
    drop(qemu);
}
