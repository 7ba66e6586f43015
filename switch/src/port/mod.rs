//! Ports: where frames come in and go out. A [`Port`] opens, says what it is and splits into
//! receiving halves, which have one owner each, and a sending half, of which every worker has a
//! clone. The split does the synchronisation.
//!
//! I/O has four outcomes, no more: nothing is ready (an empty batch); there is no room, or the
//! frame is refused (counted; never retried, never waited for); the port is gone (it detaches
//! alone); it worked.

pub mod any;
pub mod datagram;
pub mod leg;
pub mod macvtap;
pub mod memory;
pub mod packet;
pub mod pcap;
pub mod socket;
pub mod stream;
pub mod tap;
pub mod tun;
pub mod unix;
pub mod vde;
#[cfg(feature = "vhost")]
pub mod vhost;
#[cfg(not(feature = "vhost"))]
#[path = "vhost/none.rs"]
pub mod vhost;
mod vnet;

use std::{fmt, io, os::fd::BorrowedFd};

use crate::frame::{Arena, Frame, Lent, Selection};

/// Ports of one switch at the most.
pub const PORTS_MAX: usize = 4096;

/// The number of a port, below [`PORTS_MAX`]: its place in the switch's tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(u16);

impl PortId {
    /// The port with this number.
    ///
    /// # Panics
    ///
    /// If it is not below [`PORTS_MAX`].
    pub fn new(index: usize) -> PortId {
        assert!(index < PORTS_MAX, "ports are numbered below {PORTS_MAX}");
        PortId(index as u16)
    }

    /// The number, as an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
    }
}

/// Something to plug a cable into.
pub trait Port: Send + 'static {
    /// The receiving half.
    type Rx: Rx;
    /// The sending half.
    type Tx: Tx;

    /// Takes the port apart: as many receiving halves as it has queues, one sending half.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn split(self) -> io::Result<(Vec<Self::Rx>, Self::Tx)>;
}

/// The receiving half of a port.
pub trait Rx: Send + 'static {
    /// Receives what is there, up to a batch, in the order in which it came. An empty batch
    /// means that nothing is ready. The frames are lent until the next call: a port that copies
    /// puts them into `arena`, a ring lends its own memory.
    ///
    /// # Errors
    ///
    /// The port is gone for good. Everything passing (no frame, the device down) is an empty
    /// batch.
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>>;

    /// Gives back what the last batch lent: nobody needs it any more, and the next frames can use
    /// it. A port that copies has nothing to give.
    #[inline]
    fn give_back(&mut self) {}

    /// Whether it costs no system call to ask a port that has nothing. Then it is asked again
    /// before its worker waits, for to wait costs one.
    #[inline]
    fn asks_freely(&self) -> bool {
        false
    }

    /// What becomes readable when a frame is there. `None`: the port must be asked again and
    /// again, and its worker never sleeps.
    fn wait_on(&self) -> Option<BorrowedFd<'_>>;
}

/// The sending half of a port.
pub trait Tx: Send + Sized + 'static {
    /// The largest payload that may leave, in octets, VLAN tags not counted. Asked once.
    fn mtu(&self) -> u32;

    /// Whether it takes frames as they are, with what their senders left to be done. If not, the
    /// worker completes checksums and cuts segments first, and `send` sees only frames of which
    /// nothing is left to be done ([`Offload::is_done`](crate::offload::Offload::is_done)): what
    /// leaves is [`Frame::octets`]. Asked once.
    fn takes_offloads(&self) -> bool {
        true
    }

    /// Another sending half of the same port, for the worker with this number.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn clone_for(&self, worker: usize) -> io::Result<Self>;

    /// Sends the chosen frames in their order, never waits, and says what became of each.
    fn send(&mut self, frames: Selection<'_>) -> Sent;

    /// What the kernel dropped on either side of us since the port was opened. For a table of
    /// counters: it may cost a few system calls.
    fn kernel_drops(&self) -> KernelDrops {
        KernelDrops::default()
    }
}

/// What became of the frames of one call to [`Tx::send`]. All counts together are its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames taken.
    pub frames: u64,
    /// Octets of the frames taken, without virtio-net header and frame check sequence.
    pub octets: u64,
    /// Frames for which there was no room: EAGAIN, ENOBUFS.
    pub full: u64,
    /// Frames that the port refused for what they are: EINVAL, EMSGSIZE.
    pub refused: u64,
    /// Frames that came while the other end was down: EIO, ENETDOWN.
    pub down: u64,
    /// Frames that came when the port was gone. If there is one, the port detaches.
    pub gone: u64,
}

impl Sent {
    /// Counts a frame that the port took.
    #[inline]
    pub fn took(&mut self, frame: Frame<'_>) {
        self.frames += 1;
        self.octets += frame.octets().len() as u64;
    }
}

/// Frames that the kernel lost on our behalf, beyond what a system call tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelDrops {
    /// Lost before we could read them: the port's queue towards us was full.
    pub rx: u64,
    /// Lost after a write that succeeded: the host behind the port did not take them.
    pub tx: u64,
}
