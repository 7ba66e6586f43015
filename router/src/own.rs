//! The router as a host: what is for one of its own addresses and is not answered on the way.
//!
//! Echo requests (those that the way leaves: large ones in fragments, with options, behind
//! extension headers), port and protocol unreachable, resets, reassembly. Octets and the time go
//! in, packets come out; they are routed, and their neighbours found, by who called.
//!
//! Of this smoltcp does TCP (see `own/stack.rs`), behind which the router's own sockets will be.
//! The rest is done here, for in smoltcp 0.14 (src/iface/interface, src/iface/fragmentation.rs)
//!
//! * ICMP errors quote a header that was built again, without identification, DSCP and options
//!   (`Ipv4Repr::emit`), so that a sender may not find what he sent; the pointer of a parameter
//!   problem is always 40; and errors about packets for groups are sent (`icmpv6_reply`);
//! * IPv6 knows neither fragments nor destination options (`process_nxt_hdr`): both are answered
//!   as unknown protocols;
//! * reassembly of IPv4 lets fragments overlap, and has a few places for all senders together.
//!
//! Rules that all of it keeps (RFC 1122, section 3.2.2; RFC 4443, section 2.4): it answers only
//! from the legs' own addresses, never to or for a group, never about an error, never about a
//! fragment that is not the first; and errors and resets are as many as the limit of the leg by
//! which their cause came.

pub(crate) mod extension;
mod plain;
mod reassembly;
mod stack;
mod whole;

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use smoltcp::wire::UdpPacket;

use self::{
    extension::{End, Place, walk},
    plain::seal,
    reassembly::{Joined, Key, Part, Reassembly},
    stack::Stack,
    whole::{Came, Whole},
};
use crate::{
    emit::Emit,
    fragment::fragment,
    icmp::Error,
    limit::Tick,
    packet::{IPV6_HEADER_LEN, Ipv4, Ipv6, protocol},
    route::{Leg, LegId, MTU_MIN, MTU_MIN_V6},
    stats::Reason,
    tables::Tables,
};

/// Octets of a fragment header (RFC 8200, section 4.5).
const FRAGMENT_HEADER_LEN: usize = 8;
/// Room behind it in a packet that every link carries.
const FRAGMENT_ROOM: usize = (MTU_MIN_V6 - IPV6_HEADER_LEN - FRAGMENT_HEADER_LEN) & !7;
/// The number of nothing (RFC 8200, section 4.7).
const NO_NEXT_HEADER: u8 = 59;
/// Octets of a packet behind its header, at most.
const PACKET_MAX: usize = 65_535;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered.
    Answered,
    /// It is a fragment, and waits for others.
    Waits,
    /// It ended without a word.
    Silent(Silence),
}

/// Why nothing was said to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It is none.
    Malformed(Reason),
    /// It is not for an address of the router's own, but for a group or for another.
    NotOwn,
    /// No single host can have sent it.
    Source,
    /// Its extension headers or options cannot be read, or ask that nothing is said.
    Extension,
    /// Its fragments overlap, or are too small or too many.
    Fragments,
    /// Its transport header is too short, or the checksum wrong.
    Transport,
    /// It asks for nothing: an error, a reset, an answer.
    NotAsked,
    /// The leg by which it came has caused as many errors as it may.
    Limited,
}

/// What it costs to say something.
type Result<T> = std::result::Result<T, Silence>;

/// The router as a host.
pub struct Own {
    tables: Arc<Tables>,
    /// By leg.
    link_local: Vec<Vec<IpAddr>>,
    /// The addresses of all legs, but for link-local ones: those are of one leg each.
    addresses: HashSet<IpAddr>,
    reassembly: Reassembly,
    stack: Stack,
    /// Of the last packet of its own.
    ident: u32,
    /// Whether nothing is taken from the limits.
    asks: bool,
}

impl Own {
    /// A host with the addresses of all legs, whose packets are numbered from a seed on.
    pub fn new(tables: Arc<Tables>, seed: u64) -> Own {
        let own = |leg: &Leg| leg.addresses.iter().map(|own| own.address).collect::<Vec<_>>();
        let all: Vec<Vec<IpAddr>> = tables.legs().iter().map(own).collect();
        let link_local =
            |own: &Vec<IpAddr>| own.iter().copied().filter(|own| is_link_local(*own)).collect();
        Own {
            link_local: all.iter().map(link_local).collect(),
            addresses: all.concat().into_iter().filter(|own| !is_link_local(*own)).collect(),
            reassembly: Reassembly::new(all.len()),
            tables,
            stack: Stack::new(seed),
            ident: seed as u32,
            asks: false,
        }
    }

    /// The same for whoever only asks what would be said: nothing is taken from the limits.
    pub fn asking(self) -> Own {
        Own { asks: true, ..self }
    }

    /// Takes a packet that came by a leg, in a frame for one station, complete: its checksums are
    /// there and it is no longer than it was on a wire. What is behind its end does not matter.
    /// The answers go to `out`, as large as they are: see [`Own::cut`].
    pub fn packet(
        &mut self,
        leg: LegId,
        octets: &[u8],
        now_millis: u64,
        out: &mut impl FnMut(&[u8]),
    ) -> Fate {
        let mut came = Came { leg: leg.index(), now_millis, out };
        let fate = match octets.first().map(|first| first >> 4) {
            Some(6) => self.packet_v6(&mut came, octets, false),
            _ => self.packet_v4(&mut came, octets),
        };
        fate.unwrap_or_else(Fate::Silent)
    }

    /// When [`Own::tick`] has something to do, in milliseconds.
    pub fn next(&self) -> Option<u64> {
        self.reassembly.next()
    }

    /// Tells the senders of packets whose fragments did not come, each on the leg by which the
    /// first of them came. To be called at [`Own::next`], or more often.
    pub fn tick(&mut self, now_millis: u64, out: &mut impl FnMut(LegId, &[u8])) {
        while let Some((leg, first)) = self.reassembly.expired(now_millis) {
            let Some(first) = first else { continue };
            // RFC 1122, section 3.3.2; RFC 8200, section 4.5. Who may not be told is not.
            let out = |octets: &[u8]| out(LegId(leg as u16), octets);
            let mut came = Came { leg, now_millis, out };
            let about = match Ipv4::parse(&first) {
                Ok(packet) => Ok(Whole::v4(&first, packet)),
                Err(_) => Ipv6::parse(&first).map(|v6| Whole::v6(&first, v6, Place::FIRST)),
            };
            let _ = about
                .map_err(Silence::Malformed)
                .and_then(|about| self.refuse(&mut came, Error::Reassembly, &about));
        }
    }

    fn packet_v4(&mut self, came: &mut Came<impl FnMut(&[u8])>, octets: &[u8]) -> Result<Fate> {
        let packet = Ipv4::parse(octets).map_err(Silence::Malformed)?;
        let octets = &octets[..packet.len];
        self.check(came, packet.source.into(), packet.destination.into())?;
        if !packet.is_fragment() {
            return self.whole(came, &Whole::v4(octets, packet));
        }
        let more = packet.fragment & Ipv4::MORE_FRAGMENTS != 0;
        let (head, payload) = octets.split_at(packet.header_len);
        if more && payload.len() % 8 != 0 {
            return Err(Silence::Fragments);
        }
        let key = Key {
            source: packet.source.into(),
            destination: packet.destination.into(),
            ident: u16::from_be_bytes([octets[4], octets[5]]).into(),
            protocol: packet.protocol,
        };
        let (offset, head) = (packet.offset(), (packet.offset() == 0).then(|| head.to_vec()));
        let part = Part { key, offset, more, payload, head, octets };
        let Some(mut whole) = self.join(came, part)? else { return Ok(Fate::Waits) };
        // It is a packet of its own now: as long as it is, and no fragment.
        let len = u16::try_from(whole.len()).map_err(|_| Silence::Fragments)?;
        whole[2..4].copy_from_slice(&len.to_be_bytes());
        whole[6..8].fill(0);
        seal(&mut whole);
        let packet = Ipv4::parse(&whole).map_err(Silence::Malformed)?;
        self.whole(came, &Whole::v4(&whole, packet))
    }

    /// A packet without fragments, or of all of them.
    fn whole(&mut self, came: &mut Came<impl FnMut(&[u8])>, whole: &Whole<'_>) -> Result<Fate> {
        match whole.place.protocol {
            _ if whole.is_icmp() => {
                let ident = self.next_ident() as u16;
                came.answer(&whole.echo(ident)?)
            }
            protocol::TCP => self.reset(came, whole.plain().into_owned()),
            protocol::UDP => {
                check_udp(whole)?;
                self.refuse(came, Error::Port, whole)
            }
            _ if whole.is_empty() => Err(Silence::NotAsked),
            // RFC 792; RFC 4443, section 3.4; RFC 8200, section 4.
            _ => self.refuse(came, Error::Protocol(whole.place.named_at), whole),
        }
    }

    /// `joined`: it was in fragments, which cannot be in fragments again.
    fn packet_v6(
        &mut self,
        came: &mut Came<impl FnMut(&[u8])>,
        octets: &[u8],
        joined: bool,
    ) -> Result<Fate> {
        let packet = Ipv6::parse(octets).map_err(Silence::Malformed)?;
        let octets = &octets[..packet.len];
        self.check(came, packet.source.into(), packet.destination.into())?;
        match walk(octets) {
            End::Upper(place) => self.whole(came, &Whole::v6(octets, packet, place)),
            End::Refused(None) => Err(Silence::Extension),
            End::Refused(Some(error)) => {
                self.refuse(came, error, &Whole::v6(octets, packet, Place::FIRST))
            }
            End::Fragment(_) if joined => Err(Silence::Fragments),
            End::Fragment(place) => self.fragment_v6(came, octets, &packet, place),
        }
    }

    /// A packet with a fragment header (RFC 8200, section 4.5).
    fn fragment_v6(
        &mut self,
        came: &mut Came<impl FnMut(&[u8])>,
        octets: &[u8],
        packet: &Ipv6,
        place: Place,
    ) -> Result<Fate> {
        let (before, rest) = octets.split_at(place.at);
        let Some((header, payload)) = rest.split_at_checked(FRAGMENT_HEADER_LEN) else {
            return Err(Silence::Extension);
        };
        let field = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let (offset, more) = (field & 0xfff8, field & 1 != 0);
        if more && payload.len() % 8 != 0 {
            // The length of the payload.
            return self.refuse(came, Error::Field(4), &Whole::v6(octets, *packet, place));
        }
        if before.len() - IPV6_HEADER_LEN + offset + payload.len() > PACKET_MAX {
            let error = Error::Field(place.at + 2);
            return self.refuse(came, error, &Whole::v6(octets, *packet, place));
        }
        let head = || {
            let mut head = before.to_vec();
            head[place.named_at] = header[0];
            head
        };
        let whole = if offset == 0 && !more {
            // It stands for itself, whatever else has its number (RFC 6946, section 4).
            Some([&head(), payload].concat())
        } else {
            let ident = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            let (source, destination) = (packet.source.into(), packet.destination.into());
            let key = Key { source, destination, ident, protocol: 0 };
            let head = (offset == 0).then(head);
            self.join(came, Part { key, offset, more, payload, head, octets })?
        };
        let Some(mut whole) = whole else { return Ok(Fate::Waits) };
        let len = u16::try_from(whole.len() - IPV6_HEADER_LEN).map_err(|_| Silence::Fragments)?;
        whole[4..6].copy_from_slice(&len.to_be_bytes());
        self.packet_v6(came, &whole, true)
    }

    /// Whether a packet is from a host and for an address of the router's own.
    fn check(
        &self,
        came: &Came<impl FnMut(&[u8])>,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<()> {
        let link_local = self.link_local.get(came.leg).ok_or(Silence::NotOwn)?;
        let own = |address| self.addresses.contains(address) || link_local.contains(address);
        if !own(&destination) {
            return Err(Silence::NotOwn);
        }
        let broadcast =
            matches!(source, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast());
        let nobody = source.is_multicast() || source.is_unspecified() || source.is_loopback();
        if broadcast || nobody || own(&source) { Err(Silence::Source) } else { Ok(()) }
    }

    fn join(&mut self, came: &Came<impl FnMut(&[u8])>, part: Part<'_>) -> Result<Option<Vec<u8>>> {
        match self.reassembly.add(came.leg, part, came.now_millis) {
            Joined::Waits => Ok(None),
            Joined::Whole(whole) => Ok(Some(whole)),
            Joined::Overlap | Joined::TooMany => Err(Silence::Fragments),
        }
    }

    fn reset(&mut self, came: &mut Came<impl FnMut(&[u8])>, plain: Vec<u8>) -> Result<Fate> {
        let answers = self.stack.packet(plain, came.now_millis);
        if answers.is_empty() {
            return Err(Silence::NotAsked);
        }
        self.limit(came)?;
        answers.iter().for_each(|octets| (came.out)(octets));
        Ok(Fate::Answered)
    }

    /// Tells the sender of an error, if that may be.
    fn refuse(
        &mut self,
        came: &mut Came<impl FnMut(&[u8])>,
        error: Error,
        about: &Whole<'_>,
    ) -> Result<Fate> {
        about.may_be_told()?;
        self.limit(came)?;
        let ident = self.next_ident() as u16;
        came.answer(&about.error(error, ident))
    }

    /// Whether the leg may still cause something.
    fn limit(&mut self, came: &Came<impl FnMut(&[u8])>) -> Result<()> {
        // It wraps as ticks do.
        let now = Tick((came.now_millis / Tick::MILLIS) as u32);
        if self.asks || self.tables.errors(LegId(came.leg as u16)).take(now) {
            Ok(())
        } else {
            Err(Silence::Limited)
        }
    }

    fn next_ident(&mut self) -> u32 {
        self.ident = self.ident.wrapping_add(1);
        self.ident
    }

    /// Hands out a packet of the router's own as a link with this MTU carries it: as it is, or in
    /// fragments. Those of IPv6 are no larger than what every link carries, for no router on their
    /// way will cut them (RFC 8200, section 5).
    pub fn cut(&mut self, octets: &[u8], mtu: usize, out: &mut impl FnMut(&[u8])) {
        let least =
            if octets.first().is_some_and(|first| first >> 4 == 6) { MTU_MIN_V6 } else { MTU_MIN };
        if octets.len() <= mtu.max(least) {
            return out(octets);
        }
        if let Ok(packet) = Ipv4::parse(octets) {
            let mut parts = Parts::default();
            fragment(octets, &packet, mtu.max(least), &mut parts);
            return parts.0.iter().for_each(|part| out(part));
        }
        let ident = self.next_ident().to_be_bytes();
        let Some((header, payload)) = octets.split_at_checked(IPV6_HEADER_LEN) else { return };
        for (number, piece) in payload.chunks(FRAGMENT_ROOM).enumerate() {
            let offset = number * FRAGMENT_ROOM;
            let field = offset as u16 | u16::from(offset + piece.len() < payload.len());
            let [a, b] = field.to_be_bytes();
            let next = [header[6], 0, a, b];
            let mut part = [header, &next, &ident, piece].concat();
            let len = (part.len() - IPV6_HEADER_LEN) as u16;
            part[4..6].copy_from_slice(&len.to_be_bytes());
            part[6] = protocol::FRAGMENT;
            out(&part);
        }
    }
}

/// The fragments of an answer.
#[derive(Default)]
struct Parts(Vec<Vec<u8>>);

impl Emit for Parts {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        self.0.push(vec![0; octets]);
        self.0.last_mut().map(Vec::as_mut_slice)
    }
}

/// Whether a datagram of UDP is whole (RFC 768; RFC 1122, section 4.1.3.4). Without a checksum it
/// is of IPv4 alone (RFC 8200, section 8.1).
fn check_udp(whole: &Whole<'_>) -> Result<()> {
    let udp = UdpPacket::new_checked(whole.payload()).map_err(|_| Silence::Transport)?;
    let (source, destination) = whole.addresses();
    let bare = udp.checksum() == 0 && destination.is_ipv6();
    let sound = udp.verify_checksum(&source.into(), &destination.into()) && !bare;
    if sound { Ok(()) } else { Err(Silence::Transport) }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::{collection::vec, prelude::*};
    use smoltcp::wire::{
        Icmpv4DstUnreachable, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Ipv4Packet, Ipv6Packet,
        TcpPacket,
    };

    use super::*;
    use crate::{
        forward::sample::{ipv4, ipv6, sealed},
        limit::Limit,
        packet::{checksum, checksum_icmpv6},
    };

    const OWN: [&str; 2] = ["10.0.0.1", "fd01::1"];
    const PEER: [&str; 2] = ["10.0.0.2", "fd01::2"];

    fn own() -> Own {
        let leg = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
            Leg { errors: Limit { per_tick: 1, burst: 3 }, ..Leg::new(addresses, 1400) }
        };
        let near = leg(&["10.0.0.1/24", "fd01::1/64", "fe80::1/64"]);
        let legs = vec![near, leg(&["10.1.0.1/24", "fe80::2/64"])];
        Own::new(Arc::new(Tables::build(legs, &[]).unwrap()), 7)
    }

    /// What becomes of a packet that comes by the first leg, and the answers.
    fn ask(own: &mut Own, octets: &[u8]) -> (Fate, Vec<Vec<u8>>) {
        let (mut whole, mut answers) = (Vec::new(), Vec::new());
        let fate = own.packet(LegId(0), octets, 1000, &mut |octets| whole.push(octets.to_vec()));
        for octets in whole {
            own.cut(&octets, 1400, &mut |part| answers.push(part.to_vec()));
        }
        assert_eq!(fate == Fate::Answered, !answers.is_empty(), "{fate:?}");
        (fate, answers)
    }

    fn answer(octets: &[u8]) -> Vec<u8> {
        let (fate, mut answers) = ask(&mut own(), octets);
        assert_eq!((fate, answers.len()), (Fate::Answered, 1));
        answers.remove(0)
    }

    fn silence(octets: &[u8]) -> Silence {
        let (Fate::Silent(why), _) = ask(&mut own(), octets) else { panic!("{octets:02x?}") };
        why
    }

    fn udp_v4(payload: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 9).udp(5000, 33434);
        builder.write(&mut octets, payload).unwrap();
        octets
    }

    fn v6(text: &str) -> [u8; 16] {
        text.parse::<std::net::Ipv6Addr>().unwrap().octets()
    }

    fn udp_v6(payload: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        let builder = PacketBuilder::ipv6(v6(PEER[1]), v6(OWN[1]), 9).udp(5000, 33434);
        builder.write(&mut octets, payload).unwrap();
        octets
    }

    /// The message of an ICMP answer, whose header and checksum are sound for smoltcp.
    fn icmp_v4(octets: &[u8]) -> Icmpv4Packet<Vec<u8>> {
        let packet = Ipv4Packet::new_checked(octets).unwrap();
        assert!(packet.verify_checksum());
        let addresses = [packet.src_addr(), packet.dst_addr()].map(|a| a.to_string());
        assert_eq!(addresses, [OWN[0], PEER[0]]);
        let message = Icmpv4Packet::new_checked(packet.payload().to_vec()).unwrap();
        assert!(message.verify_checksum());
        message
    }

    fn icmp_v6(octets: &[u8]) -> Icmpv6Packet<Vec<u8>> {
        let packet = Ipv6Packet::new_checked(octets).unwrap();
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        assert_eq!([source, destination].map(|a| a.to_string()), [OWN[1], PEER[1]]);
        let message = Icmpv6Packet::new_checked(packet.payload().to_vec()).unwrap();
        assert!(message.verify_checksum(&source, &destination));
        message
    }

    /// What ICMPv6 quotes, and the four octets before.
    fn quoted_v6(octets: &[u8]) -> (u32, &[u8]) {
        let rest = &octets[IPV6_HEADER_LEN + 4..];
        (u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]), &rest[4..])
    }

    fn tcp(flags: u8, payload: &[u8], sequence: u32) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut builder =
            PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).tcp(5000, 22, sequence, 1024);
        for (bit, set) in [(1, "fin"), (2, "syn"), (4, "rst"), (16, "ack")] {
            builder = match (flags & bit != 0, set) {
                (true, "fin") => builder.fin(),
                (true, "syn") => builder.syn(),
                (true, "rst") => builder.rst(),
                (true, _) => builder.ack(777),
                (false, _) => builder,
            };
        }
        builder.write(&mut octets, payload).unwrap();
        octets
    }

    #[test]
    fn datagram_for_a_closed_port_is_quoted_as_it_came() {
        // With an identification, DSCP and an option: what a stack would not build again.
        let plain = udp_v4(b"traceroute");
        let mut octets = [&plain[..20], &[148, 4, 0, 0], &plain[20..]].concat();
        (octets[0], octets[1], octets[4], octets[5]) = (0x46, 0xb8, 0xbe, 0xef);
        let octets = sealed(octets);
        let reply = answer(&[&octets[..], b"padding"].concat());
        let message = icmp_v4(&reply);
        assert_eq!(
            (message.msg_type(), message.msg_code()),
            (3.into(), u8::from(Icmpv4DstUnreachable::PortUnreachable))
        );
        assert_eq!(&reply[28..], octets);

        let reply = answer(&udp_v4(&[1; 1300]));
        assert_eq!(reply.len(), 576);
    }

    #[test]
    fn datagram_for_a_closed_port_is_quoted_in_ipv6_too() {
        let plain = udp_v6(b"traceroute");
        let options = [17, 0, 0x1e, 4, 0, 0, 0, 0];
        let octets = ipv6(PEER[1], OWN[1], 1, 60, &[&options, &plain[40..]].concat());
        for octets in [plain, octets, udp_v6(&[1; 1300])] {
            let reply = answer(&octets);
            let message = icmp_v6(&reply);
            assert_eq!(
                (message.msg_type(), message.msg_code()),
                (Icmpv6Message::DstUnreachable, 4)
            );
            let (zero, quoted) = quoted_v6(&reply);
            assert_eq!((zero, quoted), (0, &octets[..octets.len().min(1280 - 48)]));
        }
    }

    #[test]
    fn datagram_that_is_not_whole_says_nothing() {
        let (mut v4, mut v6) = (udp_v4(b"x"), udp_v6(b"x"));
        v4[28] ^= 1;
        v6[48] ^= 1;
        assert_eq!([silence(&v4), silence(&v6)], [Silence::Transport; 2]);
        // Without a checksum: of IPv4 alone.
        v4[26..28].fill(0);
        v6[46..48].fill(0);
        answer(&v4);
        assert_eq!(silence(&v6), Silence::Transport);
        assert_eq!(silence(&ipv4(PEER[0], OWN[0], 9, 17, &[0; 7])), Silence::Transport);
    }

    #[test]
    fn segment_for_a_closed_port_is_reset() {
        for (flags, payload, sequence, acknowledges) in
            [(2, &b""[..], 0, Some(100)), (16, b"data", 777, None), (17, b"", 777, None)]
        {
            let reply = answer(&tcp(flags, payload, 99));
            let packet = Ipv4Packet::new_checked(&reply[..]).unwrap();
            let segment = TcpPacket::new_checked(packet.payload()).unwrap();
            let (source, destination) = (packet.src_addr(), packet.dst_addr());
            assert!(segment.verify_checksum(&source.into(), &destination.into()));
            assert_eq!([source, destination].map(|a| a.to_string()), [OWN[0], PEER[0]]);
            assert_eq!((segment.src_port(), segment.dst_port()), (22, 5000));
            assert!(segment.rst() && !segment.syn());
            assert_eq!(segment.seq_number().0, sequence);
            assert_eq!(segment.ack().then(|| segment.ack_number().0), acknowledges);
        }
        // With IPv4 options, too; a reset is not answered, nor what is not whole.
        let plain = tcp(2, b"", 99);
        let optioned = sealed([&[0x46][..], &plain[1..20], &[1, 1, 1, 0], &plain[20..]].concat());
        answer(&optioned);
        assert_eq!(silence(&tcp(4, b"", 99)), Silence::NotAsked);
        let mut broken = plain;
        broken[39] ^= 1;
        assert_eq!(silence(&broken), Silence::NotAsked);
        // The same of IPv6, behind options.
        let mut segment = Vec::new();
        let builder = PacketBuilder::ipv6(v6(PEER[1]), v6(OWN[1]), 9).tcp(1, 2, 3, 4).syn();
        builder.write(&mut segment, &[]).unwrap();
        let octets = [&[6, 0, 1, 4, 0, 0, 0, 0], &segment[40..]].concat();
        let reply = answer(&ipv6(PEER[1], OWN[1], 9, 60, &octets));
        let packet = Ipv6Packet::new_checked(&reply[..]).unwrap();
        let segment = TcpPacket::new_checked(packet.payload()).unwrap();
        assert!(segment.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
        assert!(segment.rst() && segment.ack_number().0 == 4);
    }

    #[test]
    fn protocol_that_is_not_spoken_is_told() {
        let octets = ipv4(PEER[0], OWN[0], 9, 47, b"GRE");
        let reply = answer(&octets);
        let message = icmp_v4(&reply);
        assert_eq!((message.msg_type(), message.msg_code()), (3.into(), 2));
        assert_eq!(&reply[28..], octets);

        for (octets, pointer) in [
            (ipv6(PEER[1], OWN[1], 9, 47, b"GRE"), 6),
            (ipv6(PEER[1], OWN[1], 9, 60, &[47, 0, 1, 4, 0, 0, 0, 0, b'G']), 40),
        ] {
            let reply = answer(&octets);
            let message = icmp_v6(&reply);
            assert_eq!((message.msg_type(), message.msg_code()), (Icmpv6Message::ParamProblem, 1));
            assert_eq!(quoted_v6(&reply), (pointer, &octets[..]));
        }
        assert_eq!(silence(&ipv6(PEER[1], OWN[1], 9, 59, b"")), Silence::NotAsked);
    }

    #[test]
    fn option_that_is_not_known_is_told() {
        let octets = ipv6(PEER[1], OWN[1], 9, 60, &[17, 0, 1, 0, 0x9e, 2, 0, 0]);
        let reply = answer(&octets);
        assert_eq!(icmp_v6(&reply).msg_code(), 2);
        assert_eq!(quoted_v6(&reply), (44, &octets[..]));
    }

    fn echo_v4(len: usize) -> Vec<u8> {
        let mut message = vec![8, 0, 0, 0, 1, 2, 3, 4];
        message.extend((0..len).map(|at| (at * 7) as u8));
        let check = checksum(&message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        ipv4(PEER[0], OWN[0], 64, 1, &message)
    }

    fn echo_v6(len: usize) -> Vec<u8> {
        let mut message = vec![128, 0, 0, 0, 1, 2, 3, 4];
        message.extend((0..len).map(|at| (at * 7) as u8));
        let check = checksum_icmpv6(v6(PEER[1]).into(), v6(OWN[1]).into(), &message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        ipv6(PEER[1], OWN[1], 64, 58, &message)
    }

    /// Cuts as a host with this MTU does.
    fn cut_v4(octets: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut parts = Parts::default();
        fragment(octets, &Ipv4::parse(octets).unwrap(), mtu, &mut parts).unwrap();
        parts.0
    }

    fn cut_v6(octets: &[u8], size: usize) -> Vec<Vec<u8>> {
        let payload = &octets[40..];
        let part = |number: usize, piece: &[u8]| {
            let more = u16::from(number * size + piece.len() < payload.len());
            let field = (number * size) as u16 | more;
            let header = [&[octets[6], 0][..], &field.to_be_bytes(), &[9, 9, 9, 9]].concat();
            ipv6(PEER[1], OWN[1], 64, 44, &[&header, piece].concat())
        };
        payload.chunks(size).enumerate().map(|(number, piece)| part(number, piece)).collect()
    }

    /// The payloads of fragments in order, each found to be no longer than this.
    fn together(parts: &[Vec<u8>], header: usize, mtu: usize) -> Vec<u8> {
        assert!(parts.iter().all(|part| part.len() <= mtu));
        parts.iter().flat_map(|part| part[header..].to_vec()).collect()
    }

    #[test]
    fn large_echo_is_put_together_and_answered_in_fragments() {
        for len in [4000, 65_000] {
            let octets = echo_v4(len);
            let (mut host, mut parts) = (own(), cut_v4(&octets, 1400));
            let last = parts.pop().unwrap();
            // The last comes first.
            for part in [&last].into_iter().chain(parts.iter().rev().take(parts.len() - 1)) {
                assert_eq!(ask(&mut host, part).0, Fate::Waits);
            }
            let (fate, answers) = ask(&mut host, &parts[0]);
            assert_eq!(fate, Fate::Answered);
            let mut message = together(&answers, 20, 1400);
            assert_eq!((message[0], checksum(&message)), (0, 0));
            message.splice(..4, octets[20..24].to_vec());
            assert_eq!(message, octets[20..]);

            let octets = echo_v6(len);
            let (mut host, mut parts) = (own(), cut_v6(&octets, 1304));
            let first = parts.remove(0);
            assert!(parts.iter().all(|part| ask(&mut host, part).0 == Fate::Waits));
            let (_, answers) = ask(&mut host, &first);
            assert!(answers.iter().all(|part| part[6] == 44 && part[40] == 58));
            assert!(answers.iter().all(|part| part[44..48] == answers[0][44..48]));
            let offsets = answers.iter().map(|part| u16::from_be_bytes([part[42], part[43]]));
            let expected =
                (0..answers.len()).map(|at| at * 1232 + usize::from(at + 1 < answers.len()));
            assert!(offsets.map(usize::from).eq(expected));
            let mut message = together(&answers, 48, 1280);
            let check = checksum_icmpv6(v6(OWN[1]).into(), v6(PEER[1]).into(), &message);
            assert_eq!((message[0], check), (129, 0));
            message.splice(..4, octets[40..44].to_vec());
            assert_eq!(message, octets[40..]);
        }
    }

    #[test]
    fn echo_with_options_and_behind_headers_is_answered_without() {
        let plain = echo_v4(10);
        let octets = sealed([&[0x46][..], &plain[1..20], &[148, 4, 0, 0], &plain[20..]].concat());
        let reply = answer(&octets);
        assert_eq!((reply[0], icmp_v4(&reply).msg_type()), (0x45, 0.into()));
        let plain = echo_v6(10);
        let octets = [&[58, 0, 1, 4, 0, 0, 0, 0], &plain[40..]].concat();
        let reply = answer(&ipv6(PEER[1], OWN[1], 9, 60, &octets));
        assert_eq!(icmp_v6(&reply).msg_type(), Icmpv6Message::EchoReply);
        // An atomic fragment stands for itself, beside others of its number.
        let mut host = own();
        ask(&mut host, &cut_v6(&echo_v6(100), 56)[0]);
        let (_, answers) = ask(&mut host, &cut_v6(&echo_v6(10), 1000)[0]);
        assert_eq!(icmp_v6(&answers[0]).msg_type(), Icmpv6Message::EchoReply);
    }

    #[test]
    fn nothing_is_said_to_groups_for_others_and_about_errors() {
        let udp = |source: &str, destination: &str| ipv4(source, destination, 9, 47, b"?");
        for destination in ["224.0.0.1", "255.255.255.255", "10.0.0.255", "10.0.0.3"] {
            assert_eq!(silence(&udp(PEER[0], destination)), Silence::NotOwn, "{destination}");
        }
        for source in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", OWN[0]] {
            assert_eq!(silence(&udp(source, OWN[0])), Silence::Source, "{source}");
        }
        let gre = |source: &str, destination: &str| ipv6(source, destination, 9, 47, b"?");
        for destination in ["ff02::1", "fd01::3", "fe80::2", "::1", "fd01::"] {
            assert_eq!(silence(&gre(PEER[1], destination)), Silence::NotOwn, "{destination}");
        }
        for source in ["::", "::1", "ff02::1", OWN[1], "fe80::1"] {
            assert_eq!(silence(&gre(source, OWN[1])), Silence::Source, "{source}");
        }
        answer(&gre("fe80::9", "fe80::1"));
        // An error, an answer; what is behind a fragment that is not the first.
        let error = [3, 3, 0, 0, 0, 0, 0, 0];
        assert_eq!(silence(&ipv4(PEER[0], OWN[0], 9, 1, &error)), Silence::NotAsked);
        let quoting = ipv6(PEER[1], OWN[1], 9, 60, &[58, 0, 0x9e, 4, 0, 0, 0, 0, 1, 4, 0, 0]);
        assert_eq!(silence(&quoting), Silence::NotAsked);
        let later = ipv6(PEER[1], OWN[1], 9, 44, &[17, 0, 0, 9, 1, 1, 1, 1, 0]);
        assert_eq!(silence(&later), Silence::NotAsked);
        // By a leg that is not there.
        let fate = own().packet(LegId(9), &udp_v4(b""), 0, &mut |_| panic!("an answer"));
        assert_eq!(fate, Fate::Silent(Silence::NotOwn));
    }

    #[test]
    fn fragment_that_cannot_be_is_told() {
        for (field, payload, pointer) in [(1u16, &[0; 7][..], 4), (0xfff8, &[0; 8], 42)] {
            let header = [&[17, 0][..], &field.to_be_bytes(), &[1; 4]].concat();
            let octets = ipv6(PEER[1], OWN[1], 9, 44, &[&header, payload].concat());
            if field == 1 {
                let reply = answer(&octets);
                assert_eq!(icmp_v6(&reply).msg_code(), 0);
                assert_eq!(quoted_v6(&reply), (pointer, &octets[..]));
            } else {
                // Not the first.
                assert_eq!(silence(&octets), Silence::NotAsked);
            }
        }
        let mut odd = ipv4(PEER[0], OWN[0], 9, 17, &[0; 9]);
        odd[6] = 0x20;
        assert_eq!(silence(&sealed(odd)), Silence::Fragments);
        // A fragment in a fragment.
        let inner = [&[44, 0, 0, 0, 1, 1, 1, 1][..], &[17, 0, 0, 0, 2, 2, 2, 2], &[0; 8]].concat();
        assert_eq!(silence(&ipv6(PEER[1], OWN[1], 9, 44, &inner)), Silence::Fragments);
    }

    #[test]
    fn leg_causes_as_much_as_it_may_and_takes_nothing_of_anothers() {
        let mut host = own();
        let fates = (0..5).map(|_| ask(&mut host, &udp_v4(b"?")).0).collect::<Vec<_>>();
        let limited = Fate::Silent(Silence::Limited);
        assert_eq!(fates, [Fate::Answered, Fate::Answered, Fate::Answered, limited, limited]);
        assert_eq!(ask(&mut host, &tcp(2, b"", 1)).0, limited);
        // An echo is asked for.
        assert_eq!(ask(&mut host, &echo_v4(1)).0, Fate::Answered);
        let mut count = 0;
        let fate = host.packet(LegId(1), &udp_v4(b"?"), 1000, &mut |_| count += 1);
        assert_eq!((fate, count), (Fate::Answered, 1));
        let fate = host.packet(LegId(0), &udp_v4(b"?"), 1100, &mut |_| count += 1);
        assert_eq!((fate, count), (Fate::Answered, 2));
    }

    #[test]
    fn sender_of_fragments_that_did_not_come_is_told_if_the_first_did() {
        let mut host = own();
        let (v4, v6) = (cut_v4(&echo_v4(4000), 1400), cut_v6(&echo_v6(4000), 1304));
        for part in [&v4[0], &v4[1], &v6[0]] {
            assert_eq!(ask(&mut host, part).0, Fate::Waits);
        }
        let mut without = cut_v4(&echo_v4(4000), 1000).remove(1);
        without[5] = 77;
        assert_eq!(ask(&mut host, &sealed(without)).0, Fate::Waits);
        let mut told = Vec::new();
        host.tick(60_999, &mut |_, _| panic!("it is not time yet"));
        host.tick(61_000, &mut |_, octets| told.push(octets.to_vec()));
        assert_eq!(told.len(), 2);
        let message = icmp_v4(&told[0]);
        assert_eq!((message.msg_type(), message.msg_code()), (11.into(), 1));
        assert_eq!(told[0][28..], v4[0][..576 - 28]);
        let message = icmp_v6(&told[1]);
        assert_eq!((message.msg_type(), message.msg_code()), (Icmpv6Message::TimeExceeded, 1));
    }

    proptest! {
        /// Whatever comes: what is said is sound, from an own address, and no longer than may be.
        #[test]
        fn whatever_comes_answers_are_sound(
            packets in vec((any::<bool>(), any::<[u8; 8]>(), vec(any::<u8>(), 0..120)), 1..8),
        ) {
            let mut host = own();
            for (four, fields, payload) in packets {
                let protocol = [1, 6, 17, 44, 58, 60, 0, 43][usize::from(fields[0] % 8)];
                let octets = if four {
                    let mut octets = ipv4(PEER[0], OWN[0], 9, protocol, &payload);
                    octets[6] = fields[1] & 0x20;
                    octets[7] = fields[2] & 3;
                    sealed(octets)
                } else {
                    ipv6(PEER[1], OWN[1], 9, protocol, &payload)
                };
                let (_, answers) = ask(&mut host, &octets);
                for answer in answers {
                    prop_assert!(answer.len() <= 1400);
                    if four {
                        let packet = Ipv4Packet::new_checked(&answer[..]).unwrap();
                        prop_assert_eq!(packet.src_addr().to_string(), OWN[0]);
                    } else {
                        let packet = Ipv6Packet::new_checked(&answer[..]).unwrap();
                        prop_assert_eq!(packet.src_addr().to_string(), OWN[1]);
                    }
                }
            }
        }
    }
}
