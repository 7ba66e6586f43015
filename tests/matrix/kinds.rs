//! The kinds of port that are compared.

/// The folder, in that of the lab, where VDE clients join.
pub const VDE: &str = "vde";

/// A kind of port as it stands in the matrix.
#[derive(Debug)]
pub struct Kind {
    /// Its name, as the matrix and the port have it.
    pub name: &'static str,
    /// Whether frames far above the MTU pass by it whole, their checksums open; else they are
    /// completed and cut for it.
    pub whole: bool,
    /// The largest MTU that what we put at its other end can do, and why.
    pub mtu_max: Option<(u32, &'static str)>,
}

/// All that carry frames both ways, so not `pcap`; a `stream` that connects is as one that listens.
pub const KINDS: [Kind; 11] = [
    whole("tap"),
    whole("tap-netdev"),
    whole("packet"),
    whole("macvtap"),
    whole("macvlan"),
    whole("veth"),
    whole("host"),
    cut("stream"),
    cut("dgram"),
    cut("udp"),
    Kind {
        mtu_max: Some((1500, "Debian's vde_plug2tap reads 2048 octets of a frame")),
        ..cut("vde")
    },
];

const fn whole(name: &'static str) -> Kind {
    Kind { name, whole: true, mtu_max: None }
}

const fn cut(name: &'static str) -> Kind {
    Kind { name, whole: false, mtu_max: None }
}
