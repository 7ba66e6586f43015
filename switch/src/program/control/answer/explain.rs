//! `explain`: what would become of a frame, told step by step. What is decided, the switch's own
//! rules decide ([`Handle::foresee`]); here their decision is put into sentences, and no sentence
//! decides anything.

use uswitch::{
    bridge::{BridgeId, Decision, GroupForward, Verdict},
    fdb::{Learn, Tick},
    frame::{Frame, Header, Mac},
    offload::Offload,
    port::PortId,
    stats::{Counter, Reason},
    switch::{Finish, Foresight, Way},
    topology::PortSpec,
};

use super::{Steered, ports::kind};
use crate::program::{
    explain::{self, Egress, Explained, FRAME_MAX, Routed, Step, Told, describe, describe_uncut},
    output::plural,
    report::about,
};

/// What is known of the frame, and what the switch would do.
struct Case<'a> {
    ingress: PortId,
    /// Under which its addresses stand in the table.
    fid: u16,
    header: Option<Header>,
    frame: Frame<'a>,
    foresight: Foresight,
    now: Tick,
}

impl Steered<'_> {
    /// Explains, and changes nothing.
    pub(super) fn explain(
        &self,
        from: &str,
        frame: &str,
        gso: Option<u16>,
    ) -> Result<Explained, String> {
        if frame.len() > 2 * FRAME_MAX {
            return Err(format!("a frame has {FRAME_MAX} octets at the most"));
        }
        let octets = explain::hex(frame)?;
        let ingress = self.ingress(from)?;
        let offload = gso.map_or(Ok(Offload::NONE), |size| uncut(&octets, size))?;
        let wire = [&offload.emit()[..], &octets].concat();
        let about = gso.map_or_else(|| describe(&octets), |size| describe_uncut(&octets, size));
        let told = Told::new(&octets, about);
        Ok(self.follow(ingress, Frame::from_wire(&wire), told, true))
    }

    /// What becomes of a frame in the bridge into which it comes by this port; by a leg of that,
    /// in the router; and where the router sends it.
    fn follow(&self, ingress: PortId, frame: Frame<'_>, told: Told, routes: bool) -> Explained {
        let case = Case {
            ingress,
            fid: self.handle.bridge_of(ingress).map_or(0, BridgeId::fid),
            header: Header::parse(frame.octets()),
            frame,
            foresight: self.handle.foresee(ingress, frame),
            now: self.handle.now(),
        };
        let mut steps = vec![step("port", self.about_port(ingress))];
        steps.push(step("header", case.about_header()));
        steps.extend(self.about_learning(&case).map(|text| step("learn", text)));
        steps.extend(self.about_destination(&case));
        if !case.foresight.ways.is_empty() {
            steps.push(step("egress", case.about_ways()));
        }
        if case.foresight.decision.verdict == Verdict::Flood {
            steps.extend(self.about_waiting().map(|text| step("waiting", text)));
        }
        let (ways, uncut) = (&case.foresight.ways, frame.offload().gso_kind != 0);
        // Nothing that the router sends comes back to it in the same turn.
        let leg = ways.iter().filter(|_| routes).find_map(|way| self.routed(way.port, frame));
        Explained {
            frame: told,
            from: self.name(ingress),
            steps,
            verdict: self.verdict(&case),
            egress: ways.iter().map(|way| self.egress(way, uncut)).collect(),
            routed: leg,
        }
    }

    /// What the router makes of a frame that leaves by its leg. `None`: this is no leg.
    fn routed(&self, port: PortId, frame: Frame<'_>) -> Option<Routed> {
        let (routed, onward) = self.router.foresee(self.handle, port, frame)?;
        let explain = |(ingress, wire): &(PortId, Vec<u8>)| {
            let frame = Frame::from_wire(wire);
            let octets = frame.octets();
            let about = match frame.offload() {
                Offload { gso_kind: 0, .. } => describe(octets),
                offload => describe_uncut(octets, offload.gso_size),
            };
            self.follow(*ingress, frame, Told::new(octets, about), false)
        };
        Some(Routed { onward: onward.iter().map(explain).collect(), ..routed })
    }

    /// The one port of this name.
    fn ingress(&self, name: &str) -> Result<PortId, String> {
        match &*self.ports(name)? {
            [port] => Ok(*port),
            [] => {
                let what = self.plugs.waits_for(name).unwrap_or("nothing, it has left");
                Err(format!("`{name}` waits for {what}: no frame can come in there"))
            }
            ports => {
                let names: Vec<_> = ports.iter().map(|port| self.name(*port)).collect();
                Err(format!("`{name}` has several ports: say one of {}", names.join(", ")))
            }
        }
    }

    fn name(&self, port: PortId) -> String {
        self.handle.name(port).unwrap_or("?").to_owned()
    }

    fn about_port(&self, port: PortId) -> String {
        if let Some(leg) = self.router.leg_of(port) {
            return format!("The router sends it by its leg {leg}.");
        }
        let spec = |(spec, ports): (&PortSpec, &[PortId])| {
            ports.contains(&port).then(|| format!("{} port", kind(&spec.kind)))
        };
        let kind = self.plugs.specs().find_map(spec).unwrap_or("port".to_owned());
        let mtu = self.handle.mtu(port).unwrap_or_default();
        let offloads = match self.handle.takes_offloads(port) {
            Some(true) => "takes offloads",
            _ => "takes no offloads",
        };
        format!(
            "It comes in at {}, a {kind}, which is up ({offloads}). Its MTU, {mtu}, is for what \
             leaves there.",
            self.name(port)
        )
    }

    /// What its source teaches, if it comes to that.
    fn about_learning(&self, case: &Case<'_>) -> Option<String> {
        let (learn, source) = (case.foresight.decision.learn?, case.header?.source);
        let port = self.name(case.ingress);
        let used = self.handle.fdb().used_by(case.ingress);
        Some(match learn {
            Learn::Known => format!(
                "Its source is known behind {port}{}; it would count as heard just now.",
                self.silence(case.fid, source, case.now)
            ),
            Learn::New => format!("Its source is not known: it would be learned behind {port}."),
            Learn::Moved { from } => format!(
                "Its source is known behind {}{}: it would move to {port} at once. If the station \
                 has not moved, two have its address, or there is a loop.",
                self.name(from),
                self.silence(case.fid, source, case.now)
            ),
            Learn::Quota => format!(
                "Its source would not be learned: {port} has {used} addresses, as many as its \
                 quota allows. Frames for it are flooded; `quota=` of the port allows more."
            ),
            Learn::Full => format!(
                "Its source would not be learned: the table is full, with {} of {} addresses. \
                 Frames for it are flooded; `--fdb-size` makes the table larger.",
                self.handle.fdb().used(),
                self.topology.switch.fdb.size
            ),
            Learn::Static => format!(
                "Its source is behind another port by a static entry ({}): nothing is learned from \
                 it. If the station is here, `uswitch fdb del {source}` takes that back.",
                self.behind(case.fid, source, case.now)
            ),
        })
    }

    /// What is found about where it goes, if it comes to that.
    fn about_destination(&self, case: &Case<'_>) -> Vec<Step> {
        let (Some(header), Some(_)) = (case.header, case.foresight.decision.learn) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        let destination = header.destination;
        if destination.is_reserved() {
            let what = "Its destination is one of 01-80-C2-00-00-00 to -0F, which are for the two \
                        ends of one link (IEEE 802.1Q, 8.6.3)";
            steps.push(step(
                "reserved",
                match self.handle.group_forward() {
                    GroupForward::Standard => {
                        format!("{what}, and this switch relays none of them.")
                    }
                    GroupForward::Wire => {
                        let why = "for it runs with `--group-forward wire`";
                        format!("{what}; this switch relays them, {why}.")
                    }
                },
            ));
        }
        let text = match case.foresight.lookup {
            None if case.foresight.decision.verdict == Verdict::Drop(Reason::Reserved) => {
                return steps;
            }
            None if destination == Mac::BROADCAST => {
                "Its destination is everybody: it goes to all other ports.".to_owned()
            }
            None => {
                "Its destination is a group, which is behind no one port: it goes to all other \
                     ports."
                    .to_owned()
            }
            Some(None) => "Its destination is not known: it goes to all other ports.".to_owned(),
            Some(Some(port)) if header.destination == header.source => {
                format!("Its destination is its source, which is behind {} now.", self.name(port))
            }
            Some(Some(port)) => format!(
                "Its destination is known behind {}{}.",
                self.name(port),
                self.silence(case.fid, destination, case.now)
            ),
        };
        steps.push(step("destination", text));
        steps
    }

    /// For how long a station has been silent.
    fn silence(&self, fid: u16, station: Mac, now: Tick) -> String {
        let fdb = self.handle.fdb();
        let entry = fdb.entry_of(fdb.place(fid, station), now);
        let told = entry.map(|entry| match entry.is_static {
            true => ", by a static entry".to_owned(),
            false => format!(", heard {:.1} s ago", entry.age.as_secs_f64()),
        });
        told.unwrap_or_default()
    }

    /// The port where the table has a station.
    fn behind(&self, fid: u16, station: Mac, now: Tick) -> String {
        let fdb = self.handle.fdb();
        let entry = fdb.entry_of(fdb.place(fid, station), now);
        entry.map_or("?".to_owned(), |entry| self.name(entry.port))
    }

    /// The ports that would get a flood if they were there.
    fn about_waiting(&self) -> Option<String> {
        let waiting =
            self.plugs.specs().filter(|(_, ports)| ports.is_empty()).filter_map(|(s, _)| {
                Some(format!("{} waits for {}", s.name, self.plugs.waits_for(&s.name)?))
            });
        let waiting: Vec<_> = waiting.collect();
        (!waiting.is_empty()).then(|| format!("Not reached: {}.", waiting.join(", ")))
    }

    fn verdict(&self, case: &Case<'_>) -> explain::Verdict {
        let decision = case.foresight.decision;
        let ways = &case.foresight.ways;
        let lost = ways.iter().filter(|way| !way.is_sent()).count();
        let (verdict, counter, text) = match decision.verdict {
            Verdict::Forward(port) => {
                let but = if lost > 0 { ", which does not take it" } else { "" };
                let text = format!("Forwarded to {}{but}", self.name(port));
                ("forward", Counter::RxForwarded, text)
            }
            Verdict::Flood => {
                let ports = plural(ways.len(), "port");
                let but = match lost {
                    0 => String::new(),
                    lost if lost == ways.len() => ", of which none takes it".to_owned(),
                    1 => ", of which one does not take it".to_owned(),
                    lost => format!(", of which {lost} do not take it"),
                };
                ("flood", Counter::RxFlooded, format!("Flooded to {ports}{but}"))
            }
            Verdict::Drop(reason) => {
                let counter = reason.into();
                ("drop", counter, format!("Dropped: {}", about(counter)))
            }
        };
        let help = match decision.verdict {
            Verdict::Drop(reason) => Some(help(reason).to_owned()),
            _ if ways.iter().any(|way| !way.fits) => Some(OVERSIZE_HELP.to_owned()),
            _ if lost > 0 => Some(REFUSED_HELP.to_owned()),
            _ => None,
        };
        explain::Verdict {
            verdict: verdict.to_owned(),
            counter: counter.name().to_owned(),
            learn: decision.learn.and_then(learn_counter).map(|c| c.name().to_owned()),
            text,
            help,
        }
    }

    fn egress(&self, way: &Way, uncut: bool) -> Egress {
        let counter = way.counter();
        let segments = match way.finish {
            Finish::Cut(segments) if way.is_sent() => Some(segments),
            _ => None,
        };
        let text = match (way.finish, segments) {
            _ if !way.fits => format!("not sent: {}, {}", about(counter), way.mtu),
            (Finish::Refused, _) => format!("not sent: {}", about(counter)),
            (_, Some(segments)) => format!("sent, cut into {}", plural(segments, "segment")),
            _ if self.router.leg_of(way.port).is_some() => "to the router".to_owned(),
            _ if uncut => "sent whole: it takes offloads".to_owned(),
            _ => "sent".to_owned(),
        };
        Egress {
            ifname: self.name(way.port),
            sent: way.is_sent(),
            counter: counter.name().to_owned(),
            segments,
            text,
        }
    }
}

impl Case<'_> {
    fn about_header(&self) -> String {
        let Some(header) = self.header else {
            return format!(
                "It has {} octets, and the header alone would have {}.",
                self.frame.octets().len(),
                uswitch::frame::HEADER_LEN
            );
        };
        let source = header.source;
        match self.foresight.decision {
            Decision { verdict: Verdict::Drop(Reason::GroupSource), .. } => {
                format!(
                    "It is from {source}, a group address: no station has one. Nothing is learned."
                )
            }
            Decision { verdict: Verdict::Drop(Reason::NullSource), .. } => {
                format!("It is from {source}, which is nobody's address. Nothing is learned.")
            }
            _ => format!("Its header is whole, and {source} can be a station's address."),
        }
    }

    /// What the ports look at.
    fn about_ways(&self) -> String {
        let (frame, start) = (self.frame, self.packet_start());
        let whole = frame.octets().len();
        let largest = frame.offload().on_the_wire(frame.octets());
        let payload = match frame.offload().gso_kind {
            0 => format!("{} octets of payload", whole - start),
            _ => format!(
                "{} octets of payload, and the largest of its segments has {}",
                whole - start,
                largest - start
            ),
        };
        let tags = match (start - uswitch::frame::HEADER_LEN) / 4 {
            0 => "",
            1 => " behind its VLAN tag, which passes as part of the frame",
            _ => " behind its two VLAN tags, which pass as part of the frame",
        };
        format!(
            "It has {payload}{tags}. A port takes as many as its MTU, and what \
             its other end does with them (tx_full, tx_refused, tx_down) only sending tells."
        )
    }

    /// Where its payload begins, as the MTU counts.
    fn packet_start(&self) -> usize {
        self.frame.packet_start().min(self.frame.octets().len())
    }
}

/// What a host with offloads says of this frame, which it leaves to be cut.
fn uncut(octets: &[u8], size: u16) -> Result<Offload, String> {
    let wire = [&Offload::NONE.emit()[..], octets].concat();
    let start = Frame::from_wire(&wire).packet_start();
    Offload::of_segments(octets, start, size).filter(|_| size > 0).ok_or_else(|| {
        "what is cut into segments (`gso`) is TCP or UDP over IP, and so many octets that there \
         are some in each"
            .to_owned()
    })
}

fn step(step: &str, text: String) -> Step {
    Step { step: step.to_owned(), text }
}

/// What counts what a source taught. `None`: nothing new.
fn learn_counter(learn: Learn) -> Option<Counter> {
    match learn {
        Learn::Known => None,
        Learn::New => Some(Counter::LearnNew),
        Learn::Moved { .. } => Some(Counter::LearnMoved),
        Learn::Quota => Some(Counter::LearnQuota),
        Learn::Full => Some(Counter::LearnFull),
        Learn::Static => Some(Counter::LearnStatic),
    }
}

const OVERSIZE_HELP: &str = "What helps: a larger MTU there (`mtu=` of the port), or a smaller one \
                             at the sender.";

const REFUSED_HELP: &str = "What helps: larger segments at the sender, or a port that takes \
                            offloads.";

/// What helps against a drop.
fn help(reason: Reason) -> &'static str {
    match reason {
        Reason::Runt => "What helps: to look at who sends it; he cuts his frames off.",
        Reason::GroupSource => {
            "What helps: to give the sender an address whose first octet is even."
        }
        Reason::NullSource => {
            "What helps: to give the sender an address, as in `ip link set eth0 address \
             02:00:00:00:00:01`."
        }
        Reason::Reserved => "What helps, if it is to pass as on a wire: `--group-forward wire`.",
        Reason::SamePort => {
            "Nothing is wrong if the two are on one network behind that port. If not, the table \
             is: `uswitch fdb get ADDR` tells what it has, `uswitch fdb flush` makes it learn \
             again."
        }
        Reason::Alone => "What helps: another port, `uswitch port add`.",
        Reason::Detached => "Nothing helps but to wait: the port is just leaving.",
    }
}
