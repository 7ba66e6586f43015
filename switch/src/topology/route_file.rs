//! A file of routes, in the words of `ip route`: for as many as no person writes. A line is a
//! route, and what begins with `#` is not read:
//!
//! ```text
//! 10.1.0.0/16 via 10.0.0.2 metric 5
//! default via fe80::2 dev br                  # `dev` is the leg
//! 10.2.0.0/16
//!         nexthop via 10.0.0.2 weight 2
//!         nexthop dev tun0 weight 1
//! blackhole 192.0.2.0/24
//! ```
//!
//! So what `ip route show` writes can be read, and what is made of a BGP table. What says where
//! packets go is taken; what says how a route came to be is skipped (`proto`, `scope`, `src`,
//! `pref`, `expires`, `onlink`, ...), and with it whole lines of `proto kernel`: those of links,
//! which follow from the legs. All else is refused, for it would have meant something.
//!
//! [`RouteFile::read`] is pure (`read`); most routes of a million are alike in all but their
//! network, so each way is kept once.

mod read;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    path::{Path, PathBuf},
};

use netlab::Prefix;

use super::{HopSpec, RouteKind, RouteSpec};

/// Routes of one file at the most: those that a router knows, of both versions.
pub const FILE_ROUTES_MAX: usize = 1 << 23;
/// Faults of one file that are kept. Of more it is told how many there are.
pub const FILE_FAULTS_MAX: usize = 1000;
/// Routes that go or come of which a plan says more than that they do.
pub const DIFFERING_SHOWN_MAX: usize = 20;

/// The routes of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteFile {
    path: PathBuf,
    routes: Vec<Line>,
    /// What becomes of packets: each once.
    kinds: Vec<RouteKind>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    to: Prefix,
    metric: u32,
    /// Which of the kinds.
    kind: u32,
    /// The octet at which its network stands in the file.
    at: u32,
}

/// What is wrong with a file of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineFaults {
    /// The first of them: the octets, and a sentence.
    pub first: Vec<(Range<usize>, String)>,
    /// How many there are.
    pub count: usize,
}

/// Routes of a file that go, or that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// How many.
    pub count: usize,
    /// The first of them, [`DIFFERING_SHOWN_MAX`] at the most.
    pub first: Vec<RouteSpec>,
}

impl RouteFile {
    /// Reads the text of the file that is there.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn read(path: &Path, text: &str) -> Result<RouteFile, LineFaults> {
        read::read(path, text)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many routes it has.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Its routes from the one with this number on.
    pub fn iter(&self, from: usize) -> impl Iterator<Item = RouteSpec> {
        let routes = self.routes.get(from..).unwrap_or_default();
        routes.iter().map(|line| self.spec(line))
    }

    /// What becomes of packets, each once.
    pub fn kinds(&self) -> &[RouteKind] {
        &self.kinds
    }

    /// Network, metric and number among [`RouteFile::kinds`] of each route.
    pub fn entries(&self) -> impl Iterator<Item = (Prefix, u32, usize)> {
        self.routes.iter().map(|line| (line.to, line.metric, line.kind as usize))
    }

    /// The ways of one route.
    pub fn hops(&self, number: usize) -> &[HopSpec] {
        let RouteKind::Unicast(hops) = &self.kinds[self.routes[number].kind as usize] else {
            return &[];
        };
        hops
    }

    /// The number of the route to this network, with this metric if one is said.
    pub fn find(&self, to: Prefix, metric: Option<u32>) -> Option<usize> {
        let is_it = |line: &Line| line.to == to && metric.is_none_or(|said| said == line.metric);
        self.routes.iter().position(is_it)
    }

    /// Where in its text an option of a route is: `to`, `via` or `leg`, and which of several.
    pub fn place(&self, text: &str, number: usize, option: &str, which: usize) -> Range<usize> {
        let Some(line) = self.routes.get(number) else { return 0..0 };
        read::place(text, line.at as usize, option, which)
    }

    /// The same for all that have the same routes in the same order, whatever else is in their
    /// files.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.kinds.hash(&mut hasher);
        for (to, metric, kind) in self.entries() {
            (to, metric, kind).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The same with other ways: a route that has none left goes.
    pub(super) fn with_kinds(&self, change: impl Fn(&RouteKind) -> Option<RouteKind>) -> RouteFile {
        let mut numbers = Vec::new();
        let mut kinds = Vec::new();
        for kind in &self.kinds {
            numbers.push(change(kind).map(|kind| {
                kinds.push(kind);
                (kinds.len() - 1) as u32
            }));
        }
        let kept = |line: &Line| Some(Line { kind: numbers[line.kind as usize]?, ..*line });
        let routes = self.routes.iter().filter_map(kept).collect();
        RouteFile { path: self.path.clone(), routes, kinds }
    }

    fn spec(&self, line: &Line) -> RouteSpec {
        let Line { to, metric, kind, .. } = *line;
        RouteSpec { to, metric, kind: self.kinds[kind as usize].clone() }
    }
}

/// What goes and what comes if the one file is read after the other. `None`: they say the same, in
/// whatever order.
pub(super) fn differ(
    old: Option<&RouteFile>,
    new: Option<&RouteFile>,
) -> Option<(Differing, Differing)> {
    if old == new {
        return None;
    }
    let (gone, come) = (missing(old, new), missing(new, old));
    (gone.count + come.count > 0).then_some((gone, come))
}

/// The routes of one file that another has not.
fn missing(of: Option<&RouteFile>, other: Option<&RouteFile>) -> Differing {
    let (mut missing, Some(of)) = (Differing::default(), of) else { return Differing::default() };
    let numbers: HashMap<&RouteKind, usize> =
        other.iter().flat_map(|other| other.kinds.iter()).zip(0..).collect();
    let there: HashSet<_> = other.iter().flat_map(|other| other.entries()).collect();
    for (line, (to, metric, kind)) in of.routes.iter().zip(of.entries()) {
        let kind = numbers.get(&of.kinds[kind]);
        if kind.is_some_and(|kind| there.contains(&(to, metric, *kind))) {
            continue;
        }
        missing.count += 1;
        if missing.first.len() < DIFFERING_SHOWN_MAX {
            missing.first.push(of.spec(line));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> RouteFile {
        RouteFile::read(Path::new("/routes"), text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn each_way_is_kept_once_and_routes_are_found_by_their_numbers() {
        let text = "10.1.0.0/16 via 10.0.0.2\n10.2.0.0/16 via 10.0.0.2 metric 7\n\
                    blackhole 10.3.0.0/16\n10.4.0.0/16 via 10.0.0.2\n";
        let file = file(text);
        assert_eq!((file.len(), file.kinds().len(), file.is_empty()), (4, 2, false));
        let rest: Vec<_> = file.iter(2).map(|route| route.to_string()).collect();
        assert_eq!(rest, ["10.3.0.0/16,blackhole", "10.4.0.0/16,via=10.0.0.2"]);
        assert_eq!(file.iter(5).count(), 0);
        let to = "10.2.0.0/16".parse().unwrap();
        let found = [None, Some(7), Some(8)].map(|metric| file.find(to, metric));
        assert_eq!(found, [Some(1), Some(1), None]);
        let shown = |number, option| &text[file.place(text, number, option, 0)];
        assert_eq!([shown(1, "to"), shown(1, "via")], ["10.2.0.0/16", "10.0.0.2"]);
        assert_eq!(shown(2, "via"), "10.3.0.0/16", "what it has not is told at its network");
    }

    #[test]
    fn what_differs_is_counted_and_the_first_of_it_told() {
        let line =
            |number: usize| format!("10.{}.{}.0/24 via 10.0.0.2\n", number / 256, number % 256);
        let text = |range: Range<usize>| range.map(line).collect::<String>();
        let old = file(&text(0..100));
        let turned = (0..100).rev().map(line).collect::<String>() + "# and a word\n";
        assert_eq!(differ(Some(&old), Some(&file(&turned))), None, "in another order");
        let new = file(&(text(10..100) + "blackhole 10.0.0.0/24\n10.0.1.0/24 via 10.0.0.3\n"));
        let (gone, come) = differ(Some(&old), Some(&new)).unwrap();
        assert_eq!((gone.count, gone.first.len(), come.count), (10, 10, 2));
        assert_eq!(come.first[1].to_string(), "10.0.1.0/24,via=10.0.0.3");
        let (gone, come) = differ(Some(&old), None).unwrap();
        assert_eq!((gone.count, gone.first.len()), (100, DIFFERING_SHOWN_MAX));
        assert_eq!(come, Differing::default());
        assert_eq!(differ(None, None), None);
    }

    #[test]
    fn digest_is_that_of_the_routes() {
        let one = file("10.1.0.0/16 via 10.0.0.2\nblackhole 10.2.0.0/16\n");
        let same = file("# told\n\n 10.1.0.0/16   via 10.0.0.2 proto bgp\nblackhole 10.2.0.0/16");
        let other = file("10.1.0.0/16 via 10.0.0.2 metric 1\nblackhole 10.2.0.0/16\n");
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
    }
}
