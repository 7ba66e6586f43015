//! macvtap: a further address on a link of the host (its lower device), say a card, whose frames
//! come to us instead of the host.
//!
//! It is opened by its character device (netlab finds it) and is a TAP from then on: the same
//! header, the same offloads, one read is one frame.
//!
//! What the kernel passes to it depends on its mode (macvlan_handle_frame() in
//! drivers/net/macvlan.c). In `passthru` it gets every frame that the lower device receives: a
//! cable to the network behind the card; the host gets groups only. In `bridge`, `vepa` and
//! `private` it gets groups and what is for its own address, so that only one station behind the
//! switch can be reached, and only if that has the macvtap's address: a virtual machine that was
//! told so, or `mac`. Groups pass through a queue of the kernel's own, and may come in behind
//! later frames to one station.
//!
//! When the device is deleted the descriptor does not tell: reads find nothing, writes succeed.
//! Only its namespace's netlink tells ([`netlab::LinkWatch`]), by the number that
//! [`Macvtap::index`] gives. Its own frames that a device that is down or without carrier throws
//! away are counted by the kernel alone, as [`KernelDrops::tx`]; so are those that we count as
//! refused.

use std::{
    error, fmt, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use netlab::{Created, Link, Links, MacvlanMode, MacvtapDevice, Namespace};

use crate::{
    frame::{Mac, Selection},
    parcel::Parcel,
    port::{
        KernelDrops, Port, Sent, Tx,
        datagram::{DatagramRx, DatagramTx},
        vnet::{FLAGS, Offloads},
    },
    sys,
};

/// What a macvtap is to be like.
#[derive(Clone, Debug)]
pub struct MacvtapConfig {
    /// The device's name, 1 to 15 octets.
    pub name: String,
    /// Where the device is, or is to be made, and where its lower device is.
    pub netns: Option<Namespace>,
    /// The link on which it is made if it is not there. `None`: it has to be there.
    pub lower: Option<String>,
    /// How it shares its lower device, if that is given.
    pub mode: MacvlanMode,
    /// Its MTU, at most that of its lower device; `None`: as it is.
    pub mtu: Option<u32>,
    /// Its address; `None`: as it is. In mode passthru it is the lower device's as well.
    pub mac: Option<Mac>,
}

impl MacvtapConfig {
    /// A macvtap with this name that is there, in the namespace where we are.
    pub fn named(name: impl Into<String>) -> MacvtapConfig {
        MacvtapConfig {
            name: name.into(),
            netns: None,
            lower: None,
            mode: MacvlanMode::Bridge,
            mtu: None,
            mac: None,
        }
    }
}

/// A macvtap that is open.
pub struct Macvtap {
    fd: Arc<OwnedFd>,
    /// Those of its namespace.
    links: Links,
    created: Option<Created>,
    offloads: Offloads,
    index: u32,
    mtu: u32,
    drops: KernelDrops,
    warnings: Vec<String>,
}

impl Macvtap {
    /// Creates the device, or attaches to it if it is there, and brings it up. What was created
    /// is deleted when the port closes.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with which device, and what helps. Nothing is left of
    /// a device that was created.
    pub fn open(config: &MacvtapConfig) -> Result<Macvtap, MacvtapError> {
        let fail = |fault| MacvtapError { name: config.name.clone(), fault };
        open(config).map_err(fail)
    }

    /// Whether the device was made by [`Macvtap::open`]; else it was there.
    pub fn created(&self) -> bool {
        self.created.is_some()
    }

    /// Hands over the device that was created: it is deleted when that is dropped, which takes
    /// some milliseconds. Otherwise it goes with the last sending half.
    pub fn take_created(&mut self) -> Option<Created> {
        self.created.take()
    }

    /// Puts what the port is about into a parcel. What was created is deleted now, if it was not
    /// taken out before.
    pub(crate) fn pack(self, parcel: &mut Parcel) -> io::Result<()> {
        let numbers = [self.mtu.into(), self.index.into(), self.drops.rx, self.drops.tx];
        numbers.into_iter().for_each(|number| parcel.put_number(number));
        parcel.put_fd(self.fd.try_clone()?);
        parcel.put_fd(self.links.into_fd());
        Ok(())
    }

    /// Takes it out again.
    pub(crate) fn unpack(parcel: &mut Parcel) -> io::Result<Macvtap> {
        let (mtu, index) = (parcel.take_number()? as u32, parcel.take_number()? as u32);
        let drops = KernelDrops { rx: parcel.take_number()?, tx: parcel.take_number()? };
        let fd = Arc::new(parcel.take_fd()?);
        let links = Links::from_fd(parcel.take_fd()?);
        let (offloads, warnings) = (Offloads::NONE, Vec::new());
        Ok(Macvtap { fd, links, created: None, offloads, index, mtu, drops, warnings })
    }

    /// The device's number in its namespace: it has no better name, for it may be renamed.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The device's MTU.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The offloads that the kernel granted, by name.
    pub fn offloads(&self) -> impl Iterator<Item = &'static str> {
        self.offloads.names()
    }

    /// What did not work but does not keep the port from being used, and what it will not do:
    /// sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Sets MTU and address, brings the device up, and notes how it is then.
    fn configure(&mut self, config: &MacvtapConfig) -> Result<(), Fault> {
        let (name, links) = (&config.name, &mut self.links);
        let link = find(links, name)?;
        if let Some(mtu) = config.mtu.filter(|mtu| *mtu != link.mtu) {
            links.set_mtu(name, mtu).map_err(|e| mtu_fault(e, mtu, &link, links))?;
        }
        if let Some(mac) = config.mac.filter(|mac| Some(mac.octets()) != link.mac) {
            links.set_mac(name, mac.octets()).map_err(Fault::System)?;
        }
        // A multicast address of somebody behind the switch is not known to the kernel: without
        // this, IPv6 would find nobody there (macvlan_compute_filter()).
        links.set_all_multicast(name, true).map_err(Fault::System)?;
        if !link.up
            && let Err(error) = links.set_up(name)
        {
            let why = netlab::explain(&error);
            self.warnings.push(format!(
                "it is down and could not be brought up ({why}); its lower device has to be up \
                 first"
            ));
        }
        let link = find(links, name)?;
        self.warnings.extend(hears_its_own(&link));
        (self.mtu, self.drops) = (link.mtu, kernel_drops(&link));
        Ok(())
    }
}

/// What is to be said of a macvlan or macvtap that does not receive all.
pub(super) fn hears_its_own(link: &Link) -> Option<String> {
    let mode = link.macvlan.filter(|mode| *mode != MacvlanMode::Passthru)?;
    let mac = link.mac.map(|octets| Mac::new(octets).to_string()).unwrap_or_default();
    Some(format!(
        "in mode {mode} it receives groups and what is for its own address, {mac}: one station \
         behind the switch may have that; mode=passthru receives all"
    ))
}

impl Port for Macvtap {
    type Rx = DatagramRx;
    type Tx = MacvtapTx;

    fn split(self) -> io::Result<(Vec<DatagramRx>, MacvtapTx)> {
        let receiving = vec![DatagramRx::new(self.fd.clone())];
        let sending = DatagramTx::new(self.fd, self.mtu);
        let device = Device {
            links: Mutex::new(self.links),
            index: self.index,
            before: self.drops,
            _created: self.created,
        };
        Ok((receiving, MacvtapTx { sending, device: Arc::new(device) }))
    }
}

/// The sending half of a macvtap.
pub struct MacvtapTx {
    sending: DatagramTx,
    device: Arc<Device>,
}

/// What all sending halves share; not on the way of a frame.
struct Device {
    links: Mutex<Links>,
    index: u32,
    /// What the kernel had dropped when the device was opened.
    before: KernelDrops,
    _created: Option<Created>,
}

impl Tx for MacvtapTx {
    fn mtu(&self) -> u32 {
        self.sending.mtu()
    }

    fn clone_for(&self, _worker: usize) -> io::Result<MacvtapTx> {
        Ok(MacvtapTx { sending: self.sending.clone(), device: self.device.clone() })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        self.sending.write(frames)
    }

    /// From the device's own counters; zero if it is gone, or in another namespace.
    fn kernel_drops(&self) -> KernelDrops {
        let total = self.device.drops(self.sending.fd()).unwrap_or_default();
        let before = &self.device.before;
        KernelDrops {
            rx: total.rx.saturating_sub(before.rx),
            tx: total.tx.saturating_sub(before.tx),
        }
    }
}

impl Device {
    fn drops(&self, fd: std::os::fd::BorrowedFd<'_>) -> io::Result<KernelDrops> {
        let (name, _) = sys::tun_device(fd)?;
        let link = self.links.lock().unwrap_or_else(PoisonError::into_inner).expect(&name)?;
        // In its namespace, another device may have the name by now.
        Ok(if link.index == self.index { kernel_drops(&link) } else { KernelDrops::default() })
    }
}

/// The device counts from our side: what it could not queue for us is dropped in receiving.
fn kernel_drops(link: &Link) -> KernelDrops {
    KernelDrops { rx: link.counters.rx_dropped, tx: link.counters.tx_dropped }
}

fn open(config: &MacvtapConfig) -> Result<Macvtap, Fault> {
    let namespace = config.netns.clone().map_or_else(Namespace::current, Ok);
    let namespace = namespace.map_err(Fault::System)?;
    let mut links = namespace.links().map_err(Fault::System)?;
    let there = links.get(&config.name).map_err(Fault::System)?;
    let created = match (&there, &config.lower) {
        (None, None) => return Err(Fault::Missing),
        (None, Some(lower)) => Some(create(config, lower, &namespace, &mut links)?),
        (Some(link), _) if link.kind.as_deref() != Some("macvtap") => {
            return Err(Fault::NotMacvtap(link.kind.clone()));
        }
        (Some(link), lower) => {
            if let Some(lower) = lower {
                check_lower(link, lower, config.mode, &mut links)?;
            }
            None
        }
    };
    let device = MacvtapDevice::find(&namespace, &config.name).map_err(Fault::System)?;
    let holders = device.holders().map_err(Fault::System)?;
    if !holders.is_empty() {
        return Err(Fault::Held(holders));
    }
    let fd = device.open().map_err(Fault::System)?;
    let prepare = || {
        sys::tun_set_flags(fd.as_fd(), FLAGS)?;
        Offloads::ALL.negotiate(fd.as_fd())
    };
    let offloads = prepare().map_err(Fault::System)?;
    let mut macvtap = Macvtap {
        fd: Arc::new(fd),
        created,
        offloads,
        index: find(&mut links, &config.name)?.index,
        mtu: 0,
        drops: KernelDrops::default(),
        warnings: Vec::new(),
        links,
    };
    macvtap.configure(config)?;
    Ok(macvtap)
}

fn find(links: &mut Links, name: &str) -> Result<Link, Fault> {
    links.expect(name).map_err(Fault::System)
}

/// Makes the device.
fn create(
    config: &MacvtapConfig,
    lower: &str,
    namespace: &Namespace,
    links: &mut Links,
) -> Result<Created, Fault> {
    links
        .add_macvtap(&config.name, lower, config.mode)
        .map_err(|error| create_fault(error, config.mode, lower, links))?;
    Created::new(namespace, &config.name).map_err(|error| {
        // The first error is the one to tell.
        let _ = links.delete(&config.name);
        Fault::System(error)
    })
}

/// Finds out what an error of the kernel in making the device means.
fn create_fault(error: io::Error, mode: MacvlanMode, lower: &str, links: &mut Links) -> Fault {
    let Ok(Some(link)) = links.get(lower) else { return Fault::NoLower(lower.to_string()) };
    match netlab::errno(&error) {
        Some(libc::EPERM) => Fault::Forbidden,
        Some(libc::EOPNOTSUPP) => Fault::NoDriver,
        Some(libc::EBUSY) => Fault::LowerBusy(lower.to_string()),
        // drivers/net/macvlan.c: one in mode passthru is there, or others are where it would be.
        Some(libc::EINVAL) => {
            let base = base_of(&link);
            let others = links.list().unwrap_or_default().into_iter().filter(|other| {
                other.macvlan.is_some() && other.lower.is_some_and(|lower| lower.index == base)
            });
            let others: Vec<_> = others.map(|other| other.name).collect();
            match others.is_empty() {
                true => Fault::System(error),
                false => Fault::LowerTaken { lower: lower.to_string(), others, mode },
            }
        }
        _ => Fault::System(error),
    }
}

/// On what a macvtap on this link really stands: one on a macvlan stands beside it, on the same
/// lower device (macvlan_common_newlink() in drivers/net/macvlan.c).
fn base_of(link: &Link) -> u32 {
    let below = link.lower.filter(|_| link.macvlan.is_some());
    below.map_or(link.index, |lower| lower.index)
}

/// A device that is there has to be what would have been made.
fn check_lower(
    link: &Link,
    lower: &str,
    mode: MacvlanMode,
    links: &mut Links,
) -> Result<(), Fault> {
    let asked = links.get(lower).map_err(Fault::System)?;
    let asked = asked.ok_or_else(|| Fault::NoLower(lower.to_string()))?;
    let stands = link.lower.filter(|own| own.namespace.is_none()).map(|own| own.index);
    if stands != Some(base_of(&asked)) {
        return Err(Fault::OtherLower(lower.to_string()));
    }
    match link.macvlan == Some(mode) {
        true => Ok(()),
        false => Err(Fault::OtherMode { mode: link.macvlan, asked: mode }),
    }
}

fn mtu_fault(error: io::Error, mtu: u32, link: &Link, links: &mut Links) -> Fault {
    let lower = link.lower.filter(|lower| lower.namespace.is_none());
    let all = links.list().unwrap_or_default();
    let lower = lower.and_then(|lower| all.into_iter().find(|link| link.index == lower.index));
    match lower.filter(|lower| lower.mtu < mtu) {
        Some(lower) => Fault::Mtu { mtu, lower: lower.name, largest: lower.mtu },
        None => Fault::System(error),
    }
}

/// Why a macvtap could not be opened. Displayed, it is a sentence with the device's name.
#[derive(Debug)]
pub struct MacvtapError {
    name: String,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Missing,
    NotMacvtap(Option<String>),
    NoLower(String),
    OtherLower(String),
    OtherMode { mode: Option<MacvlanMode>, asked: MacvlanMode },
    LowerTaken { lower: String, others: Vec<String>, mode: MacvlanMode },
    LowerBusy(String),
    Mtu { mtu: u32, lower: String, largest: u32 },
    NoDriver,
    Forbidden,
    Held(Vec<netlab::Holder>),
    System(io::Error),
}

impl fmt::Display for MacvtapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        write!(f, "{name}: ")?;
        match &self.fault {
            Fault::Missing => write!(
                f,
                "there is no such link: give it a lower device, as in lower=eth0, and it is \
                 created; or create it with `sudo ip link add link eth0 name {name} type macvtap \
                 mode bridge`",
            ),
            Fault::NotMacvtap(kind) => {
                let kind = kind.as_deref().unwrap_or("hardware");
                write!(f, "it is there already, but as a {kind} device and not as a macvtap")
            }
            Fault::NoLower(lower) => write!(
                f,
                "there is no link `{lower}` in its namespace for it to stand on: `ip link` shows \
                 what is there",
            ),
            Fault::OtherLower(lower) => write!(
                f,
                "it is there already, but does not stand on `{lower}`: delete it with `sudo ip \
                 link del {name}`, or leave lower= out",
            ),
            Fault::OtherMode { mode, asked } => {
                let mode = mode.map_or("another one".to_string(), |mode| mode.to_string());
                write!(
                    f,
                    "it is there already, but in mode {mode} and not in mode {asked}: delete it \
                     with `sudo ip link del {name}`, or leave lower= and mode= out",
                )
            }
            Fault::LowerTaken { lower, others, mode: MacvlanMode::Passthru } => write!(
                f,
                "in mode passthru it wants `{lower}` for itself, but there is {} on it",
                others.join(", ")
            ),
            Fault::LowerTaken { lower, others, .. } => write!(
                f,
                "`{lower}` belongs wholly to {}, which is in mode passthru",
                others.join(", ")
            ),
            Fault::LowerBusy(lower) => write!(
                f,
                "`{lower}` is a member of a bridge or a bond, or serves another driver, and can \
                 carry no macvtap",
            ),
            Fault::Mtu { mtu, lower, largest } => write!(
                f,
                "its MTU cannot be {mtu}: that of its lower device `{lower}` is {largest}, and it \
                 cannot have more",
            ),
            Fault::NoDriver => {
                f.write_str("this kernel knows no macvtap: `sudo modprobe macvtap` loads it")
            }
            Fault::Forbidden => f.write_str(
                "CAP_NET_ADMIN is needed to create it: run this with sudo, or create it before",
            ),
            Fault::Held(holders) => write!(
                f,
                "it is held by {}, and two would each get a part of its frames: end that program, \
                 or give one of the two another macvtap",
                holders.iter().map(named).collect::<Vec<_>>().join(", ")
            ),
            Fault::System(error) => f.write_str(&netlab::explain(error)),
        }
    }
}

impl error::Error for MacvtapError {}

fn named(holder: &netlab::Holder) -> String {
    format!("{} (pid {})", holder.program, holder.pid)
}
