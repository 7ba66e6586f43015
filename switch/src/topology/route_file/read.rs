//! From the words of `ip route` to routes, line by line.

use std::{collections::HashMap, ops::Range, path::Path};

use super::{FILE_FAULTS_MAX, FILE_ROUTES_MAX, Line, LineFaults, RouteFile};
use crate::topology::{
    RouteKind, nearest,
    routes::{NOWHERE, Reading},
    said::shown,
};

/// Words with a value that say how a route came to be, or what a host makes of it: ip-route(8).
const SKIPPED: &[&str] = &["proto", "protocol", "scope", "src", "pref", "expires", "nhid", "error"];
/// The same without a value. The gateway must be on a link all the same.
const FLAGS: &[&str] = &[
    "onlink",
    "linkdown",
    "dead",
    "offload",
    "rt_offload",
    "trap",
    "rt_trap",
    "pervasive",
    "unresolved",
    "\\",
];
/// Words that are taken.
const TAKEN: &[&str] = &["via", "dev", "metric", "weight", "nexthop", "table"];
/// Kinds of routes that follow from the legs, or that this router has not.
const STRANGE: &[&str] = &["local", "broadcast", "multicast", "anycast", "throw", "nat"];

/// A word, and where it is.
type Word<'t> = (usize, &'t str);

/// A file while it is read.
struct Reader<'t> {
    text: &'t str,
    file: RouteFile,
    numbers: HashMap<RouteKind, u32>,
    faults: LineFaults,
    open: Option<Open>,
    /// There was a route, be it a wrong one.
    begun: bool,
}

/// A route to which more may be said.
#[derive(Default)]
struct Open {
    reading: Reading,
    at: Range<usize>,
    /// It is that of a link.
    link: bool,
    /// Something was wrong with it, and told.
    wrong: bool,
    /// What may be said once of it, or of its next hop, and was.
    said: Vec<&'static str>,
}

pub(super) fn read(path: &Path, text: &str) -> Result<RouteFile, LineFaults> {
    let file = RouteFile { path: path.to_owned(), routes: Vec::new(), kinds: Vec::new() };
    let (numbers, faults) = (HashMap::new(), LineFaults::default());
    let mut reader = Reader { text, file, numbers, faults, open: None, begun: false };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        reader.line(at, line);
        at += line.len();
    }
    reader.close();
    let Reader { file, faults, .. } = reader;
    if faults.count > 0 { Err(faults) } else { Ok(file) }
}

/// The words of a line that begins at this octet, up to what is not read.
fn words(at: usize, line: &str) -> impl Iterator<Item = Word<'_>> {
    let line = line.split_once('#').map_or(line, |(line, _)| line);
    let words = line.split_ascii_whitespace();
    words.map(move |word| (at + (word.as_ptr() as usize - line.as_ptr() as usize), word))
}

/// Whether what is said in this line belongs to the route of the one before.
fn goes_on(line: &str) -> bool {
    line.starts_with([' ', '\t']) && line.trim_start().starts_with("nexthop")
}

fn range((at, word): Word<'_>) -> Range<usize> {
    at..at + word.len()
}

/// Where an option is of the route whose network stands at this octet; if it has it not, the
/// network.
pub(super) fn place(text: &str, at: usize, option: &str, which: usize) -> Range<usize> {
    let word = match option {
        "via" => "via",
        "leg" => "dev",
        _ => "",
    };
    let mut begin = at;
    let lines = text[at..].split_inclusive('\n').enumerate();
    let lines = lines.take_while(|(number, line)| *number == 0 || goes_on(line));
    let all = lines.flat_map(|(_, line)| {
        let all = words(begin, line);
        begin += line.len();
        all
    });
    let all: Vec<_> = all.collect();
    let mut values = all.windows(2).filter(|pair| pair[0].1 == word).map(|pair| pair[1]);
    let found = values.nth(which).or(all.first().copied());
    found.map_or(at..at, range)
}

impl<'t> Reader<'t> {
    fn line(&mut self, at: usize, line: &'t str) {
        let mut words = words(at, line).peekable();
        let Some(first) = words.peek().copied() else { return };
        if !(first.1 == "nexthop" && goes_on(line)) {
            self.close();
            self.begun = true;
            match self.destination(&mut words) {
                Ok(open) => self.open = Some(open),
                Err((place, sentence)) => return self.fault(place, sentence),
            }
        }
        if !self.begun {
            let sentence = "this next hop has no route before it".to_owned();
            return self.fault(range(first), sentence);
        }
        // None: of a route that was wrong, and told.
        let Some(mut open) = self.open.take() else { return };
        while let Some(word) = words.next() {
            if let Err(sentence) = self.option(&mut open, word, &mut words) {
                open.wrong = true;
                self.fault(range(word), sentence);
            }
        }
        self.open = Some(open);
    }

    /// The kind and the network of a route.
    fn destination(
        &mut self,
        words: &mut impl Iterator<Item = Word<'t>>,
    ) -> Result<Open, (Range<usize>, String)> {
        let mut open = Open::default();
        let mut word = words.next().expect("the line has a word");
        if STRANGE.contains(&word.1) {
            let sentence = format!(
                "`{}` is no kind of route that can be said here: there are `blackhole`, \
                 `unreachable` and `prohibit`, and what is local follows from the legs",
                word.1
            );
            return Err((range(word), sentence));
        }
        if word.1 == "unicast" || RouteKind::of_word(word.1).is_some() {
            if word.1 != "unicast" {
                open.reading.take("type", word.1).map_err(|why| (range(word), why))?;
            }
            let missing = || (range(word), "a network is missing behind it".to_owned());
            word = words.next().ok_or_else(missing)?;
        }
        open.at = range(word);
        open.reading.take("to", word.1).map_err(|why| (range(word), why))?;
        Ok(open)
    }

    /// One word behind the network, and its value.
    fn option(
        &mut self,
        open: &mut Open,
        (_, word): Word<'t>,
        words: &mut impl Iterator<Item = Word<'t>>,
    ) -> Result<(), String> {
        if FLAGS.contains(&word) {
            return Ok(());
        }
        let Some(option) = SKIPPED.iter().chain(TAKEN).find(|known| **known == word) else {
            let known = || SKIPPED.iter().chain(FLAGS).chain(TAKEN).copied();
            return Err(match nearest(word, known()) {
                Some(near) => format!("`{}` is not known; did you mean `{near}`?", shown(word)),
                None => format!("`{}` is nothing that a route can have here", shown(word)),
            });
        };
        if *option == "nexthop" {
            open.said.retain(|said| *said == "metric");
            return open.reading.take("nexthop", "");
        }
        let missing = || format!("`{option}` needs a value behind it");
        let (mut at, mut value) = words.next().ok_or_else(missing)?;
        if *option == "via" && matches!(value, "inet" | "inet6") {
            (at, value) = words.next().ok_or_else(missing)?;
        }
        if TAKEN.contains(option) {
            if open.said.contains(option) {
                return Err(format!("`{option}` is said twice"));
            }
            open.said.push(option);
        }
        let name = match *option {
            "proto" | "protocol" => {
                open.link |= value == "kernel";
                return Ok(());
            }
            // The kernel has them there: `blackhole fd00::/8 dev lo`.
            "dev" if value == "lo" && open.reading.ends() => return Ok(()),
            "dev" => "leg",
            "table" if matches!(value, "main" | "254") => return Ok(()),
            "table" => return Err(format!("table `{}`: there is one, `main`", shown(value))),
            taken if TAKEN.contains(&taken) => taken,
            _ => return Ok(()),
        };
        if let Err(sentence) = open.reading.take(name, value) {
            open.wrong = true;
            self.fault(range((at, value)), sentence);
        }
        Ok(())
    }

    /// Nothing more is said of the last route.
    fn close(&mut self) {
        let Some(Open { reading, at, link, wrong, .. }) = self.open.take() else { return };
        if wrong || link {
            return;
        }
        let Reading { to, metric, kind, hops } = reading;
        let sentence = if kind.is_some() && !hops.is_empty() {
            "packets that end here have no next hop: leave out the one"
        } else if kind.is_none() && hops.is_empty() {
            NOWHERE
        } else if hops.iter().any(|hop| hop.via.is_none() && hop.leg.is_none()) {
            "a next hop says neither `via` nor `dev`"
        } else if self.file.routes.len() == FILE_ROUTES_MAX {
            "the routes are too many: so many have no room in a router"
        } else {
            ""
        };
        if !sentence.is_empty() {
            return self.fault(at, sentence.to_owned());
        }
        let to = to.expect("it was read").of(&hops);
        let kind = kind.unwrap_or(RouteKind::Unicast(hops));
        let line = Line { to, metric, kind: self.number(kind), at: at.start as u32 };
        self.file.routes.push(line);
    }

    /// The number of a kind. Most are as the one before.
    fn number(&mut self, kind: RouteKind) -> u32 {
        let last = self.file.routes.last().map(|line| line.kind);
        if let Some(last) = last.filter(|last| self.file.kinds[*last as usize] == kind) {
            return last;
        }
        let next = self.file.kinds.len() as u32;
        let kinds = &mut self.file.kinds;
        *self.numbers.entry(kind).or_insert_with_key(|kind| {
            kinds.push(kind.clone());
            next
        })
    }

    fn fault(&mut self, place: Range<usize>, sentence: String) {
        debug_assert!(self.text.get(place.clone()).is_some(), "a place in the text");
        self.faults.count += 1;
        if self.faults.first.len() < FILE_FAULTS_MAX {
            self.faults.first.push((place, sentence));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(text: &str) -> Result<Vec<String>, Vec<(String, String)>> {
        match read(Path::new("r"), text) {
            Ok(file) => Ok(file.iter(0).map(|route| route.to_string()).collect()),
            Err(faults) => Err(faults
                .first
                .into_iter()
                .map(|(place, sentence)| (text[place].to_owned(), sentence))
                .collect()),
        }
    }

    /// What iproute2 6.1 has told.
    const TOLD: &str = "\
default via 10.0.0.2 dev br proto dhcp src 10.0.0.7 metric 100 
10.0.0.0/24 dev br proto kernel scope link src 10.0.0.7 metric 100 
10.1.0.0/16 via 10.0.0.3 dev br onlink 
10.2.0.0/16 proto static metric 20 
\tnexthop via 10.0.0.2 dev br weight 1 
\tnexthop via 10.9.0.2 dev tun0 weight 3 linkdown 
198.51.100.7 dev tun0 scope link 
blackhole 192.0.2.0/24 
unreachable 198.18.0.0/15 metric 4278198272 
fd00:1::/64 dev br proto kernel metric 256 pref medium
fd00:2::/48 via fe80::2 dev br metric 1024 expires 100sec pref medium
10.3.0.0/16 via inet6 fe80::1 dev br 
blackhole fd00:3::/48 dev lo metric 1024 pref medium
default via fe80::1 dev br proto ra metric 1024 hoplimit 64 pref medium
10.4.0.0/16 \\\tnexthop via 10.0.0.2 dev br weight 1 \\\tnexthop dev tun0 weight 2 
";

    #[test]
    fn what_ip_route_tells_is_read_but_for_what_would_be_lost() {
        let told = file(TOLD);
        let faults = [("hoplimit", "`hoplimit` is nothing that a route can have here")];
        let faults = faults.map(|(word, why)| (word.to_owned(), why.to_owned()));
        assert!(told.unwrap_err().starts_with(&faults));
        let told = file(&TOLD.replace(" hoplimit 64", "")).unwrap();
        let expected = [
            "0.0.0.0/0,metric=100,via=10.0.0.2,leg=br",
            "10.1.0.0/16,via=10.0.0.3,leg=br",
            "10.2.0.0/16,metric=20,via=10.0.0.2,leg=br,via=10.9.0.2,leg=tun0,weight=3",
            "198.51.100.7/32,leg=tun0",
            "192.0.2.0/24,blackhole",
            "198.18.0.0/15,metric=4278198272,unreachable",
            "fd00:2::/48,metric=1024,via=fe80::2,leg=br",
            "10.3.0.0/16,via=fe80::1,leg=br",
            "fd00:3::/48,metric=1024,blackhole",
            "::/0,metric=1024,via=fe80::1,leg=br",
            "10.4.0.0/16,leg=tun0,weight=2,via=10.0.0.2,leg=br",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        let text = "# all\n\n  \t\ndefault dev a # way\r\ndefault6 dev a\r\n10.0.0.1 dev a#\n#";
        let routes = ["0.0.0.0/0,leg=a", "::/0,leg=a", "10.0.0.1/32,leg=a"];
        assert_eq!(file(text).unwrap(), routes);
        assert_eq!(file(""), Ok(Vec::new()));
    }

    #[test]
    fn each_fault_is_told_where_it_is() {
        let cases = [
            ("10.0.0.1/8 via 10.0.0.2", "10.0.0.1/8", "10.0.0.1/8 has bits set behind its length"),
            ("10.0.0/8 via 10.0.0.2", "10.0.0/8", "`10.0.0` is no address"),
            ("10.0.0.0/8", "10.0.0.0/8", "it leads nowhere"),
            ("10.0.0.0/8 via", "via", "`via` needs a value behind it"),
            ("10.0.0.0/8 via inet6", "via", "`via` needs a value behind it"),
            ("10.0.0.0/8 via x", "x", "`x` is no address"),
            ("10.0.0.0/8 via 10.0.0.1 via 10.0.0.2", "via", "`via` is said twice"),
            ("10.0.0.0/8 metric 1 dev a metric 1", "metric", "`metric` is said twice"),
            ("10.0.0.0/8 dev a metric -1", "-1", "metric `-1` is not a number"),
            ("10.0.0.0/8 dev a weight 0", "0", "weight 0 is out of range"),
            ("10.0.0.0/8 weight 1 dev a", "1", "weight= stands behind"),
            ("10.0.0.0/8 dev a mtu 1400", "mtu", "`mtu` is nothing that a route can have here"),
            ("10.0.0.0/8 dev a mertic 1", "mertic", "`mertic` is not known; did you mean `metric`"),
            ("10.0.0.0/8 dev a table 7", "table", "table `7`: there is one, `main`"),
            ("10.0.0.0/8 nexthop weight 1", "1", ""),
            ("10.0.0.0/8 nexthop nexthop dev a", "10.0.0.0/8", "a next hop says neither"),
            ("blackhole 10.0.0.0/8 dev a", "10.0.0.0/8", "packets that end here have no next hop"),
            ("blackhole", "blackhole", "a network is missing behind it"),
            ("local 10.0.0.1 dev lo", "local", "`local` is no kind of route that can be said here"),
            ("\tnexthop dev a", "nexthop", "this next hop has no route before it"),
            ("via 10.0.0.1", "via", "`via` is no address"),
        ];
        for (text, place, sentence) in cases {
            let faults = file(text).expect_err(text);
            assert!(
                faults[0].1.starts_with(sentence) && (sentence.is_empty() || faults[0].0 == place),
                "{text}: {faults:?}"
            );
        }
    }

    #[test]
    fn all_faults_are_counted_and_the_first_kept() {
        let text = "10.0.0.0/8 dev a\n10.0.0.1/8 dev a\n".repeat(FILE_FAULTS_MAX + 7);
        let faults = read(Path::new("r"), &text).unwrap_err();
        assert_eq!((faults.first.len(), faults.count), (FILE_FAULTS_MAX, FILE_FAULTS_MAX + 7));
        assert_eq!(faults.first[1].0, 17 + 34..17 + 34 + 10);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_it_nothing_panics(text in concat!(
            "((10\\.0\\.0\\.0/8|fd00::/8|default|blackhole|via|dev|metric|weight|nexthop|a|1|",
            "fe80::1|proto|kernel|#|\\PC{0,3})[ \t\n]{0,2}){0,12}",
        )) {
            if let Ok(file) = read(Path::new("r"), &text) {
                for number in 0..file.len() {
                    for option in ["to", "via", "leg"] {
                        prop_assert!(!text[file.place(&text, number, option, 0)].is_empty());
                    }
                }
            }
        }

        #[test]
        fn a_route_that_is_told_can_be_read(octets in any::<u32>(), len in 0..=32_u8,
            metric in any::<u32>(), weights in prop::collection::vec(1..9_u16, 1..4)) {
            let bits = octets & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            let to = std::net::Ipv4Addr::from_bits(bits);
            let ways = weights.iter().enumerate().map(|(number, weight)| {
                format!("\n\tnexthop via 10.0.{number}.1 dev br weight {weight}")
            });
            let text = format!("{to}/{len} metric {metric}{}", ways.collect::<String>());
            let route = read(Path::new("r"), &text).unwrap().iter(0).next().unwrap();
            prop_assert_eq!((route.to.to_string(), route.metric), (format!("{to}/{len}"), metric));
            let read: Vec<_> = route.hops().iter().map(|hop| hop.weight).collect();
            prop_assert_eq!(read, weights);
        }
    }
}
