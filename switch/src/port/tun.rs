//! TUN devices: a cable whose other end is plugged into the kernel as a network device that
//! carries packets, and no frames.
//!
//! A switch carries frames, so a TUN has an Ethernet header of its own making in front of each
//! packet, as if there were a machine with the address [`TUN_HOST`] and nobody else. At the other
//! end of its bridge there is a router's leg and nobody else: a header says no more than which of
//! the two sent it. Nobody asks by ARP for either address, and a TUN could not answer.
//!
//! ```text
//!  read    | virtio-net header |                 | packet ... |     two pieces, one readv(2)
//!  frame   | virtio-net header | Ethernet header | packet ... |
//!  written | virtio-net header |                 | packet ... |     two pieces, one writev(2)
//! ```
//!
//! The virtio-net header counts from the start of what it stands before: its numbers move by the
//! 14 octets each time. Else a TUN is opened, and lives and dies, as a TAP does (tap.rs).

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use netlab::Namespace;

use crate::{
    frame::{Arena, Frame, HEADER_LEN, Header, Lent, Mac, Selection},
    offload::{Offload, VNET_HEADER_LEN},
    parcel::Parcel,
    port::{
        KernelDrops, Port, Rx, Sent, Tx,
        datagram::{refused, unread},
        tap::{AskLinks, Layer, Tap, TapConfig, TapError, TapTx},
    },
    sys::{readv, writev},
};

/// The address of the machine behind a TUN, in the headers of the frames that stand for its
/// packets. It is locally administered (IEEE 802-2014, 8.2.2), and the same on every TUN: each is
/// alone with its leg.
pub const TUN_HOST: Mac = Mac::new([0x02, 0x74, 0x75, 0x6e, 0x00, 0x02]);

/// The address of a leg on a TUN that was given no other.
pub const TUN_LEG: Mac = Mac::new([0x02, 0x74, 0x75, 0x6e, 0x00, 0x01]);

/// Types of frames with a packet of IPv4 and IPv6 in them (IEEE 802 numbers of IANA).
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// What a TUN is to be like.
#[derive(Clone, Debug)]
pub struct TunConfig {
    /// The device's name, 1 to 15 octets.
    pub name: String,
    /// Where the device is, or is to be made.
    pub netns: Option<Namespace>,
    /// Its MTU; `None`: as it is.
    pub mtu: Option<u32>,
    /// Descriptors, each with a queue of its own, 1 to [`QUEUES_MAX`](super::tap::QUEUES_MAX).
    pub queues: u16,
    /// Whether it stays when the switch ends. One that was there before always stays.
    pub persist: bool,
    /// For whom its packets are: the leg at the other end.
    pub leg: Mac,
}

impl TunConfig {
    /// A TUN with this name, in the namespace where we are, and nothing asked for beyond that.
    pub fn named(name: impl Into<String>) -> TunConfig {
        let name = name.into();
        TunConfig { name, netns: None, mtu: None, queues: 1, persist: false, leg: TUN_LEG }
    }
}

/// A TUN that is open.
pub struct Tun {
    device: Tap,
    leg: Mac,
}

impl Tun {
    /// Creates the device, or attaches to it if it is there, and brings it up.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with which device, and what helps.
    pub fn open(config: &TunConfig) -> Result<Tun, TapError> {
        let TunConfig { name, netns, mtu, queues, persist, leg } = config.clone();
        let config = TapConfig { name, netns, mtu, mac: None, queues, persist };
        Ok(Tun { device: Tap::open_as(&config, Layer::Packets)?, leg })
    }

    /// Puts it into a parcel, as [`Tap::pack`].
    pub(crate) fn pack(self, parcel: &mut Parcel) -> io::Result<()> {
        parcel.put_number(self.leg.bits());
        self.device.pack(parcel)
    }

    /// Takes it out again.
    pub(crate) fn unpack(parcel: &mut Parcel, ask: AskLinks) -> io::Result<Tun> {
        let leg = Mac::from_bits(parcel.take_number()?);
        Ok(Tun { leg, device: Tap::unpack(parcel, ask)? })
    }

    /// What there is to ask of the device: whether it was made, its MTU, offloads, warnings.
    pub fn device(&self) -> &Tap {
        &self.device
    }
}

impl Port for Tun {
    type Rx = TunRx;
    type Tx = TunTx;

    fn split(self) -> io::Result<(Vec<TunRx>, TunTx)> {
        let (queues, sending) = self.device.queues();
        let leg = self.leg;
        Ok((queues.into_iter().map(|fd| TunRx { fd, leg }).collect(), TunTx { sending }))
    }
}

/// The receiving half of a TUN: reads until there is nothing, or the batch is full.
pub struct TunRx {
    fd: Arc<OwnedFd>,
    leg: Mac,
}

impl Rx for TunRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        arena.fill(|room| {
            let (vnet, rest) = room.split_at_mut(VNET_HEADER_LEN);
            let mut pieces = [IoSliceMut::new(vnet), IoSliceMut::new(&mut rest[HEADER_LEN..])];
            match readv(&self.fd, &mut pieces) {
                // A packet has at least its virtio-net header: nothing at all is the end.
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => Ok(put_in_front(room, len, self.leg)),
                Err(errno) => Err(unread(errno)),
            }
        })
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

/// Makes a frame for the leg of what was read round the place of its Ethernet header, `len` octets
/// with the virtio-net header, and says how long that is. What is no packet of IPv4 or IPv6, or
/// has a checksum where none can be, becomes a frame without octets: who counts runts counts it.
#[inline]
fn put_in_front(room: &mut [u8], len: usize, leg: Mac) -> usize {
    let Some(payload) = len.checked_sub(VNET_HEADER_LEN) else { return len };
    let (front, packet) = room.split_at_mut(VNET_HEADER_LEN + HEADER_LEN);
    let kind = match packet.first().filter(|_| payload > 0).map(|first| first >> 4) {
        Some(4) => TYPE_IPV4,
        Some(6) => TYPE_IPV6,
        _ => return VNET_HEADER_LEN,
    };
    let (vnet, header) = front.split_at_mut(VNET_HEADER_LEN);
    let offload = vnet.first_chunk().map_or(Offload::NONE, Offload::parse);
    let Some(offload) = offload.behind(HEADER_LEN as u16) else { return VNET_HEADER_LEN };
    vnet.copy_from_slice(&offload.emit());
    header[..6].copy_from_slice(&leg.octets());
    header[6..12].copy_from_slice(&TUN_HOST.octets());
    header[12..].copy_from_slice(&kind);
    len + HEADER_LEN
}

/// The sending half of a TUN: one write a packet. Each worker sends by a queue of its own, as
/// with a TAP.
pub struct TunTx {
    sending: TapTx,
}

impl Tx for TunTx {
    fn mtu(&self) -> u32 {
        self.sending.mtu()
    }

    fn clone_for(&self, worker: usize) -> io::Result<TunTx> {
        Ok(TunTx { sending: self.sending.clone_for(worker)? })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        write(self.sending.fd(), frames)
    }

    fn kernel_drops(&self) -> KernelDrops {
        self.sending.kernel_drops()
    }
}

/// Writes the packets of these frames, and says what became of each.
#[inline]
fn write(fd: BorrowedFd<'_>, frames: Selection<'_>) -> Sent {
    let mut sent = Sent::default();
    for frame in frames.frames() {
        let Some((vnet, packet)) = take_away(frame) else {
            sent.refused += 1;
            continue;
        };
        match writev(fd, &[IoSlice::new(&vnet), IoSlice::new(packet)]) {
            Ok(_) => sent.took(frame),
            Err(errno) => refused(errno, &mut sent),
        }
    }
    sent
}

/// The packet of a frame, and the virtio-net header that goes with it. `None`: the frame is not
/// for the machine behind a TUN; or it has no packet of IPv4 or IPv6, which is told by its type and
/// its version, for the kernel looks at the latter alone; or its checksum begins within what is
/// taken away.
#[inline]
fn take_away(frame: Frame<'_>) -> Option<([u8; VNET_HEADER_LEN], &[u8])> {
    let octets = frame.octets();
    let destination = Header::parse(octets)?.destination;
    if destination != TUN_HOST && !destination.is_group() {
        return None;
    }
    let (header, packet) = octets.split_at(HEADER_LEN);
    let version = packet.first()? >> 4;
    if !(header.ends_with(&TYPE_IPV4) && version == 4
        || header.ends_with(&TYPE_IPV6) && version == 6)
    {
        return None;
    }
    Some((frame.offload().without(HEADER_LEN as u16)?.emit(), packet))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use nix::{
        sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
        unistd,
    };

    use super::*;
    use crate::{
        frame::{Batch, Span, WIRE_MAX},
        offload::sample::Sample,
    };

    const LEG: Mac = Mac::new([2, 0, 0, 0, 0, 9]);

    /// The receiving half of a TUN, its descriptor to write to, and the kernel's end of it.
    fn pair() -> (TunRx, Arc<OwnedFd>, OwnedFd) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let fd = Arc::new(ours);
        (TunRx { fd: fd.clone(), leg: LEG }, fd, theirs)
    }

    /// A frame from the leg for the machine, and the same as the TUN has it.
    fn sample(sample: Sample) -> (Vec<u8>, Vec<u8>) {
        let frame = Sample { to: TUN_HOST.octets(), from: LEG.octets(), ..sample }.wire();
        let vnet = Frame::from_wire(&frame).offload().without(14).unwrap().emit();
        let packet = [&vnet, &frame[VNET_HEADER_LEN + HEADER_LEN..]].concat();
        (frame, packet)
    }

    fn samples() -> Vec<(Vec<u8>, Vec<u8>)> {
        let tso4 = Sample::tcp(60_000);
        let tso6 = Sample { v6: true, ..tso4.clone() };
        let uso = Sample { udp: true, size: Some(1200), ..tso4.clone() };
        let whole = Sample { size: None, ..Sample::tcp(100) };
        [tso4, tso6, uso, whole].map(sample).to_vec()
    }

    /// What is there.
    fn recv(rx: &mut TunRx) -> Vec<Vec<u8>> {
        let mut arena = Arena::new();
        rx.recv(&mut arena).unwrap().frames().map(|frame| frame.wire().to_vec()).collect()
    }

    fn send(fd: &OwnedFd, wires: &[&[u8]]) -> Sent {
        let mut spans = Vec::new();
        for wire in wires {
            let start = spans.last().map_or(0, |span: &Span| span.start + span.len);
            spans.push(Span { start, len: wire.len() as u32 });
        }
        let (memory, mask) = (wires.concat(), u64::MAX >> (64 - wires.len()));
        write(fd.as_fd(), Selection { batch: Batch::new(&memory, &spans), mask })
    }

    /// What the kernel's end has got.
    fn got(theirs: &OwnedFd) -> Option<Vec<u8>> {
        let mut octets = vec![0; WIRE_MAX];
        let len = unistd::read(theirs, &mut octets).ok()?;
        octets.truncate(len);
        Some(octets)
    }

    #[test]
    fn packet_comes_as_a_frame_from_the_machine_for_the_leg() {
        let (mut rx, _fd, theirs) = pair();
        for (frame, packet) in samples() {
            unistd::write(&theirs, &packet).unwrap();
            let [addresses, back] =
                [[TUN_HOST, LEG], [LEG, TUN_HOST]].map(|two| two.map(Mac::octets).concat());
            let mut expected = frame.clone();
            assert_eq!(expected[VNET_HEADER_LEN..][..12], addresses);
            expected[VNET_HEADER_LEN..][..12].copy_from_slice(&back);
            assert_eq!(recv(&mut rx), [expected]);
        }
        // The numbers by hand: a TSO frame over IPv4 with 32 octets of TCP header.
        let (frame, packet) = sample(Sample::tcp(60_000));
        assert_eq!(packet[..10], [1, 1, 52, 0, 0xa8, 5, 20, 0, 16, 0]);
        assert_eq!(frame[..10], [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
    }

    #[test]
    fn frame_for_the_machine_leaves_as_a_packet() {
        let (_rx, fd, theirs) = pair();
        for (frame, packet) in samples() {
            let octets = (frame.len() - VNET_HEADER_LEN) as u64;
            assert_eq!(send(&fd, &[&frame]), Sent { frames: 1, octets, ..Sent::default() });
            assert_eq!(got(&theirs), Some(packet));
        }
        // As a broadcast or a multicast, too.
        let (mut frame, packet) = sample(Sample::tcp(1));
        for group in [[0xff; 6], [0x33, 0x33, 0, 0, 0, 1]] {
            frame[VNET_HEADER_LEN..][..6].copy_from_slice(&group);
            assert_eq!(send(&fd, &[&frame]).frames, 1);
            assert_eq!(got(&theirs).as_ref(), Some(&packet));
        }
    }

    #[test]
    fn largest_packet_passes_in_both_directions() {
        let (mut rx, fd, theirs) = pair();
        let mut packet = vec![0; VNET_HEADER_LEN + 65_535];
        packet[VNET_HEADER_LEN] = 0x45;
        unistd::write(&theirs, &packet).unwrap();
        let mut frame = recv(&mut rx).remove(0);
        assert_eq!(frame.len(), packet.len() + HEADER_LEN);
        frame[VNET_HEADER_LEN..][..6].copy_from_slice(&TUN_HOST.octets());
        assert_eq!(send(&fd, &[&frame]).frames, 1);
        assert_eq!(got(&theirs), Some(packet));
    }

    #[test]
    fn what_is_no_packet_comes_as_a_frame_without_octets() {
        let (mut rx, _fd, theirs) = pair();
        let zeros = [0; VNET_HEADER_LEN];
        let lying = [1, 0, 0, 0, 0, 0, 0xf2, 0xff, 16, 0];
        let cases = [
            // The arena's memory has a packet in it from before: that is not looked at.
            zeros.to_vec(),
            [&zeros[..], &[0x54; 40]].concat(),
            [&zeros[..], &[0x00; 40]].concat(),
            [&lying[..], &[0x45; 40]].concat(),
        ];
        let mut arena = Arena::new();
        unistd::write(&theirs, &[&zeros[..], &[0x45; 40]].concat()).unwrap();
        assert_eq!(rx.recv(&mut arena).unwrap().frame(0).octets().len(), 54);
        for case in cases {
            unistd::write(&theirs, &case).unwrap();
            let batch = rx.recv(&mut arena).unwrap();
            assert_eq!((batch.len(), batch.frame(0).octets()), (1, &[][..]), "{case:?}");
        }
        // Not even a virtio-net header.
        unistd::write(&theirs, &[1; 3]).unwrap();
        assert_eq!(recv(&mut rx), [[1; 3]]);
        // An empty packet of one octet is one all the same: who knows more looks further.
        unistd::write(&theirs, &[&zeros[..], &[0x60]].concat()).unwrap();
        assert_eq!(recv(&mut rx)[0].len(), VNET_HEADER_LEN + HEADER_LEN + 1);
    }

    #[test]
    fn frame_without_a_packet_for_the_machine_is_refused_alone() {
        let (_rx, fd, theirs) = pair();
        let (good, packet) = sample(Sample { size: None, ..Sample::tcp(10) });
        let changed = |at: usize, octets: &[u8]| {
            let mut frame = good.clone();
            frame[VNET_HEADER_LEN + at..][..octets.len()].copy_from_slice(octets);
            frame
        };
        let mut lying = good.clone();
        lying[6] = 13;
        let tagged = sample(Sample { tags: 1, ..Sample::tcp(10) }).0;
        let cases = [
            ("for another", changed(0, &LEG.octets())),
            ("ARP", changed(12, &[0x08, 0x06])),
            ("IPv4 that says it is IPv6", changed(12, &[0x86, 0xdd])),
            ("version 6 in a frame of IPv4", changed(14, &[0x60])),
            ("version 5", changed(14, &[0x55])),
            ("empty", good[..VNET_HEADER_LEN + HEADER_LEN].to_vec()),
            ("runt", good[..VNET_HEADER_LEN + HEADER_LEN - 1].to_vec()),
            ("nothing", Vec::new()),
            ("a tag", tagged),
            ("a checksum in the Ethernet header", lying),
        ];
        for (what, frame) in cases {
            let sent = send(&fd, &[&good, &frame, &good]);
            let octets = 2 * (good.len() - VNET_HEADER_LEN) as u64;
            assert_eq!(sent, Sent { frames: 2, octets, refused: 1, ..Sent::default() }, "{what}");
            assert_eq!([got(&theirs), got(&theirs)], [Some(packet.clone()), Some(packet.clone())]);
            assert_eq!(got(&theirs), None, "{what}");
        }
    }

    #[test]
    fn tun_whose_other_end_closed_is_gone_in_both_directions() {
        let (mut rx, fd, theirs) = pair();
        drop(theirs);
        let mut arena = Arena::new();
        assert_eq!(rx.recv(&mut arena).err().unwrap().kind(), ErrorKind::UnexpectedEof);
        let (frame, _) = sample(Sample::tcp(10));
        assert_eq!(send(&fd, &[&frame]), Sent { gone: 1, ..Sent::default() });
    }
}
