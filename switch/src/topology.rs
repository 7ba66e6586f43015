//! The topology: what there should be, checked whole. Words of a person go in ([`Words`]), and
//! out comes either a [`Topology`] in which everything fits together, or [`Faults`]: all of them at
//! once, each a sentence that helps. Nothing here touches a device: the same words and the same
//! machine give the same answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

mod advertise;
mod bridges;
mod emit;
mod faults;
mod fields;
mod kinds;
mod legs;
mod metrics;
mod neighbours;
mod plan;
mod route_file;
#[cfg(feature = "router")]
pub mod router;
#[cfg(not(feature = "router"))]
#[path = "topology/no_router.rs"]
mod router;
mod routes;
mod routing;
mod said;
mod single;
mod spec;
mod statics;
mod tuns;

pub use advertise::{ADVERTISE, AdvertiseSpec, AdvertisedPrefix, Preference};
pub use bridges::{BRIDGE_DEFAULT, BRIDGES_MAX};
pub use faults::{About, Faults, Part, PartOf};
pub use fields::{DEVICE_NAME_MAX, Setting};
pub use kinds::{
    COMMON, DgramSpec, HostSpec, KINDS, Kind, MacvlanSpec, PacketSpec, PcapSpec, PortKind,
    QUEUES_RANGE, Side, StreamSpec, TUN, TUN_REFUSED, TapSpec, TunSpec, UdpSpec, VdeSpec, VethSpec,
    VhostSpec,
};
pub use legs::{LEG, LEG_MTU_DEFAULT, LegSpec, ReversePath, no_such_leg};
pub use metrics::MetricsPlace;
pub use neighbours::{NEIGHBOUR, NeighbourSpec, no_such_neighbour};
pub use plan::{Action, can_be_set, in_the_way, plan};
pub use route_file::{
    DIFFERING_SHOWN_MAX, Differing, FILE_FAULTS_MAX, FILE_ROUTES_MAX, LineFaults, RouteFile,
};
pub use router::Tables;
pub use routes::{HopSpec, ROUTE, RouteChoice, RouteKind, RouteSpec};
pub use routing::{Found, RouterConfig, Wrong, check_bridges};
pub use said::Said;
pub use single::settle;
pub use spec::{MTU_RANGE, PORT_NAME_MAX, PortSpec};
pub use statics::{StaticEntry, no_such_port};
pub use tuns::{TUN_OPTIONS, TunLeg};

use routing::Routing;

use crate::{
    bridge::GroupForward,
    fdb::{FDB_SIZE_DEFAULT, FDB_SIZE_MAX, FDB_SIZE_MIN, FdbConfig},
    port::PORTS_MAX,
    switch::{BusyPoll, SwitchConfig, WORKERS_MAX},
};

/// Seconds for which an address may be remembered. IEEE 802.1Q-2018, table 8-6 begins at 10; labs
/// want less.
pub const AGEING_SECONDS: RangeInclusive<u64> = 1..=1_000_000;

/// Microseconds for which a worker may go on asking before it sleeps.
pub const BUSY_POLL_MICROS: RangeInclusive<u64> = 0..=1_000_000;

/// What is wanted, in the words of a person: options by their names on the command line, nothing
/// checked yet. `None` and empty: not said.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// `--ports`: devices' names, separated by commas.
    pub ports: Vec<String>,
    /// `--port`: one spec each.
    pub port: Vec<String>,
    /// Ports that were read elsewhere, as in a file: they come first.
    pub read: Vec<PortSpec>,
    /// Whether there were others that could not be read: so nobody counts them.
    pub unread: bool,
    /// Static entries of the forwarding database: an address and the name of a port each.
    pub statics: Vec<[String; 2]>,
    /// `--leg`: one each.
    pub leg: Vec<String>,
    /// `--tun`: one each.
    pub tun: Vec<String>,
    /// `--route`: one each.
    pub route: Vec<String>,
    /// Legs that were read elsewhere; the ports of TUNs are in `read`.
    pub read_legs: Vec<LegSpec>,
    /// Whether there were others that could not be read.
    pub unread_legs: bool,
    /// Routes that were read elsewhere.
    pub read_routes: Vec<RouteSpec>,
    /// `--routes`: where a file of routes is.
    pub routes: Option<String>,
    /// What was read of it; the topology does not.
    pub route_file: Option<Arc<RouteFile>>,
    /// Neighbours.
    pub neighbours: Vec<NeighbourSpec>,
    /// `--icmp-rate`: ICMP errors a second.
    pub icmp_rate: Option<String>,
    /// `--icmp-burst`: ICMP errors at once.
    pub icmp_burst: Option<String>,
    /// `--mtu`: for each port that says nothing else.
    pub mtu: Option<String>,
    /// `--persist`: likewise.
    pub persist: bool,
    /// `--workers`: a number, or `auto`.
    pub workers: Option<String>,
    /// `--cpus`: numbers and ranges, separated by commas.
    pub cpus: Option<String>,
    /// `--busy-poll`: `off`, microseconds, or `always`.
    pub busy_poll: Option<String>,
    /// `--ageing`: seconds.
    pub ageing: Option<String>,
    /// `--fdb-size`: addresses.
    pub fdb_size: Option<String>,
    /// `--fdb-quota`: addresses.
    pub fdb_quota: Option<String>,
    /// `--group-forward`: `standard` or `wire`.
    pub group_forward: Option<String>,
    /// `--metrics`: an address with a port, or `unix:PATH`.
    pub metrics: Option<String>,
    /// `--allow-path`: folders.
    pub allow_path: Vec<String>,
}

impl Words {
    /// Whether a port is said, be it well or not.
    pub fn have_ports(&self) -> bool {
        let Words { ports, port, tun, read, unread, .. } = self;
        !(ports.is_empty() && port.is_empty() && tun.is_empty() && read.is_empty()) || *unread
    }
}

/// What there should be. Everything in it fits together.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The ports, in the order in which they were said: no two with the same name or device.
    pub ports: Vec<PortSpec>,
    /// The stations that are behind a port whatever is learned: no two with the same address.
    pub statics: Vec<StaticEntry>,
    /// Where the router has a foot: no two in one bridge.
    pub legs: Vec<LegSpec>,
    /// Where it sends what is for nobody on its links.
    pub routes: Vec<RouteSpec>,
    /// More of them, from a file.
    pub route_file: Option<Arc<RouteFile>>,
    /// Its neighbours of whom nobody is asked.
    pub neighbours: Vec<NeighbourSpec>,
    /// The router as a whole.
    pub router: RouterConfig,
    /// The switch between them.
    pub switch: SwitchConfig,
    /// Whether the number of workers was left to us: then it follows from ports and processors,
    /// and a switch that runs keeps the one that it has.
    pub workers_auto: bool,
    /// What a port that comes later has if it says nothing else; those above have it already.
    pub defaults: PortDefaults,
    /// Where the counters can be read. `None`: nowhere.
    pub metrics: Option<MetricsPlace>,
    /// Folders below which ports that come later may be files and sockets: see
    /// [`Opener`](crate::plug::Opener).
    pub allow_path: Vec<String>,
}

/// What is said for all ports at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDefaults {
    /// The largest payload, in octets. `None`: as the device has it.
    pub mtu: Option<u32>,
    /// Whether devices that are made stay at the end.
    pub persist: bool,
}

impl Topology {
    /// What these words mean on a machine that lends us these processors.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn resolve(words: &Words, cpus_there: &[usize]) -> Result<Topology, Faults> {
        let mut faults = Faults::default();
        let mtu = words.mtu.as_deref().map(|text| number(text, "", MTU_RANGE)).transpose();
        let mtu = faults.note("--mtu", mtu.map_err(Faults::from)).flatten();
        let defaults = PortDefaults { mtu, persist: words.persist };
        let mut routing = Routing::read(words, &defaults, &mut faults);
        let tuns = std::mem::take(&mut routing.ports);
        let mut ports = ports(words, tuns, &defaults, &mut faults);
        routing.settle(&mut ports, &mut faults);
        let cpus = words.cpus.as_deref().map_or(Ok(Vec::new()), |text| cpus(text, cpus_there));
        let cpus = faults.note("--cpus", cpus).unwrap_or_default();
        let lent = if cpus.is_empty() { cpus_there.len() } else { cpus.len() };
        let text = words.workers.as_deref().unwrap_or("auto");
        let (workers_auto, unread) = (text == "auto", words.unread);
        let workers = workers(text, if unread { &[] } else { &ports }, lent);
        let workers = faults.note("--workers", workers).unwrap_or(1);
        let busy_poll = words.busy_poll.as_deref().map_or(Ok(BusyPoll::Off), busy_poll);
        let busy_poll = faults.note("--busy-poll", busy_poll).unwrap_or_default();
        let group_forward = words.group_forward.as_deref().unwrap_or("standard");
        let group_forward = faults.note("--group-forward", self::group_forward(group_forward));
        let fdb = fdb(words, &mut faults);
        check_quotas(&ports, fdb.size, &mut faults);
        let statics = statics::statics(words, &ports, &mut faults);
        let metrics = words.metrics.as_deref().map(str::parse).transpose();
        let metrics = faults.note("--metrics", metrics.map_err(Faults::from)).flatten();
        let (legs, routes, neighbours, router) = routing.judge(words, &ports, &mut faults);
        let group_forward = group_forward.unwrap_or_default();
        let switch = SwitchConfig { workers, cpus, busy_poll, fdb, group_forward };
        faults.or(Some(Topology {
            ports,
            statics,
            legs,
            routes,
            route_file: words.route_file.clone(),
            neighbours,
            router,
            switch,
            workers_auto,
            defaults,
            metrics,
            // In an order of their own: neither that nor how often one is said means anything.
            allow_path: words
                .allow_path
                .iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .cloned()
                .collect(),
        }))
    }

    /// What works, but is hardly meant: a sentence each.
    pub fn warnings(&self, cpus_there: &[usize]) -> Vec<String> {
        let mut warnings = bridges::lonely(&self.ports, &self.legs);
        warnings.extend(legs::deserted(self));
        let SwitchConfig { workers, cpus, busy_poll, .. } = &self.switch;
        let lent = if cpus.is_empty() { cpus_there.len() } else { cpus.len() };
        if *busy_poll == BusyPoll::Always && *workers > lent {
            warnings.push(format!(
                "{workers} workers that always poll take the processor from each other: there \
                 are {lent}; say `--workers {lent}`"
            ));
        }
        warnings
    }
}

/// All ports with the defaults put in, as far as they can be read; those of TUNs come last.
fn ports(
    words: &Words,
    tuns: Vec<PortSpec>,
    defaults: &PortDefaults,
    faults: &mut Faults,
) -> Vec<PortSpec> {
    let mut ports = words.read.clone();
    for text in words.ports.iter().flat_map(|list| list.split(',')) {
        let spec = match text {
            "" => Err(Faults::from("a name is empty: there is a comma too many")),
            _ if text.contains('=') => Err(Faults::from(format!(
                "`{text}` looks like an option; those go with one port each, as in \
                 `--port tap0,{text}`"
            ))),
            _ => text.parse(),
        };
        ports.extend(faults.note("--ports", spec));
    }
    for text in &words.port {
        ports.extend(faults.note(&format!("--port `{}`", text.escape_debug()), text.parse()));
    }
    ports.extend(tuns);
    if ports.len() > PORTS_MAX {
        let count = ports.len();
        faults.push(format!("{count} ports are too many: a switch has {PORTS_MAX} at the most"));
    }
    for port in &mut ports {
        port.mtu = port.mtu.or(defaults.mtu);
        let persist = defaults.persist.then_some(true);
        match &mut port.kind {
            PortKind::Tap(tap) => tap.persist = tap.persist.or(persist),
            PortKind::Tun(tun) => tun.persist = tun.persist.or(persist),
            _ => {}
        }
    }
    check_twice(&ports, faults);
    ports
}

/// No port may have more addresses than the table.
pub fn check_quotas(ports: &[PortSpec], size: u32, faults: &mut Faults) {
    for (number, port) in ports.iter().enumerate() {
        let (name, quota) = (&port.name, port.quota.unwrap_or(1));
        if quota > size {
            let sentence = format!(
                "port `{name}`: quota {quota} is more than the {size} addresses of the table"
            );
            faults.push_about(About::Port(number, "quota"), sentence);
        }
    }
}

/// No device may be given twice, nor may two ports have one name.
pub fn check_twice<'a>(ports: impl IntoIterator<Item = &'a PortSpec>, faults: &mut Faults) {
    let mut devices = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut told = BTreeSet::new();
    for (number, PortSpec { name, netns, kind, .. }) in ports.into_iter().enumerate() {
        // A veth's netns= is where its other end goes.
        let netns = netns.as_ref().filter(|_| !matches!(kind, PortKind::Veth(_)));
        let device = kind.device().map(|device| (netns, device));
        let first = device.and_then(|device| {
            let first = *devices.entry(device).or_insert(number);
            (first != number).then_some((first, device))
        });
        let namesake = *names.entry(name).or_insert(number);
        if let Some((first, (netns, device))) = first {
            if told.insert((netns, device)) {
                let about = About::Twice([first, number]);
                faults.push_about(about, format!("the device `{device}` is given twice"));
            }
        } else if namesake != number {
            let about = About::Twice([namesake, number]);
            let sentence = format!(
                "two ports are named `{name}`; give one of them another name, as in \
                 `name={name}-2`"
            );
            faults.push_about(about, sentence);
        }
    }
}

/// Numbers and ranges of processors, as taskset(1) takes them.
fn cpus(text: &str, there: &[usize]) -> Result<Vec<usize>, Faults> {
    let mut faults = Faults::default();
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let any = 0..=usize::MAX;
        let (Ok(first), Ok(last)) = (number(first, "", any.clone()), number(last, "", any)) else {
            faults.push(format!("`{part}` is neither a processor nor a range, as in `0,2-3`"));
            continue;
        };
        if first > last {
            faults.push(format!("the range `{part}` runs backwards"));
        } else if let Some(absent) = absent(first, last, there) {
            let list = there.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            faults
                .push(format!("processor {absent} is not there, or not for us; there are {list}"));
        } else {
            // All of them are there: so many cannot be a danger.
            for cpu in first..=last {
                if cpus.contains(&cpu) {
                    faults.push(format!("processor {cpu} is given twice"));
                } else {
                    cpus.push(cpu);
                }
            }
        }
    }
    faults.or(Some(cpus))
}

/// The first processor of a range that is not there.
fn absent(first: usize, last: usize, there: &[usize]) -> Option<usize> {
    (first..=last).find(|cpu| !there.contains(cpu))
}

/// How many workers: by default one for each processor, but not more than there are queues that
/// they could serve.
fn workers(text: &str, ports: &[PortSpec], cpus: usize) -> Result<usize, Faults> {
    let queues: usize = ports.iter().map(|port| port.kind.queues_max()).sum();
    if text == "auto" {
        return Ok(queues.min(cpus).clamp(1, WORKERS_MAX));
    }
    let workers =
        number(text, "", 1..=WORKERS_MAX).map_err(|fault| format!("{fault}, or `auto`"))?;
    // Of ports that could not be read nothing is known.
    if workers > queues && queues > 0 {
        return Err(Faults::from(format!(
            "{workers} workers are more than there are ports to serve: {queues} at the most"
        )));
    }
    Ok(workers)
}

fn busy_poll(text: &str) -> Result<BusyPoll, Faults> {
    match text {
        "off" | "0" => Ok(BusyPoll::Off),
        "always" => Ok(BusyPoll::Always),
        _ => match number(text, "", BUSY_POLL_MICROS) {
            Ok(micros) => Ok(BusyPoll::For(Duration::from_micros(micros))),
            Err(fault) => Err(Faults::from(format!("{fault}, or `off` or `always`"))),
        },
    }
}

fn group_forward(text: &str) -> Result<GroupForward, Faults> {
    match text {
        "standard" => Ok(GroupForward::Standard),
        "wire" => Ok(GroupForward::Wire),
        _ => Err(Faults::from(format!("`{text}` is neither `standard` nor `wire`"))),
    }
}

/// The forwarding database. What cannot be read is left at its default.
fn fdb(words: &Words, faults: &mut Faults) -> FdbConfig {
    let size = words.fdb_size.as_deref().map_or(Ok(FDB_SIZE_DEFAULT), |text| {
        number(text, "", FDB_SIZE_MIN..=FDB_SIZE_MAX).map_err(Faults::from)
    });
    let readable = size.is_ok();
    let mut fdb = FdbConfig::new(faults.note("--fdb-size", size).unwrap_or(FDB_SIZE_DEFAULT));
    if let Some(text) = &words.fdb_quota {
        // A quota is judged against a size that was read, or else against the largest.
        let most = if readable { fdb.size } else { FDB_SIZE_MAX };
        let quota = number(text, "", 1..=most)
            .map_err(|fault| Faults::from(format!("{fault} (the table has {})", fdb.size)));
        fdb.quota = faults.note("--fdb-quota", quota).unwrap_or(fdb.quota);
    }
    if let Some(text) = &words.ageing {
        let seconds = match number(text, "", AGEING_SECONDS) {
            Err(_) if text == "0" => Err(Faults::from(
                "0 means `never` to some switches and `at once` to others, so say it: 1 is the \
                 least, and 1000000 seconds are eleven days",
            )),
            other => other.map_err(Faults::from),
        };
        let seconds = faults.note("--ageing", seconds);
        fdb.ageing = seconds.map_or(fdb.ageing, Duration::from_secs);
    }
    fdb
}

/// A whole decimal number in a range. A fault begins with `what`, unless that is empty.
fn number<T>(text: &str, what: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr<Err = std::num::ParseIntError> + PartialOrd + fmt::Display,
{
    let (low, high) = (range.start(), range.end());
    let what = if what.is_empty() { String::new() } else { format!("{what} ") };
    // `parse` would take a plus sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{what}`{text}` is not a number from {low} to {high}"));
    }
    // Only digits: what fails now is a number that is too large.
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{what}{text} is out of range: {low} to {high}")),
    }
}

/// The word that was probably meant: the one among these that is reached with the fewest changes
/// of a letter, if those are few for its length.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = |known: &str| 1 + known.chars().count() / 4;
    among
        .into_iter()
        .map(|known| (distance(word, known), known))
        .filter(|(changes, known)| *changes <= far(known))
        .min_by_key(|(changes, _)| *changes)
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out or replaced (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    // Long words are never near to ours; strangers' need not cost much.
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate().take(64) {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()] + a.chars().count().saturating_sub(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(ports: &str) -> Words {
        Words { ports: vec![ports.into()], ..Words::default() }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.into())
    }

    #[track_caller]
    fn resolve(words: &Words) -> Topology {
        Topology::resolve(words, &[0, 1, 2, 5]).expect("nothing is wrong")
    }

    #[track_caller]
    fn faults(words: &Words) -> Vec<String> {
        let faults = Topology::resolve(words, &[0, 1, 2, 5]).expect_err("something is wrong");
        faults.iter().map(str::to_owned).collect()
    }

    #[test]
    fn three_names_are_enough() {
        let topology = resolve(&words("tap0,tap1,tap2"));
        let names: Vec<_> = topology.ports.iter().map(|port| &*port.name).collect();
        assert_eq!(names, ["tap0", "tap1", "tap2"]);
        assert_eq!(topology.switch.workers, 3);
        assert_eq!(topology.switch.busy_poll, BusyPoll::Off);
        assert_eq!(topology.switch.fdb.size, FDB_SIZE_DEFAULT);
        assert!(topology.warnings(&[0, 1, 2, 5]).is_empty());
    }

    #[test]
    fn what_a_port_says_itself_goes_before_what_is_said_for_all() {
        let topology = resolve(&Words {
            port: vec!["tap1,mtu=9000,persist=off".into()],
            mtu: some("1400"),
            persist: true,
            ..words("tap0")
        });
        let setting = |port: &PortSpec| {
            let PortKind::Tap(tap) = &port.kind else { panic!("{port:?}") };
            (port.mtu, tap.persist)
        };
        let settings: Vec<_> = topology.ports.iter().map(setting).collect();
        assert_eq!(settings, [(Some(1400), Some(true)), (Some(9000), Some(false))]);
    }

    #[test]
    fn all_faults_of_one_command_line_are_told_at_once() {
        let found = faults(&Words {
            ports: vec!["tap0,,mtu=1,a/b".into(), "tap0".into()],
            port: vec!["tapp:x".into(), "tap9,mtu=1,colour=red".into(), "t,quota=65".into()],
            mtu: some("65522"),
            workers: some("0"),
            cpus: some("0-1,7,x,2-1,1"),
            busy_poll: some("allways"),
            ageing: some("0"),
            fdb_size: some("64"),
            fdb_quota: some("65"),
            group_forward: some("wires"),
            metrics: some("9119"),
            icmp_rate: some("x"),
            icmp_burst: some("1000001"),
            leg: vec!["br".into()],
            tun: vec!["tun0=10.9.0.1".into()],
            route: vec!["10.0.0.1/8,via=10.9.0.2".into()],
            ..Words::default()
        });
        assert_eq!(
            found,
            [
                "--mtu: 65522 is out of range: 68 to 65521",
                "--leg `br`: `br` has no address: it is written BRIDGE=ADDRESS/BITS, as in \
                 `br=10.0.0.1/24`",
                "--tun `tun0=10.9.0.1`: 10.9.0.1 has no length: write 10.9.0.1/24 if its link is \
                 10.9.0.0/24, or 10.9.0.1/32 if nobody else is on it",
                "--route `10.0.0.1/8,via=10.9.0.2`: 10.0.0.1/8 has bits set behind its length: \
                 write 10.0.0.0/8 for the network, or 10.0.0.1/32 for this address alone",
                "--icmp-rate: `x` is not a number from 0 to 1000000",
                "--icmp-burst: 1000001 is out of range: 0 to 1000000",
                "--ports: a name is empty: there is a comma too many",
                "--ports: `mtu=1` looks like an option; those go with one port each, as in \
                 `--port tap0,mtu=1`",
                "--ports: the device name `a/b` has a '/' in it",
                "--port `tapp:x`: there is no kind of port `tapp`; did you mean `tap`?",
                "--port `tap9,mtu=1,colour=red`: there is no option `colour`; a tap has: side, \
                 owner, mac, queues, persist, netns, mtu, name, quota, bridge",
                "--port `tap9,mtu=1,colour=red`: mtu 1 is out of range: 68 to 65521",
                "the device `tap0` is given twice",
                "--cpus: processor 7 is not there, or not for us; there are 0,1,2,5",
                "--cpus: `x` is neither a processor nor a range, as in `0,2-3`",
                "--cpus: the range `2-1` runs backwards",
                "--cpus: processor 1 is given twice",
                "--workers: 0 is out of range: 1 to 256, or `auto`",
                "--busy-poll: `allways` is not a number from 0 to 1000000, or `off` \
                 or `always`",
                "--group-forward: `wires` is neither `standard` nor `wire`",
                "--fdb-quota: 65 is out of range: 1 to 64 (the table has 64)",
                "--ageing: 0 means `never` to some switches and `at once` to others, so say it: 1 \
                 is the least, and 1000000 seconds are eleven days",
                "port `t`: quota 65 is more than the 64 addresses of the table",
                "--metrics: `9119` is neither an address with a port, such as 127.0.0.1:9119 or \
                 [::1]:9119, nor unix:PATH",
            ]
        );
    }

    #[test]
    fn a_veth_is_not_where_its_other_end_goes() {
        let port = |specs: [&str; 2]| Words {
            port: specs.map(str::to_owned).to_vec(),
            ..Words::default()
        };
        let topology = resolve(&port(["veth:a,peer=b,netns=h1", "packet:a,netns=h1,name=c"]));
        assert_eq!(topology.ports.len(), 2);
        for twice in ["packet:a", "veth:a,peer=b,netns=h2"] {
            let found = faults(&port(["veth:a,peer=b,netns=h1", twice]));
            assert_eq!(found, ["the device `a` is given twice"]);
        }
    }

    #[test]
    fn a_device_may_be_in_two_namespaces_but_a_name_only_once() {
        let port = |texts: [&str; 2]| Words {
            port: texts.map(str::to_owned).to_vec(),
            ..Words::default()
        };
        assert_eq!(
            faults(&port(["tap0,netns=a", "tap0,netns=b"])),
            ["two ports are named `tap0`; give one of them another name, as in \
              `name=tap0-2`"]
        );
        resolve(&port(["tap0,netns=a", "tap0,netns=b,name=tap1"]));
        assert_eq!(
            faults(&port(["tap0,name=a", "tap0,name=b"])),
            ["the device `tap0` is given twice"]
        );
    }

    #[test]
    fn processors_are_numbers_and_ranges() {
        let there = [0, 1, 2, 3, 7];
        assert_eq!(cpus("0", &there), Ok(vec![0]));
        assert_eq!(cpus("7,1-3", &there), Ok(vec![7, 1, 2, 3]));
        for text in ["", ",", "0,", "-1", "1-", "0-4", "0-18446744073709551615", "0-1-2", "+1"] {
            assert!(cpus(text, &there).is_err(), "{text}");
        }
    }

    #[test]
    fn workers_are_as_many_as_processors_and_queues_allow() {
        let count = |ports: &str, workers: Option<&str>, cpus: Option<&str>| {
            let (workers, cpus) = (workers.map(str::to_owned), cpus.map(str::to_owned));
            resolve(&Words { workers, cpus, ..words(ports) }).switch.workers
        };
        assert_eq!(count("a,b", None, None), 2);
        assert_eq!(count("a,b,c,d,e,f", None, None), 4);
        assert_eq!(count("a,b,c,d,e,f", None, Some("1,2")), 2);
        assert_eq!(count("a,b,c,d,e,f", Some("6"), Some("1,2")), 6);
        let queues = Words { port: vec!["a,queues=4".into()], ..words("b") };
        assert_eq!(resolve(&Words { workers: some("5"), ..queues.clone() }).switch.workers, 5);
        let found = faults(&Words { workers: some("6"), ..queues });
        assert_eq!(
            found,
            ["--workers: 6 workers are more than there are ports to serve: 5 at the most"]
        );
    }

    #[test]
    fn polling_is_off_for_a_while_or_for_ever() {
        assert_eq!(busy_poll("off"), Ok(BusyPoll::Off));
        assert_eq!(busy_poll("0"), Ok(BusyPoll::Off));
        assert_eq!(busy_poll("50"), Ok(BusyPoll::For(Duration::from_micros(50))));
        assert_eq!(busy_poll("always"), Ok(BusyPoll::Always));
        assert!(busy_poll("50us").is_err() && busy_poll("1000001").is_err());
    }

    #[test]
    fn what_is_hardly_meant_is_told() {
        let there = [0, 1, 2, 5];
        let alone = resolve(&words("tap0")).warnings(&there);
        assert!(alone[0].starts_with("`tap0` is the only port"), "{alone:?}");
        let spinning = Words { busy_poll: some("always"), cpus: some("1"), ..words("a,b") };
        let spinning = resolve(&Words { workers: some("2"), ..spinning }).warnings(&there);
        assert!(spinning[0].contains("--workers 1"), "{spinning:?}");
    }

    #[test]
    fn too_many_ports_are_refused() {
        let many: Vec<_> = (0..=PORTS_MAX).map(|i| format!("t{i}")).collect();
        assert_eq!(
            faults(&words(&many.join(","))),
            ["4097 ports are too many: a switch has 4096 at the most"]
        );
        resolve(&words(&many[..PORTS_MAX].join(",")));
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["netns", "mtu", "mac", "queues", "persist"];
        assert_eq!(nearest("mtuu", known), Some("mtu"));
        assert_eq!(nearest("presist", known), Some("persist"));
        assert_eq!(nearest("persits", known), Some("persist"));
        assert_eq!(nearest("queue", known), Some("queues"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"m".repeat(1000), known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
