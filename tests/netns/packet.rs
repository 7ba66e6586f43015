//! Packet ports on veth pairs: hosts at the inner ends, ports on the outer ones.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    process::Command,
    slice, thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, NEVER, Namespace, Prefix, errno, transfer_tcp, transfer_udp};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use uswitch::{
    frame::{Arena, Batch, Selection, Span},
    offload::Offload,
    port::{
        Port, Rx, Sent, Tx,
        packet::{Host, Packet, PacketConfig, RECEIVE_OCTETS_MAX},
        tap::{Tap, TapConfig},
    },
    stats::Counter,
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::{self, BROADCAST, EXPERIMENT, PATIENCE, frame, station},
    privileged,
};

use crate::{
    cable::{Cable, INNER, OUTER, halves, lay, receive, send},
    child,
    lab::{check_accounts, eventually, silence},
};

/// Slots of a port's ring.
const SLOTS: u64 = 1024;

/// Frames of all shapes, up to this MTU. The kernel throws a tagged frame away that ends behind
/// the inner type, and sends none with two tags, or with one of 802.1ad, at full MTU.
fn shapes(mtu: usize) -> Vec<Vec<u8>> {
    let plain = EXPERIMENT.to_vec();
    let tagged = [&[0x81, 0x00, 0xe0, 0x2a], &EXPERIMENT[..]].concat();
    let priority = [&[0x81, 0x00, 0x00, 0x00], &EXPERIMENT[..]].concat();
    let service = [&[0x88, 0xa8, 0x00, 0x07], &EXPERIMENT[..]].concat();
    let stacked = [&[0x88, 0xa8, 0x00, 0x07, 0x81, 0, 0, 8], &EXPERIMENT[..]].concat();
    let mut frames = vec![frame(station(2), station(1), &[])];
    for head in [plain, tagged, priority, service, stacked] {
        let largest = if head.len() > 2 { mtu - 8 } else { mtu };
        // Round the end of a slot, where frames begin to be queued.
        let mut lengths = vec![2, 46, 1400, 1948, 1952, 1953, 1957, 1958, 5000, largest];
        lengths.retain(|len| *len <= largest);
        for len in lengths {
            let payload = (0..len).map(|at| (at * 7 + len) as u8);
            let mut frame = [&station(2)[..], &station(1), &head].concat();
            frame.extend(payload);
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn frames_pass_octet_for_octet_both_ways() {
    if !privileged() {
        return;
    }
    for mtu in [1500, 9000] {
        let cable = Cable::new(mtu);
        let (mut rx, mut tx) = cable.open();
        let mut host = cable.socket();
        let frames = shapes(mtu as usize);
        assert_eq!(tx.mtu(), mtu);
        for frame in &frames {
            exchange::send(&host, frame).unwrap();
        }
        assert_eq!(receive(&mut rx, frames.len()), frames);
        for frames in frames.chunks(64) {
            let octets = frames.iter().map(|frame| frame.len() as u64).sum();
            let expected = Sent { frames: frames.len() as u64, octets, ..Sent::default() };
            assert_eq!(send(&mut tx, frames), expected);
            for frame in frames {
                assert_eq!(host.recv(PATIENCE).unwrap().as_ref(), Some(frame));
            }
        }
        // What we sent did not come back to us.
        assert!(rx.recv(&mut Arena::new()).unwrap().is_empty());
        assert_eq!(tx.kernel_drops(), Default::default());
    }
}

#[test]
fn refused_frame_is_skipped_alone_and_the_rest_goes_on() {
    if !privileged() {
        return;
    }
    let cable = Cable::new(1500);
    let (_rx, mut tx) = cable.open();
    let mut host = cable.socket();
    let good = |number| frame(station(1), station(2), &[number; 46]);
    let (long, short) = (frame(station(1), station(2), &[0; 1520]), vec![2; 10]);
    let frames = [good(1), long.clone(), good(2), short, good(3), long];
    let sent = send(&mut tx, &frames);
    assert_eq!(sent, Sent { frames: 3, octets: 180, refused: 3, ..Sent::default() });
    for number in 1..=3 {
        assert_eq!(host.recv(PATIENCE).unwrap(), Some(good(number)));
    }
}

/// Sends a frame, or has the device count it: [`Cable::lost`].
fn offer(socket: &FrameSocket, frame: &[u8]) {
    if let Err(error) = socket.send(frame) {
        assert_eq!(errno(&error), Some(Errno::ENOBUFS as i32), "{error}");
    }
}

/// The slots give the order, whether a frame lies in one or in the queue.
#[test]
fn order_is_kept_and_every_frame_accounted_for_when_small_and_large_are_mixed_under_load() {
    const FRAMES: u64 = 50_000;
    if !privileged() {
        return;
    }
    let cable = Cable::new(9000);
    let (mut rx, tx) = cable.open();
    let socket = cable.socket();
    let sender = thread::spawn(move || {
        for number in 0..FRAMES {
            // A multiplicative generator: lengths in no order, a third of them queued.
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let len = if random % 3 == 0 { 2000 + random % 6000 } else { 46 + random % 1800 };
            let mut payload = vec![number as u8; len as usize];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            offer(&socket, &frame(BROADCAST, station(1), &payload));
        }
    });
    let mut arena = Arena::new();
    let (mut received, mut queued, mut next) = (0, 0, 0);
    let begin = Instant::now();
    loop {
        // An empty batch does not mean the end: the kernel's backlog hands frames over later.
        let ended = sender.is_finished();
        let batch = rx.recv(&mut arena).unwrap();
        for frame in batch.frames() {
            let octets = frame.octets();
            let number = u64::from_be_bytes(*octets[14..].first_chunk().unwrap());
            assert!(number >= next, "{number} came after {next}");
            assert!(octets[22..].iter().all(|octet| *octet == number as u8), "{number} is whole");
            next = number + 1;
            received += 1;
            queued += u64::from(octets.len() > 2000);
        }
        let accounted = || received + tx.kernel_drops().rx + cable.lost();
        if batch.is_empty() && ended && accounted() == FRAMES {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{} of {FRAMES} frames", accounted());
    }
    sender.join().unwrap();
    assert!(queued > 100 && received - queued > 100, "{queued} of {received} were queued");
}

/// Octets of frames in the socket's queue, of the one packet socket in a namespace.
fn queued_octets(namespace: &Namespace) -> usize {
    let read = || fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    let text = namespace.run(read).unwrap();
    let line = text.lines().nth(1).expect("there is one socket");
    line.split_whitespace().nth(6).and_then(|word| word.parse().ok()).expect("Rmem is a number")
}

#[test]
fn frames_that_nobody_reads_are_counted_and_take_bounded_memory() {
    const FRAMES: u64 = 3000;
    if !privileged() {
        return;
    }
    for (len, kept_max) in [(46, SLOTS), (8000, SLOTS / 2)] {
        let cable = Cable::new(9000);
        let (mut rx, tx) = cable.open();
        let socket = cable.socket();
        for number in 0..FRAMES {
            let mut payload = vec![0; len];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            offer(&socket, &frame(BROADCAST, station(1), &payload));
        }
        let lost = cable.lost();
        let ring = SLOTS as usize * 2048;
        let queued = || queued_octets(&cable.outer);
        // The backlog hands frames over later.
        eventually("large frames are queued", || len <= 2048 || queued() > 0);
        let queued = queued();
        assert!(ring + queued < RECEIVE_OCTETS_MAX + (128 << 10), "{queued} octets are queued");
        assert_eq!(queued > 0, len > 2048);
        let mut arena = Arena::new();
        let mut kept = 0u64;
        eventually("the ring is empty", || {
            let batch = rx.recv(&mut arena).unwrap();
            for frame in batch.frames() {
                let number = u64::from_be_bytes(*frame.octets()[14..].first_chunk().unwrap());
                assert!(
                    number - kept <= lost,
                    "the first ones are kept, {number} came after {kept}"
                );
                kept += 1;
            }
            // Slots whose frame was cut are skipped, and may fill a batch.
            kept + tx.kernel_drops().rx + lost == FRAMES
        });
        assert!(kept > 100 && kept <= kept_max, "{kept} frames of {len} octets were kept");
        assert_eq!(tx.kernel_drops().rx, FRAMES - kept - lost, "asking again changes nothing");
        assert!(rx.recv(&mut arena).is_ok(), "too much is no fault");
        // It goes on.
        let hello = frame(BROADCAST, station(1), b"hello");
        exchange::send(&socket, &hello).unwrap();
        assert_eq!(receive(&mut rx, 1), [hello]);
    }
}

#[test]
fn device_that_was_down_for_a_while_is_served_again() {
    if !privileged() {
        return;
    }
    let cable = Cable::new(1500);
    let (mut rx, mut tx) = cable.open();
    let mut links = cable.outer.links().unwrap();
    let hello = frame(BROADCAST, station(1), b"hello");
    for _ in 0..3 {
        exchange::send(&cable.socket(), &hello).unwrap();
        assert_eq!(receive(&mut rx, 1), slice::from_ref(&hello));
        links.set_down(OUTER[0]).unwrap();
        eventually("nothing is ready, and it sleeps", || {
            assert!(rx.recv(&mut Arena::new()).unwrap().is_empty());
            let fd = rx.wait_on().unwrap();
            poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0)
        });
        let two = [hello.clone(), hello.clone()];
        assert_eq!(send(&mut tx, &two), Sent { down: 2, ..Sent::default() });
        links.set_up(OUTER[0]).unwrap();
        assert!(links.wait_running(OUTER[0], PATIENCE).unwrap());
        let mut inner = cable.inner.links().unwrap();
        assert!(inner.wait_running(INNER, PATIENCE).unwrap());
        let mut host = cable.socket();
        assert_eq!(send(&mut tx, slice::from_ref(&hello)).frames, 1);
        assert_eq!(host.recv(PATIENCE).unwrap().as_ref(), Some(&hello));
    }
    links.delete(OUTER[0]).unwrap();
    assert!(rx.recv(&mut Arena::new()).unwrap().is_empty());
    assert_eq!(send(&mut tx, slice::from_ref(&hello)), Sent { down: 1, ..Sent::default() });
}

#[test]
fn host_is_silent_while_the_port_is_open_unless_it_is_kept() {
    if !privileged() {
        return;
    }
    let cable = Cable::new(1500);
    let address = |text: &str| text.parse::<Prefix>().unwrap();
    cable.outer.links().unwrap().add_address(OUTER[0], address("10.0.0.1/24")).unwrap();
    cable.inner.links().unwrap().add_address(INNER, address("10.0.0.2/24")).unwrap();
    let asks = |answers: bool, when: &str| {
        let host = IpAddr::from([10, 0, 0, 1]);
        let asked = |wait| netlab::ping(&cable.inner, host, 1, wait).map_or(0, |trips| trips.len());
        if answers {
            // A request may be lost in the kernel's backlog.
            eventually(&format!("it answers {when}"), || asked(Duration::from_secs(2)) == 1);
        } else {
            assert_eq!(asked(Duration::from_millis(300)), 0, "it is silent {when}");
        }
    };
    asks(true, "when there is no port");
    for (host, answers) in [(Host::Drop, false), (Host::Keep, true), (Host::Auto, false)] {
        let (mut rx, tx) = halves(Packet::open(&PacketConfig { host, ..cable.config() }).unwrap());
        asks(answers, &format!("at first with {host:?}"));
        let mut arena = Arena::new();
        eventually("the port sees what the host does not", || {
            !rx.recv(&mut arena).unwrap().is_empty()
        });
        // The last half gives back.
        drop(rx);
        asks(answers, &format!("while a half is there with {host:?}"));
        drop(tx);
        asks(true, &format!("again after {host:?}"));
    }
}

#[test]
fn what_is_no_ethernet_device_is_refused_by_a_sentence() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    netlab::tun_persistent(&namespace, "tun0", None, false).unwrap();
    let long = "sixteen_octets__";
    for (device, netns, sentence) in [
        ("lo", Some(&namespace), "lo: it is the loopback device"),
        ("tun0", Some(&namespace), "tun0: it is not an Ethernet device (its ARPHRD_ number"),
        ("nobody", Some(&namespace), "nobody: there is no such device in network namespace "),
        ("nobody", None, "nobody: there is no such device here"),
        (long, None, "sixteen_octets__: `sixteen_octets__` has 16 octets"),
    ] {
        let config = PacketConfig { netns: netns.cloned(), ..PacketConfig::named(device) };
        let error = Packet::open(&config).err().expect("it is no port for a switch").to_string();
        assert!(error.starts_with(sentence), "{error}");
    }
}

#[test]
fn mtu_is_set_or_read_and_the_device_is_brought_up() {
    if !privileged() {
        return;
    }
    let cable = Cable::new(1500);
    let mut links = cable.outer.links().unwrap();
    links.set_down(OUTER[0]).unwrap();
    let port = Packet::open(&PacketConfig { mtu: Some(1400), ..cable.config() }).unwrap();
    let link = links.expect(OUTER[0]).unwrap();
    assert_eq!((port.mtu(), link.mtu, link.up), (1400, 1400, true));
    assert_eq!((port.index(), port.namespace()), (link.index, &cable.outer));
    drop(port);
    assert_eq!(Packet::open(&cable.config()).unwrap().mtu(), 1400);
}

#[test]
fn process_that_may_not_is_told_which_right_is_missing() {
    if !privileged() {
        return;
    }
    if child::told().is_some() {
        let namespace = Namespace::new().unwrap();
        namespace.links().unwrap().add_veth("a", None, "b").unwrap();
        let config = PacketConfig { netns: Some(namespace), ..PacketConfig::named("a") };
        let error = Packet::open(&config).err().expect("it may not").to_string();
        assert!(error.starts_with("a: CAP_NET_RAW is needed to open a packet socket"), "{error}");
        return;
    }
    let again = "packet::process_that_may_not_is_told_which_right_is_missing";
    let again = child::command(again, "without");
    let told = again.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set", "-net_raw"]).arg(again.get_program());
    assert!(without.args(again.get_args()).envs(told).status().unwrap().success());
}

/// A machine at the other side of a TAP leaves checksums and segments to be done, tags in front.
#[test]
fn what_a_sender_left_to_be_done_stays_right_when_the_tag_is_put_back() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    silence(&namespace);
    let netns = Some(namespace);
    let tap = Tap::open(&TapConfig { netns: netns.clone(), ..TapConfig::named("tap0") }).unwrap();
    let (_machine_rx, mut machine) = tap.split().unwrap();
    let (mut rx, _tx) =
        halves(Packet::open(&PacketConfig { netns, ..PacketConfig::named("tap0") }).unwrap());
    let tag = [0x81, 0x00, 0x20, 0x05];
    for (tag, len) in [(&[][..], 200), (&tag, 200), (&[], 40_000), (&tag, 40_000)] {
        let transport = 34 + tag.len() as u16;
        let offload = Offload {
            flags: 1,
            // TCP over IPv4, if it is to be cut.
            gso_kind: u8::from(len > 1514),
            header_len: if len > 1514 { transport + 20 } else { 0 },
            gso_size: if len > 1514 { 1400 } else { 0 },
            csum_start: transport,
            csum_offset: 16,
        };
        let mut octets = [&station(2)[..], &station(1), tag, &[8, 0, 0x45, 0]].concat();
        octets.extend((len as u16 - 14).to_be_bytes());
        octets.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        octets.extend([0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        octets.resize(len + tag.len(), 7);
        let wire = [&offload.emit()[..], &octets].concat();
        let spans = [Span { start: 0, len: wire.len() as u32 }];
        let sent = machine.send(Selection { batch: Batch::new(&wire, &spans), mask: 1 });
        assert_eq!(sent.frames, 1);
        let mut arena = Arena::new();
        eventually("it comes", || {
            let batch = rx.recv(&mut arena).unwrap();
            let Some(frame) = batch.frames().next() else { return false };
            assert_eq!(frame.octets(), octets);
            // How much is in front is the kernel's own guess.
            let header_len = frame.offload().header_len;
            assert_eq!(frame.offload(), Offload { header_len, ..offload });
            assert!(header_len == 0 || header_len >= offload.header_len, "{header_len}");
            true
        });
    }
}

/// An old guest's UDP fragmentation, of which a virtio-net header of today knows nothing.
#[test]
fn ring_that_the_kernel_stopped_is_found_and_a_new_one_works() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    silence(&namespace);
    let netns = Some(namespace);
    let tap = Tap::open(&TapConfig { netns: netns.clone(), ..TapConfig::named("tap0") }).unwrap();
    let (_machine_rx, mut machine) = tap.split().unwrap();
    let config = PacketConfig { netns, ..PacketConfig::named("tap0") };
    let open = || halves(Packet::open(&config).unwrap());
    let mut says = |offload: Offload, octets: &[u8]| {
        let wire = [&offload.emit()[..], octets].concat();
        let spans = [Span { start: 0, len: wire.len() as u32 }];
        machine.send(Selection { batch: Batch::new(&wire, &spans), mask: 1 }).frames
    };
    let hello = frame(BROADCAST, station(1), b"hello");
    let (mut rx, mut tx) = open();
    assert_eq!(says(Offload::NONE, &hello), 1);
    assert_eq!(receive(&mut rx, 1), slice::from_ref(&hello));
    assert_eq!(tx.kernel_drops().rx, 0);
    let udp = Offload {
        flags: 1,
        gso_kind: 3,
        header_len: 42,
        gso_size: 1400,
        csum_start: 34,
        csum_offset: 6,
    };
    let mut octets = [&station(2)[..], &station(1), &[8, 0, 0x45, 0, 0x13, 0x7a]].concat();
    octets.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    octets.extend([0, 80, 0, 80, 0x13, 0x66, 0, 0]);
    octets.resize(5000, 7);
    assert_eq!(says(udp, &octets), 1);
    let mut arena = Arena::new();
    eventually("it goes on, on a kernel without the fault, or is found gone", || {
        assert_eq!(says(Offload::NONE, &hello), 1);
        tx.kernel_drops();
        let sent = send(&mut tx, slice::from_ref(&hello));
        rx.recv(&mut arena).map_or(sent.gone == 1, |batch| !batch.is_empty())
    });
    drop((rx, tx));
    let (mut rx, mut tx) = open();
    assert_eq!(says(Offload::NONE, &hello), 1);
    assert_eq!(receive(&mut rx, 1), slice::from_ref(&hello));
    assert_eq!(send(&mut tx, slice::from_ref(&hello)).frames, 1);
}

/// Two hosts with addresses, each behind a packet port of one switch.
fn switched(mtu: u32) -> ([Namespace; 2], Namespace, Handle<Packet>) {
    let outer = Namespace::new().unwrap();
    silence(&outer);
    let workers = SwitchConfig { workers: 2, ..SwitchConfig::default() };
    let mut handle = switch::start(&workers).unwrap();
    let hosts = [0, 1].map(|number: usize| {
        let host = Namespace::new().unwrap();
        lay(&outer, OUTER[number], &host, mtu);
        let config =
            PacketConfig { netns: Some(outer.clone()), ..PacketConfig::named(OUTER[number]) };
        handle.add(PortConfig::named(OUTER[number]), Packet::open(&config).unwrap()).unwrap();
        for text in [format!("10.0.0.{}/24", number + 1), format!("fd00::{}/64", number + 1)] {
            host.links().unwrap().add_address(INNER, text.parse().unwrap()).unwrap();
        }
        host
    });
    (hosts, outer, handle)
}

#[test]
fn transfers_between_packet_ports_arrive_in_frames_far_above_the_mtu() {
    if !privileged() {
        return;
    }
    for mtu in [1500, 9000] {
        let ([near, far], _outer, handle) = switched(mtu);
        for address in ["10.0.0.2", "fd00::2"] {
            let address: IpAddr = address.parse().unwrap();
            netlab::ping(&near, address, 1, PATIENCE).unwrap();
            let to = SocketAddr::new(address, 0);
            let before = handle.report().ports[0].stats;
            let tcp = transfer_tcp(&near, &far, to, 16 << 20, 1, &NEVER).unwrap();
            assert!(tcp.is_sound(), "{tcp:?}");
            let after = handle.report().ports[0].stats;
            let grown = |counter| after.get(counter) - before.get(counter);
            let mean = grown(Counter::RxOctets) / grown(Counter::RxFrames);
            assert!(mean > u64::from(mtu) + 14, "{mean} octets a frame, MTU {mtu}");
            let udp = transfer_udp(&near, &far, to, 1 << 20, 2, &NEVER).unwrap();
            assert!(udp.is_sound(), "{udp:?}");
        }
        check_accounts(&handle.stop());
    }
}
