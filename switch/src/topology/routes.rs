//! Routes: what becomes of packets for a network. On a command line one is written
//!
//! ```text
//! --route PREFIX[,metric=N],via=ADDRESS[,leg=NAME][,weight=N][,via=...]...
//! --route PREFIX,blackhole|unreachable|prohibit
//! ```
//!
//! and `default` is the prefix of all addresses of the gateway's version, `default6` that of IPv6.

use std::{fmt, net::IpAddr, str::FromStr};

use netlab::Prefix;

use super::{
    About, Faults, RouteFile, Setting, number,
    said::{Said, address, each, many, network, one, shown},
    spec::split,
};

/// The options of a route, on a command line and in a file.
pub const ROUTE: &[Setting] = &[
    one("to", "PREFIX", "for whom: a network, an address, `default` or `default6`"),
    one("type", "blackhole|unreachable|prohibit", "they end, without or with a word"),
    one("metric", "N", "of several to one network the lowest counts"),
    many("via", "ADDRESS", "the next router"),
    many("leg", "NAME", "by which leg"),
    many("weight", "N", "its share of the flows, 1 to 65535"),
    // Begins one; its options follow.
    many("nexthop", "", "one of several ways"),
];

/// A route, as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteSpec {
    /// For whom: no bits are set behind the length.
    pub to: Prefix,
    /// Of several to one network the lowest counts.
    pub metric: u32,
    /// What becomes of them.
    pub kind: RouteKind,
}

/// What becomes of packets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// They go on by one of these.
    Unicast(Vec<HopSpec>),
    /// They end without a word.
    Blackhole,
    /// They end, and their sender is told that the host is unreachable.
    Unreachable,
    /// They end, and their sender is told that it is prohibited.
    Prohibit,
}

/// A way on: a gateway, or a leg, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HopSpec {
    /// The next router. `None`: who is meant is on the leg's link.
    pub via: Option<IpAddr>,
    /// By which leg. `None`: that on whose link the next router is.
    pub leg: Option<String>,
    /// Its share of the flows.
    pub weight: u16,
}

/// A route while it is read.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) to: Option<Destination>,
    pub(super) metric: u32,
    pub(super) kind: Option<RouteKind>,
    pub(super) hops: Vec<HopSpec>,
}

pub(super) enum Destination {
    Network(Prefix),
    /// All addresses of the gateway's version.
    Default,
}

impl Destination {
    /// For whom it is, if these are the ways.
    pub(super) fn of(self, hops: &[HopSpec]) -> Prefix {
        let is_v6 = || hops.iter().any(|hop| hop.via.is_some_and(|via| via.is_ipv6()));
        match self {
            Destination::Network(network) => network,
            Destination::Default if is_v6() => Prefix::ALL_V6,
            Destination::Default => Prefix::ALL_V4,
        }
    }
}

impl RouteSpec {
    /// What these options of a route mean, wherever they were written. Those of a next hop stand
    /// behind its `via`, or behind `nexthop`, where each of several begins.
    ///
    /// # Errors
    ///
    /// All of their faults, each about the option with its number.
    pub fn read(said: &[Said]) -> Result<RouteSpec, Faults> {
        let (mut faults, mut reading) = (Faults::default(), Reading::default());
        each("a route", ROUTE, said, &mut faults, |name, text| reading.take(name, text));
        let Reading { to, metric, kind, hops } = reading;
        let has = |option: &str| said.iter().any(|(name, _)| name == option);
        if !has("to") {
            faults.push("it says not for whom it is: a network, as 10.0.0.0/8, or `default`");
        }
        let ends = has("type");
        if ends && (has("via") || has("leg") || has("nexthop")) {
            let first = said.iter().position(|(name, _)| matches!(&**name, "via" | "leg"));
            let about = first.map_or(About::Whole, About::Said);
            faults.push_about(about, "packets that end here have no next hop: leave out the one");
        } else if !ends && !has("via") && !has("leg") {
            faults.push(NOWHERE);
        } else if hops.iter().any(|hop| hop.via.is_none() && hop.leg.is_none()) && faults.is_empty()
        {
            faults.push("a next hop says neither via= nor leg=");
        }
        let to = to.map(|to| to.of(&hops));
        let kind = kind.unwrap_or(RouteKind::Unicast(hops));
        faults.or(to.map(|to| RouteSpec { to, metric, kind }))
    }

    /// Its options, by which [`RouteSpec::read`] gives it again.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![("to", self.to.to_string())];
        if self.metric != 0 {
            options.push(("metric", self.metric.to_string()));
        }
        options.extend(self.kind.word().map(|word| ("type", word.to_owned())));
        for hop in self.hops() {
            options.extend(hop.emit());
        }
        options
    }

    /// Its ways on; none if its packets end.
    pub fn hops(&self) -> &[HopSpec] {
        match &self.kind {
            RouteKind::Unicast(hops) => hops,
            _ => &[],
        }
    }
}

impl Default for HopSpec {
    /// One of which nothing was said.
    fn default() -> HopSpec {
        HopSpec { via: None, leg: None, weight: 1 }
    }
}

impl HopSpec {
    /// Its options, in the order in which they are said.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let HopSpec { via, leg, weight } = self;
        let mut options = Vec::new();
        options.extend(via.map(|via| ("via", via.to_string())));
        options.extend(leg.as_ref().map(|leg| ("leg", leg.clone())));
        options.extend((*weight != 1).then(|| ("weight", weight.to_string())));
        options
    }
}

pub(super) const NOWHERE: &str = "it leads nowhere: say via=ADDRESS, leg=NAME, or `blackhole`, \
                       `unreachable` or `prohibit`";

impl RouteKind {
    /// What it is called if packets end.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            RouteKind::Unicast(_) => None,
            RouteKind::Blackhole => Some("blackhole"),
            RouteKind::Unreachable => Some("unreachable"),
            RouteKind::Prohibit => Some("prohibit"),
        }
    }

    /// The kind of this name, if packets end.
    pub(super) fn of_word(word: &str) -> Option<RouteKind> {
        let kinds = [RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit];
        kinds.into_iter().find(|kind| kind.word() == Some(word))
    }
}

impl Reading {
    /// Whether packets end there, as far as was said.
    pub(super) fn ends(&self) -> bool {
        self.kind.is_some()
    }

    pub(super) fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "to" => self.to = Some(destination(text)?),
            "metric" => self.metric = number(text, "metric", 0..=u32::MAX)?,
            "type" => {
                self.kind = Some(RouteKind::of_word(text).ok_or_else(|| {
                    format!(
                        "type `{}` is neither `blackhole`, `unreachable` nor `prohibit`",
                        shown(text)
                    )
                })?);
            }
            "nexthop" if text.is_empty() => self.hops.push(HopSpec::default()),
            "nexthop" => return Err("a next hop is a table: { via = ..., leg = ... }".to_owned()),
            "via" => {
                let gateway = address(text);
                // What is behind a wrong one is still its own.
                let hop = self.hop(|hop| hop.via.is_none() && hop.leg.is_none());
                hop.via = Some(gateway?);
            }
            "leg" => self.hop(|hop| hop.leg.is_none()).leg = Some(text.to_owned()),
            "weight" => {
                let weight = number(text, "weight", 1..=u16::MAX)?;
                let hop = self.hops.last_mut();
                hop.ok_or("weight= stands behind the via= or leg= whose share it is")?.weight =
                    weight;
            }
            _ => unreachable!("only what a route has"),
        }
        Ok(())
    }

    /// The last next hop if it has room, or another one.
    fn hop(&mut self, room: impl Fn(&HopSpec) -> bool) -> &mut HopSpec {
        if !self.hops.last().is_some_and(room) {
            self.hops.push(HopSpec::default());
        }
        self.hops.last_mut().expect("there is one at least")
    }
}

/// Which route is meant by who says only for whom it is: `PREFIX[,metric=N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteChoice {
    to: Prefix,
    metric: Option<u32>,
}

impl RouteChoice {
    /// Whether one of a file could be meant.
    pub fn is_in(&self, file: &RouteFile) -> bool {
        file.find(self.to, self.metric).is_some()
    }

    /// The one of these.
    ///
    /// # Errors
    ///
    /// That it is none, or several.
    pub fn find(&self, routes: &[RouteSpec]) -> Result<usize, String> {
        let RouteChoice { to, metric } = self;
        let is_meant = |route: &RouteSpec| {
            route.to == *to && metric.is_none_or(|metric| route.metric == metric)
        };
        let found: Vec<_> = (0..routes.len()).filter(|index| is_meant(&routes[*index])).collect();
        match *found {
            [index] => Ok(index),
            [] => Err(match metric {
                None => format!("there is no route to {to} that was said"),
                Some(metric) => format!("there is no route to {to} with metric {metric}"),
            }),
            _ => {
                let metrics = found.iter().map(|index| routes[*index].metric.to_string());
                Err(format!(
                    "there are {} routes to {to}: say metric=N; they have {}",
                    found.len(),
                    metrics.collect::<Vec<_>>().join(", ")
                ))
            }
        }
    }
}

impl FromStr for RouteChoice {
    type Err = Faults;

    fn from_str(text: &str) -> Result<RouteChoice, Faults> {
        let mut faults = Faults::default();
        let (mut to, mut metric) = (None, None);
        for (index, field) in split(text).iter().enumerate() {
            let read = match (index, field.strip_prefix("metric=")) {
                (0, _) => destination(field).map(|found| {
                    to = Some(match found {
                        Destination::Network(network) => network,
                        Destination::Default => Prefix::ALL_V4,
                    });
                }),
                (_, Some(text)) => number(text, "metric", 0..=u32::MAX).map(|n| metric = Some(n)),
                _ => Err(format!("`{}` is not metric=N", shown(field))),
            };
            read.unwrap_or_else(|sentence| faults.push(sentence));
        }
        faults.or(to.map(|to| RouteChoice { to, metric }))
    }
}

fn destination(text: &str) -> Result<Destination, String> {
    match text {
        "default" => Ok(Destination::Default),
        "default6" => Ok(Destination::Network(Prefix::ALL_V6)),
        _ => network(text).map(Destination::Network),
    }
}

impl FromStr for RouteSpec {
    type Err = Faults;

    /// Reads what stands behind `--route`.
    fn from_str(text: &str) -> Result<RouteSpec, Faults> {
        let said = split(text).into_iter().enumerate().map(|(index, field)| {
            match (index, field.split_once('=')) {
                (0, _) => ("to".to_owned(), field),
                (_, Some((name, value))) => (name.to_owned(), value.to_owned()),
                (_, None) => ("type".to_owned(), field),
            }
        });
        RouteSpec::read(&said.collect::<Vec<_>>())
    }
}

impl fmt::Display for RouteSpec {
    /// As behind `--route`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut route = self.clone();
        if let RouteKind::Unicast(hops) = &mut route.kind {
            // A leg behind a gateway would be that gateway's.
            hops.sort_by_key(|hop| hop.via.is_some());
        }
        let words = route.emit().into_iter().map(|(name, value)| match name {
            "to" | "type" => value,
            _ => format!("{name}={value}"),
        });
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_network_and_a_way_to_it() {
        let cases = [
            ("10.0.0.0/8,via=10.9.0.2", "10.0.0.0/8,via=10.9.0.2"),
            ("default,via=10.9.0.2", "0.0.0.0/0,via=10.9.0.2"),
            ("default,via=fe80::2,leg=br", "::/0,via=fe80::2,leg=br"),
            ("default6,leg=tun0", "::/0,leg=tun0"),
            ("default,blackhole", "0.0.0.0/0,blackhole"),
            ("192.0.2.1,prohibit,metric=7", "192.0.2.1/32,metric=7,prohibit"),
            ("fd00::/8,unreachable", "fd00::/8,unreachable"),
            (
                "10.0.0.0/8,via=10.1.0.1,leg=a,weight=3,via=10.2.0.1,metric=5",
                "10.0.0.0/8,metric=5,via=10.1.0.1,leg=a,weight=3,via=10.2.0.1",
            ),
            ("10.0.0.0/8,via=10.1.0.1,leg=a,leg=b", "10.0.0.0/8,leg=b,via=10.1.0.1,leg=a"),
            ("10.0.0.0/8,leg=b,via=10.1.0.1", "10.0.0.0/8,leg=b,via=10.1.0.1"),
        ];
        for (text, expected) in cases {
            let route: RouteSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
            assert_eq!(route.to_string(), expected);
            let again: RouteSpec = expected.parse().unwrap();
            assert_eq!(
                (again.to, again.metric, again.hops().len()),
                (route.to, route.metric, route.hops().len())
            );
            assert_eq!(again.to_string(), expected);
        }
    }

    #[test]
    fn each_fault_of_a_route_is_a_sentence_that_helps() {
        let cases = [
            ("10.0.0.0/8", "it leads nowhere: say via=ADDRESS, leg=NAME, or `blackhole`"),
            ("10.0.0.1/8,via=10.0.0.1", "10.0.0.1/8 has bits set behind its length: write 10."),
            ("10.0.0/8,via=10.0.0.1", "`10.0.0` is no address"),
            ("10.0.0.0/8,via=10.0.0.1/8", "`10.0.0.1/8` is no address"),
            ("10.0.0.0/8,via=", "option `via` needs a value: via=ADDRESS"),
            ("10.0.0.0/8,weight=1,via=10.0.0.1", "weight= stands behind the via= or leg= whose"),
            ("10.0.0.0/8,via=10.0.0.1,weight=0", "weight 0 is out of range: 1 to 65535"),
            ("10.0.0.0/8,via=10.0.0.1,metric=-1", "metric `-1` is not a number"),
            ("10.0.0.0/8,via=10.0.0.1,metric=1,metric=1", "option `metric` is given twice"),
            ("10.0.0.0/8,via=10.0.0.1,blackhole", "packets that end here have no next hop"),
            ("10.0.0.0/8,blackhole,prohibit", "option `type` is given twice"),
            ("10.0.0.0/8,type=local", "type `local` is neither `blackhole`, `unreachable` nor"),
            ("10.0.0.0/8,blackhoel", "type `blackhoel` is neither `blackhole`, `unreachable` nor"),
            ("10.0.0.0/8,mertic=1,leg=x", "there is no option `mertic`; did you mean `metric`?"),
            ("10.0.0.0/8,via=10.0.0.1,dev=x", "there is no option `dev`; a route has: to, type,"),
            ("", "option `to` needs a value"),
        ];
        for (text, sentence) in cases {
            let faults = text.parse::<RouteSpec>().expect_err(text);
            assert!(faults.to_string().starts_with(sentence), "{text}: {faults}");
            let count = faults.iter().count();
            assert!(count == 1 || text.is_empty(), "{text}: {faults}");
        }
    }

    #[test]
    fn a_route_is_chosen_by_its_network_and_if_need_be_its_metric() {
        let texts = ["default,leg=a", "10.0.0.0/8,leg=a", "10.0.0.0/8,metric=7,blackhole"];
        let routes = texts.map(|text| text.parse::<RouteSpec>().unwrap());
        let find = |text: &str| {
            let choice = text.parse::<RouteChoice>().map_err(|faults| faults.to_string());
            choice.and_then(|choice| choice.find(&routes))
        };
        assert_eq!(find("default"), Ok(0));
        assert_eq!(find("10.0.0.0/8,metric=7"), Ok(2));
        let cases = [
            ("10.0.0.0/8", "there are 2 routes to 10.0.0.0/8: say metric=N; they have 0, 7"),
            ("10.0.0.0/8,metric=8", "there is no route to 10.0.0.0/8 with metric 8"),
            ("default6", "there is no route to ::/0 that was said"),
            ("10.0.0.1/8", "10.0.0.1/8 has bits set behind its length"),
            ("default,via=10.0.0.1", "`via=10.0.0.1` is not metric=N"),
        ];
        for (text, sentence) in cases {
            let told = find(text).unwrap_err();
            assert!(told.starts_with(sentence), "{text}: {told}");
        }
    }

    #[test]
    fn several_ways_are_told_apart_where_each_begins() {
        let said = |options: &[(&str, &str)]| {
            let said = options.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            RouteSpec::read(&said.collect::<Vec<_>>())
        };
        let both = [
            ("to", "10.0.0.0/8"),
            ("nexthop", ""),
            ("via", "10.1.0.1"),
            ("nexthop", ""),
            ("leg", "b"),
            ("weight", "2"),
        ];
        let route = said(&both).unwrap();
        assert_eq!(route.to_string(), "10.0.0.0/8,leg=b,weight=2,via=10.1.0.1");
        let empty =
            said(&[("to", "10.0.0.0/8"), ("nexthop", ""), ("via", "10.1.0.1"), ("nexthop", "")]);
        assert_eq!(empty.unwrap_err().to_string(), "a next hop says neither via= nor leg=");
    }
}
