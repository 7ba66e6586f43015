//! What a VDE client says when it joins and what it is answered: two structures (`struct
//! request_v3` of VDE 2, packed, and `struct sockaddr_un`) in the byte order of the machine.
//!
//! ```text
//!  0                4           8      12                         122
//!  | magic feedface | version 3 | type | family, path: sockaddr_un | description ...
//!  | family, path: sockaddr_un |                                     the answer
//! ```
//!
//! The lower octet of the type is 0 or 1 (1: for a port that manages a `vde_switch`), the others
//! wish for a number of a port: here any port is as good as another.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// `struct sockaddr_un` (linux/un.h): the family and a path of 108 octets with a 0 at its end.
pub(super) const FAMILY_LEN: usize = 2;
pub(super) const PATH_LEN: usize = 108;
pub(super) const ADDRESS_LEN: usize = FAMILY_LEN + PATH_LEN;
/// Octets of a request before its address, and before its description.
pub(super) const HEAD_LEN: usize = 12;
pub(super) const REQUEST_LEN: usize = HEAD_LEN + ADDRESS_LEN;
/// Octets of a description at the most (MAXDESCR of libvdeplug).
pub(super) const DESCRIPTION_MAX: usize = 128;
/// What a request begins with.
pub(super) const MAGIC: u32 = 0xfeed_face;
pub(super) const VERSION: u32 = 3;
/// REQ_NEW_PORT0, the largest of the types.
const TYPE_MAX: u32 = 1;

/// What a client asks.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// The client's own socket.
    pub(super) path: PathBuf,
    /// What it says of itself.
    pub(super) description: String,
}

impl Request {
    /// Reads a request. The error says what is wrong with it.
    pub(super) fn parse(octets: &[u8]) -> Result<Request, String> {
        let word = |at: usize| {
            let word = octets.get(at..).and_then(|rest| rest.first_chunk());
            word.map(|word| u32::from_ne_bytes(*word)).ok_or("it said too little")
        };
        let (magic, version, kind) = (word(0)?, word(4)?, word(8)?);
        if magic != MAGIC {
            return Err("it does not speak the protocol of VDE".into());
        }
        if version != VERSION {
            return Err(format!("it speaks version {version} of the protocol, and not {VERSION}"));
        }
        if kind & 0xff > TYPE_MAX {
            return Err(format!("its request is of the unknown type {}", kind & 0xff));
        }
        let (address, description) =
            octets[HEAD_LEN..].split_first_chunk::<ADDRESS_LEN>().ok_or("it said too little")?;
        let (family, path) = address.split_at(FAMILY_LEN);
        let len = path.iter().position(|octet| *octet == 0);
        let path = &path[..len.ok_or("the path of its socket has no end")?];
        if family != (libc::AF_UNIX as u16).to_ne_bytes() || !path.starts_with(b"/") {
            return Err("its socket has no path from the root of the file system".into());
        }
        let description = description.iter().take_while(|octet| **octet != 0);
        let description = description.take(DESCRIPTION_MAX).map(|octet| match octet {
            b' '..=b'~' => char::from(*octet),
            _ => '.',
        });
        let path = PathBuf::from(OsStr::from_bytes(path));
        Ok(Request { path, description: description.collect() })
    }
}

/// Writes the address of a socket at a path that fits: [`Folder::open`](super::Folder::open) has
/// seen to that.
pub(super) fn emit_address(path: &Path) -> [u8; ADDRESS_LEN] {
    let mut address = [0; ADDRESS_LEN];
    address[..FAMILY_LEN].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    let path = path.as_os_str().as_bytes();
    address[FAMILY_LEN..][..path.len()].copy_from_slice(path);
    address
}
