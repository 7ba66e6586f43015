//! A port of one kind or another, so that one switch has both.

use std::{io, os::fd::BorrowedFd};

use uswitch::{
    frame::{Arena, Batch, Selection},
    port::{KernelDrops, Port, Rx, Sent, Tx},
};

/// One of two kinds of port, or half of one.
pub enum Either<A, B> {
    /// The first kind.
    One(A),
    /// The second.
    Other(B),
}

impl<A: Port, B: Port> Port for Either<A, B> {
    type Rx = Either<A::Rx, B::Rx>;
    type Tx = Either<A::Tx, B::Tx>;

    fn split(self) -> io::Result<(Vec<Self::Rx>, Self::Tx)> {
        Ok(match self {
            Either::One(port) => {
                let (rx, tx) = port.split()?;
                (rx.into_iter().map(Either::One).collect(), Either::One(tx))
            }
            Either::Other(port) => {
                let (rx, tx) = port.split()?;
                (rx.into_iter().map(Either::Other).collect(), Either::Other(tx))
            }
        })
    }
}

impl<A: Rx, B: Rx> Rx for Either<A, B> {
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Batch<'a>> {
        match self {
            Either::One(rx) => rx.recv(arena),
            Either::Other(rx) => rx.recv(arena),
        }
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Either::One(rx) => rx.wait_on(),
            Either::Other(rx) => rx.wait_on(),
        }
    }
}

impl<A: Tx, B: Tx> Tx for Either<A, B> {
    fn mtu(&self) -> u32 {
        match self {
            Either::One(tx) => tx.mtu(),
            Either::Other(tx) => tx.mtu(),
        }
    }

    fn takes_offloads(&self) -> bool {
        match self {
            Either::One(tx) => tx.takes_offloads(),
            Either::Other(tx) => tx.takes_offloads(),
        }
    }

    fn clone_for(&self, worker: usize) -> io::Result<Self> {
        Ok(match self {
            Either::One(tx) => Either::One(tx.clone_for(worker)?),
            Either::Other(tx) => Either::Other(tx.clone_for(worker)?),
        })
    }

    fn send(&mut self, frames: Selection<'_>) -> Sent {
        match self {
            Either::One(tx) => tx.send(frames),
            Either::Other(tx) => tx.send(frames),
        }
    }

    fn kernel_drops(&self) -> KernelDrops {
        match self {
            Either::One(tx) => tx.kernel_drops(),
            Either::Other(tx) => tx.kernel_drops(),
        }
    }
}
