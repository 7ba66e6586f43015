//! Virtual machines by vhost-user.

use std::path::PathBuf;

use super::{Fields, Kind, PortKind, path::parse_path};

/// Its row among the kinds.
pub(super) const KIND: Kind = Kind {
    name: "vhost-user",
    words: &["PATH"],
    about: "a virtual machine that shares its memory: QEMU and others",
    example: "vhost-user:/run/vm1.sock",
    options: &[],
    parse: vhost,
};

/// A socket to which a virtual machine connects.
#[derive(Clone, Debug, PartialEq)]
pub struct VhostSpec {
    /// Where it is.
    pub path: PathBuf,
}

fn vhost(fields: &mut Fields<'_>) -> Option<PortKind> {
    Some(PortKind::Vhost(VhostSpec { path: fields.word(0, parse_path)? }))
}
