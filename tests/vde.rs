//! The programs of VDE, as Debian ships them, at a switch of ours: frames through pipes, a TAP in
//! a namespace, clients that are killed and one that asks for a socket that is not its own.

use std::{
    env, fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use netlab::{NEVER, Namespace};
use uswitch::{
    port::{
        PortId,
        any::AnyPort,
        tap::{Tap, TapConfig},
        vde::{Vde, VdeConfig},
    },
    stats::Counter,
    switch::{self, Event, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE, frame, station},
    privileged,
};

/// Octets of a transfer: a few dozen of the largest frames.
const TCP_OCTETS: u64 = 1 << 20;

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Goes on asking until something is there.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(there) = ask() {
            return there;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// A switch in a folder.
struct Lab {
    folder: tempfile::TempDir,
    vde: Vde,
    handle: Handle<AnyPort>,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let vde = Vde::listen(&VdeConfig::new(folder.path())).unwrap();
        Lab { folder, vde, handle: switch::start(&SwitchConfig::default()).unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the next client and plugs it in.
    fn plug_in(&mut self) -> PortId {
        let port = wait("a client joins", || self.vde.accept().unwrap());
        let name = port.description().to_owned();
        self.handle.add(PortConfig::named(name), port.into()).unwrap()
    }

    /// Starts `vde_plug`, which passes frames from its input and to its output.
    fn pipe(&mut self) -> (Running, PortId) {
        let mut command = Command::new("vde_plug");
        command.arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = Running(command.spawn().unwrap());
        (child, self.plug_in())
    }

    fn departed(&mut self) -> String {
        let event = wait("a port leaves", || self.handle.tend().pop());
        let Event::Detached { name, .. } = event else { panic!("{event:?}") };
        name
    }
}

/// Puts a frame into the pipe: behind its length, the most significant octet first.
fn put(plug: &mut Running, frame: &[u8]) {
    let input = plug.0.stdin.as_mut().unwrap();
    input.write_all(&[&(frame.len() as u16).to_be_bytes()[..], frame].concat()).unwrap();
}

fn take(plug: &mut Running) -> Vec<u8> {
    let output = plug.0.stdout.as_mut().unwrap();
    let mut len = [0; 2];
    output.read_exact(&mut len).unwrap();
    let mut frame = vec![0; usize::from(u16::from_be_bytes(len))];
    output.read_exact(&mut frame).unwrap();
    frame
}

#[test]
fn two_plugs_exchange_frames_until_one_is_killed() {
    let mut lab = Lab::new();
    let (mut a, port_a) = lab.pipe();
    let (mut b, _) = lab.pipe();
    let name = lab.handle.name(port_a).unwrap().to_owned();
    assert!(name.ends_with(&a.0.id().to_string()), "{name}");
    let hello = frame(BROADCAST, station(1), b"hello to everybody, whoever is there");
    put(&mut a, &hello);
    assert_eq!(take(&mut b), hello);
    // One after the other: a datagram socket has room for few.
    for len in [60, 61, 600, 1514] {
        let mut there = frame(station(1), station(2), &[]);
        there.resize(len, len as u8);
        put(&mut b, &there);
        assert_eq!(take(&mut a), there);
        let mut back = frame(station(2), station(1), &[]);
        back.resize(len, !len as u8);
        put(&mut a, &back);
        assert_eq!(take(&mut b), back);
    }
    a.0.kill().unwrap();
    assert_eq!(lab.departed(), name);
    let (mut c, _) = lab.pipe();
    put(&mut c, &hello);
    assert_eq!(take(&mut b), hello);
    // One that ends of its own accord takes leave.
    drop(b.0.stdin.take());
    lab.departed();
    let report = lab.handle.stop();
    let received = report.ports.iter().map(|port| port.stats.get(Counter::RxFrames));
    assert_eq!(received.sum::<u64>(), 10);
    drop(c);
    drop(lab.vde);
    let left = fs::read_dir(lab.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [""; 0], "nothing is left");
}

/// Starts `vde_plug2tap` in a namespace, and waits for its TAP.
fn plug_in_tap(lab: &mut Lab, namespace: &Namespace) -> Running {
    let folder = lab.path().to_owned();
    let start = || Command::new("vde_plug2tap").arg("-s").arg(folder).arg("tap0").spawn();
    let child = Running(namespace.run(start).unwrap().unwrap());
    lab.plug_in();
    let mut links = namespace.links().unwrap();
    wait("the TAP is there", || links.get("tap0").unwrap());
    child
}

#[test]
fn taps_in_namespaces_ping_each_other_through_vde_plug2tap() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new();
    let mut hosts = Vec::new();
    for number in 1..=2 {
        let namespace = Namespace::new().unwrap();
        let child = plug_in_tap(&mut lab, &namespace);
        let mut links = namespace.links().unwrap();
        let address = format!("10.0.0.{number}/24");
        links.add_address("tap0", address.parse().unwrap()).unwrap();
        links.set_up("tap0").unwrap();
        assert!(links.wait_running("tap0", PATIENCE).unwrap());
        hosts.push((namespace, child));
    }
    for (from, to) in [(0, "10.0.0.2"), (1, "10.0.0.1")] {
        let trips = netlab::ping(&hosts[from].0, to.parse().unwrap(), 3, PATIENCE).unwrap();
        assert_eq!(trips.len(), 3);
    }
}

/// A TAP hands over frames of 64 KB whose checksums are open; a VDE client knows nothing of that.
#[test]
fn tcp_passes_between_a_tap_with_offloads_and_a_vde_client() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|_| Namespace::new().unwrap());
    let config = TapConfig { netns: Some(hosts[0].clone()), ..TapConfig::named("tap0") };
    lab.handle.add(PortConfig::named("tap"), Tap::open(&config).unwrap().into()).unwrap();
    let _plug = plug_in_tap(&mut lab, &hosts[1]);
    for (host, number) in hosts.iter().zip(1..) {
        let mut links = host.links().unwrap();
        links.add_address("tap0", format!("10.0.0.{number}/24").parse().unwrap()).unwrap();
        links.set_up("tap0").unwrap();
        assert!(links.wait_running("tap0", PATIENCE).unwrap());
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let address = SocketAddr::from(([10, 0, 0, to as u8 + 1], 0));
        let (near, far) = (&hosts[from], &hosts[to]);
        let sent = netlab::transfer_tcp(near, far, address, TCP_OCTETS, 1, &NEVER).unwrap();
        assert!(sent.is_sound(), "from {from} to {to}");
    }
    let cut = lab.handle.report().ports.iter().map(|port| port.stats.get(Counter::TxCut)).sum();
    assert!(0u64 < cut, "large frames were cut for the client");
}

#[test]
fn qemu_joins_and_is_gone_when_it_is_killed() {
    let mut lab = Lab::new();
    let machine = ["-machine", "none", "-display", "none", "-nodefaults", "-serial", "none"];
    let netdev = format!("vde,id=net0,sock={}", lab.path().display());
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(machine).arg("-netdev").arg(netdev).stdin(Stdio::null()).stderr(Stdio::null());
    let mut qemu = Running(qemu.spawn().unwrap());
    let port = lab.plug_in();
    let name = lab.handle.name(port).unwrap().to_owned();
    assert!(name.starts_with("QEMU"), "{name}");
    qemu.0.kill().unwrap();
    assert_eq!(lab.departed(), name);
}

/// Set, to the folder of the switch, in the child that is somebody else.
const FOLDER: &str = "USWITCH_TEST_VDE";
/// `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// Who may join may not have our frames sent to a socket of another user.
#[test]
fn client_cannot_name_a_socket_of_somebody_else() {
    if let Some(folder) = env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let mut control = UnixStream::connect(folder.join("ctl")).unwrap();
        let path = folder.join("root");
        let path = path.to_str().unwrap().as_bytes();
        let words = [0xfeed_face_u32, 3, 0].map(u32::to_ne_bytes);
        let mut request = [words.as_flattened(), &1u16.to_ne_bytes(), path].concat();
        request.resize(12 + 110, 0);
        control.write_all(&request).unwrap();
        assert_eq!(control.read(&mut [0]).unwrap(), 0, "it is hung up on");
        return;
    }
    if !privileged() {
        return;
    }
    // Where anybody may run it: the target folder may be out of reach.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("test");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let folder = place.path().join("vde");
    let mut vde = Vde::listen(&VdeConfig { mode: 0o777, ..VdeConfig::new(&folder) }).unwrap();
    let root = std::os::unix::net::UnixDatagram::bind(folder.join("root")).unwrap();
    fs::set_permissions(folder.join("root"), fs::Permissions::from_mode(0o666)).unwrap();
    let child = Command::new(&program)
        .args(["--exact", "client_cannot_name_a_socket_of_somebody_else"])
        .env(FOLDER, &folder)
        .current_dir("/")
        .stdout(Stdio::null())
        .uid(NOBODY)
        .spawn();
    let mut child = Running(child.unwrap());
    let error = wait("it is refused", || vde.accept().err());
    let text = error.to_string();
    assert!(text.ends_with("belongs to the user 0, and it is 65534"), "{text}");
    assert!(child.0.wait().unwrap().success());
    drop(root);
}
