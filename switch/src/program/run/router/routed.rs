//! `explain` beyond a leg: what the router says about a packet, in sentences. What it says, the
//! code by which packets are forwarded has said ([`Legs::foresee`](uswitch::routing::Legs)).

use std::net::IpAddr;

use uswitch::{
    frame::Frame,
    port::{PortId, any::AnyPort},
    routing::{Crossed, Legs},
    switch::Handle,
};
use uswitch_router::{
    forward::Verdict,
    neighbour::{State, resolved::Known},
    own::{Fate, Silence},
    route::{Hop, LegId},
    stats::Reason,
};

use super::{PORT_PREFIX, Router};
use crate::program::explain::{Routed, describe};

/// Frames that enter bridges, each by a port.
pub(in crate::program) type Onward = Vec<(PortId, Vec<u8>)>;

impl Router {
    /// What the router would do with a frame that leaves by this port, and what of it enters other
    /// bridges. `None`: it is no leg's.
    pub(in crate::program) fn foresee(
        &self,
        handle: &Handle<AnyPort>,
        port: PortId,
        frame: Frame<'_>,
    ) -> Option<(Routed, Onward)> {
        let legs = self.legs.as_ref()?;
        let crossed = legs.foresee(handle, port, frame)?;
        let routed = Telling { legs, crossed: &crossed, frame }.routed();
        Some((routed, crossed.onward))
    }

    /// The leg that a port is, by its name. `None`: it is none.
    pub(in crate::program) fn leg_of(&self, port: PortId) -> Option<&str> {
        let mut legs = self.legs.as_ref()?.iter();
        let (config, _) = legs.find(|(_, leg)| *leg == port)?;
        Some(config.port.name.trim_start_matches(PORT_PREFIX))
    }
}

/// What is told, and of what.
struct Telling<'a> {
    legs: &'a Legs,
    crossed: &'a Crossed,
    frame: Frame<'a>,
}

impl Telling<'_> {
    fn routed(&self) -> Routed {
        let (verdict, text) = self.sentence();
        let reason = match self.crossed.verdict {
            Some(Verdict::Drop(reason) | Verdict::Reply { reason: Some(reason), .. }) => {
                Some(reason)
            }
            _ => None,
        };
        let hop = self.hop();
        Routed {
            leg: self.name(self.crossed.leg).to_owned(),
            verdict: verdict.to_owned(),
            reason: reason.map(|reason| reason.name().to_owned()),
            via: hop.map(|(hop, _)| hop.address),
            dev: hop.map(|(hop, _)| self.name(hop.leg).to_owned()),
            lladdr: hop.and_then(|(_, to)| to).map(|to| to.to.to_string()),
            text,
            help: reason.and_then(help).map(str::to_owned),
            onward: Vec::new(),
        }
    }

    /// To whom something goes, and where that is.
    fn hop(&self) -> Option<(Hop, Option<Known>)> {
        match self.crossed.verdict? {
            Verdict::Forward { hop, to, .. }
            | Verdict::Redirect { hop, to, .. }
            | Verdict::Fragments { hop, to }
            | Verdict::Reply { hop, to, .. } => Some((hop, Some(to))),
            Verdict::Resolve(hop) => Some((hop, None)),
            Verdict::Finish | Verdict::Local | Verdict::Drop(_) => None,
        }
    }

    fn sentence(&self) -> (&'static str, String) {
        let Some(verdict) = self.crossed.verdict else { return self.no_packet() };
        let count = self.crossed.onward.len();
        match verdict {
            Verdict::Forward { hop, to, .. } => {
                let (way, at) = (self.way(hop), self.at(to));
                ("forward", format!("{way}, where that is {at}. It goes on with one hop less."))
            }
            Verdict::Redirect { hop, to, sender, .. } => {
                let (way, at, sender) = (self.way(hop), self.at(to), sender.address);
                let text = format!(
                    "{way}, where that is {at}. It goes on with one hop less, by the leg by which \
                     it came: {sender} is told by a redirect that this is nearer to it, as often \
                     as `icmp-rate` allows."
                );
                ("redirect", text)
            }
            Verdict::Fragments { hop, to } => {
                let mtu = self.legs.tables().leg(hop.leg).mtu;
                let (way, at) = (self.way(hop), self.at(to));
                let text = format!(
                    "{way}, where that is {at}. It is larger than the MTU there, {mtu}, and may be \
                     cut: it goes on as {count} fragments."
                );
                ("fragments", text)
            }
            Verdict::Reply { reason: None, .. } => {
                ("reply", "It asks the router itself for an echo, and is answered.".to_owned())
            }
            Verdict::Reply { hop, reason: Some(reason), .. } => {
                let text = format!(
                    "It ends here: {} Its sender is told by leg {}, as often as `icmp-rate` \
                     allows.",
                    about(reason),
                    self.name(hop.leg)
                );
                ("reply", text)
            }
            Verdict::Resolve(hop) => ("resolve", self.unresolved(hop)),
            Verdict::Finish => {
                let text = "It is larger than the MTU of its way and may be cut, but its sender \
                            has left segments to be cut or a checksum to be completed: the slow \
                            path does that first, and sends on each part as fragments.";
                ("finish", text.to_owned())
            }
            Verdict::Local if self.is_group() => {
                ("local", "It is for all on the link: the router hears it as a host does.".into())
            }
            Verdict::Local => ("local", self.own()),
            Verdict::Drop(reason) => ("drop", format!("It ends here: {}", about(reason))),
        }
    }

    /// What the router says as a host.
    fn own(&self) -> String {
        match &self.crossed.own {
            None => "It is for the router itself, which hears it as a host does: the slow path \
                     completes it first."
                .to_owned(),
            Some((Fate::Answered, said)) => {
                let said: Vec<_> = said.iter().map(|packet| in_words(packet)).collect();
                format!("It is for the router itself, which answers: {}.", said.join("; "))
            }
            Some((Fate::Waits, _)) => {
                "It is a part of what is for the router itself, and waits there for the others."
                    .to_owned()
            }
            Some((Fate::Silent(why), _)) => {
                format!("It is for the router itself, which says nothing to it: {}.", silence(*why))
            }
        }
    }

    /// What becomes of a frame without a packet that could be routed.
    fn no_packet(&self) -> (&'static str, String) {
        let octets = self.frame.octets();
        let (verdict, text) = match octets.get(12..14) {
            _ if !self.crossed.is_heard => {
                ("ignore", "It is not for the router, whose leg does not hear it.")
            }
            Some([0x08, 0x06]) => {
                ("local", "It is ARP: the router hears it, and answers for its addresses.")
            }
            Some([0x81, 0x00] | [0x88, 0xa8]) => {
                let text = "What it carries is in a VLAN, and the router's leg is in none: it ends \
                            there.";
                ("ignore", text)
            }
            _ => ("ignore", "It carries no packet of IP: for the router it is nothing."),
        };
        (verdict, text.to_owned())
    }

    /// A sentence without its end: who is next.
    fn way(&self, hop: Hop) -> String {
        let (address, leg) = (hop.address, self.name(hop.leg));
        match self.destination() {
            Some(to) if to != address => {
                format!("Its next hop is {address}, for {to} is reached by it, on leg {leg}")
            }
            _ => format!("Its destination {address} is on the link of leg {leg}"),
        }
    }

    fn at(&self, to: Known) -> String {
        let stale =
            if to.stale { ", which has long been silent and is asked meanwhile" } else { "" };
        format!("{}{stale}", to.to)
    }

    /// Somebody has to be asked for.
    fn unresolved(&self, hop: Hop) -> String {
        let (address, leg) = (hop.address, self.name(hop.leg));
        let asks = if address.is_ipv4() { "ARP" } else { "neighbour solicitations" };
        let what = format!(
            "Something would go to {address} on leg {leg}, and nobody knows its link-layer address"
        );
        match self.crossed.known {
            Some(State::Failed) => format!(
                "{what}: it did not answer a moment ago, so the sender is told that it is not \
                 reached."
            ),
            Some(State::Incomplete) => {
                format!("{what}: the router is asking by {asks}, and holds this with the others.")
            }
            _ => format!(
                "{what}: the slow path would hold this and ask by {asks}. If nobody answers, its \
                 sender is told."
            ),
        }
    }

    fn is_group(&self) -> bool {
        self.frame.octets().first().is_some_and(|first| first & 1 != 0)
    }

    /// To whom the packet is.
    fn destination(&self) -> Option<IpAddr> {
        let packet = self.frame.octets().get(uswitch::frame::HEADER_LEN..)?;
        if packet.first()? >> 4 == 6 {
            let address: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            return Some(address.into());
        }
        let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        Some(address.into())
    }

    /// The leg of this number, by its name.
    fn name(&self, leg: LegId) -> &str {
        let config = self.legs.iter().nth(leg.index());
        config.map_or("?", |(config, _)| config.port.name.trim_start_matches(PORT_PREFIX))
    }
}

/// A packet, as `explain` has it of a frame.
fn in_words(packet: &[u8]) -> String {
    let kind = if packet.first().is_some_and(|first| first >> 4 == 6) { 0x86dd } else { 0x0800 };
    let head = [&[0; 12][..], &u16::to_be_bytes(kind)].concat();
    // The first line is that of the Ethernet header, which it has not got yet.
    describe(&[&head[..], packet].concat()).split_off(1).join(", ")
}

/// Why nothing is said to a packet, in the midst of a sentence.
fn silence(why: Silence) -> String {
    match why {
        Silence::Malformed(reason) => about(reason).trim_end_matches('.').to_owned(),
        Silence::NotOwn => "it is for a group, or for another".to_owned(),
        Silence::Source => "no single host can have sent it".to_owned(),
        Silence::Extension => {
            "its extension headers or options cannot be read, or ask for silence".to_owned()
        }
        Silence::Fragments => {
            "it is a fragment that overlaps others, or one too small or too many".to_owned()
        }
        Silence::Transport => {
            "its transport header is too short, or has a wrong checksum".to_owned()
        }
        Silence::NotAsked => "it asks for nothing: an error, a reset or an answer".to_owned(),
        Silence::Limited => "what came by this leg has caused as many errors as may be".to_owned(),
    }
}

/// As the table of reasons has it, in the midst of a sentence.
fn about(reason: Reason) -> String {
    let text = reason.about();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// What helps against a drop.
fn help(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NoRoute => "What helps: a route, `uswitch route add`.",
        Reason::Blackhole | Reason::Unreachable | Reason::Prohibit => {
            "`uswitch route get ADDRESS` tells by which route."
        }
        Reason::Ttl => {
            "If its sender is not traceroute, two routers may send it to each other: `uswitch \
             route get ADDRESS` of both tells."
        }
        Reason::TooBig => {
            "Its sender learns the MTU by that. If it does not, something on its way drops ICMP."
        }
        Reason::ReversePath => {
            "What helps, if it may come by this leg: `reverse-path=loose` or `off`, or a route to \
             its source."
        }
        Reason::OwnSource => "Somebody else uses an address of the router: look for who it is.",
        Reason::LinkGroup => "What helps: to look at who puts it into a frame for a group.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_go_on_a_sentence_and_those_that_have_a_remedy_tell_it() {
        assert_eq!(about(Reason::NoRoute), "no route to the destination.");
        assert!(help(Reason::NoRoute).unwrap().contains("route add"));
        assert_eq!(help(Reason::Land), None);
    }
}
