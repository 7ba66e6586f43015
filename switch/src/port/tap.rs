//! TAP devices: a cable whose other end is plugged into the kernel as a network device.
//!
//! Opened with IFF_VNET_HDR and all offloads that the kernel grants, so that a host's 64 KB
//! frames come to us whole (offload.rs). Attaching to a persistent TAP with other flags than it
//! had would succeed and silently rewrite them; so all flags are always set, and read back.
//!
//! The descriptor outlives what happens to the device: it may be moved to another network
//! namespace, renamed, taken down and up again. When it is deleted, reads say EBADFD, and the
//! port is gone. What needs the name (counters of the kernel) asks for it each time.
//!
//! A descriptor of /dev/net/tun keeps the namespace alive in which it was opened, and the device
//! can be made nowhere else. So with `netns` a namespace whose name was deleted and whose last
//! process ended lives on, silent, until the port is removed. (One to which the device was moved
//! later dies, and the device with it.)
//!
//! A TUN (tun.rs) is opened here too: to the kernel it is the same with another flag.

use std::{
    error, fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use libc::{IFF_MULTI_QUEUE, c_int};
use netlab::{Link, Links, Namespace};

use crate::{
    frame::{Mac, Selection},
    parcel::{self, Parcel},
    port::{
        KernelDrops, Port, Sent, Tx,
        datagram::{DatagramRx, DatagramTx},
        vnet::{FLAGS, FLAGS_TUN, Offloads},
    },
    sys,
};

/// Queues of one TAP at the most (MAX_TAP_QUEUES of drivers/net/tun.c).
pub const QUEUES_MAX: u16 = 256;

/// What a TAP is to be like.
#[derive(Clone, Debug)]
pub struct TapConfig {
    /// The device's name, 1 to 15 octets.
    pub name: String,
    /// Where the device is, or is to be made.
    pub netns: Option<Namespace>,
    /// Its MTU; `None`: as it is.
    pub mtu: Option<u32>,
    /// The address of the host's end; `None`: as it is.
    pub mac: Option<Mac>,
    /// Descriptors, each with a queue of its own, 1 to [`QUEUES_MAX`].
    pub queues: u16,
    /// Whether it stays when the switch ends. One that was there before always stays.
    pub persist: bool,
}

impl TapConfig {
    /// A TAP with this name, in the namespace where we are, and nothing asked for beyond that.
    pub fn named(name: impl Into<String>) -> TapConfig {
        let name = name.into();
        TapConfig { name, netns: None, mtu: None, mac: None, queues: 1, persist: false }
    }
}

/// What a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Frames: a TAP.
    Frames,
    /// Packets: a TUN.
    Packets,
}

impl Layer {
    fn flags(self) -> c_int {
        match self {
            Layer::Frames => FLAGS,
            Layer::Packets => FLAGS_TUN,
        }
    }

    /// What `ip tuntap` calls it.
    fn mode(self) -> &'static str {
        match self {
            Layer::Frames => "tap",
            Layer::Packets => "tun",
        }
    }
}

/// A TAP that is open.
pub struct Tap {
    queues: Vec<Arc<OwnedFd>>,
    created: bool,
    offloads: Offloads,
    mtu: u32,
    drops: KernelDrops,
    warnings: Vec<String>,
    ask: Option<AskLinks>,
}

impl Tap {
    /// Puts what the port is about into a parcel.
    pub(crate) fn pack(self, parcel: &mut Parcel) -> io::Result<()> {
        parcel.put_number(u64::from(self.mtu));
        parcel.put_number(self.drops.rx);
        parcel.put_number(self.drops.tx);
        parcel.put_number(self.queues.len() as u64);
        for queue in &self.queues {
            parcel.put_fd(queue.try_clone()?);
        }
        Ok(())
    }

    /// Takes it out again. `ask`: who is asked for what takes rights.
    pub(crate) fn unpack(parcel: &mut Parcel, ask: AskLinks) -> io::Result<Tap> {
        let mtu = parcel.take_number()? as u32;
        let drops = KernelDrops { rx: parcel.take_number()?, tx: parcel.take_number()? };
        let count = parcel.take_number()? as usize;
        if !(1..=parcel.fds()).contains(&count) {
            return Err(parcel::wrong());
        }
        let queues =
            (0..count).map(|_| parcel.take_fd().map(Arc::new)).collect::<Result<_, _>>()?;
        let (offloads, warnings, ask) = (Offloads::NONE, Vec::new(), Some(ask));
        Ok(Tap { queues, created: false, offloads, mtu, drops, warnings, ask })
    }

    /// Creates the device, or attaches to it if it is there, and brings it up.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with which device, and what helps.
    pub fn open(config: &TapConfig) -> Result<Tap, TapError> {
        Tap::open_as(config, Layer::Frames)
    }

    /// The same for what carries packets.
    pub(super) fn open_as(config: &TapConfig, layer: Layer) -> Result<Tap, TapError> {
        let fail = |fault| TapError { name: config.name.clone(), layer, fault };
        let namespace = match &config.netns {
            Some(namespace) => namespace.clone(),
            None => {
                Namespace::current().map_err(|e| fail(Fault::System("find its namespace", e)))?
            }
        };
        let opened = namespace.run(|| open_here(config, layer));
        opened.map_err(|e| fail(Fault::System("enter its namespace", e)))?.map_err(fail)
    }

    /// Whether the device was made by [`Tap::open`]; else it was there.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The device's MTU.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The offloads that the kernel granted, by name.
    pub fn offloads(&self) -> impl Iterator<Item = &'static str> {
        self.offloads.names()
    }

    /// What did not work but does not keep the port from being used: sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Port for Tap {
    type Rx = DatagramRx;
    type Tx = TapTx;

    fn split(self) -> io::Result<(Vec<DatagramRx>, TapTx)> {
        let (queues, sending) = self.queues();
        Ok((queues.into_iter().map(DatagramRx::new).collect(), sending))
    }
}

impl Tap {
    /// The queues to receive from, and the sending half.
    pub(super) fn queues(self) -> (Vec<Arc<OwnedFd>>, TapTx) {
        let receiving = self.queues.clone();
        let sending = self.queues.into_iter().map(|fd| DatagramTx::new(fd, self.mtu)).collect();
        (receiving, TapTx { sending, queue: 0, before: self.drops, ask: self.ask })
    }
}

/// The sending half of a TAP. Each worker sends by a queue of its own, where there are several:
/// the kernel gives a flow's answers to the queue by which it last saw the flow.
pub struct TapTx {
    sending: Arc<[DatagramTx]>,
    queue: usize,
    /// What the kernel had dropped when the device was opened.
    before: KernelDrops,
    ask: Option<AskLinks>,
}

impl Tx for TapTx {
    fn mtu(&self) -> u32 {
        self.sending[0].mtu()
    }

    fn clone_for(&self, worker: usize) -> io::Result<TapTx> {
        let (sending, queue) = (self.sending.clone(), worker % self.sending.len());
        let (before, ask) = (self.before, self.ask.clone());
        Ok(TapTx { sending, queue, before, ask })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        self.sending[self.queue].write(frames)
    }

    /// From the device's own counters, whichever namespace it is in now; zero if it is gone.
    fn kernel_drops(&self) -> KernelDrops {
        let fd = self.sending[0].fd();
        let links = self.ask.as_ref().map_or_else(|| links_of(fd), |ask| ask(fd));
        links.and_then(|links| self.drops_in(links)).unwrap_or_default()
    }
}

/// Who gives the links of the namespace in which a TAP is now: to ask for that, and to go there,
/// takes rights.
pub(crate) type AskLinks = Arc<dyn Fn(BorrowedFd<'_>) -> io::Result<Links> + Send + Sync>;

/// The links of the namespace in which a TAP is now.
pub(crate) fn links_of(tap: BorrowedFd<'_>) -> io::Result<Links> {
    sys::tun_namespace(tap).and_then(Namespace::from_fd)?.links()
}

impl TapTx {
    /// The queue by which this half sends.
    #[inline]
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.sending[self.queue].fd()
    }

    fn drops_in(&self, mut links: Links) -> io::Result<KernelDrops> {
        let (name, _) = sys::tun_device(self.sending[0].fd())?;
        let link = links.get(&name)?.ok_or(io::ErrorKind::NotFound)?;
        let total = kernel_drops(&link);
        Ok(KernelDrops {
            rx: total.rx.saturating_sub(self.before.rx),
            tx: total.tx.saturating_sub(self.before.tx),
        })
    }
}

/// The device counts from the host's side: what it dropped in sending is what we never read.
fn kernel_drops(link: &Link) -> KernelDrops {
    KernelDrops { rx: link.counters.tx_dropped, tx: link.counters.rx_dropped }
}

/// Opens in the namespace of the calling thread.
fn open_here(config: &TapConfig, layer: Layer) -> Result<Tap, Fault> {
    let mut links = Links::here().map_err(|e| Fault::System("ask for it by netlink", e))?;
    let there = links.get(&config.name).map_err(|e| Fault::System("ask for it by netlink", e))?;
    let ours = |tun: &netlab::Tun| tun.tap == (layer == Layer::Frames);
    let multi_queue = match &there {
        None => config.queues > 1,
        Some(link) => match &link.tun {
            Some(tun) if ours(tun) && !tun.multi_queue && config.queues > 1 => {
                return Err(Fault::SingleQueue);
            }
            // The kernel would let us in beside those who hold it, and give each a part of what
            // the host sends: frames would be missing there and here.
            Some(tun) if ours(tun) && tun.queues > 0 => {
                return Err(Fault::Held(netlab::tun_holders(&config.name).unwrap_or_default()));
            }
            Some(tun) if ours(tun) => tun.multi_queue,
            Some(_) => return Err(Fault::Other),
            None => return Err(Fault::Neither(link.kind.clone())),
        },
    };
    let attach =
        |_| attach(&config.name, layer, multi_queue).map_err(|e| explain(e, config, &there));
    let queues = (0..config.queues).map(attach).collect::<Result<Vec<_>, Fault>>()?;
    let offloads = set_up(&queues, layer).map_err(|e| Fault::System("set its flags", e))?;
    let created = there.is_none();
    if created && config.persist {
        sys::tun_set_persist(queues[0].as_fd(), true)
            .map_err(|e| Fault::System("make it persistent", e))?;
    }
    let mut tap = Tap {
        queues: queues.into_iter().map(Arc::new).collect(),
        created,
        offloads,
        mtu: 0,
        drops: KernelDrops::default(),
        warnings: Vec::new(),
        ask: None,
    };
    tap.configure(config, &mut links)?;
    Ok(tap)
}

impl Tap {
    /// Sets MTU and address, brings the device up, and notes how it is then.
    fn configure(&mut self, config: &TapConfig, links: &mut Links) -> Result<(), Fault> {
        let gone = || Fault::System("find it again", io::ErrorKind::NotFound.into());
        let find = |links: &mut Links| {
            let found = links.get(&config.name);
            found.map_err(|e| Fault::System("ask for it by netlink", e))?.ok_or_else(gone)
        };
        let link = find(links)?;
        if let Some(mtu) = config.mtu.filter(|mtu| *mtu != link.mtu) {
            links.set_mtu(&config.name, mtu).map_err(|e| Fault::System("set its MTU", e))?;
        }
        if let Some(mac) = config.mac.filter(|mac| Some(mac.octets()) != link.mac) {
            links
                .set_mac(&config.name, mac.octets())
                .map_err(|e| Fault::System("set its address", e))?;
        }
        if !link.up
            && let Err(error) = links.set_up(&config.name)
        {
            self.warnings.push(format!(
                "it is down and could not be brought up ({}); \
                 `sudo ip link set {} up` does it",
                netlab::explain(&error),
                config.name
            ));
        }
        let link = find(links)?;
        self.mtu = link.mtu;
        self.drops = kernel_drops(&link);
        Ok(())
    }
}

/// Opens one queue.
fn attach(name: &str, layer: Layer, multi_queue: bool) -> io::Result<OwnedFd> {
    match (layer, multi_queue) {
        // The tun crate is asked for TAPs with one queue.
        (_, true) => return sys::tun_attach(name, layer.flags() | IFF_MULTI_QUEUE),
        (Layer::Packets, false) => return sys::tun_attach(name, layer.flags()),
        (Layer::Frames, false) => {}
    }
    let mut config = tun::Configuration::default();
    config.tun_name(name).layer(tun::Layer::L2).platform_config(|platform| {
        // It would set an address; a port of a switch has none.
        platform.vnet_hdr(true).ensure_root_privileges(false);
    });
    match tun::create(&config) {
        Ok(device) => Ok(sys::own(device)),
        Err(tun::Error::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Prepares all queues, and says which offloads were granted.
fn set_up(queues: &[OwnedFd], layer: Layer) -> io::Result<Offloads> {
    let negotiate =
        |granted: Offloads, queue: &OwnedFd| granted.negotiate_with(queue.as_fd(), layer.flags());
    queues.iter().try_fold(Offloads::ALL, negotiate)
}

/// Finds out what an error of [`attach`] means.
fn explain(error: io::Error, config: &TapConfig, there: &Option<Link>) -> Fault {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => Fault::NoDriver,
        Some(libc::EACCES) => Fault::NodeForbidden,
        Some(libc::EPERM) if there.is_some() => Fault::Foreign,
        Some(libc::EPERM) => Fault::Forbidden,
        Some(libc::EBUSY) => Fault::Held(netlab::tun_holders(&config.name).unwrap_or_default()),
        _ => Fault::System("open it", error),
    }
}

/// Why a TAP or a TUN could not be opened. Displayed, it is a sentence with the device's name.
#[derive(Debug)]
pub struct TapError {
    name: String,
    layer: Layer,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    NoDriver,
    NodeForbidden,
    Forbidden,
    Foreign,
    Held(Vec<netlab::Holder>),
    /// It carries what the other layer does.
    Other,
    /// It is neither a TAP nor a TUN, but of this kind.
    Neither(Option<String>),
    SingleQueue,
    System(&'static str, io::Error),
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mode) = (&self.name, self.layer.mode());
        write!(f, "{name}: ")?;
        match &self.fault {
            Fault::NoDriver => f.write_str(
                "there is no /dev/net/tun: load the driver with `sudo modprobe tun`, or make the \
                 node with `sudo mkdir -p /dev/net && sudo mknod -m 666 /dev/net/tun c 10 200`",
            ),
            Fault::NodeForbidden => f.write_str(
                "no permission to open /dev/net/tun: `sudo chmod 666 /dev/net/tun` opens it to \
                 all, which is safe (devices have their own owners), or run this as root",
            ),
            Fault::Forbidden => write!(
                f,
                "CAP_NET_ADMIN is needed to create it: run this with sudo, or create it once for \
                 yourself with `sudo ip tuntap add dev {name} mode {mode} user $USER && sudo ip \
                 link set {name} up`, or give the program the right with `sudo setcap \
                 cap_net_admin+ep $(command -v uswitch)`",
            ),
            Fault::Foreign => write!(
                f,
                "it belongs to another user: run this with sudo, or make it yours with `sudo ip \
                 tuntap del dev {name} mode {mode}; sudo ip tuntap add dev {name} mode {mode} \
                 user $USER`",
            ),
            Fault::Held(holders) => {
                f.write_str("it is held by ")?;
                match holders.as_slice() {
                    [] => f.write_str("another program (as root, its name could be told)")?,
                    [first, others @ ..] => {
                        write!(f, "{} (pid {})", first.program, first.pid)?;
                        for other in others {
                            write!(f, ", {} (pid {})", other.program, other.pid)?;
                        }
                    }
                }
                let mode = mode.to_uppercase();
                write!(f, ": end that program, or give one of the two another {mode}")
            }
            Fault::Other if self.layer == Layer::Packets => f.write_str(
                "it is a TAP device, which carries frames: `--port` takes it; one for packets is \
                 a TUN (`ip tuntap add mode tun`)",
            ),
            Fault::Other => f.write_str(
                "it is a TUN device, which carries packets and no frames: a port of a switch is \
                 a TAP (`ip tuntap add mode tap`)",
            ),
            Fault::Neither(kind) => {
                let (kind, mode) = (kind.as_deref().unwrap_or("hardware"), mode.to_uppercase());
                write!(f, "it is there already, but as a {kind} device and not as a {mode}")
            }
            Fault::SingleQueue => write!(
                f,
                "it has one queue: leave queues= out, or create it with `ip tuntap add mode \
                 {mode} multi_queue`",
            ),
            Fault::System(what, error) => write!(f, "could not {what}: {}", netlab::explain(error)),
        }
    }
}

impl TapError {
    /// Whether the device is there, but another program has its descriptor side.
    pub fn is_held(&self) -> bool {
        matches!(self.fault, Fault::Held(_))
    }
}

impl error::Error for TapError {}
