//! What a TAP, a TUN and a macvtap have in common once they are open: a virtio-net header in front
//! of each frame, and offloads that the kernel grants, so that a host's 64 KB frames come whole.

use std::{io, os::fd::BorrowedFd};

use libc::{IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR, c_int, c_uint};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{offload::VNET_HEADER_LEN, sys};

/// The flags of every TAP and macvtap of ours.
pub(super) const FLAGS: c_int = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
/// The flags of every TUN of ours.
pub(super) const FLAGS_TUN: c_int = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;

/// What is asked of the kernel, the most first: older kernels know no USO (before 6.2), and
/// USO4 goes only with USO6, TSO only with checksums.
const STEPS: [c_uint; 4] = [TSO | libc::TUN_F_USO4 | libc::TUN_F_USO6, TSO, libc::TUN_F_CSUM, 0];
const TSO: c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// The offloads that a device grants: what we may be given to read. (Written, all are taken.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offloads(c_uint);

impl Offloads {
    /// None.
    pub(super) const NONE: Offloads = Offloads(0);
    /// All that we know.
    pub(super) const ALL: Offloads = Offloads(STEPS[0]);

    /// Sets what TUNSETIFF does not, on a descriptor attached with [`FLAGS`], and says which
    /// offloads were granted: those asked for, or the next step down.
    pub(super) fn negotiate(self, fd: BorrowedFd<'_>) -> io::Result<Offloads> {
        self.negotiate_with(fd, FLAGS)
    }

    /// The same on a descriptor attached with these flags.
    pub(super) fn negotiate_with(self, fd: BorrowedFd<'_>, set: c_int) -> io::Result<Offloads> {
        let (_, flags) = sys::tun_device(fd)?;
        if flags & set != set {
            return Err(io::Error::other(format!("the kernel set the flags {flags:#x} instead")));
        }
        sys::tun_set_vnet_header_len(fd, VNET_HEADER_LEN)?;
        let mut refused = None;
        let taken = STEPS.into_iter().skip_while(|step| *step != self.0).find(|step| {
            sys::tun_set_offload(fd, *step).map_err(|error| refused = Some(error)).is_ok()
        });
        let granted = taken.ok_or_else(|| refused.expect("one was refused"))?;
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Offloads(granted))
    }

    /// Their names.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(c_uint, &str); 5] = [
            (libc::TUN_F_CSUM, "csum"),
            (libc::TUN_F_TSO4, "tso4"),
            (libc::TUN_F_TSO6, "tso6"),
            (libc::TUN_F_USO4, "uso4"),
            (libc::TUN_F_USO6, "uso6"),
        ];
        NAMES.into_iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_down_asks_for_less_and_the_last_for_nothing() {
        let names = STEPS.map(|step| Offloads(step).names().collect::<Vec<_>>());
        assert_eq!(names[0], ["csum", "tso4", "tso6", "uso4", "uso6"]);
        assert_eq!(names[1..], [vec!["csum", "tso4", "tso6"], vec!["csum"], vec![]]);
    }
}
