//! Counters of the neighbours: what became of messages and held packets.
//!
//! Every message of ARP or neighbour discovery is counted once: taken, or dropped for one reason.
//! Every packet that waited ends as released, failed, or dropped for one reason.

use crate::stats::Reason;

counters! {
    /// What is counted.
    Counter:
    /// Messages of ARP that were sound.
    ArpTaken = "arp_taken",
    /// Messages of ARP that are too short, or not about Ethernet and IPv4 (RFC 826).
    ArpMalformed = "arp_malformed",
    /// Messages of ARP that are neither request nor reply.
    ArpOperation = "arp_operation",
    /// Messages of ARP from an address, of the link or of IP, that no host has.
    ArpSender = "arp_sender",
    /// Messages of neighbour discovery that were sound.
    NdTaken = "nd_taken",
    /// Messages of neighbour discovery with a wrong length, code, flag or destination (RFC 4861,
    /// section 7.1).
    NdMalformed = "nd_malformed",
    /// Messages of neighbour discovery that passed a router: the hop limit is not 255.
    NdHopLimit = "nd_hop_limit",
    /// Messages of neighbour discovery with a wrong checksum.
    NdChecksum = "nd_checksum",
    /// Messages of neighbour discovery with a fragment header (RFC 6980, section 5).
    NdFragment = "nd_fragment",
    /// Packets that are no solicitation or advertisement of a neighbour.
    NdType = "nd_type",
    /// Messages of neighbour discovery from an address that no host has.
    NdSource = "nd_source",
    /// Messages of neighbour discovery about an address that no host has.
    NdTarget = "nd_target",
    /// Messages of neighbour discovery with an option of no length or past the end, or the
    /// link-layer address of no station.
    NdOption = "nd_option",
    /// Messages that the router itself sent, and that came back.
    LinkOwn = "link_own",
    /// Messages on a link where nobody asks.
    LinkPointToPoint = "link_point_to_point",
    /// Sound messages that say where somebody is whom the router did not ask for.
    Unasked = "unasked",
    /// Requests and solicitations sent to all, or to a group.
    Asked = "asked",
    /// The same, sent to where a neighbour was last.
    Probed = "probed",
    /// Answers sent, also for others by proxy.
    Answered = "answered",
    /// Announcements of the router's own addresses, and questions whether they are free.
    Announced = "announced",
    /// Packets that waited and went to their neighbour.
    HeldReleased = "held_released",
    /// Packets whose neighbour does not answer, or cannot be asked.
    HeldFailed = "held_failed",
    /// Packets that gave way to later ones, or for which there was no room.
    HeldFull = "held_full",
    /// Packets whose neighbour was removed while they waited.
    HeldLost = "held_lost",
    /// Packets for new neighbours that were more than a leg may ask for in a second.
    AskLimited = "ask_limited",
    /// Packets for new neighbours for whom there was no room.
    NeighbourFull = "neighbour_full",
    /// Neighbours who asked, and for whom there was no room.
    NeighbourRefused = "neighbour_refused",
    /// Neighbours that gave way to others.
    NeighbourEvicted = "neighbour_evicted",
    /// Neighbours that did not answer.
    NeighbourFailed = "neighbour_failed",
    /// Neighbours that changed their link-layer address.
    NeighbourMoved = "neighbour_moved",
    /// Messages of others who use an address of the router.
    Conflict = "address_conflict",
    /// Addresses of the router that others had before.
    Duplicate = "address_duplicate",
    /// Events that were not told because there had just been one like it on that leg.
    EventLimited = "event_limited",
}

/// Numbers of what became of messages, packets and neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourStats {
    counts: [u64; Counter::ALL.len()],
}

impl Default for NeighbourStats {
    fn default() -> NeighbourStats {
        NeighbourStats { counts: [0; Counter::ALL.len()] }
    }
}

impl Counter {
    /// Whether it counts messages that came: each is counted by one of these.
    pub fn is_message(self) -> bool {
        self as usize <= Counter::LinkPointToPoint as usize
    }

    /// For packets that were to be sent, and were not: the reason.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Counter::HeldFailed => Some(Reason::NoAnswer),
            Counter::HeldFull => Some(Reason::HeldFull),
            Counter::HeldLost => Some(Reason::HeldLost),
            Counter::AskLimited => Some(Reason::AskLimited),
            Counter::NeighbourFull => Some(Reason::NeighbourFull),
            _ => None,
        }
    }
}

impl NeighbourStats {
    /// What has been counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// All counters with their numbers, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().map(|counter| (*counter, self.get(*counter)))
    }

    /// Counts one.
    pub(super) fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts so many.
    pub(super) fn add(&mut self, counter: Counter, number: usize) {
        self.counts[counter as usize] += number as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_explained() {
        let names: std::collections::HashSet<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        assert!(Counter::ALL.iter().all(|counter| counter.about().ends_with('.')));
        let mut stats = NeighbourStats::default();
        stats.count(Counter::Duplicate);
        stats.add(Counter::HeldLost, 2);
        let counted = stats.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!(counted, [(Counter::HeldLost, 2), (Counter::Duplicate, 1)]);
    }
}
