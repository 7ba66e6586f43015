//! Legs, routes and neighbours together: read, then judged as a whole by the router's own tables.

use std::{net::IpAddr, sync::Arc};

use super::{
    About, Faults, LegSpec, NeighbourSpec, Part, PartOf, PortDefaults, PortSpec, RouteChoice,
    RouteFile, RouteKind, RouteSpec, Topology, Words,
    legs::{self, Given},
    neighbours, number, router,
    router::Tables,
    single, tuns,
};

/// ICMP errors a second, and at once.
pub const ICMP_RANGE: std::ops::RangeInclusive<u32> = 0..=1_000_000;

/// What is said of the router as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// ICMP errors a second about packets that come by one leg; 0: none.
    pub icmp_rate: u32,
    /// ICMP errors at once, after a time without any.
    pub icmp_burst: u32,
}

impl Default for RouterConfig {
    fn default() -> RouterConfig {
        RouterConfig { icmp_rate: 100, icmp_burst: 50 }
    }
}

/// Something that does not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which part.
    pub part: Part,
    /// With what it is at odds.
    pub other: Option<Part>,
    /// A sentence.
    pub sentence: String,
    /// Whether a leg that could not be read may have been meant.
    pub of_leg: bool,
}

/// What becomes of packets for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no route.
    None,
    /// They are for the router itself.
    Local,
    /// They are for all on the link of this leg.
    Broadcast(String),
    /// They end: `blackhole`, `unreachable` or `prohibit`.
    Ends(&'static str),
    /// They go to one of these: by a gateway, or straight, by which leg, and the weight of each.
    Hops(Vec<(Option<IpAddr>, String, u16)>),
}

/// All routes: those that were said, then those of a file.
#[derive(Clone, Copy)]
pub struct Routes<'a> {
    /// Each for itself.
    pub said: &'a [RouteSpec],
    /// All at once.
    pub file: Option<&'a RouteFile>,
}

/// Legs and routes as they are read.
pub(super) struct Routing {
    legs: Given<LegSpec>,
    routes: Given<RouteSpec>,
    router: RouterConfig,
    /// Whether all legs could be read: otherwise nobody knows which are missing.
    legs_known: bool,
    /// The ports of TUNs, until they are among the others.
    pub(super) ports: Vec<PortSpec>,
}

impl Routing {
    /// Reads them, each alone.
    pub(super) fn read(words: &Words, defaults: &PortDefaults, faults: &mut Faults) -> Routing {
        let (read, texts) = (words.read_legs.clone(), &words.leg);
        let (mut legs, mut whole) = Given::read(read, "--leg", texts, faults);
        let ports = tuns::tuns(&words.tun, &mut legs, &mut whole, faults);
        for leg in &mut legs.specs {
            leg.mtu = leg.mtu.or(defaults.mtu);
        }
        let routes = Given::read(words.read_routes.clone(), "--route", &words.route, faults).0;
        let mut icmp = |option: &str, text: &Option<String>, usual| {
            let read = text.as_deref().map_or(Ok(usual), |text| number(text, "", ICMP_RANGE));
            faults.note(option, read.map_err(Faults::from)).unwrap_or(usual)
        };
        let usual = RouterConfig::default();
        let router = RouterConfig {
            icmp_rate: icmp("--icmp-rate", &words.icmp_rate, usual.icmp_rate),
            icmp_burst: icmp("--icmp-burst", &words.icmp_burst, usual.icmp_burst),
        };
        let legs_known = whole && !words.unread_legs;
        Routing { legs, routes, router, legs_known, ports }
    }

    /// Gives ports that have legs of their own their bridges: see [`single`].
    pub(super) fn settle(&self, ports: &mut [PortSpec], faults: &mut Faults) {
        for (number, sentence) in single::settle(ports, &self.legs.specs) {
            let part = Part { of: PartOf::Leg, number, option: "bridge", which: 0 };
            self.legs.blame(number, About::Router(part, None), sentence, faults);
        }
    }

    /// Judges them beside these ports, and hands them out.
    pub(super) fn judge(
        self,
        words: &Words,
        ports: &[PortSpec],
        faults: &mut Faults,
    ) -> (Vec<LegSpec>, Vec<RouteSpec>, Vec<NeighbourSpec>, RouterConfig) {
        let Routing { legs, routes, router, legs_known, .. } = self;
        check_bridges(ports, &legs.specs, faults);
        legs::check_twice(&legs, faults);
        let file = words.route_file.as_deref();
        if let Err(wrong) = tables(&legs.specs, Routes { said: &routes.specs, file }, &router) {
            for Wrong { part, other, sentence, of_leg } in wrong {
                if of_leg && !legs_known {
                    continue;
                }
                let about = About::Router(part, other);
                match part.of {
                    PartOf::Leg => legs.blame(part.number, about, sentence, faults),
                    PartOf::RouteFile => faults.push_about(about, sentence),
                    _ => routes.blame(part.number, about, sentence, faults),
                }
            }
        }
        neighbours::check(&words.neighbours, &legs.specs, ports, legs_known, faults);
        (legs.specs, routes.specs, words.neighbours.clone(), router)
    }
}

/// No more bridges than there may be, and nobody else in that of a TUN.
pub fn check_bridges(ports: &[PortSpec], legs: &[LegSpec], faults: &mut Faults) {
    let names = ports.iter().map(|port| &*port.bridge);
    let names = names.chain(legs.iter().map(|leg| &*leg.name));
    super::bridges::check_count(names, faults);
    tuns::check(ports, faults);
}

/// What the router looks up in. `None`: there are no legs, and no routes.
fn tables(
    legs: &[LegSpec],
    routes: Routes<'_>,
    router: &RouterConfig,
) -> Result<Option<Tables>, Vec<Wrong>> {
    match (legs, routes) {
        ([], Routes { said: [], file: None }) => Ok(None),
        _ => router::tables(legs, routes, router).map(Some),
    }
}

impl Topology {
    /// The same with a route more, for a router that runs.
    ///
    /// # Errors
    ///
    /// Why there cannot be such a route.
    pub fn with_route(&self, route: RouteSpec) -> Result<Topology, Faults> {
        let mut new = self.clone();
        new.routes.push(route);
        new.tables().map(|_| new)
    }

    /// The same without one route, and that route.
    ///
    /// # Errors
    ///
    /// That there is none that can be meant, or that there are several.
    pub fn without_route(&self, choice: &RouteChoice) -> Result<(Topology, RouteSpec), String> {
        let mut new = self.clone();
        let at = choice.find(&new.routes).map_err(|why| match &self.route_file {
            Some(file) if choice.is_in(file) => format!(
                "that route is in {}: take it out there, and `uswitch reload` does it",
                file.path().display()
            ),
            _ => why,
        })?;
        let gone = new.routes.remove(at);
        Ok((new, gone))
    }

    /// The same without one leg, its neighbours, and the ways by it: a route that has no other way
    /// goes, too. Says how many routes have gone.
    pub fn without_leg(&self, name: &str) -> (Topology, usize) {
        let mut new = self.clone();
        new.legs.retain(|leg| leg.name != name);
        new.neighbours.retain(|said| said.leg != name);
        let on_link = |via| self.legs.iter().find(|leg| leg.is_on_link(via));
        let stays = |kind: &mut RouteKind| {
            let RouteKind::Unicast(hops) = kind else { return true };
            hops.retain(|hop| {
                let found = || Some(&on_link(hop.via?)?.name);
                hop.leg.as_ref().or_else(found).is_none_or(|leg| leg != name)
            });
            !hops.is_empty()
        };
        new.routes.retain_mut(|route| stays(&mut route.kind));
        let left = |kind: &RouteKind| {
            let mut kind = kind.clone();
            stays(&mut kind).then_some(kind)
        };
        new.route_file = self.route_file.as_ref().map(|file| Arc::new(file.with_kinds(left)));
        let gone = self.count_routes() - new.count_routes();
        (new, gone)
    }

    /// All routes.
    pub fn all_routes(&self) -> Routes<'_> {
        Routes { said: &self.routes, file: self.route_file.as_deref() }
    }

    /// How many those are.
    pub fn count_routes(&self) -> usize {
        self.routes.len() + self.route_file.as_ref().map_or(0, |file| file.len())
    }

    /// What becomes of packets for this address. The tables are made for it.
    ///
    /// # Errors
    ///
    /// As [`Topology::tables`].
    pub fn lookup(&self, address: IpAddr) -> Result<Found, Faults> {
        Ok(self
            .tables()?
            .map_or(Found::None, |tables| router::lookup(&tables, &self.legs, address)))
    }

    /// What the router looks up in: a leg's number is its place in [`Topology::legs`]. `None`:
    /// there are no legs, and no routes.
    ///
    /// # Errors
    ///
    /// What is wrong between them, if they were changed since they were resolved.
    pub fn tables(&self) -> Result<Option<Tables>, Faults> {
        let wrong = match tables(&self.legs, self.all_routes(), &self.router) {
            Ok(tables) => return Ok(tables),
            Err(wrong) => wrong,
        };
        let mut faults = Faults::default();
        for Wrong { part, other, sentence, .. } in wrong {
            faults.push_about(About::Router(part, other), sentence);
        }
        Err(faults)
    }
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        let mut words = Words::default();
        let mut fields = line.split_whitespace();
        while let Some(option) = fields.next() {
            let value = fields.next().unwrap().to_owned();
            match option {
                "--ports" => words.ports.push(value),
                "--port" => words.port.push(value),
                "--leg" => words.leg.push(value),
                "--tun" => words.tun.push(value),
                "--route" => words.route.push(value),
                "--icmp-rate" => words.icmp_rate = Some(value),
                _ => words.mtu = Some(value),
            }
        }
        words
    }

    fn faults(line: &str) -> Vec<String> {
        let faults = Topology::resolve(&words(line), &[0]).expect_err(line);
        faults.iter().map(str::to_owned).collect()
    }

    fn resolve(line: &str) -> Topology {
        Topology::resolve(&words(line), &[0]).unwrap_or_else(|faults| panic!("{line}: {faults}"))
    }

    #[test]
    fn two_legs_are_a_router() {
        let topology = resolve(
            "--ports tap0,tap1 --leg br=10.0.0.1/24,fd00:1::1/64 \
             --tun tun0=10.9.0.1/24,host=10.9.0.2",
        );
        let ports: Vec<_> = topology.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["tap:tap0", "tap:tap1", "tun:tun0,host=10.9.0.2/24,bridge=tun0"]);
        let legs: Vec<_> = topology.legs.iter().map(ToString::to_string).collect();
        assert_eq!(legs, ["br=10.0.0.1/24,fd00:1::1/64", "tun0=10.9.0.1/24"]);
        assert!(topology.warnings(&[0]).is_empty(), "{:?}", topology.warnings(&[0]));
        let tables = topology.tables().unwrap().unwrap();
        assert_eq!(tables.legs().len(), 2);
        assert_eq!(tables.legs()[1].mtu, 1500);
        assert!(tables.is_own_v4([10, 9, 0, 1].into()) && !tables.is_own_v4([10, 9, 0, 2].into()));
        assert!(resolve("--ports a,b").tables().unwrap().is_none());
    }

    #[test]
    fn what_is_said_for_all_ports_holds_for_legs_too() {
        let topology = resolve(
            "--mtu 1400 --ports a --leg br=10.0.0.1/24 --tun t=10.9.0.1/24,mtu=1300 --icmp-rate 25",
        );
        let mtus: Vec<_> = topology.legs.iter().map(|leg| leg.mtu).collect();
        assert_eq!(mtus, [Some(1400), Some(1300)]);
        let mtus: Vec<_> = topology.ports.iter().map(|port| port.mtu).collect();
        assert_eq!(mtus, [Some(1400), Some(1300)]);
        let tables = topology.tables().unwrap().unwrap();
        let legs = tables.legs();
        // Rounded up to whole errors a tick.
        assert_eq!((legs[0].mtu, legs[0].errors.per_tick, legs[0].errors.burst), (1400, 3, 50));
    }

    #[test]
    fn all_that_does_not_fit_together_is_told_at_once_by_the_options_that_say_it() {
        let line = "--port a,bridge=lan --port b,bridge=tun0 --leg lan=10.0.0.1/24,10.3.0.0/24 \
                    --leg dmz=10.0.0.1/24 --leg far=10.3.0.1/16 --leg dmz=10.5.0.1/24 \
                    --leg six=fd00::1/64,mtu=1279 --tun tun0=10.9.0.1/24 \
                    --route 192.0.2.0/24,via=172.16.0.1 --route 10.8.0.0/16,via=10.9.0.1 \
                    --route default,via=fe80::1 --route fd01::/64,via=10.9.0.2 \
                    --route 10.8.0.0/16,leg=lna --route 224.0.0.0/8,leg=lan \
                    --route 10.7.0.0/16,leg=lan --route 10.7.0.0/16,blackhole";
        let expected = [
            "port `b`: bridge `tun0` is that of a TUN, which carries packets and no frames; no \
             port can be in it",
            "--leg `dmz=10.5.0.1/24`: bridge `dmz` has a leg already: one can have all the \
             addresses",
            "--route `10.8.0.0/16,leg=lna`: there is no leg `lna`",
            "--leg `lan=10.0.0.1/24,10.3.0.0/24`: leg `lan` cannot have 10.3.0.0/24: no host may \
             have that address",
            "--leg `dmz=10.0.0.1/24`: leg `dmz` has 10.0.0.1, and so has leg `lan`: give one of \
             them another",
            "--leg `six=fd00::1/64,mtu=1279`: leg `six`: mtu 1279 is too small, IPv6 needs 1280",
            "--leg `far=10.3.0.1/16`: leg `far` is on 10.3.0.0/16, and leg `lan` on 10.3.0.0/24: \
             who has an address of both could be on either link",
            "--route `10.7.0.0/16,blackhole`: there are two routes to 10.7.0.0/16 with one \
             metric: make it one with two next hops, or give one of them another metric",
            "--route `10.8.0.0/16,via=10.9.0.1`: the gateway 10.9.0.1 of the route to \
             10.8.0.0/16 is this router itself",
            "--route `192.0.2.0/24,via=172.16.0.1`: the gateway 172.16.0.1 of the route to \
             192.0.2.0/24 is on no link of the router, or not on that of the leg that is named",
            "--route `224.0.0.0/8,leg=lan`: 224.0.0.0/8 cannot be routed: it is for groups, \
             loopback or one link",
            "--route `default,via=fe80::1`: the gateway fe80::1 of the route to ::/0 can be on \
             any link: say leg=NAME behind it",
            "--route `fd01::/64,via=10.9.0.2`: the gateway 10.9.0.2 of the route to fd01::/64 is \
             of another version of IP",
        ];
        assert_eq!(faults(line), expected);
    }

    #[test]
    fn routes_come_and_go_one_by_one() {
        let old = resolve("--ports a --leg br=10.0.0.1/24 --route default,via=10.0.0.2");
        let add = |text: &str| {
            let new = old.with_route(text.parse().unwrap());
            new.map(|new| new.routes.len()).map_err(|faults| faults.to_string())
        };
        assert_eq!(add("10.8.0.0/16,via=10.0.0.3"), Ok(2));
        assert_eq!(add("default,metric=7,via=10.0.0.3"), Ok(2));
        for (text, sentence) in [
            ("default,via=10.0.0.3", "there are two routes to 0.0.0.0/0 with one metric"),
            ("10.8.0.0/16,via=10.1.0.3", "the gateway 10.1.0.3 of the route to 10.8.0.0/16 is on"),
            ("10.8.0.0/16,leg=lan", "there is no leg `lan`"),
        ] {
            let told = add(text).unwrap_err();
            assert!(told.starts_with(sentence), "{text}: {told}");
        }
        let (new, gone) = old.without_route(&"default".parse().unwrap()).unwrap();
        assert_eq!((new.routes.len(), &*gone.to_string()), (0, "0.0.0.0/0,via=10.0.0.2"));
        assert!(new.without_route(&"default".parse().unwrap()).is_err());
    }

    #[test]
    fn a_port_that_comes_later_is_not_let_into_the_bridge_of_a_tun() {
        let there = resolve("--ports a --tun t=10.9.0.1/24");
        let found = |spec: &str| {
            let mut faults = Faults::default();
            let ports: Vec<_> =
                there.ports.iter().cloned().chain([spec.parse().unwrap()]).collect();
            check_bridges(&ports, &there.legs, &mut faults);
            faults.to_string()
        };
        assert!(found("b,bridge=t").starts_with("port `b`: bridge `t` is that of a TUN"));
        assert_eq!(found("b,bridge=lan"), "");
    }

    #[test]
    fn a_device_is_one_thing() {
        assert_eq!(
            faults("--ports tun0,a --leg br=10.0.0.1/24 --tun tun0=10.9.0.1/24"),
            ["the device `tun0` is given twice"]
        );
        let twice = faults("--tun t=10.8.0.1/24 --tun t=10.9.0.1/24").join("\n");
        assert!(twice.contains("the device `t` is given twice"), "{twice}");
    }

    #[test]
    fn of_a_leg_that_could_not_be_read_no_route_is_told() {
        let line = "--ports a --leg br=10.0.0.1 --leg lan=10.1.0.1/24 \
                    --route default,via=10.0.0.2 --route 10.8.0.0/16,leg=br";
        let found = faults(line);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("--leg `br=10.0.0.1`: 10.0.0.1 has no length"), "{found:?}");
    }

    #[test]
    fn a_leg_where_nobody_is_is_warned_of() {
        let topology = resolve("--ports a,b --leg lan=10.0.0.1/24");
        assert_eq!(
            topology.warnings(&[0]),
            ["leg `lan`: no port is in bridge `lan`, so nobody is reached there"]
        );
        assert!(resolve("--ports a --leg br=10.0.0.1/24").warnings(&[0]).is_empty());
    }

    #[test]
    fn there_are_so_many_legs_and_no_more() {
        let legs: String =
            (0..1025).map(|n| format!("--leg b{n}=10.{}.{}.1/24 ", n / 256, n % 256)).collect();
        let found = faults(&format!("--ports a {legs}"));
        assert_eq!(found[0], "1026 bridges are too many: a switch has 1024 at the most");
        assert!(found[1].contains("1025 legs are too many: a router has 1024 at the most"));
    }
}
