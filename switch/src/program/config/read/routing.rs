//! `[[leg]]`, `[[route]]` and `[[neighbour]]`: tables become names and values, in the order in
//! which a command line would have them, each with its place.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use uswitch::topology::{
    ADVERTISE, About, AdvertiseSpec, Faults, LEG, LegSpec, NEIGHBOUR, NeighbourSpec, Part, PartOf,
    ROUTE, RouteSpec, Said, Setting, TUN_OPTIONS, TunLeg,
};

use super::{super::Fault, PortPlaces, Reading, in_order, text_of};

/// Where the words of one part of the router are.
pub(super) struct PartPlaces {
    /// The head of its table.
    header: Range<usize>,
    /// Each value, with the name of its option.
    values: Vec<(String, Range<usize>)>,
}

/// A name and a value, and where they are.
struct Word {
    said: Said,
    key: Range<usize>,
    value: Range<usize>,
}

/// The keys that say where a leg is, and the one of what it tells.
const BRIDGE: &str = "bridge";
const TUN: &str = "tun";
const ADVERTISED: &str = "advertise";

impl Reading {
    /// Where a part of the router is, if it is in the file.
    pub(in super::super) fn part(&self, part: &Part) -> Option<Range<usize>> {
        let Part { of, number, option, which } = part;
        let PartPlaces { header, values } = self.parts.get(of)?.get(*number)?;
        let mut named = values.iter().filter(|(name, _)| name == option);
        Some(named.nth(*which).map_or(header, |(_, place)| place).clone())
    }

    /// One table of these.
    pub(super) fn part_or_fault(&mut self, name: &str, entry: &Spanned<DeValue<'_>>) {
        let read = match (entry.get_ref(), name) {
            (DeValue::Table(table), "leg") => self.leg(table, entry.span()),
            (DeValue::Table(table), "route") => {
                let words = self.flat(table, ROUTE, &[]);
                let spec = self.note(RouteSpec::read(&said(&words)), &words, entry.span());
                spec.map(|spec| self.words.read_routes.push(spec))
                    .map(|()| self.place(PartOf::Route, entry.span(), words))
            }
            (DeValue::Table(table), _) => {
                let words = self.flat(table, NEIGHBOUR, &[]);
                let spec = self.note(NeighbourSpec::read(&said(&words)), &words, entry.span());
                spec.map(|spec| self.words.neighbours.push(spec))
                    .map(|()| self.place(PartOf::Neighbour, entry.span(), words))
            }
            _ => {
                self.part_form(name, entry.span());
                None
            }
        };
        if read.is_none() && name == "leg" {
            self.words.unread_legs = true;
        }
    }

    /// What has not the form of such a table.
    pub(super) fn part_form(&mut self, name: &str, place: Range<usize>) {
        self.fault(place, format!("a {name} is a table in double brackets: [[{name}]]"));
        self.words.unread_legs |= name == "leg";
    }

    fn leg(&mut self, table: &DeTable<'_>, header: Range<usize>) -> Option<()> {
        let entries = in_order(table);
        let find = |name: &str| entries.iter().find(|(key, _)| key.get_ref() == name);
        let faults_before = self.faults.len();
        let (at, is_tun) = match (find(BRIDGE), find(TUN)) {
            (Some((_, bridge)), None) => (*bridge, false),
            (None, Some((_, tun))) => (*tun, true),
            (Some(_), Some((key, _))) => {
                self.fault(key.span(), "a leg is in a bridge or on a TUN, and not both");
                return None;
            }
            (None, None) => {
                let sentence = "a leg is in a bridge or on a TUN: say bridge = \"br\", or tun = \
                                \"tun0\"";
                self.fault(header, sentence);
                return None;
            }
        };
        let name = text_of(at).map_err(|sentence| self.fault(at.span(), sentence)).ok();
        let options = if is_tun { TUN_OPTIONS } else { LEG };
        let mut words = self.flat(table, options, &[BRIDGE, TUN, ADVERTISED]);
        let told = match find(ADVERTISED).map(|(_, told)| (told.get_ref(), told.span())) {
            Some((DeValue::Table(told), place)) => {
                let words = self.flat(told, ADVERTISE, &[]);
                self.note(AdvertiseSpec::read(&said(&words)), &words, place)
            }
            Some((_, place)) => {
                self.fault(place, "`advertise` is a table: [leg.advertise]");
                None
            }
            None => None,
        };
        let (name, said) = (name?, said(&words));
        let (mut leg, port) = match is_tun {
            true => self
                .note(TunLeg::read(&name, &said), &words, at.span())
                .map(|TunLeg { leg, port }| (leg, Some(port)))?,
            false => (self.note(LegSpec::read(&name, &said), &words, at.span())?, None),
        };
        leg.advertise = told;
        if let Some(port) = port {
            let settings = words
                .iter()
                .map(|word| (word.said.0.clone(), [word.key.clone(), word.value.clone()]));
            let places = PortPlaces {
                words: at.span(),
                each: vec![at.span()],
                settings: settings.collect(),
            };
            self.words.read.push(port);
            self.ports.push(places);
        }
        self.words.read_legs.push(leg);
        words.push(Word { said: (BRIDGE.into(), name), key: header.clone(), value: at.span() });
        self.place(PartOf::Leg, header, words);
        (self.faults.len() == faults_before).then_some(())
    }

    fn place(&mut self, of: PartOf, header: Range<usize>, words: Vec<Word>) {
        let values = words.into_iter().map(|word| (word.said.0, word.value)).collect();
        self.parts.entry(of).or_default().push(PartPlaces { header, values });
    }

    /// What was read, or its faults, each at its place; those of the whole are about `header`.
    fn note<T>(
        &mut self,
        read: Result<T, Faults>,
        words: &[Word],
        header: Range<usize>,
    ) -> Option<T> {
        let unread = |word: &Word| word.said.1 == UNREAD;
        let faults = match read {
            Ok(read) => return (!words.iter().any(unread)).then_some(read),
            Err(faults) => faults,
        };
        for (about, sentence) in faults.places() {
            let place = match about {
                // That was told.
                About::Said(index) if unread(&words[*index]) => continue,
                About::Said(index) => &words[*index].value,
                About::Name(index) => &words[*index].key,
                _ => &header,
            };
            self.fault(place.clone(), sentence);
        }
        None
    }

    /// The names and values of a table, in the order of these options; tables in it come last.
    fn flat(&mut self, table: &DeTable<'_>, order: &[Setting], but: &[&str]) -> Vec<Word> {
        let is_table = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(_));
        let has_table = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Array(values) => values.iter().any(is_table),
            _ => is_table(value),
        };
        let mut entries = in_order(table);
        entries.retain(|(key, _)| !but.contains(&&**key.get_ref()));
        let row = |name: &str| order.iter().position(|option| option.name == name);
        entries.sort_by_key(|(key, value)| {
            (has_table(value), row(key.get_ref()).unwrap_or(order.len()))
        });
        let mut words = Vec::new();
        for (key, value) in entries {
            let name = key.get_ref().to_string();
            let alone = std::slice::from_ref(value);
            let values = match value.get_ref() {
                DeValue::Array(values) => values,
                _ => alone,
            };
            for value in values {
                let (key, place) = (key.span(), value.span());
                let value_at = place.clone();
                let word = |text| Word { said: (name.clone(), text), key, value: value_at };
                match (value.get_ref(), &*name) {
                    // An empty one: what is behind it is its own.
                    (DeValue::Table(inner), "nexthop") => {
                        words.push(word(String::new()));
                        words.extend(self.flat(inner, order, &[]));
                    }
                    (DeValue::Table(inner), "prefix") if inner.contains_key("prefix") => {
                        words.extend(self.flat(inner, order, &[]));
                    }
                    (DeValue::Table(_), "prefix") => {
                        self.fault(place, "`prefix` is missing in what is advertised of one");
                    }
                    _ => match text_of(value) {
                        Ok(text) => words.push(word(text)),
                        Err(sentence) => {
                            self.faults.push(Fault { sentence, places: vec![place] });
                            words.push(word(UNREAD.to_owned()));
                        }
                    },
                }
            }
        }
        words
    }
}

/// In place of a value that could not be read, and was told.
const UNREAD: &str = "\0";

fn said(words: &[Word]) -> Vec<Said> {
    words.iter().map(|word| word.said.clone()).collect()
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use uswitch::topology::{LegSpec, NeighbourSpec, RouteSpec, Said, Topology, Words};

    use super::{
        super::super::{File, emit::emit},
        *,
    };

    fn resolve(text: &str) -> Result<Topology, String> {
        let file = File { name: "lab.toml".into(), text: text.into(), folder: "".into() };
        file.resolve(&Words::default(), &[0]).map_err(|told| told.text(false))
    }

    #[track_caller]
    fn told(text: &str) -> String {
        resolve(text).expect_err("something is wrong")
    }

    const ROUTER: &str = r#"
[[port]]
tap = "tap0"
[[port]]
tap = "tap1"
bridge = "lan"
[[leg]]
bridge = "br"
address = ["10.0.0.1/24", "fd00:1::1/64"]
mtu = 1400
mac = "02:00:00:00:00:01"
reverse-path = "strict"
proxy = true
[leg.advertise]
interval = 30
lifetime = 0
other = true
prefix = ["fd00:2::/64", { prefix = "fd00:1::/64", valid = 7200, preferred = 10, on-link = false }]
rdnss = ["fd00:1::1"]
dnssl = ["lab.example"]
[[leg]]
tun = "tun0"
address = "10.9.0.1/24"
host = ["10.9.0.2"]
netns = "h1"
persist = true
[[leg]]
bridge = "lan"
address = ["10.1.0.1/24"]
[[route]]
to = "default"
via = "10.9.0.2"
[[route]]
leg = "br"
to = "default6"
via = "fe80::7"
metric = 7
[[route]]
to = "10.8.0.0/16"
nexthop = [{ weight = 2, via = "10.1.0.2" }, { leg = "tun0" }]
[[route]]
to = "192.0.2.0/24"
type = "prohibit"
[[neighbour]]
leg = "lan"
address = "10.1.0.7"
mac = "02:00:00:00:00:07"
[router]
icmp-rate = 10
"#;

    #[test]
    fn a_file_says_all_of_a_router() {
        let topology = resolve(ROUTER).unwrap_or_else(|told| panic!("{told}"));
        let legs: Vec<_> = topology.legs.iter().map(ToString::to_string).collect();
        let expected = [
            "br=10.0.0.1/24,fd00:1::1/64,mtu=1400,mac=02:00:00:00:00:01,reverse-path=strict,\
             proxy=on [advertise interval=30,lifetime=0,other=on,rdnss=fd00:1::1,\
             dnssl=lab.example,prefix=fd00:2::/64,prefix=fd00:1::/64,valid=7200,preferred=10,\
             on-link=off]",
            "tun0=10.9.0.1/24",
            "lan=10.1.0.1/24",
        ];
        assert_eq!(legs, expected);
        let routes: Vec<_> = topology.routes.iter().map(ToString::to_string).collect();
        let expected = [
            "0.0.0.0/0,via=10.9.0.2",
            "::/0,metric=7,via=fe80::7,leg=br",
            "10.8.0.0/16,leg=tun0,via=10.1.0.2,weight=2",
            "192.0.2.0/24,prohibit",
        ];
        assert_eq!(routes, expected);
        let tun = topology.ports.iter().find(|port| port.name == "tun0").unwrap();
        assert_eq!(tun.to_string(), "tun:tun0,host=10.9.0.2/24,persist=on,netns=h1,bridge=tun0");
        assert_eq!(
            topology.neighbours[0].to_string(),
            "10.1.0.7 dev lan lladdr 02:00:00:00:00:07 PERMANENT"
        );
        assert_eq!((topology.router.icmp_rate, topology.router.icmp_burst), (10, 50));
        let text = emit(&topology);
        let again = resolve(&text).unwrap_or_else(|told| panic!("{text}{told}"));
        assert_eq!(emit(&again), text);
        assert_eq!(again.legs, topology.legs);
        assert!(text.contains("tun = \"tun0\"\naddress = [\"10.9.0.1/24\"]"), "{text}");
        assert_eq!(text.matches("[[port]]").count(), 2, "{text}");
    }

    #[test]
    fn each_fault_of_a_router_has_its_line_and_a_caret() {
        assert_eq!(told(FAULTY), TOLD);
    }

    const FAULTY: &str = r#"[[port]]
tap = "tap0"
[[leg]]
bridge = "br"
address = ["10.0.0.1/24", "fd00:1::1/64"]
[[leg]]
bridge = "lan"
address = ["10.7.0.1/24", "10.0.0.1/16"]
[[leg]]
tun = "tap0"
address = ["10.9.0.1/24", "fd00:1::7/60"]
host = ["10.9.0.2"]
[[leg]]
bridge = "br"
address = ["10.5.0.1/24"]
[[route]]
to = "10.0.0.1/8"
via = "10.9.0.2"
[[route]]
to = "default"
via = "192.0.2.1"
[[route]]
to = "10.6.0.0/16"
[[route]]
to = "10.6.0.0/16"
nexthop = [{ via = "10.0.0.2" }, { via = "10.0.0.1" }, { leg = "brr", weight = 7 }]
[[route]]
to = "10.6.0.0/16"
nexthop = [{ via = "10.0.0.2", wieght = 7 }]
[[neighbour]]
leg = "br"
address = "10.1.0.7"
mac = "02:00:00:00:00:07"
"#;

    const TOLD: &str = "\
error: leg `lan` has 10.0.0.1, and so has leg `br`: give one of them another
 --> lab.toml:8:27
  |
5 | address = [\"10.0.0.1/24\", \"fd00:1::1/64\"]
  |            ------------- first here
...
8 | address = [\"10.7.0.1/24\", \"10.0.0.1/16\"]
  |                           ^^^^^^^^^^^^^

error: the device `tap0` is given twice
  --> lab.toml:10:7
   |
 2 | tap = \"tap0\"
   |       ------ first here
...
10 | tun = \"tap0\"
   |       ^^^^^^

error: leg `tap0` is on fd00:1::/60, and leg `br` on fd00:1::/64: who has an address of both \
could be on either link
  --> lab.toml:11:27
   |
 5 | address = [\"10.0.0.1/24\", \"fd00:1::1/64\"]
   |                           -------------- first here
...
11 | address = [\"10.9.0.1/24\", \"fd00:1::7/60\"]
   |                           ^^^^^^^^^^^^^^

error: bridge `br` has a leg already: one can have all the addresses
  --> lab.toml:14:10
   |
 4 | bridge = \"br\"
   |          ---- first here
...
14 | bridge = \"br\"
   |          ^^^^

error: 10.0.0.1/8 has bits set behind its length: write 10.0.0.0/8 for the network, or \
10.0.0.1/32 for this address alone
  --> lab.toml:17:6
   |
17 | to = \"10.0.0.1/8\"
   |      ^^^^^^^^^^^^

error: the gateway 192.0.2.1 of the route to 0.0.0.0/0 is on no link of the router, or not on \
that of the leg that is named
  --> lab.toml:21:7
   |
21 | via = \"192.0.2.1\"
   |       ^^^^^^^^^^^

error: it leads nowhere: say via=ADDRESS, leg=NAME, or `blackhole`, `unreachable` or `prohibit`
  --> lab.toml:22:1
   |
22 | [[route]]
   | ^^^^^^^^^

error: the gateway 10.0.0.1 of the route to 10.6.0.0/16 is this router itself
  --> lab.toml:26:42
   |
26 | nexthop = [{ via = \"10.0.0.2\" }, { via = \"10.0.0.1\" }, { leg = \"brr\", weight = 7 }]
   |                                          ^^^^^^^^^^

error: there is no leg `brr`; did you mean `br`?
  --> lab.toml:26:64
   |
26 | nexthop = [{ via = \"10.0.0.2\" }, { via = \"10.0.0.1\" }, { leg = \"brr\", weight = 7 }]
   |                                                                ^^^^^

error: there is no option `wieght`; did you mean `weight`?
  --> lab.toml:29:32
   |
29 | nexthop = [{ via = \"10.0.0.2\", wieght = 7 }]
   |                                ^^^^^^

error: 10.1.0.7 is not on the link of leg `br`
  --> lab.toml:32:11
   |
32 | address = \"10.1.0.7\"
   |           ^^^^^^^^^^
";

    #[test]
    fn tables_of_the_wrong_form_are_told_what_is_wrong() {
        let cases = [
            ("leg = 1", "a leg is a table in double brackets: [[leg]]"),
            ("leg = [1]", "a leg is a table in double brackets: [[leg]]"),
            ("[route]\nto = 'default'", "a route is a table in double brackets: [[route]]"),
            ("[[leg]]\naddress = '10.0.0.1/24'", "a leg is in a bridge or on a TUN: say bridge"),
            (
                "[[leg]]\nbridge = 'br'\ntun = 't'\naddress = '10.0.0.1/24'",
                "a leg is in a bridge or on a TUN, and not both",
            ),
            ("[[leg]]\nbridge = 'br'", "it has no address"),
            ("[[leg]]\nbridge = 'br'\naddress = []", "it has no address"),
            ("[[leg]]\nbridge = 'br'\naddress = {}", "a table cannot stand here"),
            ("[[leg]]\nbridge = []\naddress = '10.0.0.1/24'", "an array cannot stand here"),
            ("[[leg]]\nbridge = 'br'\naddress = '10.0.0.1/24'\nmtu = [1400, 1]", "given twice"),
            (
                "[[leg]]\nbridge = 'br'\naddress = '10.0.0.1/24'\nadvertise = true",
                "`advertise` is a table: [leg.advertise]",
            ),
            (
                "[[leg]]\nbridge = 'br'\naddress = '10.0.0.1/24'\n[leg.advertise]\nintervall = 9",
                "there is no option `intervall`; did you mean `interval`?",
            ),
            (
                "[[leg]]\nbridge = 'br'\naddress = '10.0.0.1/24'\n[leg.advertise]\n\
                 prefix = [{ valid = 7 }]",
                "`prefix` is missing in what is advertised",
            ),
            ("[[route]]\nvia = '10.0.0.1'\ntype = 'blackhole'", "it says not for whom it is"),
            ("[[route]]\nto = 'default'\nnexthop = 'x'", "a next hop is a table: {"),
            ("[[route]]\nto = 'default'\nnexthop = [{}]", "it leads nowhere"),
            ("[[neighbour]]\nleg = 'br'\naddress = '10.0.0.1'", "`mac` is missing"),
            (
                "[[neighbour]]\nleg = 'br'\naddress = '10.0.0.1'\nmac = '02:00:00:00:00:01'",
                "there is no leg `br`",
            ),
            ("[router]\nicmp-rate = -1", "`-1` is not a number from 0 to 1000000"),
            ("[router]\nicmp-rat = 1", "there is no key `icmp-rat`; did you mean `icmp-rate`?"),
        ];
        for (text, sentence) in cases {
            let (text, tap) = (format!("{text}\n"), "[[port]]\ntap = 't'\n");
            let whole = if text.starts_with('l') { text + tap } else { tap.to_owned() + &text };
            let told = told(&whole);
            assert!(told.contains(sentence), "{whole}: {told}");
        }
    }

    /// Options of a leg, beside its addresses.
    const LEG_WORDS: &[(&str, &str)] = &[
        ("mtu", "9000"),
        ("mac", "02:00:00:00:00:01"),
        ("reverse-path", "strict"),
        ("reverse-path", "loose"),
        ("proxy", "on"),
        ("redirects", "on"),
    ];
    /// Options of a TUN, likewise.
    const TUN_WORDS: &[(&str, &str)] = &[
        ("mtu", "1280"),
        ("mac", "02:00:00:00:00:02"),
        ("netns", "007"),
        ("queues", "2"),
        ("persist", "off"),
    ];
    const ADVERTISE_WORDS: &[(&str, &str)] = &[
        ("interval", "30"),
        ("lifetime", "9000"),
        ("managed", "on"),
        ("other", "on"),
        ("mtu", "1500"),
        ("hop-limit", "0"),
        ("preference", "low"),
        ("dnssl", "12.example"),
        ("rdnss", "fd00::1"),
        ("prefix", "fd00:7::/64"),
        ("valid", "4294967295"),
        ("autonomous", "off"),
        ("on-link", "off"),
        ("prefix", "fd00:8::/64"),
    ];

    /// Those that were drawn, in their order; of each name the first, but for those of `many`.
    fn drawn(words: &[(&str, &str)], draws: &[bool], many: &[&str]) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        for ((name, text), _) in words.iter().zip(draws).filter(|(_, drawn)| **drawn) {
            if many.contains(name) || !said.iter().any(|(other, _)| other == name) {
                said.push(((*name).to_owned(), (*text).to_owned()));
            }
        }
        said
    }

    fn draw(legs: &[(Vec<bool>, Vec<bool>)], routes: &[(u8, Vec<usize>)]) -> Words {
        let mut words = Words { ports: vec!["t".into()], ..Words::default() };
        for (number, (draws, told)) in legs.iter().enumerate() {
            let address = |text: String| ("address".to_owned(), text);
            let mut said = vec![address(format!("10.{number}.0.1/24"))];
            said.extend(draws[0].then(|| address(format!("fd00:{number}::1/64"))));
            let mut leg = if draws[1] {
                said.extend(drawn(TUN_WORDS, &draws[2..], &[]));
                said.push(("host".to_owned(), format!("10.{number}.0.2")));
                let tun = TunLeg::read(&format!("tun{number}"), &said).unwrap();
                words.read.push(tun.port);
                tun.leg
            } else {
                said.extend(drawn(LEG_WORDS, &draws[2..], &[]));
                LegSpec::read(&format!("{number}"), &said).unwrap()
            };
            leg.advertise = AdvertiseSpec::read(&drawn(ADVERTISE_WORDS, told, &["prefix"])).ok();
            words.read_legs.push(leg);
        }
        for (number, (kind, hops)) in routes.iter().enumerate() {
            let mut text = format!("192.0.{number}.0/24,metric={}", kind % 3);
            text += match kind / 3 {
                0 => ",blackhole",
                1 => ",unreachable",
                2 => ",prohibit",
                _ => "",
            };
            for (weight, leg) in hops.iter().enumerate().filter(|_| kind / 3 > 2) {
                let leg = leg % legs.len();
                text += &match weight {
                    0 => format!(",leg={}", words.read_legs[leg].name),
                    _ => format!(",via=10.{leg}.0.7,weight={weight}"),
                };
            }
            words.read_routes.push(text.parse::<RouteSpec>().unwrap());
        }
        let neighbour = |(number, leg): (usize, &LegSpec)| NeighbourSpec {
            leg: leg.name.clone(),
            address: format!("10.{number}.0.9").parse().unwrap(),
            mac: "02:00:00:00:00:09".parse().unwrap(),
        };
        // Nobody is asked for on a TUN.
        let asked = words.read_legs.iter().enumerate().filter(|(number, _)| !legs[*number].0[1]);
        words.neighbours = asked.map(neighbour).collect();
        words
    }

    proptest! {
        // Each builds the tables twice.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_router_can_be_written_as_a_file_that_says_the_same(
            legs in vec((vec(any::<bool>(), 7), vec(any::<bool>(), 14)), 1..4),
            routes in vec((0..12_u8, vec(0..4_usize, 1..4)), 0..4),
            rate in select(vec![None, Some("0"), Some("1000000")]),
        ) {
            let words = Words { icmp_rate: rate.map(str::to_owned), ..draw(&legs, &routes) };
            let topology = Topology::resolve(&words, &[0]).unwrap();
            let text = emit(&topology);
            let again = resolve(&text).unwrap_or_else(|told| panic!("{text}\n{told}"));
            prop_assert_eq!(&again.legs, &topology.legs, "{}", text);
            prop_assert_eq!(&again.routes, &topology.routes, "{}", text);
            prop_assert_eq!(&again.neighbours, &topology.neighbours, "{}", text);
            prop_assert_eq!(again.router, topology.router, "{}", text);
            let by_name = |topology: &Topology| {
                let mut ports = topology.ports.clone();
                ports.sort_by(|a, b| a.name.cmp(&b.name));
                ports
            };
            prop_assert_eq!(by_name(&again), by_name(&topology), "{}", text);
            prop_assert_eq!(emit(&again), text);
        }

        #[test]
        fn whatever_stands_in_its_tables_nothing_panics(
            lines in vec(
                &*[
                    r"\[\[(leg|route|neighbour)\]\]|\[(router|leg|leg\.advertise)\]|\PC{0,4}|",
                    r"(bridge|tun|address|host|to|via|leg|nexthop|prefix|weight|mac|valid) = ",
                    r#"("(10\.0\.0\.[0-9]|fd00::[0-9])(/[0-9]{0,3})?"|"[a-z0]{0,3}"|[0-9-]{0,3}|"#,
                    r#"\[("fd00::/64"|\{ (via|leg|prefix|valid) = "(fd00::/64|a)" \}|,){0,4}\])"#,
                ]
                .concat(),
                0..10,
            ),
        ) {
            let text = format!("[[port]]\ntap = 't'\n{}", lines.join("\n"));
            if let Err(told) = resolve(&text) {
                prop_assert!(told.contains("error: "), "{}", text);
            }
        }
    }
}
