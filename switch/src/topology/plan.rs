//! From what there is to what there should be: a list of actions, and nothing is done. A port
//! that is the same in both is not in it, and so loses no frame.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::Hash,
};

use super::{
    DgramSpec, Differing, LegSpec, MacvlanSpec, NeighbourSpec, PcapSpec, PortKind, PortSpec,
    RouteSpec, RouterConfig, StaticEntry, StreamSpec, Topology, UdpSpec, VdeSpec, VethSpec,
    VhostSpec, route_file,
};
use crate::frame::Mac;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A setting of the switch that cannot be changed while it runs.
    Restart {
        /// Its name on the command line, without the dashes.
        setting: &'static str,
        /// What it is.
        old: String,
        /// What it should be.
        new: String,
    },
    /// A setting of the switch that is changed while it runs.
    Set {
        /// Its name on the command line, without the dashes.
        setting: &'static str,
        /// What it is.
        old: String,
        /// What it should be.
        new: String,
    },
    /// A port is changed while it runs, and loses no frame.
    Adjust {
        /// As it is.
        old: PortSpec,
        /// As it should be.
        new: PortSpec,
    },
    /// A port goes.
    Remove(PortSpec),
    /// A port of the same name is another: it goes and comes again.
    Change {
        /// As it is.
        old: PortSpec,
        /// As it should be.
        new: PortSpec,
    },
    /// A port comes.
    Add(PortSpec),
    /// A leg goes.
    RemoveLeg(LegSpec),
    /// A leg is another: its bridge stays.
    ChangeLeg {
        /// As it is.
        old: LegSpec,
        /// As it should be.
        new: LegSpec,
    },
    /// A leg comes.
    AddLeg(LegSpec),
    /// The routes are others: all of them at once.
    Routes {
        /// Those that go.
        gone: Vec<RouteSpec>,
        /// Those that come.
        come: Vec<RouteSpec>,
    },
    /// The file of routes says others: all of them at once.
    RouteFile {
        /// Those that go.
        gone: Differing,
        /// Those that come.
        come: Differing,
    },
    /// Other neighbours are said.
    Neighbours {
        /// Those that go.
        gone: Vec<NeighbourSpec>,
        /// Those that come.
        come: Vec<NeighbourSpec>,
    },
    /// A static entry goes.
    RemoveStatic(StaticEntry),
    /// A station is said to be behind another port. No port is touched.
    ChangeStatic {
        /// As it is.
        old: StaticEntry,
        /// As it should be.
        new: StaticEntry,
    },
    /// A static entry comes.
    AddStatic(StaticEntry),
}

impl fmt::Display for Action {
    /// A line, in the manner of diff(1); of routes and neighbours one for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Restart { setting, old, new } => {
                write!(f, "! {setting}: {old} -> {new} (takes a restart)")
            }
            Action::Set { setting, old, new } => write!(f, "= {setting}: {old} -> {new}"),
            Action::Adjust { old, new } => write!(f, "= {old} -> {new}"),
            Action::Remove(spec) => write!(f, "- {spec}"),
            Action::Change { old, new } => write!(f, "~ {old} -> {new}"),
            Action::Add(spec) => write!(f, "+ {spec}"),
            Action::RemoveLeg(leg) => write!(f, "- leg {leg}"),
            Action::ChangeLeg { old, new } => write!(f, "~ leg {old} -> {new}"),
            Action::AddLeg(leg) => write!(f, "+ leg {leg}"),
            Action::Routes { gone, come } => lines(f, "route", gone, come),
            Action::RouteFile { gone, come } => differing(f, gone, come),
            Action::Neighbours { gone, come } => lines(f, "neighbour", gone, come),
            Action::RemoveStatic(entry) => write!(f, "- {entry}"),
            Action::ChangeStatic { old, new } => write!(f, "~ {old} -> {new}"),
            Action::AddStatic(entry) => write!(f, "+ {entry}"),
        }
    }
}

/// A line for each that goes, then for each that comes.
fn lines<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    gone: &[T],
    come: &[T],
) -> fmt::Result {
    let gone = gone.iter().map(|spec| format!("- {what} {spec}"));
    let lines = gone.chain(come.iter().map(|spec| format!("+ {what} {spec}")));
    f.write_str(&lines.collect::<Vec<_>>().join("\n"))
}

/// The same of many: the first of each, and how many more there are.
fn differing(f: &mut fmt::Formatter<'_>, gone: &Differing, come: &Differing) -> fmt::Result {
    let mut all = Vec::new();
    for (sign, Differing { count, first }) in [('-', gone), ('+', come)] {
        all.extend(first.iter().map(|spec| format!("{sign} route {spec}")));
        match count - first.len() {
            0 => {}
            1 => all.push(format!("{sign} 1 route more")),
            more => all.push(format!("{sign} {more} routes more")),
        }
    }
    f.write_str(&all.join("\n"))
}

/// The settings of a switch. Those with `false` cannot be changed while it runs: the table has its
/// size, threads are where they are and the counters can be read where they can, from the start on.
const SETTINGS: &[(&str, bool)] = &[
    ("workers", false),
    ("cpus", false),
    ("fdb-size", false),
    ("metrics", false),
    ("allow-path", false),
    ("busy-poll", true),
    ("group-forward", true),
    ("fdb-quota", true),
    ("ageing", true),
    ("mtu", true),
    ("persist", true),
    ("icmp-rate", true),
    ("icmp-burst", true),
    ("routes", true),
];

/// What makes the new of the old: settings, those that take a restart first, then ports that are
/// set, then removals, then changes, then additions, so that what goes makes room for what comes.
/// Ports are known by their names; their order says nothing. Then come legs, in the same order
/// among themselves, the routes and the neighbours; static entries come last.
pub fn plan(old: &Topology, new: &Topology) -> Vec<Action> {
    let mut actions = settings(old, new);
    let by_name = |topology: &'_ Topology| -> BTreeMap<String, PortSpec> {
        topology.ports.iter().map(|port| (port.name.clone(), port.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let changed = new.ports.iter().filter_map(|port| {
        let old = before.get(&port.name).filter(|old| *old != port)?.clone();
        Some((old, port.clone()))
    });
    let (set, changed): (Vec<_>, Vec<_>) = changed.partition(|(old, new)| can_be_set(old, new));
    actions.extend(set.into_iter().map(|(old, new)| Action::Adjust { old, new }));
    let gone = old.ports.iter().filter(|port| !after.contains_key(&port.name));
    actions.extend(gone.cloned().map(Action::Remove));
    actions.extend(changed.into_iter().map(|(old, new)| Action::Change { old, new }));
    let come = new.ports.iter().filter(|port| !before.contains_key(&port.name));
    actions.extend(come.cloned().map(Action::Add));
    actions.extend(legs(&old.legs, &new.legs));
    actions
        .extend(differ(&old.routes, &new.routes).map(|(gone, come)| Action::Routes { gone, come }));
    let of_file = route_file::differ(old.route_file.as_deref(), new.route_file.as_deref());
    actions.extend(of_file.map(|(gone, come)| Action::RouteFile { gone, come }));
    actions.extend(
        differ(&old.neighbours, &new.neighbours)
            .map(|(gone, come)| Action::Neighbours { gone, come }),
    );
    actions.extend(statics(&old.statics, &new.statics));
    actions
}

/// The same for legs, of which each bridge has one at the most.
fn legs(old: &[LegSpec], new: &[LegSpec]) -> Vec<Action> {
    let in_bridge =
        |legs: &[LegSpec], name: &str| legs.iter().find(|leg| leg.name == name).cloned();
    let gone = old.iter().filter(|leg| in_bridge(new, &leg.name).is_none());
    let mut actions: Vec<_> = gone.cloned().map(Action::RemoveLeg).collect();
    actions.extend(new.iter().filter_map(|new| {
        let old = in_bridge(old, &new.name).filter(|old| old != new)?;
        Some(Action::ChangeLeg { old, new: new.clone() })
    }));
    let come = new.iter().filter(|leg| in_bridge(old, &leg.name).is_none());
    actions.extend(come.cloned().map(Action::AddLeg));
    actions
}

/// What goes and what comes. `None`: they are the same, in whatever order.
fn differ<T: Clone + Eq + Hash>(old: &[T], new: &[T]) -> Option<(Vec<T>, Vec<T>)> {
    let [before, after] = [old, new].map(|all| all.iter().collect::<HashSet<_>>());
    let gone: Vec<_> = old.iter().filter(|one| !after.contains(one)).cloned().collect();
    let come: Vec<_> = new.iter().filter(|one| !before.contains(one)).cloned().collect();
    (!gone.is_empty() || !come.is_empty()).then_some((gone, come))
}

/// The same for static entries, which are known by their addresses.
fn statics(old: &[StaticEntry], new: &[StaticEntry]) -> Vec<Action> {
    let by_mac = |entries: &'_ [StaticEntry]| -> BTreeMap<Mac, StaticEntry> {
        entries.iter().map(|entry| (entry.mac, entry.clone())).collect()
    };
    let (before, after) = (by_mac(old), by_mac(new));
    let gone = old.iter().filter(|entry| !after.contains_key(&entry.mac));
    let mut actions: Vec<_> = gone.cloned().map(Action::RemoveStatic).collect();
    actions.extend(new.iter().filter_map(|new| {
        let old = before.get(&new.mac).filter(|old| *old != new)?.clone();
        Some(Action::ChangeStatic { old, new: new.clone() })
    }));
    let come = new.iter().filter(|entry| !before.contains_key(&entry.mac));
    actions.extend(come.cloned().map(Action::AddStatic));
    actions
}

/// Whether the one becomes the other while it runs: they differ in nothing but what is the
/// switch's, and not the device's, which would have to be opened again.
pub fn can_be_set(old: &PortSpec, new: &PortSpec) -> bool {
    PortSpec { quota: new.quota, ..old.clone() } == *new
}

/// The settings that differ.
fn settings(old: &Topology, new: &Topology) -> Vec<Action> {
    let [before, after] = [old, new].map(|of| as_set(of).into_iter().collect::<BTreeMap<_, _>>());
    let mut actions = Vec::new();
    for (setting, while_it_runs) in SETTINGS {
        // A switch that runs keeps its workers if nobody says how many.
        if *setting == "workers" && new.workers_auto {
            continue;
        }
        let RouterConfig { icmp_rate, icmp_burst } = RouterConfig::default();
        let nothing = match *setting {
            "persist" | "metrics" => "off".to_owned(),
            "routes" | "allow-path" => "none".to_owned(),
            "icmp-rate" => icmp_rate.to_string(),
            "icmp-burst" => icmp_burst.to_string(),
            _ => "any".to_owned(),
        };
        let word = |of: &BTreeMap<_, String>| of.get(setting).unwrap_or(&nothing).clone();
        let (old, new) = (word(&before), word(&after));
        if old != new {
            actions.push(match while_it_runs {
                true => Action::Set { setting, old, new },
                false => Action::Restart { setting, old, new },
            });
        }
    }
    actions
}

/// The settings with the number of workers that there is, and the folders in one text.
fn as_set(topology: &Topology) -> Vec<(&'static str, String)> {
    let mut set = Topology { workers_auto: false, ..topology.clone() }.emit_settings();
    let folders: Vec<_> = topology.allow_path.iter().map(String::as_str).collect();
    if !folders.is_empty() {
        set.push(("allow-path", folders.join(", ")));
    }
    set
}

/// Whether two ports might need the same device, file or address, so that one cannot be opened
/// while the other is there. Two names of one namespace are not seen through.
pub fn in_the_way(one: &PortSpec, other: &PortSpec) -> bool {
    let others = needs(other);
    needs(one).iter().any(|need| others.contains(need))
}

/// What a port needs for itself: where and what.
fn needs(spec: &PortSpec) -> Vec<(&str, String)> {
    let (netns, here) = (spec.netns.as_deref().unwrap_or_default(), "");
    let file = |path: &std::path::Path| vec![("/", path.display().to_string())];
    match &spec.kind {
        PortKind::Veth(VethSpec { device, peer, .. }) => {
            vec![(here, device.clone()), (netns, peer.clone())]
        }
        PortKind::Macvtap(MacvlanSpec { device, lower, .. })
        | PortKind::Macvlan(MacvlanSpec { device, lower, .. }) => {
            let names = [Some(device), lower.as_ref()].into_iter().flatten();
            names.map(|name| (netns, name.clone())).collect()
        }
        PortKind::Stream(StreamSpec { path, .. }) | PortKind::Vhost(VhostSpec { path }) => {
            file(path)
        }
        PortKind::Dgram(DgramSpec { local, .. }) => file(local),
        PortKind::Vde(VdeSpec { folder }) => file(folder),
        PortKind::Udp(UdpSpec { local, .. }) => vec![(netns, local.to_string())],
        PortKind::Pcap(PcapSpec { output, .. }) => output.as_deref().map(file).unwrap_or_default(),
        PortKind::Tap(_) | PortKind::Packet(_) | PortKind::Host(_) | PortKind::Tun(_) => {
            spec.kind.device().map(|device| (netns, device.to_owned())).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Words, *};

    fn topology(ports: &str, settings: &[(&str, &str)]) -> Topology {
        let mut words = Words { fdb_size: Some("4096".into()), ..Words::default() };
        words.port = ports.split_whitespace().map(str::to_owned).collect();
        for (name, value) in settings {
            let value = Some((*value).to_owned());
            match *name {
                "workers" => words.workers = value,
                "cpus" => words.cpus = value,
                "busy-poll" => words.busy_poll = value,
                "group-forward" => words.group_forward = value,
                "fdb-size" => words.fdb_size = value,
                "fdb-quota" => words.fdb_quota = value,
                "mtu" => words.mtu = value,
                "metrics" => words.metrics = value,
                "persist" => words.persist = true,
                "allow-path" => words.allow_path.extend(value),
                _ => words.ageing = value,
            }
        }
        Topology::resolve(&words, &[0, 1, 2, 3]).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[track_caller]
    fn lines(old: &Topology, new: &Topology) -> Vec<String> {
        plan(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ports_go_change_and_come_in_this_order() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("a b", "a b", &[]),
            ("a b", "b a", &[]),
            ("a b", "a b c", &["+ tap:c"]),
            ("a b c", "c a", &["- tap:b"]),
            ("a b", "a b,mtu=9000", &["~ tap:b -> tap:b,mtu=9000"]),
            ("a b,quota=1", "a b,quota=2", &["= tap:b,quota=1 -> tap:b,quota=2"]),
            ("a,quota=1", "a", &["= tap:a,quota=1 -> tap:a"]),
            ("a", "a,quota=2,mtu=9000", &["~ tap:a -> tap:a,mtu=9000,quota=2"]),
            ("a b,bridge=x", "a b,bridge=y", &["~ tap:b,bridge=x -> tap:b,bridge=y"]),
            ("a packet:b", "a tap:b", &["~ packet:b -> tap:b"]),
            // Another name is another port, of the same device: it has to go first.
            ("a b", "a b,name=c", &["- tap:b", "+ tap:b,name=c"]),
            (
                "a b c,mtu=1500",
                "d c,mtu=1400 e a,quota=3",
                &[
                    "= tap:a -> tap:a,quota=3",
                    "- tap:b",
                    "~ tap:c,mtu=1500 -> tap:c,mtu=1400",
                    "+ tap:d",
                    "+ tap:e",
                ],
            ),
            ("a", "b", &["- tap:a", "+ tap:b"]),
        ];
        for (old, new, expected) in cases {
            assert_eq!(lines(&topology(old, &[]), &topology(new, &[])), *expected, "{old} > {new}");
        }
    }

    #[test]
    fn each_setting_of_the_switch_is_set_or_takes_a_restart_and_is_named() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("workers", "1")], "! workers: 2 -> 1 (takes a restart)"),
            (&[("cpus", "0,2")], "! cpus: any -> 0,2 (takes a restart)"),
            (&[("busy-poll", "50")], "= busy-poll: off -> 50"),
            (&[("busy-poll", "always")], "= busy-poll: off -> always"),
            (&[("group-forward", "wire")], "= group-forward: standard -> wire"),
            (
                &[("fdb-size", "8192"), ("fdb-quota", "512")],
                "! fdb-size: 4096 -> 8192 (takes a restart)",
            ),
            (&[("metrics", "[::1]:1")], "! metrics: off -> [::1]:1 (takes a restart)"),
            (&[("allow-path", "/a")], "! allow-path: none -> /a (takes a restart)"),
            (&[("fdb-quota", "7")], "= fdb-quota: 512 -> 7"),
            (&[("persist", "")], "= persist: off -> on"),
            (&[("ageing", "10")], "= ageing: 300 -> 10"),
        ];
        let old = topology("a b", &[]);
        for (settings, line) in cases {
            // Which TAPs stay is theirs to say here.
            let ports = "packet:a packet:b";
            assert_eq!(lines(&topology(ports, &[]), &topology(ports, settings)), [*line]);
        }
        assert_eq!(lines(&old, &topology("a b", &[("workers", "2")])), [""; 0]);
        // A default of ports is theirs already; it is set for those to come.
        let (old, new) = (topology("a,mtu=1400", &[]), topology("a", &[("mtu", "1400")]));
        assert_eq!(lines(&old, &new), ["= mtu: any -> 1400"]);
    }

    #[test]
    fn legs_and_routes_go_change_and_come_in_this_order() {
        let topology = |text: &str| {
            let mut words = Words::default();
            for word in text.split_whitespace() {
                let (option, value) = word.split_once(':').unwrap();
                let value = value.to_owned();
                match option {
                    "port" => words.port.push(value),
                    "leg" => words.leg.push(value),
                    "tun" => words.tun.push(value),
                    "icmp" => words.icmp_rate = Some(value),
                    _ => words.route.push(value),
                }
            }
            Topology::resolve(&words, &[0]).unwrap_or_else(|faults| panic!("{text}: {faults}"))
        };
        let base = "port:a leg:br=10.0.0.1/24";
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "", &[]),
            ("", "icmp:100", &[]),
            ("", "icmp:7", &["= icmp-rate: 100 -> 7"]),
            ("route:default,via=10.0.0.2", "route:default,via=10.0.0.2", &[]),
            (
                "",
                "tun:t=10.9.0.1/24,host=10.9.0.2",
                &["+ tun:t,host=10.9.0.2/24,bridge=t", "+ leg t=10.9.0.1/24"],
            ),
            (
                "tun:t=10.9.0.1/24,host=10.9.0.2",
                "tun:t=10.9.0.1/24,host=10.9.0.3",
                &["~ tun:t,host=10.9.0.2/24,bridge=t -> tun:t,host=10.9.0.3/24,bridge=t"],
            ),
            (
                "leg:x=10.1.0.1/24 leg:y=10.2.0.1/24 route:10.8.0.0/16,via=10.1.0.2 \
                 route:10.7.0.0/16,via=10.0.0.2",
                "leg:z=10.3.0.1/24 leg:y=10.2.0.1/24,mtu=1400 route:10.7.0.0/16,via=10.0.0.2 \
                 route:10.6.0.0/16,blackhole",
                &[
                    "- leg x=10.1.0.1/24",
                    "~ leg y=10.2.0.1/24 -> y=10.2.0.1/24,mtu=1400",
                    "+ leg z=10.3.0.1/24",
                    "- route 10.8.0.0/16,via=10.1.0.2\n+ route 10.6.0.0/16,blackhole",
                ],
            ),
            (
                "route:10.7.0.0/16,via=10.0.0.2 route:10.8.0.0/16,via=10.0.0.2",
                "route:10.8.0.0/16,via=10.0.0.2 route:10.7.0.0/16,via=10.0.0.2",
                &[],
            ),
        ];
        for (old, new, expected) in cases {
            let [old, new] = [old, new].map(|text| topology(&format!("{base} {text}")));
            assert_eq!(lines(&old, &new), *expected);
        }
        let (mut old, new) = (topology(base), topology(base));
        old.neighbours.push(NeighbourSpec {
            leg: "br".to_owned(),
            address: "10.0.0.7".parse().unwrap(),
            mac: "02:00:00:00:00:07".parse().unwrap(),
        });
        let line = "- neighbour 10.0.0.7 dev br lladdr 02:00:00:00:00:07 PERMANENT";
        assert_eq!(lines(&old, &new), [line]);
    }

    #[test]
    fn static_entries_go_change_and_come_and_touch_no_port() {
        let with = |ports: &str, entries: &[&str]| {
            let mut topology = topology(ports, &[]);
            topology.statics = entries
                .iter()
                .map(|entry| {
                    let (number, port) = entry.split_once(' ').unwrap();
                    let mac = format!("02:00:00:00:00:{number}").parse().unwrap();
                    StaticEntry { mac, port: port.to_owned() }
                })
                .collect();
            topology
        };
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&["01 a", "02 b"], &["02 b", "01 a"], &[]),
            (&["01 a"], &[], &["- 02:00:00:00:00:01 dev a static"]),
            (&[], &["01 a"], &["+ 02:00:00:00:00:01 dev a static"]),
            (
                &["01 a"],
                &["01 b"],
                &["~ 02:00:00:00:00:01 dev a static -> 02:00:00:00:00:01 dev b static"],
            ),
            (
                &["01 a", "02 a", "03 b"],
                &["04 a", "03 b", "02 b"],
                &[
                    "- 02:00:00:00:00:01 dev a static",
                    "~ 02:00:00:00:00:02 dev a static -> 02:00:00:00:00:02 dev b static",
                    "+ 02:00:00:00:00:04 dev a static",
                ],
            ),
        ];
        for (old, new, expected) in cases {
            assert_eq!(lines(&with("a b", old), &with("a b", new)), *expected, "{old:?} {new:?}");
        }
        let moved = lines(&with("a", &["01 a"]), &with("b", &["01 b"]));
        assert_eq!(moved[..2], ["- tap:a", "+ tap:b"]);
        assert_eq!(moved.len(), 3);
    }

    #[test]
    fn workers_that_nobody_counted_stay_as_they_are() {
        let (two, three) = (topology("a b", &[]), topology("a b c", &[]));
        assert_ne!(two.switch.workers, three.switch.workers);
        assert_eq!(lines(&two, &three), ["+ tap:c"]);
        assert_eq!(lines(&three, &two), ["- tap:c"]);
    }

    #[test]
    fn what_needs_the_same_cannot_be_open_at_a_time() {
        let cases = [
            ("a", "packet:a", true),
            ("a", "b", false),
            ("a,netns=x", "a", false),
            ("a,netns=x", "host:a,netns=x", true),
            ("veth:v,peer=e,netns=x", "packet:e,netns=x", true),
            ("veth:v,peer=e,netns=x", "packet:v,netns=x", false),
            ("veth:v,peer=e,netns=x", "packet:v", true),
            ("macvlan:m,lower=e", "packet:e", true),
            ("macvlan:m,lower=e", "macvtap:n,lower=e", true),
            ("stream:/a", "dgram:/a,/b", true),
            ("dgram:/b,/a", "dgram:/c,/a", false),
            ("vde:/a", "pcap:out=/a", true),
            ("pcap:in=/a", "pcap:in=/a,out=/b", false),
            ("udp:127.0.0.1:1,127.0.0.1:2", "udp:127.0.0.1:1,127.0.0.1:3", true),
            ("udp:127.0.0.1:1,127.0.0.1:2", "udp:127.0.0.1:1,127.0.0.1:2,netns=x", false),
        ];
        for (one, other, expected) in cases {
            let [first, second] = [one, other].map(|text| text.parse::<PortSpec>().unwrap());
            assert_eq!(in_the_way(&first, &second), expected, "{one} {other}");
            assert_eq!(in_the_way(&second, &first), expected, "{other} {one}");
        }
    }
}
