//! A router at a worker's side: what leaves a bridge by a leg passes here, on the same thread and
//! in the same turn, and enters the bridge of the leg by which it goes on.
//!
//! ```text
//! Egress::take()     the frames that leave by legs alone
//! router.places()    where their packets go                        uswitch_router::forward
//! router.decide()    the packet, edited in place                   uswitch_router::forward
//! Crossing::enter()  into the other bridge: as any frame           routing/cross.rs
//! ```
//!
//! `cross.rs` is all of it. What cannot be done here goes up to the slow path as it is: what is for
//! neighbours whose address is not known yet, for the router itself, to be cut first, or no packet.

mod cross;
mod foresee;
mod legs;
mod slow;

pub(crate) use cross::Crossing;
pub use foresee::Crossed;
pub use legs::{LegConfig, Legs, Prepared, RouteError};
pub use slow::Used;

use std::sync::Arc;

use uswitch_router::{
    forward::{Arrival, Emit, Place, Router, Verdict},
    limit,
    link::{LinkAddress, ethertype},
    neighbour::resolved::{Known, Resolved},
    packet::PacketMeta,
    route::{Hop, LegId},
    stats::{Reason, Stats},
    tables::Tables,
};

use crate::{
    bridge::{Addressed, Ingress},
    egress::Egress,
    fdb::Tick,
    frame::{
        BATCH_MAX, Batch, Frame, HEADER_LEN, Header, Lent, Mac, Selection, Span, WIRE_MAX, bits,
    },
    offload::{NEEDS_CSUM, VNET_HEADER_LEN},
    port::{PortId, Tx},
};

/// Octets for what a router makes of one packet: all its fragments, each behind its headers.
const MADE_OCTETS: usize = WIRE_MAX + BATCH_MAX * (VNET_HEADER_LEN + HEADER_LEN + 60);

const _: () = assert!(Tick::MILLIS == limit::Tick::MILLIS, "one clock for both");

/// The reasons for which the router drops packets, as many.
pub(crate) const REASONS_MAX: usize = Reason::ALL.len();

/// Name and meaning of one of them.
pub(crate) fn reason(number: u8) -> Option<(&'static str, &'static str)> {
    Reason::ALL.get(usize::from(number)).map(|reason| (reason.name(), reason.about()))
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug)]
pub struct Foot {
    /// Its port, and the bridge of that.
    pub ingress: Ingress,
    /// Its link-layer address.
    pub own: Mac,
}

/// What all workers route by, from one moment on. The numbers of legs are of this moment.
#[derive(Clone)]
pub struct Routes {
    /// Which this is: what is said of neighbours holds for one only.
    pub generation: u64,
    /// Legs and routes.
    pub tables: Arc<Tables>,
    /// By the number of a leg, where it stands. `None`: its port has left.
    pub feet: Arc<[Option<Foot>]>,
    /// The neighbours that are known.
    pub neighbours: Arc<Resolved>,
    /// Where is told that one is stale and in use.
    pub used: Used,
}

/// The router of one worker.
pub(crate) struct Routing {
    router: Router,
    generation: u64,
    feet: Arc<[Option<Foot>]>,
    used: Used,
    /// The last of which it was told.
    told: Option<Hop>,
    /// By the number of a port, which leg it is.
    legs: Vec<Option<LegId>>,
    /// The legs by which frames of this turn left.
    taken: Vec<Taken>,
    /// The legs by which they go on.
    onward: Vec<(Foot, u64)>,
    addressed: Box<[Option<Addressed>; BATCH_MAX]>,
    places: Box<[Place; BATCH_MAX]>,
    made: Made,
}

/// Frames that left by one leg.
#[derive(Clone, Copy)]
struct Taken {
    leg: LegId,
    port: PortId,
    /// Those that left by it alone.
    mask: u64,
    /// Those that left by all ports of the bridge, which the slow path hears.
    flood: u64,
}

/// What became of a frame that the router was asked about.
enum Step {
    /// It enters the bridge of this leg.
    On(Foot),
    /// What was made of it does. If it ended by that, why.
    Made(Foot, Option<Reason>),
    /// First what was made, then the frame.
    Both(Foot),
    /// It goes up to the slow path.
    Up,
    /// It ended here.
    Ended(Reason),
}

impl Routing {
    pub(crate) fn new(routes: Routes, seed: u64) -> Routing {
        let Routes { generation, tables, feet, neighbours, used } = routes;
        let mut router = Router::new(tables, seed);
        router.know(neighbours);
        Routing {
            router,
            generation,
            legs: legs(&feet),
            // A turn has no more of either than frames.
            taken: Vec::with_capacity(BATCH_MAX),
            onward: Vec::with_capacity(BATCH_MAX),
            feet,
            used,
            told: None,
            addressed: Box::new([None; BATCH_MAX]),
            places: Box::new([Place::default(); BATCH_MAX]),
            made: Made::new(),
        }
    }

    /// The same for whoever only asks what would be.
    fn asking(self) -> Routing {
        Routing { router: self.router.asking(), ..self }
    }

    /// Goes on by other routes.
    pub(crate) fn swap(&mut self, routes: Routes) {
        let Routes { generation, tables, feet, neighbours, used } = routes;
        self.router.swap(tables);
        self.router.know(neighbours);
        self.legs = legs(&feet);
        (self.generation, self.feet, self.used, self.told) = (generation, feet, used, None);
    }

    /// Knows these neighbours from now on, if they are those of its legs.
    pub(crate) fn know(&mut self, generation: u64, neighbours: Arc<Resolved>) {
        if generation == self.generation {
            self.router.know(neighbours);
            self.told = None;
        }
    }

    /// What became of packets up to now.
    pub(crate) fn stats(&self) -> &Stats {
        self.router.stats()
    }

    /// Takes the frames that leave by a leg out of what is to be sent, if some leave by it alone.
    /// Whether there are any.
    #[inline]
    pub(crate) fn take<T: Tx>(&mut self, egress: &mut Egress<T>) -> bool {
        let Routing { legs, taken, .. } = self;
        taken.clear();
        egress.take(|port, mask, flood| {
            let Some(Some(leg)) = legs.get(port.index()) else { return false };
            taken.push(Taken { leg: *leg, port, mask, flood });
            true
        });
        !taken.is_empty()
    }

    /// Finds where the packets of some frames go, and says which frames have one.
    #[inline]
    fn place(&mut self, batch: Batch<'_>, mask: u64) -> u64 {
        let mut packets = 0;
        let all = bits(mask).filter_map(|index| {
            let packet = packet(batch.frame(index).octets())?;
            packets |= 1 << index;
            Some((index, packet))
        });
        self.router.places(all, &mut self.places[..]);
        packets
    }

    /// Decides about the packet of a frame that left by a leg.
    #[inline]
    fn decide(&mut self, leg: LegId, lent: &mut Lent<'_>, index: usize, now: Tick) -> Step {
        match self.verdict(leg, lent, index, now) {
            Some(verdict) => self.step(verdict, lent, index),
            None => Step::Up,
        }
    }

    /// What the router says about the packet. `None`: there is none.
    #[inline]
    fn verdict(
        &mut self,
        leg: LegId,
        lent: &mut Lent<'_>,
        index: usize,
        now: Tick,
    ) -> Option<Verdict> {
        let meta = meta(lent.frame(index));
        let (_, packet) = lent.octets_mut(index).split_at_mut_checked(HEADER_LEN)?;
        let mut arrival = Arrival { octets: packet, leg, meta };
        self.made.clear();
        let tick = limit::Tick(now.0);
        Some(self.router.decide(&mut arrival, self.places[index], tick, &mut self.made))
    }

    /// What becomes of the frame by that. What goes on has its new header then.
    #[inline]
    fn step(&mut self, verdict: Verdict, lent: &mut Lent<'_>, index: usize) -> Step {
        match verdict {
            Verdict::Forward { hop, to, len } => self
                .forward((hop, to), lent, index, len)
                .map_or(Step::Ended(Reason::LegGone), Step::On),
            Verdict::Redirect { hop, to, len, at, .. } => {
                let Some(foot) = self.forward((hop, to), lent, index, len) else {
                    self.router.lose(self.made.count as u64);
                    return Step::Ended(Reason::LegGone);
                };
                self.made.address(at.to, foot.own);
                Step::Both(foot)
            }
            Verdict::Reply { hop, to, reason } => self.made(hop, to, reason),
            Verdict::Fragments { hop, to } => self.made(hop, to, None),
            Verdict::Resolve(_) | Verdict::Local | Verdict::Finish => Step::Up,
            Verdict::Drop(reason) => Step::Ended(reason),
        }
    }

    /// Writes the new header. Returns where the frame goes on.
    #[inline]
    fn forward(
        &mut self,
        (hop, to): (Hop, Known),
        lent: &mut Lent<'_>,
        index: usize,
        len: usize,
    ) -> Option<Foot> {
        if to.stale {
            self.tell_used(hop);
        }
        let Some(foot) = self.feet[hop.leg.index()] else {
            self.router.lose(1);
            return None;
        };
        let head = lent.octets_mut(index);
        head[..6].copy_from_slice(&to.to.0);
        head[6..12].copy_from_slice(&foot.own.octets());
        lent.truncate(index, HEADER_LEN + len);
        Some(foot)
    }

    /// What was made of a packet goes to this neighbour.
    #[inline]
    fn made(&mut self, hop: Hop, to: Known, reason: Option<Reason>) -> Step {
        let Some(foot) = self.feet[hop.leg.index()] else {
            self.router.lose(self.made.count as u64);
            return Step::Ended(reason.unwrap_or(Reason::LegGone));
        };
        self.made.address(to.to, foot.own);
        Step::Made(foot, reason)
    }

    /// A neighbour that has been silent for long is sent to: it shall be asked whether it is there.
    #[cold]
    fn tell_used(&mut self, hop: Hop) {
        if self.told != Some(hop) && self.used.tell(hop) {
            self.told = Some(hop);
        }
    }
}

/// By the number of a port, which leg it is.
fn legs(feet: &[Option<Foot>]) -> Vec<Option<LegId>> {
    let mut legs = Vec::new();
    for (number, foot) in feet.iter().enumerate() {
        let Some(foot) = foot else { continue };
        let port = foot.ingress.port.index();
        legs.resize(legs.len().max(port + 1), None);
        legs[port] = Some(LegId(number as u16));
    }
    legs
}

/// The packet in a frame. `None`: it has none, or it stands behind a tag, in another VLAN.
#[inline]
fn packet(octets: &[u8]) -> Option<&[u8]> {
    let (head, packet) = octets.split_at_checked(HEADER_LEN)?;
    let kind = u16::from_be_bytes([head[12], head[13]]);
    matches!(kind, ethertype::IPV4 | ethertype::IPV6).then_some(packet)
}

/// What the frame says of its packet.
#[inline]
fn meta(frame: Frame<'_>) -> PacketMeta {
    let (octets, offload) = (frame.octets(), frame.offload());
    PacketMeta {
        largest: offload.on_the_wire(octets).saturating_sub(HEADER_LEN),
        complete: offload.flags & NEEDS_CSUM == 0,
        group: Header::parse(octets).is_some_and(|header| header.destination.is_group()),
    }
}

/// What a router makes of one packet: an error, an answer, fragments. Each lies as a port sends it,
/// behind a virtio-net header of zeros and an Ethernet header.
struct Made {
    memory: Box<[u8]>,
    spans: Box<[Span; BATCH_MAX]>,
    count: usize,
}

impl Made {
    fn new() -> Made {
        Made {
            memory: vec![0; MADE_OCTETS].into_boxed_slice(),
            spans: Box::new([Span::default(); BATCH_MAX]),
            count: 0,
        }
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    /// Writes the headers in front of what was made.
    fn address(&mut self, to: LinkAddress, from: Mac) {
        for Span { start, .. } in &self.spans[..self.count] {
            let wire = &mut self.memory[*start as usize..];
            wire[..VNET_HEADER_LEN].fill(0);
            let (head, packet) = wire[VNET_HEADER_LEN..].split_at_mut(HEADER_LEN);
            let kind = if packet[0] >> 4 == 6 { ethertype::IPV6 } else { ethertype::IPV4 };
            head[..6].copy_from_slice(&to.0);
            head[6..12].copy_from_slice(&from.octets());
            head[12..].copy_from_slice(&kind.to_be_bytes());
        }
    }

    /// All of it.
    fn all(&self) -> Selection<'_> {
        let batch = Batch::new(&self.memory, &self.spans[..self.count]);
        // None is a mask of none: a shift by all bits is none.
        let mask = u64::MAX.checked_shr((BATCH_MAX - self.count) as u32).unwrap_or(0);
        Selection { batch, mask }
    }
}

impl Emit for Made {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        let last = self.spans[..self.count].last();
        let start = last.map_or(0, |span| (span.start + span.len) as usize);
        let packet = start + VNET_HEADER_LEN + HEADER_LEN;
        let end = packet + octets;
        if self.count == BATCH_MAX || end > self.memory.len() {
            return None;
        }
        self.spans[self.count] = Span { start: start as u32, len: (end - start) as u32 };
        self.count += 1;
        Some(&mut self.memory[packet..end])
    }
}
