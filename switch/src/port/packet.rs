//! Packet sockets: a cable to any network device that the kernel has. What comes in by the device
//! comes to us, and what we send leaves by it: the outer end of a veth pair, a macvlan, a card, or
//! the netdev side of a TAP whose other side a virtual machine holds (packet(7)).
//!
//! Frames come by a ring that is shared with the kernel (ring.rs, receive.rs) and go by
//! sendmmsg(2) (send.rs), each behind its virtio-net header, so that 64 KB frames pass whole.
//!
//! A packet socket only listens: the host's own stack gets each frame as well, and would answer
//! for addresses that it has on the device, and forward. So by default it is made deaf on a device
//! that exists for us (host.rs).
//!
//! Of its two sockets one receives and one sends: a socket that did both would wake its worker for
//! each frame that has left. They are bound to one device in one namespace, and survive that it
//! goes down and up, and wait meanwhile. That it is deleted or moved away they do not tell: nothing
//! comes any more, and what is sent counts as sent while it was down. Whoever wants to know watches
//! the links of [`Packet::namespace`] for [`Packet::index`].
//!
//! Limits of the kernel, that no program can lift: a frame with more than one VLAN tag, or with an
//! 802.1ad tag, is not sent at full MTU (EMSGSIZE: refused); frames below 14 octets cannot be
//! sent. And by a fault of it a frame of some kinds stops the ring for good (drops.rs): that costs
//! the port of its sender alone, is found when somebody asks for [`Tx::kernel_drops`], and then the
//! port is gone, to be opened again.
//!
//! [`Tx::kernel_drops`]: crate::port::Tx::kernel_drops

use std::{
    error, fmt, fs, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use netlab::{Link, Links, Namespace};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, setsockopt, socket,
    sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce},
};

use crate::{
    offload::VNET_HEADER_LEN,
    parcel::{self, Parcel},
    port::{Port, macvtap::hears_its_own},
    sys,
};

mod drops;
mod host;
mod receive;
mod ring;
mod send;

pub use receive::PacketRx;
pub use send::PacketTx;

use drops::Drops;
pub(crate) use host::Taken;
use ring::{RING_OCTETS, Ring};

/// Octets of kernel memory that may be filled with frames for one port: the ring, and the queue
/// of frames too large for it. The queue takes a frame while it is below its bound, so it goes
/// beyond by one.
pub const RECEIVE_OCTETS_MAX: usize = 4 << 20;

/// Octets of frames on their way out: thirty of the largest.
const SEND_OCTETS: usize = 2 << 20;

/// How a packet socket is asked for virtio-net headers, the latest way first: option and value.
/// Since Linux 6.6, and since 2.6.27.
const HEADERS: [Header; 2] =
    [(libc::PACKET_VNET_HDR_SZ, VNET_HEADER_LEN as libc::c_int), (libc::PACKET_VNET_HDR, 1)];

type Header = (libc::c_int, libc::c_int);

/// What a packet port is to be like.
#[derive(Clone, Debug)]
pub struct PacketConfig {
    /// The device's name, 1 to 15 octets.
    pub device: String,
    /// Where the device is; `None`: in the namespace where we are.
    pub netns: Option<Namespace>,
    /// Its MTU; `None`: as it is.
    pub mtu: Option<u32>,
    /// What becomes of the host's own stack.
    pub host: Host,
}

impl PacketConfig {
    /// A port on this device, in the namespace where we are, and nothing asked for beyond that.
    pub fn named(device: impl Into<String>) -> PacketConfig {
        PacketConfig { device: device.into(), netns: None, mtu: None, host: Host::Auto }
    }
}

/// What becomes of the host's own stack on a device that is a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// Frames that come in by the device are dropped before the host sees them.
    Drop,
    /// The host sees them, and answers as if there were no switch.
    Keep,
    /// [`Host::Keep`] on hardware, by which the host itself may be reached; else [`Host::Drop`].
    #[default]
    Auto,
}

/// A packet socket that is open.
pub struct Packet {
    ring: Ring,
    shared: Arc<Shared>,
    warnings: Vec<String>,
}

/// What the halves of a port have in common. With the last of them the socket is closed, and the
/// host gets back what was taken from it.
struct Shared {
    /// Receives: it has the ring, and workers sleep on it.
    fd: OwnedFd,
    /// Sends, and receives nothing. When a frame that was sent is freed, its socket wakes whoever
    /// sleeps on it, who might wait for room (sock_def_write_space): on this one nobody does.
    sender: OwnedFd,
    /// How it was asked for virtio-net headers.
    header: Header,
    mtu: u32,
    index: u32,
    namespace: Namespace,
    /// Those of its namespace.
    links: Mutex<Links>,
    drops: Drops,
    /// What the device had dropped in sending when it was opened.
    device_drops_before: u64,
    /// Given back with the last half. `None`: whoever has opened it gives it back.
    taken: Option<Taken>,
}

impl Packet {
    /// Opens a socket on the device, and brings the device up.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with which device, and what helps.
    pub fn open(config: &PacketConfig) -> Result<Packet, PacketError> {
        Packet::open_with(config, &HEADERS)
    }

    /// Opens as a kernel would that knows these headers.
    fn open_with(config: &PacketConfig, headers: &[Header]) -> Result<Packet, PacketError> {
        let fail = |fault| PacketError { device: config.device.clone(), fault };
        let namespace = match &config.netns {
            Some(namespace) => namespace.clone(),
            None => {
                Namespace::current().map_err(|e| fail(Fault::System("find its namespace", e)))?
            }
        };
        let opened = namespace.run(|| open_here(config, headers, &namespace));
        opened.map_err(|e| fail(Fault::System("enter its namespace", e)))?.map_err(fail)
    }

    /// Puts what the port is about into a parcel. What was taken from the host stays here, to be
    /// given back.
    pub(crate) fn pack(self, parcel: &mut Parcel) -> io::Result<Option<Taken>> {
        let Packet { ring, shared, warnings: _ } = self;
        // The kernel has filled no slot that was looked at.
        drop(ring);
        let shared = Arc::into_inner(shared).ok_or_else(parcel::wrong)?;
        let header = HEADERS.iter().position(|header| *header == shared.header);
        let header = header.ok_or_else(parcel::wrong)? as u64;
        let numbers = [header, shared.mtu.into(), shared.index.into(), shared.device_drops_before];
        numbers.into_iter().for_each(|number| parcel.put_number(number));
        parcel.put_fd(shared.fd);
        parcel.put_fd(shared.sender);
        parcel.put_fd(shared.namespace.as_fd().try_clone_to_owned()?);
        let links = shared.links.into_inner().unwrap_or_else(PoisonError::into_inner);
        parcel.put_fd(links.into_fd());
        Ok(shared.taken)
    }

    /// Takes it out again.
    pub(crate) fn unpack(parcel: &mut Parcel) -> io::Result<Packet> {
        let header = HEADERS.get(parcel.take_number()? as usize).ok_or_else(parcel::wrong)?;
        let (mtu, index) = (parcel.take_number()? as u32, parcel.take_number()? as u32);
        let device_drops_before = parcel.take_number()?;
        let fd = parcel.take_fd()?;
        let ring = Ring::map(fd.as_fd())?;
        let sender = parcel.take_fd()?;
        let namespace = Namespace::from_fd(parcel.take_fd()?)?;
        let links = Mutex::new(Links::from_fd(parcel.take_fd()?));
        let (drops, taken) = (Drops::default(), None);
        let shared = Shared {
            fd,
            sender,
            header: *header,
            mtu,
            index,
            namespace,
            links,
            drops,
            device_drops_before,
            taken,
        };
        Ok(Packet { ring, shared: Arc::new(shared), warnings: Vec::new() })
    }

    /// The device's number in its namespace (ifindex). One that is made again has another.
    pub fn index(&self) -> u32 {
        self.shared.index
    }

    /// Where the device is.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// The device's MTU.
    pub fn mtu(&self) -> u32 {
        self.shared.mtu
    }

    /// What senders may leave to be done to their frames, by name.
    pub fn offloads(&self) -> impl Iterator<Item = &'static str> {
        // Kernels that know the latest way (6.6) know datagrams to be cut as well (6.2).
        let names = ["csum", "tso4", "tso6", "uso4", "uso6"];
        let known = if self.shared.header == HEADERS[0] { names.len() } else { 3 };
        names.into_iter().take(known)
    }

    /// What did not work but does not keep the port from being used: sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Port for Packet {
    type Rx = PacketRx;
    type Tx = PacketTx;

    fn split(self) -> io::Result<(Vec<PacketRx>, PacketTx)> {
        let rx = PacketRx::new(self.ring, self.shared.clone());
        Ok((vec![rx], PacketTx::new(self.shared)))
    }
}

impl Shared {
    /// What the device dropped in sending since the port was opened.
    fn device_drops(&self) -> io::Result<u64> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner).list()?;
        let link = links.into_iter().find(|link| link.index == self.index);
        let link = link.ok_or(io::ErrorKind::NotFound)?;
        Ok(link.counters.tx_dropped.saturating_sub(self.device_drops_before))
    }
}

/// Opens in the namespace of the calling thread.
fn open_here(
    config: &PacketConfig,
    headers: &[Header],
    namespace: &Namespace,
) -> Result<Packet, Fault> {
    let device = &config.device;
    netlab::check_link_name(device).map_err(Fault::Name)?;
    let asked = |error| Fault::System("ask for it by netlink", error);
    let mut links = Links::here().map_err(asked)?;
    let gone = || Fault::Missing(config.netns.clone());
    let link = links.get(device).map_err(asked)?.ok_or_else(gone)?;
    let fd = open_socket(&link)?;
    if let Some(mtu) = config.mtu.filter(|mtu| *mtu != link.mtu) {
        links.set_mtu(device, mtu).map_err(|e| Fault::System("set its MTU", e))?;
    }
    let set = |error| Fault::System("prepare its socket", error);
    let header = set_up(&fd, headers).map_err(set)?;
    let sender = open_socket(&link)?;
    set_up_sender(&sender, header).map_err(set)?;
    let ring = Ring::open(fd.as_fd()).map_err(|e| Fault::System("share its ring", e))?;
    let mut warnings = Vec::new();
    if !link.up
        && let Err(error) = links.set_up(device)
    {
        warnings.push(format!(
            "it is down and could not be brought up ({}); `sudo ip link set {device} up` does it",
            netlab::explain(&error),
        ));
    }
    let host = match config.host {
        Host::Auto if is_hardware(&link) => Host::Keep,
        Host::Auto => Host::Drop,
        told => told,
    };
    let taken = Taken::take(links, device, host == Host::Drop, &mut warnings);
    promiscuous(&fd, link.index).map_err(set)?;
    // From here on frames come: everything is as they need it.
    sys::packet_bind(fd.as_fd(), link.index, libc::ETH_P_ALL as u16).map_err(set)?;
    let mut links = Links::here().map_err(asked)?;
    let link = links.get(device).map_err(asked)?.ok_or_else(gone)?;
    let shared = Shared {
        fd,
        sender,
        header,
        mtu: link.mtu,
        index: link.index,
        namespace: namespace.clone(),
        links: Mutex::new(links),
        drops: Drops::default(),
        device_drops_before: link.counters.tx_dropped,
        taken: Some(taken),
    };
    warnings.extend(hears_its_own(&link));
    Ok(Packet { ring, shared: Arc::new(shared), warnings })
}

/// A socket that is bound to the device, if that is one for us, and receives nothing yet.
fn open_socket(link: &Link) -> Result<OwnedFd, Fault> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = match socket(AddressFamily::Packet, SockType::Raw, flags, None) {
        Ok(fd) => fd,
        Err(nix::Error::EPERM) => return Err(Fault::Forbidden),
        Err(errno) => return Err(Fault::System("open a packet socket", errno.into())),
    };
    let kind = sys::packet_bind(fd.as_fd(), link.index, 0)
        .and_then(|()| sys::packet_device_kind(fd.as_fd()))
        .map_err(|e| Fault::System("bind a packet socket to it", e))?;
    match kind {
        libc::ARPHRD_ETHER => Ok(fd),
        libc::ARPHRD_LOOPBACK => Err(Fault::Loopback),
        other => Err(Fault::NotEthernet(other)),
    }
}

/// Sets the options of the socket that receives, before it has its ring. Returns how it was asked
/// for virtio-net headers.
fn set_up(fd: &OwnedFd, headers: &[Header]) -> io::Result<Header> {
    let set =
        |option, value: libc::c_int| sys::set_option(fd.as_fd(), libc::SOL_PACKET, option, &value);
    let known = headers.iter().find(|(option, value)| set(*option, *value).is_ok());
    let header = known.ok_or(io::ErrorKind::Unsupported)?;
    // Any number but zero: what does not fit a slot is queued.
    set(libc::PACKET_COPY_THRESH, 1)?;
    // Since Linux 4.20. Without it the receiving half leaves our own frames out.
    let _ = set(libc::PACKET_IGNORE_OUTGOING, 1);
    // The kernel doubles what it is given, for its own structures (socket(7)).
    let receive = (RECEIVE_OCTETS_MAX - RING_OCTETS) / 2;
    // Beyond the system's limit where we may; what fits below it otherwise.
    if setsockopt(fd, RcvBufForce, &receive).is_err() {
        setsockopt(fd, RcvBuf, &receive)?;
    }
    Ok(*header)
}

/// Sets the options of the socket that sends.
fn set_up_sender(sender: &OwnedFd, (option, value): Header) -> io::Result<()> {
    sys::set_option(sender.as_fd(), libc::SOL_PACKET, option, &value)?;
    // Doubled, and beyond the limit, as above.
    let send = SEND_OCTETS / 2;
    if setsockopt(sender, SndBufForce, &send).is_err() {
        setsockopt(sender, SndBuf, &send)?;
    }
    Ok(())
}

/// Lets the device take frames for everybody, until the socket is closed.
fn promiscuous(fd: &OwnedFd, index: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index as libc::c_int,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    sys::set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Whether a device is a card: it has no kind, or a device of a bus behind it. /sys shows the
/// devices of the namespace in which it was mounted, so the kind is asked first.
fn is_hardware(link: &Link) -> bool {
    link.kind.is_none() || fs::exists(format!("/sys/class/net/{link}/device")).unwrap_or(false)
}

/// Why a packet port could not be opened. Displayed, it is a sentence with the device's name.
#[derive(Debug)]
pub struct PacketError {
    device: String,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Name(String),
    Missing(Option<Namespace>),
    Forbidden,
    Loopback,
    NotEthernet(u16),
    System(&'static str, io::Error),
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.escape_debug();
        write!(f, "{device}: ")?;
        match &self.fault {
            Fault::Name(sentence) => f.write_str(sentence),
            Fault::Missing(None) => f.write_str(
                "there is no such device here: `ip link` shows those that there are; one in \
                 another namespace needs netns=",
            ),
            Fault::Missing(Some(namespace)) => write!(
                f,
                "there is no such device in {namespace:?}: `ip link` in there shows those that \
                 there are",
            ),
            Fault::Forbidden => f.write_str(
                "CAP_NET_RAW is needed to open a packet socket on it: run this with sudo, or give \
                 the program the rights with `sudo setcap cap_net_raw,cap_net_admin+ep $(command \
                 -v uswitch)`",
            ),
            Fault::Loopback => f.write_str(
                "it is the loopback device, by which the host talks to itself: to connect the \
                 host, give it a TAP with an address",
            ),
            Fault::NotEthernet(kind) => write!(
                f,
                "it is not an Ethernet device (its ARPHRD_ number in linux/if_arp.h is {kind}), \
                 and a switch connects nothing else",
            ),
            Fault::System(what, error) => write!(f, "could not {what}: {}", netlab::explain(error)),
        }
    }
}

impl error::Error for PacketError {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use netlab::FrameSocket;

    use super::*;
    use crate::{
        frame::{Arena, Batch, Selection, Span},
        port::{Rx, Tx},
    };

    const WAIT: Duration = Duration::from_secs(60);

    #[test]
    fn device_without_a_kind_is_hardware() {
        let link = |kind: Option<&str>| Link {
            name: "of nobody".into(),
            kind: kind.map(str::to_string),
            ..Link::default()
        };
        assert!(is_hardware(&link(None)));
        assert!(!is_hardware(&link(Some("veth"))));
        assert!(!is_hardware(&link(Some("tun"))));
    }

    /// Kernels before 6.6; what all kernels do is tested between real hosts (tests/netns).
    #[test]
    fn kernel_that_knows_the_old_way_alone_is_served_as_well() {
        if !nix::unistd::geteuid().is_root() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs this test: as root");
            return;
        }
        let (inner, outer) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        for namespace in [&inner, &outer] {
            namespace.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            namespace.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        }
        outer.links().unwrap().add_veth("a", Some(&inner), "b").unwrap();
        for (namespace, link) in [(&inner, "b"), (&outer, "a")] {
            namespace.links().unwrap().set_mtu(link, 9000).unwrap();
            namespace.links().unwrap().set_up(link).unwrap();
        }
        assert!(inner.links().unwrap().wait_running("b", WAIT).unwrap());
        assert!(outer.links().unwrap().wait_running("a", WAIT).unwrap());
        let config = PacketConfig { netns: Some(outer), ..PacketConfig::named("a") };
        let port = Packet::open_with(&config, &HEADERS[1..]).unwrap();
        assert_eq!(port.offloads().collect::<Vec<_>>(), ["csum", "tso4", "tso6"]);
        let (mut rx, mut tx) = port.split().unwrap();
        let mut host = FrameSocket::open(&inner, "b").unwrap();
        for (tag, len) in [(false, 46), (true, 46), (false, 5000), (true, 5000)] {
            let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7];
            frame.extend([0x81, 0x00, 0x00, 0x05].iter().filter(|_| tag));
            frame.extend([0x88, 0xb5]);
            frame.extend((0..len).map(|at| at as u8));
            host.send(&frame).unwrap();
            let (mut arena, begin) = (Arena::new(), Instant::now());
            let wire = loop {
                let batch = rx[0].recv(&mut arena).unwrap();
                if let Some(frame) = batch.frames().next() {
                    break frame.wire().to_vec();
                }
                assert!(begin.elapsed() < WAIT, "it comes");
            };
            assert_eq!(wire[..VNET_HEADER_LEN], [0; VNET_HEADER_LEN]);
            assert_eq!(wire[VNET_HEADER_LEN..], frame);
            let spans = [Span { start: 0, len: wire.len() as u32 }];
            let sent = tx.send(Selection { batch: Batch::new(&wire, &spans), mask: 1 });
            assert_eq!((sent.frames, sent.octets), (1, frame.len() as u64));
            assert_eq!(host.recv(WAIT).unwrap(), Some(frame));
        }
    }
}
