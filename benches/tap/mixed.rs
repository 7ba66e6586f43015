//! A port of one of two kinds, for a switch that has both.

use std::{io, os::fd::BorrowedFd};

use uswitch::{
    frame::{Arena, Batch, Selection},
    port::{KernelDrops, Port, Rx, Sent, Tx},
};

/// One or the other: a port, or a half of one.
pub enum Either<A, B> {
    A(A),
    B(B),
}

impl<A: Port, B: Port> Port for Either<A, B> {
    type Rx = Either<A::Rx, B::Rx>;
    type Tx = Either<A::Tx, B::Tx>;

    fn split(self) -> io::Result<(Vec<Self::Rx>, Self::Tx)> {
        Ok(match self {
            Either::A(port) => {
                let (rx, tx) = port.split()?;
                (rx.into_iter().map(Either::A).collect(), Either::A(tx))
            }
            Either::B(port) => {
                let (rx, tx) = port.split()?;
                (rx.into_iter().map(Either::B).collect(), Either::B(tx))
            }
        })
    }
}

impl<A: Rx, B: Rx> Rx for Either<A, B> {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Batch<'a>> {
        match self {
            Either::A(rx) => rx.recv(arena),
            Either::B(rx) => rx.recv(arena),
        }
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Either::A(rx) => rx.wait_on(),
            Either::B(rx) => rx.wait_on(),
        }
    }
}

impl<A: Tx, B: Tx> Tx for Either<A, B> {
    fn mtu(&self) -> u32 {
        match self {
            Either::A(tx) => tx.mtu(),
            Either::B(tx) => tx.mtu(),
        }
    }

    fn clone_for(&self, worker: usize) -> io::Result<Self> {
        Ok(match self {
            Either::A(tx) => Either::A(tx.clone_for(worker)?),
            Either::B(tx) => Either::B(tx.clone_for(worker)?),
        })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        match self {
            Either::A(tx) => tx.send(frames),
            Either::B(tx) => tx.send(frames),
        }
    }

    fn kernel_drops(&self) -> KernelDrops {
        match self {
            Either::A(tx) => tx.kernel_drops(),
            Either::B(tx) => tx.kernel_drops(),
        }
    }
}
