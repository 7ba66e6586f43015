//! The bridge: what becomes of a frame. It reads the header, learns where the source is, and
//! says where the frame goes. It has no hands: no device, clock, thread or allocation.
//!
//! Read `Bridge::decide_by` from the top down: it is the whole policy, after the forwarding
//! process of IEEE 802.1Q-2018, 8.6, for a bridge that is not aware of VLANs: tags pass through as
//! part of the frame. A switch may have several bridges that know nothing of each other: they
//! share the rules and the table, in which each learns under its own [`BridgeId`].
//!
//! A frame is looked at twice, so that memory has time to answer in between: [`Bridge::parse`]
//! for all frames of a batch, which finds their places in the table, then [`Bridge::decide_all`],
//! which asks for the cache lines of frames to come while it decides.
//!
//! What it would decide can be asked, too, and nothing is learned by that: [`Bridge::foresee`] runs
//! the same rules, and only the table under them is another one.

use std::sync::Arc;

use crate::{
    fdb::{Dry, Fdb, Learn, Place, Tick},
    frame::{Header, Mac},
    port::PortId,
    stats::Reason,
};

/// The VLAN of all frames for a bridge that is not aware of VLANs.
pub const VLAN_UNAWARE: u16 = 0;

/// Bridges of one switch at the most.
pub const BRIDGES_MAX: usize = 1024;
const _: () = assert!(BRIDGES_MAX <= 1 << 12, "the forwarding database has 12 bits for it");

/// The number of a bridge, below [`BRIDGES_MAX`]. It is the filtering identifier under which the
/// bridge's stations are learned (FID; IEEE 802.1Q-2018, 8.8.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeId(u16);

impl BridgeId {
    /// The bridge of all ports for which no other is named.
    pub const FIRST: BridgeId = BridgeId(0);

    /// The bridge with this number.
    ///
    /// # Panics
    ///
    /// If it is not below [`BRIDGES_MAX`].
    pub fn new(index: usize) -> BridgeId {
        assert!(index < BRIDGES_MAX, "bridges are numbered below {BRIDGES_MAX}");
        BridgeId(index as u16)
    }

    /// The number, as an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The number, as the forwarding database has it.
    #[inline]
    pub fn fid(self) -> u16 {
        self.0
    }
}

/// By which port a frame comes into which bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The port.
    pub port: PortId,
    /// Its bridge.
    pub bridge: BridgeId,
}

/// So many frames before its own decision a frame's cache lines are asked for. A processor has some
/// twenty on their way at a time and forgets what it is asked for beyond: for all 64 frames at
/// once, a decision among 1 M addresses took 1.6 times as long, among 64 k 1.3 times.
const AHEAD: usize = 12;

/// What happens to frames for 01-80-C2-00-00-00 to -0F.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupForward {
    /// They end here, as the standard wants it (IEEE 802.1Q-2018, 8.6.3).
    #[default]
    Standard,
    /// They are flooded like those for any other group: STP, LACP, LLDP and PAUSE pass as they
    /// would on a wire.
    Wire,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves by this port, which is not the one where it came from.
    Forward(PortId),
    /// It leaves by every port but the one where it came from.
    Flood,
    /// It ends here.
    Drop(Reason),
}

impl Verdict {
    /// The verdict where so many other ports can be flooded: to flood nobody is a drop.
    #[inline]
    pub fn among(self, others: u64) -> Verdict {
        match self {
            Verdict::Flood if others == 0 => Verdict::Drop(Reason::Alone),
            verdict => verdict,
        }
    }
}

/// A verdict, and what was learned on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the frame.
    pub verdict: Verdict,
    /// What the source address taught; `None` if it was not asked.
    pub learn: Option<Learn>,
}

/// A frame's header, and where the forwarding database has its two addresses.
#[derive(Clone, Copy, Debug)]
pub struct Addressed {
    header: Header,
    source: Place,
    destination: Place,
}

impl Addressed {
    /// From whom the frame is.
    pub fn source(&self) -> Mac {
        self.header.source
    }
}

/// What the rules ask of a table. [`Fdb`] itself in forwarding; a [`Dry`] look at it else.
pub trait Table {
    /// As [`Fdb::learn`].
    fn learn(&self, place: Place, port: PortId, now: Tick) -> Learn;

    /// As [`Fdb::lookup`].
    fn lookup(&self, place: Place, now: Tick) -> Option<PortId>;
}

impl Table for Fdb {
    #[inline]
    fn learn(&self, place: Place, port: PortId, now: Tick) -> Learn {
        Fdb::learn(self, place, port, now)
    }

    #[inline]
    fn lookup(&self, place: Place, now: Tick) -> Option<PortId> {
        Fdb::lookup(self, place, now)
    }
}

impl Table for Dry<'_> {
    fn learn(&self, place: Place, port: PortId, now: Tick) -> Learn {
        Dry::learn(self, place, port, now)
    }

    fn lookup(&self, place: Place, now: Tick) -> Option<PortId> {
        Dry::lookup(self, place, now)
    }
}

/// What would become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The verdict, and what would be learned.
    pub decision: Decision,
    /// What the table would say of the destination; `None` if it would not be asked.
    pub lookup: Option<Option<PortId>>,
}

/// The rules and the table. A clone shares the table.
#[derive(Clone)]
pub struct Bridge {
    fdb: Arc<Fdb>,
    group_forward: GroupForward,
}

impl Bridge {
    /// A bridge that learns into this table.
    pub fn new(fdb: Arc<Fdb>, group_forward: GroupForward) -> Bridge {
        Bridge { fdb, group_forward }
    }

    /// From now on this becomes of frames for reserved addresses. Clones keep what they have.
    pub fn set_group_forward(&mut self, group_forward: GroupForward) {
        self.group_forward = group_forward;
    }

    /// Reads a frame's header and finds where the table has its addresses. `None`: a runt.
    #[inline]
    pub fn parse(&self, bridge: BridgeId, octets: &[u8]) -> Option<Addressed> {
        let header = Header::parse(octets)?;
        let source = self.fdb.place(bridge.fid(), header.source);
        let destination = self.fdb.place(bridge.fid(), header.destination);
        Some(Addressed { header, source, destination })
    }

    /// Decides about all frames of a batch in order of arrival, and hands each decision with the
    /// frame's number to `sort`.
    #[inline]
    pub fn decide_all(
        &self,
        ingress: PortId,
        batch: &[Option<Addressed>],
        now: Tick,
        mut sort: impl FnMut(usize, Decision),
    ) {
        batch.iter().take(AHEAD).flatten().for_each(|coming| self.prefetch(coming));
        for (index, frame) in batch.iter().enumerate() {
            if let Some(Some(coming)) = batch.get(index + AHEAD) {
                self.prefetch(coming);
            }
            sort(index, self.decide(ingress, *frame, now));
        }
    }

    /// Begins to fetch what [`Bridge::decide`] will ask for.
    #[inline]
    fn prefetch(&self, frame: &Addressed) {
        self.fdb.prefetch(frame.source);
        self.fdb.prefetch(frame.destination);
    }

    /// Learns the source and decides where the frame goes.
    #[inline]
    pub fn decide(&self, ingress: PortId, frame: Option<Addressed>, now: Tick) -> Decision {
        self.decide_by(&*self.fdb, ingress, frame, now)
    }

    /// Says what [`Bridge::decide`] would say of a frame at this moment, and learns nothing.
    pub fn foresee(&self, ingress: Ingress, octets: &[u8], now: Tick) -> Foreseen {
        let dry = Dry::new(&self.fdb);
        let frame = self.parse(ingress.bridge, octets);
        let decision = self.decide_by(&dry, ingress.port, frame, now);
        Foreseen { decision, lookup: dry.found() }
    }

    /// What happens to frames for reserved addresses.
    pub fn group_forward(&self) -> GroupForward {
        self.group_forward
    }

    /// The rules.
    #[inline(always)]
    fn decide_by(
        &self,
        table: &impl Table,
        ingress: PortId,
        frame: Option<Addressed>,
        now: Tick,
    ) -> Decision {
        let drop = |reason, learn| Decision { verdict: Verdict::Drop(reason), learn };
        let Some(Addressed { header, source, destination }) = frame else {
            return drop(Reason::Runt, None);
        };

        // IEEE 802.1Q-2018, 8.7: only an individual address is learned; a frame from any other
        // is not valid (8.5 with IEEE 802.3-2018, 3.2.4) and goes no further.
        if header.source.is_group() {
            return drop(Reason::GroupSource, None);
        }
        if header.source == Mac::NULL {
            return drop(Reason::NullSource, None);
        }
        let learn = Some(table.learn(source, ingress, now));

        // 8.6.3: reserved addresses are not relayed, whatever the table says.
        if header.destination.is_reserved() && self.group_forward == GroupForward::Standard {
            return drop(Reason::Reserved, learn);
        }
        // 8.6.1 and 8.8.9: what has no entry goes to every other port. Groups never have one.
        if header.destination.is_group() {
            return Decision { verdict: Verdict::Flood, learn };
        }
        match table.lookup(destination, now) {
            None => Decision { verdict: Verdict::Flood, learn },
            // 8.6.1: never back to where it came from.
            Some(egress) if egress == ingress => drop(Reason::SamePort, learn),
            Some(egress) => Decision { verdict: Verdict::Forward(egress), learn },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdb::FdbConfig;

    const A: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);
    const LLDP: Mac = Mac::new([1, 0x80, 0xc2, 0, 0, 0x0e]);
    const NOW: Tick = Tick::from_millis(10_000);

    fn port(index: usize) -> PortId {
        PortId::new(index)
    }

    fn at(port: PortId) -> Ingress {
        Ingress { port, bridge: BridgeId::FIRST }
    }

    fn bridge(group_forward: GroupForward) -> Bridge {
        let fdb = Fdb::new(&FdbConfig::default());
        for index in 0..3 {
            fdb.attach(port(index), None);
        }
        Bridge::new(Arc::new(fdb), group_forward)
    }

    fn decide(bridge: &Bridge, ingress: usize, to: Mac, from: Mac) -> Verdict {
        let octets = [&to.octets()[..], &from.octets(), &[8, 0]].concat();
        bridge.decide(port(ingress), bridge.parse(BridgeId::FIRST, &octets), NOW).verdict
    }

    #[test]
    fn unknown_is_flooded_and_known_is_forwarded() {
        let bridge = bridge(GroupForward::Standard);
        assert_eq!(decide(&bridge, 0, B, A), Verdict::Flood);
        assert_eq!(decide(&bridge, 1, A, B), Verdict::Forward(port(0)));
        assert_eq!(decide(&bridge, 0, B, A), Verdict::Forward(port(1)));
    }

    #[test]
    fn frame_never_goes_back_to_where_it_came_from() {
        let bridge = bridge(GroupForward::Standard);
        decide(&bridge, 0, B, A);
        assert_eq!(decide(&bridge, 0, A, B), Verdict::Drop(Reason::SamePort));
    }

    #[test]
    fn station_that_moved_is_found_at_its_new_port_at_once() {
        let bridge = bridge(GroupForward::Standard);
        decide(&bridge, 0, B, A);
        decide(&bridge, 2, B, A);
        assert_eq!(decide(&bridge, 1, A, B), Verdict::Forward(port(2)));
    }

    #[test]
    fn group_source_and_null_source_are_dropped_and_not_learned() {
        let bridge = bridge(GroupForward::Standard);
        let group = Mac::new([3, 0, 0, 0, 0, 1]);
        assert_eq!(decide(&bridge, 0, B, group), Verdict::Drop(Reason::GroupSource));
        assert_eq!(decide(&bridge, 0, B, Mac::BROADCAST), Verdict::Drop(Reason::GroupSource));
        assert_eq!(decide(&bridge, 0, B, Mac::NULL), Verdict::Drop(Reason::NullSource));
        assert_eq!(bridge.fdb.used(), 0);
    }

    #[test]
    fn reserved_addresses_end_here_and_pass_on_a_wire_but_teach_in_both() {
        let standard = bridge(GroupForward::Standard);
        assert_eq!(decide(&standard, 0, LLDP, A), Verdict::Drop(Reason::Reserved));
        assert_eq!(decide(&standard, 1, A, B), Verdict::Forward(port(0)));
        let wire = bridge(GroupForward::Wire);
        assert_eq!(decide(&wire, 0, LLDP, A), Verdict::Flood);
        assert_eq!(decide(&wire, 1, A, B), Verdict::Forward(port(0)));
    }

    #[test]
    fn runt_is_a_verdict() {
        let bridge = bridge(GroupForward::Standard);
        let runt = bridge.parse(BridgeId::FIRST, &[0; 13]);
        assert_eq!(bridge.decide(port(0), runt, NOW).verdict, Verdict::Drop(Reason::Runt));
    }

    #[test]
    fn what_is_foreseen_is_then_decided_and_was_not_learned() {
        let bridge = bridge(GroupForward::Standard);
        decide(&bridge, 1, Mac::BROADCAST, B);
        for (to, from, ingress) in [
            (B, A, 0),
            (A, A, 0),
            (A, B, 2),
            (LLDP, A, 0),
            (A, Mac::NULL, 0),
            (A, LLDP, 1),
            (B, A, 1),
            (A, A, 2),
        ] {
            let octets = [&to.octets()[..], &from.octets(), &[8, 0]].concat();
            let ingress = port(ingress);
            let before = bridge.fdb.entries(NOW).collect::<Vec<_>>();
            let foreseen = bridge.foresee(at(ingress), &octets, NOW);
            assert_eq!(bridge.fdb.entries(NOW).collect::<Vec<_>>(), before);
            let asked = !to.is_group() && !from.is_group() && from != Mac::NULL;
            assert_eq!(foreseen.lookup.is_some(), asked, "{from} > {to}");
            let decision = bridge.decide(ingress, bridge.parse(BridgeId::FIRST, &octets), NOW);
            assert_eq!(foreseen.decision, decision, "{from} > {to}");
        }
        let runt = bridge.foresee(at(port(0)), &[0; 13], NOW);
        assert_eq!((runt.decision.verdict, runt.lookup), (Verdict::Drop(Reason::Runt), None));
    }

    #[test]
    fn flood_that_reaches_nobody_is_a_drop_and_nothing_else_changes() {
        assert_eq!(Verdict::Flood.among(0), Verdict::Drop(Reason::Alone));
        for verdict in [Verdict::Forward(port(1)), Verdict::Drop(Reason::Runt)] {
            assert_eq!(verdict.among(0), verdict);
            assert_eq!(verdict.among(1), verdict);
        }
        assert_eq!(Verdict::Flood.among(1), Verdict::Flood);
    }

    #[test]
    fn broadcast_and_multicast_are_flooded() {
        let bridge = bridge(GroupForward::Standard);
        assert_eq!(decide(&bridge, 0, Mac::BROADCAST, A), Verdict::Flood);
        assert_eq!(decide(&bridge, 0, Mac::new([0x33, 0x33, 0, 0, 0, 1]), A), Verdict::Flood);
    }
}
