//! Ports of all kinds in one switch: an enum, whose `match` runs once a batch. A program that
//! needs one kind only uses that, and pays for no `match`.

use std::{io, os::fd::BorrowedFd};

use crate::{
    frame::{Arena, Lent, Selection},
    port::{
        KernelDrops, Port, Rx, Sent, Tx, leg::LegPort, macvtap::Macvtap, packet::Packet,
        pcap::Pcap, socket::Socket, stream::Stream, tap::Tap, tun::Tun, vde::VdePort, vhost::Vhost,
    },
};

/// Declares the enums once: variant, port, what it is.
macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $kind:ident($port:ty),)+) => {
        /// A port of any kind.
        pub enum AnyPort {
            $($(#[doc = $about])+ $kind($port),)+
        }

        /// The receiving half of a port of any kind.
        pub enum AnyRx {
            $($(#[doc = $about])+ $kind(<$port as Port>::Rx),)+
        }

        /// The sending half of a port of any kind.
        pub enum AnyTx {
            $($(#[doc = $about])+ $kind(<$port as Port>::Tx),)+
        }

        impl Port for AnyPort {
            type Rx = AnyRx;
            type Tx = AnyTx;

            fn split(self) -> io::Result<(Vec<AnyRx>, AnyTx)> {
                match self {
                    $(AnyPort::$kind(port) => {
                        let (rx, tx) = port.split()?;
                        Ok((rx.into_iter().map(AnyRx::$kind).collect(), AnyTx::$kind(tx)))
                    })+
                }
            }
        }

        impl Rx for AnyRx {
            #[inline]
            fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
                match self {
                    $(AnyRx::$kind(rx) => rx.recv(arena),)+
                }
            }

            #[inline]
            fn give_back(&mut self) {
                match self {
                    $(AnyRx::$kind(rx) => rx.give_back(),)+
                }
            }

            #[inline]
            fn asks_freely(&self) -> bool {
                match self {
                    $(AnyRx::$kind(rx) => rx.asks_freely(),)+
                }
            }

            fn wait_on(&self) -> Option<BorrowedFd<'_>> {
                match self {
                    $(AnyRx::$kind(rx) => rx.wait_on(),)+
                }
            }
        }

        impl Tx for AnyTx {
            fn mtu(&self) -> u32 {
                match self {
                    $(AnyTx::$kind(tx) => tx.mtu(),)+
                }
            }

            fn takes_offloads(&self) -> bool {
                match self {
                    $(AnyTx::$kind(tx) => tx.takes_offloads(),)+
                }
            }

            fn clone_for(&self, worker: usize) -> io::Result<AnyTx> {
                match self {
                    $(AnyTx::$kind(tx) => tx.clone_for(worker).map(AnyTx::$kind),)+
                }
            }

            #[inline]
            fn send(&mut self, frames: Selection<'_>) -> Sent {
                match self {
                    $(AnyTx::$kind(tx) => tx.send(frames),)+
                }
            }

            fn kernel_drops(&self) -> KernelDrops {
                match self {
                    $(AnyTx::$kind(tx) => tx.kernel_drops(),)+
                }
            }
        }

        $(impl From<$port> for AnyPort {
            fn from(port: $port) -> AnyPort {
                AnyPort::$kind(port)
            }
        })+
    };
}

kinds! {
    /// A TAP whose descriptor is ours.
    Tap(Tap),
    /// A macvtap.
    Macvtap(Macvtap),
    /// A packet socket on a device.
    Packet(Packet),
    /// A stream socket.
    Stream(Stream),
    /// A datagram socket.
    Socket(Socket),
    /// A client of VDE.
    Vde(VdePort),
    /// A TUN.
    Tun(Tun),
    /// A virtual machine's rings.
    Vhost(Vhost),
    /// Captures.
    Pcap(Pcap),
    /// The foot of a router.
    Leg(LegPort),
}
