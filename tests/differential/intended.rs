//! Where the switch is meant to differ from the kernel's bridge, each with its reason. Whatever
//! differs and is not on this list is a fault.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::script::{ETHERNET_OCTETS, Mac, TAG_OCTETS, destination, is_group, source, tags};

/// What one frame and one port have to do with each other.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The frame.
    pub frame: &'a [u8],
    /// The MTU of the port by which it might leave.
    pub mtu: usize,
    /// Whether reserved addresses pass: `--group-forward wire`, and as much of it as the kernel
    /// offers.
    pub wire: bool,
}

/// Who does it while the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The kernel's bridge.
    Kernel,
    /// The switch.
    Switch,
}

/// A difference that is meant.
pub struct Difference {
    /// What it is about.
    pub name: &'static str,
    /// Why it is so.
    pub reason: &'static str,
    /// Who sends the frame out, or learns from it.
    who: Who,
    applies: fn(Case<'_>) -> bool,
    seen: AtomicU64,
}

impl Difference {
    const fn new(
        name: &'static str,
        reason: &'static str,
        who: Who,
        applies: fn(Case<'_>) -> bool,
    ) -> Difference {
        Difference { name, reason, who, applies, seen: AtomicU64::new(0) }
    }

    /// How often it was met.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

/// Frames that leave by a port on one side only.
pub static FORWARDED: [Difference; 5] = [
    Difference::new(
        "01-80-C2-00-00-00 without STP",
        "a bridge never relays it (IEEE 802.1Q-2018, 8.6.3); Linux does while its STP is off",
        Who::Kernel,
        |case| !case.wire && reserved(case.frame) == Some(0),
    ),
    Difference::new(
        "PAUSE on a wire",
        "`wire` relays all reserved addresses; no setting of Linux relays 01-80-C2-00-00-01",
        Who::Switch,
        |case| case.wire && reserved(case.frame) == Some(1),
    ),
    Difference::new(
        "LACP on a wire",
        "`wire` relays all reserved addresses; no setting of Linux relays 01-80-C2-00-00-02",
        Who::Switch,
        |case| case.wire && reserved(case.frame) == Some(2),
    ),
    Difference::new(
        "untagged frame of MTU+1 to MTU+4 octets",
        "Linux grants every frame the four octets of a tag, whether it has one or not",
        Who::Kernel,
        |case| tags(case.frame) == 0 && (1..=TAG_OCTETS).contains(&excess(case)),
    ),
    Difference::new(
        "tagged frame of MTU+1 to MTU+4 octets",
        "Linux keeps the outer tag beside the frame and grants four octets for it once more",
        Who::Kernel,
        |case| tags(case.frame) == 1 && (1..=TAG_OCTETS).contains(&excess(case)),
    ),
];

/// Frames from which one side only learns.
pub static LEARNED: [Difference; 1] = [Difference::new(
    "source of a PAUSE frame",
    "Linux throws PAUSE away before it learns; a station is where its frames come from",
    Who::Switch,
    |case| reserved(case.frame) == Some(1),
)];

/// Whether this is meant: `who` alone sent this frame out by that port, or learned from it.
pub fn is_intended(list: &[Difference], case: Case<'_>, who: Who) -> bool {
    let found = list.iter().find(|difference| difference.who == who && (difference.applies)(case));
    if let Some(difference) = found {
        difference.seen.fetch_add(1, Ordering::Relaxed);
    }
    found.is_some()
}

/// Whether a frame is one from which one side only may learn.
pub fn teaches_one_side(frame: &[u8], wire: bool) -> bool {
    let case = Case { frame, mtu: 0, wire };
    !is_group(source(frame)) && LEARNED.iter().any(|difference| (difference.applies)(case))
}

/// The last octet of a reserved address, if the frame is for one.
fn reserved(frame: &[u8]) -> Option<u8> {
    match destination(frame) {
        [1, 0x80, 0xc2, 0, 0, last @ 0..16] => Some(last),
        _ => None,
    }
}

/// By how many octets a frame, up to two tags left out, is too large.
fn excess(case: Case<'_>) -> usize {
    let whole = ETHERNET_OCTETS + TAG_OCTETS * tags(case.frame) + case.mtu;
    case.frame.len().saturating_sub(whole)
}

/// Whether one side may know this station and the other not, or elsewhere.
pub fn may_know(frame: &[u8], station: Mac, wire: bool) -> bool {
    source(frame) == station && is_intended(&LEARNED, Case { frame, mtu: 0, wire }, Who::Switch)
}
