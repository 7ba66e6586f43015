//! What is offered to a guest, and what follows from what its driver took of it (virtio 1.2, 5.1.3
//! and 6; vhost-user's own bit 30). The control queue, and with it what else a driver may see, is
//! its machine's affair.

use super::ring::Terms;
use crate::offload::{GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Offload};

/// Each bit, its name, and whether it is what the guest takes of us.
const FEATURES: &[(u64, &str)] = &[
    (CSUM, "csum"),
    (GUEST_CSUM, "guest_csum"),
    (GUEST_TSO4, "guest_tso4"),
    (GUEST_TSO6, "guest_tso6"),
    (GUEST_ECN, "guest_ecn"),
    (HOST_TSO4, "host_tso4"),
    (HOST_TSO6, "host_tso6"),
    (HOST_ECN, "host_ecn"),
    (MRG_RXBUF, "mrg_rxbuf"),
    (ANY_LAYOUT, "any_layout"),
    (INDIRECT_DESC, "indirect_desc"),
    (EVENT_IDX, "event_idx"),
    (PROTOCOL_FEATURES, "protocol_features"),
    (VERSION_1, "version_1"),
    (IN_ORDER, "in_order"),
    (GUEST_USO4, "guest_uso4"),
    (GUEST_USO6, "guest_uso6"),
    (HOST_USO, "host_uso"),
];

const CSUM: u64 = 1 << 0;
const GUEST_CSUM: u64 = 1 << 1;
const GUEST_TSO4: u64 = 1 << 7;
const GUEST_TSO6: u64 = 1 << 8;
const GUEST_ECN: u64 = 1 << 9;
const HOST_TSO4: u64 = 1 << 11;
const HOST_TSO6: u64 = 1 << 12;
const HOST_ECN: u64 = 1 << 13;
const MRG_RXBUF: u64 = 1 << 15;
const ANY_LAYOUT: u64 = 1 << 27;
const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
const PROTOCOL_FEATURES: u64 = 1 << 30;
const VERSION_1: u64 = 1 << 32;
/// Free: what is made available is given back in its order anyway.
const IN_ORDER: u64 = 1 << 35;
const GUEST_USO4: u64 = 1 << 54;
const GUEST_USO6: u64 = 1 << 55;
const HOST_USO: u64 = 1 << 56;

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features(pub(super) u64);

impl Features {
    /// All that we offer.
    pub(super) fn offered() -> Features {
        Features(FEATURES.iter().fold(0, |all, (bit, _)| all | bit))
    }

    /// Whether all of these are among them.
    #[inline]
    fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Whether there is none that was not offered.
    pub(super) fn is_offered(self) -> bool {
        Features::offered().has(self.0)
    }

    /// Whether rings are off until they are enabled.
    pub(super) fn begins_disabled(self) -> bool {
        self.has(PROTOCOL_FEATURES)
    }

    /// What holds for its rings.
    pub(super) fn terms(self) -> Terms {
        Terms {
            events: self.has(EVENT_IDX),
            indirect: self.has(INDIRECT_DESC),
            merge: self.has(MRG_RXBUF),
            long_header: self.0 & (VERSION_1 | MRG_RXBUF) != 0,
            unfinished: self.has(CSUM),
        }
    }

    /// Whether the guest may be told that a checksum is good, or missing.
    #[inline]
    pub(super) fn takes_hints(self) -> bool {
        self.has(GUEST_CSUM)
    }

    /// Whether the guest takes a frame of which this is left to be done.
    #[inline]
    pub(super) fn takes(self, offload: Offload) -> bool {
        if offload.is_done() {
            return true;
        }
        let ecn = if offload.gso_kind & GSO_ECN != 0 { GUEST_ECN } else { 0 };
        let needed = match offload.gso_kind & !GSO_ECN {
            0 => 0,
            GSO_TCPV4 => GUEST_TSO4 | ecn,
            GSO_TCPV6 => GUEST_TSO6 | ecn,
            // Its version of IP is not in the header: who takes one takes both.
            GSO_UDP_L4 => GUEST_USO4 | GUEST_USO6,
            _ => return false,
        };
        self.has(GUEST_CSUM | needed)
    }

    /// The names of the offloads that the guest takes or leaves to us.
    pub(super) fn offloads(self) -> impl Iterator<Item = &'static str> {
        const OTHERS: u64 = ANY_LAYOUT | PROTOCOL_FEATURES | VERSION_1 | IN_ORDER;
        const RINGS: u64 = INDIRECT_DESC | EVENT_IDX;
        let told = FEATURES.iter().filter(|(bit, _)| bit & (OTHERS | RINGS) == 0);
        told.filter(move |(bit, _)| self.has(*bit)).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_taken_as_it_is_where_the_driver_took_all_that_it_needs() {
        let frame = |flags, gso_kind| Offload { flags, gso_kind, ..Offload::NONE };
        let all = Features::offered();
        for (offload, needed) in [
            (frame(1, 0), GUEST_CSUM),
            (frame(1, 1), GUEST_CSUM | GUEST_TSO4),
            (frame(1, 4), GUEST_CSUM | GUEST_TSO6),
            (frame(1, 0x81), GUEST_CSUM | GUEST_TSO4 | GUEST_ECN),
            (frame(1, 5), GUEST_CSUM | GUEST_USO4 | GUEST_USO6),
        ] {
            assert!(all.takes(offload) && Features(needed).takes(offload));
            for (bit, name) in FEATURES.iter().filter(|(bit, _)| needed & bit != 0) {
                assert!(!Features(all.0 & !bit).takes(offload), "{offload:?} without {name}");
            }
        }
        // UFO, which nobody was offered; and what is done anybody takes.
        assert!(!all.takes(frame(1, 3)));
        assert!(Features(0).takes(frame(0, 0)) && Features(0).takes(frame(2, 0)));
    }

    #[test]
    fn header_is_long_for_whoever_is_modern_or_merges() {
        for (features, long) in [(0, false), (VERSION_1, true), (MRG_RXBUF, true)] {
            assert_eq!(Features(features).terms().long_header, long);
        }
    }

    #[test]
    fn nothing_is_taken_that_was_not_offered() {
        assert!(Features::offered().is_offered() && Features(0).is_offered());
        // VIRTIO_F_RING_PACKED, VHOST_F_LOG_ALL.
        assert!(!Features(1 << 34).is_offered() && !Features(1 << 26).is_offered());
    }
}
