//! The configuration file: TOML in place of a long command line.
//!
//! ```toml
//! [switch]
//! workers = 2
//! [fdb]
//! ageing = 60
//! [[fdb.static]]                    # a station that is behind a port, whatever is learned
//! mac = "02:00:00:00:00:01"
//! port = "tap0"
//! [[port]]
//! tap = "tap0"                      # the kind is the key; its words are the value
//! netns = "h1"
//! [[port]]
//! host = "lan0"
//! addr = ["10.0.0.1/24", "fd00::1/64"]
//! ```
//!
//! It has the names of the command line and ends in the same [`Topology`] by the same rules: the
//! options by [`Words`], each port by the row of its kind. What is here is the form (`read`), and
//! the place of each word in the file, so that a fault can be shown where it is (`told`). Routes
//! that no person writes stand in a file of their own, which `[router]` names (`routes`).

use std::{
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use uswitch::topology::{About, Part, PartOf, Topology, Words};

use self::read::Reading;
pub(crate) use self::told::{Shown, Told, show};

pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod emit;
mod read;
mod routes;
mod told;

/// Octets of a file at the most: each port that a switch can have, with a thousand octets.
const FILE_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// A file that was read, if not yet understood.
#[derive(Debug)]
pub(crate) struct File {
    /// What it is called when something is wrong with it.
    name: String,
    text: String,
    /// Where the files are that it names.
    folder: PathBuf,
}

/// Something that is wrong with a file, or with the command line beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    sentence: String,
    /// Where: first what is to be changed, then what it is at odds with. Empty: not in the file.
    places: Vec<Range<usize>>,
}

impl File {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// A sentence that begins with its name.
    pub(crate) fn read(path: &Path) -> Result<File, String> {
        File::read_most(path, FILE_OCTETS_MAX, "configuration")
    }

    /// Reads a file that has no more octets than this; `what` it should be.
    fn read_most(path: &Path, octets_max: u64, what: &str) -> Result<File, String> {
        let standard = path == Path::new("-");
        let name = if standard { "standard input".into() } else { path.display().to_string() };
        let failed = |error: io::Error| format!("{name}: {}", netlab::reason(&error));
        let mut octets = Vec::new();
        let read = |from: &mut dyn Read, octets| from.take(octets_max + 1).read_to_end(octets);
        match standard {
            true => read(&mut io::stdin().lock(), &mut octets),
            false => fs::File::open(path).and_then(|mut file| read(&mut file, &mut octets)),
        }
        .map_err(failed)?;
        if octets.len() as u64 > octets_max {
            let most = octets_max / 1024 / 1024;
            return Err(format!("{name}: it is larger than {most} MiB, and so no {what}"));
        }
        let text = String::from_utf8(octets).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid].iter().filter(|o| **o == b'\n').count();
            format!("{name}:{line}: there is an octet that is no text (UTF-8)")
        })?;
        let folder = path.parent().filter(|_| !standard).unwrap_or(Path::new("")).to_owned();
        Ok(File { name, text, folder })
    }

    /// What a switch that runs has said of itself.
    pub(crate) fn of_switch(text: String) -> File {
        File { name: "what runs".to_owned(), text, folder: PathBuf::new() }
    }

    /// A file in which nothing stands, for whoever has a command line alone.
    pub(crate) fn none() -> File {
        File { name: String::new(), text: String::new(), folder: PathBuf::new() }
    }

    /// What the file means, with the words of a command line beside it: an option there goes
    /// before the same in the file, and ports there come behind those of the file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with both.
    pub(crate) fn resolve(self, words: &Words, cpus: &[usize]) -> Result<Topology, Told> {
        let mut reading = Reading::read(&self.text, words);
        let mut faults = std::mem::take(&mut reading.faults);
        if !reading.words.have_ports() {
            let sentence = "no port is given; each is a table such as\n[[port]]\ntap = \"tap0\"";
            faults.push(Fault { sentence: sentence.to_owned(), places: Vec::new() });
        }
        let mut routes = routes::read(&mut reading, &self.folder, &mut faults);
        let found = match Topology::resolve(&reading.words, cpus) {
            Ok(topology) if faults.is_empty() && routes.faults.is_empty() => return Ok(topology),
            Ok(_) => None,
            Err(found) => Some(found),
        };
        for (whole, (about, bare)) in
            found.iter().flat_map(|found| found.iter().zip(found.places()))
        {
            if let About::Router(part @ Part { of: PartOf::RouteFile, .. }, other) = about {
                routes.blame(part, other.as_ref(), bare);
                continue;
            }
            let places = reading.places(about);
            let sentence = if places.is_empty() { whole } else { bare };
            faults.push(Fault { sentence: sentence.to_owned(), places });
        }
        Err(Told::new(self, faults).beside(routes.told()))
    }
}

impl Reading {
    /// Where that is in the file. Empty: nowhere.
    fn places(&self, about: &About) -> Vec<Range<usize>> {
        let Reading { options, ports, statics, .. } = self;
        let place = |number: usize, name: &str| ports.get(number).map(|port| port.setting(name));
        match about {
            About::Option(name) => options.get(name.as_str()).cloned().into_iter().collect(),
            About::Port(number, name) => place(*number, name).into_iter().collect(),
            About::Twice([first, again]) => {
                [again, first].into_iter().filter_map(|number| place(*number, "name")).collect()
            }
            About::Static(number, of) => {
                let entry = statics.get(*number);
                entry
                    .map(|[mac, port]| if *of == "mac" { mac } else { port })
                    .cloned()
                    .into_iter()
                    .collect()
            }
            About::StaticTwice([first, again]) => {
                let mac = |number: &usize| statics.get(*number).map(|[mac, _]| mac.clone());
                [again, first].into_iter().filter_map(mac).collect()
            }
            About::Router(part, other) => [Some(part), other.as_ref()]
                .into_iter()
                .flatten()
                .filter_map(|p| self.part(p))
                .collect(),
            // They are about words of a command line.
            About::Whole | About::Word(_) | About::Setting(_) | About::Said(_) | About::Name(_) => {
                Vec::new()
            }
        }
    }
}

/// Reads and resolves in one.
///
/// # Errors
///
/// Everything that is wrong.
pub(crate) fn load(path: &Path, words: &Words, cpus: &[usize]) -> Result<Topology, Told> {
    File::read(path).map_err(Told::from)?.resolve(words, cpus)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uswitch::{
        bridge::GroupForward,
        switch::BusyPoll,
        topology::{COMMON, KINDS, Kind, PortSpec},
    };

    use super::*;

    const CPUS: [usize; 4] = [0, 1, 2, 5];

    fn resolve(text: &str, words: &Words) -> Result<Topology, Told> {
        let file = File { name: "lab.toml".into(), text: text.into(), folder: PathBuf::new() };
        file.resolve(words, &CPUS)
    }

    #[track_caller]
    fn topology(text: &str) -> Topology {
        resolve(text, &Words::default()).unwrap_or_else(|told| panic!("{}", told.text(false)))
    }

    #[track_caller]
    fn told(text: &str) -> String {
        resolve(text, &Words::default()).expect_err("something is wrong").text(false)
    }

    #[test]
    fn a_file_says_what_a_command_line_can() {
        let topology = topology(
            r#"
            [switch]
            workers = 2
            cpus = [0, "2", 5]
            busy-poll = 50
            group-forward = "wire"
            metrics = "[::1]:9119"
            allow-path = ["/tmp", "/"]
            mtu = 1400
            persist = true
            [fdb]
            size = 4096
            quota = 0x80
            ageing = 1_000
            [[port]]
            tap = "tap0"
            netns = "h1"
            mtu = 9000
            persist = false
            [[port]]
            dgram = ["/run/a,b.sock", ",c"]
            quota = 100
            [[port]]
            host = "lan0"
            addr = ["10.0.0.1/24", "fd00::1/64"]
            [[port]]
            packet = "eth0"
            host = "keep"
            [[port]]
            pcap = true
            out = "x.pcap"
            "#,
        );
        let spec = |text: &str| text.parse::<PortSpec>().unwrap();
        let words = ["/run/a,b.sock".to_owned(), ",c".to_owned()];
        let dgram = KINDS.iter().find(|kind| kind.name == "dgram").unwrap();
        let options = [("quota", "100"), ("mtu", "1400")].map(|(n, v)| (n.into(), v.into()));
        let dgram = PortSpec::read(dgram, words.to_vec(), &options).unwrap();
        let expected = [
            spec("tap0,netns=h1,mtu=9000,persist=off"),
            dgram,
            spec("host:lan0,addr=10.0.0.1/24,addr=fd00::1/64,mtu=1400"),
            spec("packet:eth0,host=keep,mtu=1400"),
            spec("pcap:out=x.pcap,mtu=1400"),
        ];
        assert_eq!(topology.ports, expected);
        let switch = &topology.switch;
        assert_eq!((switch.workers, &*switch.cpus), (2, &[0, 2, 5][..]));
        assert_eq!(switch.busy_poll, BusyPoll::For(std::time::Duration::from_micros(50)));
        assert_eq!(switch.group_forward, GroupForward::Wire);
        assert_eq!((switch.fdb.size, switch.fdb.quota), (4096, 128));
        assert_eq!(switch.fdb.ageing.as_secs(), 1000);
        assert!(!topology.workers_auto);
        assert_eq!(topology.metrics.map(|place| place.to_string()).as_deref(), Some("[::1]:9119"));
        assert_eq!(topology.allow_path, ["/", "/tmp"]);
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_adds_ports() {
        let some = |text: &str| Some(text.to_owned());
        let words = Words {
            ports: vec!["tap1".into()],
            workers: some("1"),
            mtu: some("1300"),
            allow_path: vec!["/".into()],
            ..Words::default()
        };
        let text =
            "[switch]\nworkers = 'x'\nmtu = 1400\nallow-path = '/tmp'\n[[port]]\ntap = 'tap0'\n";
        let topology = resolve(text, &words).unwrap();
        assert_eq!(topology.allow_path, ["/", "/tmp"], "it adds folders");
        let ports: Vec<_> = topology.ports.iter().map(|port| (&*port.name, port.mtu)).collect();
        assert_eq!(ports, [("tap0", Some(1300)), ("tap1", Some(1300))]);
        assert_eq!(topology.switch.workers, 1);
        let words = Words { ports: vec!["tap0".into()], workers: some("0"), ..words };
        let told = resolve(text, &words).unwrap_err().text(false);
        assert!(told.contains("error: --workers: 0 is out of range"), "{told}");
        assert!(told.contains("lab.toml:6:7") && told.contains("is given twice"), "{told}");
    }

    #[test]
    fn each_fault_has_its_line_and_a_caret() {
        assert_eq!(told(FAULTY), TOLD);
    }

    const FAULTY: &str = "\
[switch]
wokers = 2
busy-poll = \"alwyas\"
metrics = 9
[[port]]
tap = \"tap0\"
mtuu = 9000
mtu = 1
[[port]]
tap = \"tap0\"
quota = 70_000
[[port]]
tapp = \"x\"
[[port]]
dgram = [\"/run/a.sock\"]
addr = 10
[brigde]
";

    const TOLD: &str = "\
error: there is no key `wokers`; did you mean `workers`?
 --> lab.toml:2:1
  |
2 | wokers = 2
  | ^^^^^^

error: `alwyas` is not a number from 0 to 1000000, or `off` or `always`
 --> lab.toml:3:13
  |
3 | busy-poll = \"alwyas\"
  |             ^^^^^^^^

error: `9` is neither an address with a port, such as 127.0.0.1:9119 or [::1]:9119, nor unix:PATH
 --> lab.toml:4:11
  |
4 | metrics = 9
  |           ^

error: there is no option `mtuu`; did you mean `mtu`?
 --> lab.toml:7:1
  |
7 | mtuu = 9000
  | ^^^^

error: mtu 1 is out of range: 68 to 65521
 --> lab.toml:8:7
  |
8 | mtu = 1
  |       ^

error: port `tap0`: quota 70000 is more than the 65536 addresses of the table
  --> lab.toml:11:9
   |
11 | quota = 70_000
   |         ^^^^^^

error: there is no kind of port `tapp`; did you mean `tap`?
  --> lab.toml:13:1
   |
13 | tapp = \"x\"
   | ^^^^

error: REMOTE is missing: it is written dgram = [LOCAL, REMOTE]
  --> lab.toml:15:9
   |
15 | dgram = [\"/run/a.sock\"]
   |         ^^^^^^^^^^^^^^^

error: there is no option `addr`; a dgram has: netns, mtu, name, quota, bridge
  --> lab.toml:16:1
   |
16 | addr = 10
   | ^^^^

error: there is no table `brigde`; there are: [switch], [fdb], [router], [[port]], \
[[leg]], [[route]], [[neighbour]]
  --> lab.toml:17:2
   |
17 | [brigde]
   |  ^^^^^^
";

    #[test]
    fn a_folder_that_is_none_is_shown() {
        let text = "[switch]\nallow-path = ['/', '/no/such']\n[[port]]\ntap = 'a'\n";
        let expected = "\
error: `/no/such` is no folder
 --> lab.toml:2:20
  |
2 | allow-path = ['/', '/no/such']
  |                    ^^^^^^^^^^
";
        assert_eq!(told(text), expected);
    }

    #[test]
    fn what_two_ports_cannot_both_have_is_shown_at_both() {
        let text = "[[port]]\ntap = 'a'\n[[port]]\nquota = 70_000\ntap = 'a'\n";
        let expected = "\
error: quota 70000 is more than the 65536 addresses of the table
 --> lab.toml:4:9
  |
4 | quota = 70_000
  |         ^^^^^^

error: the device `a` is given twice
 --> lab.toml:5:7
  |
2 | tap = 'a'
  |       --- first here
...
5 | tap = 'a'
  |       ^^^
";
        let told = told(text).replace("port `a`: ", "");
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_said_of_stations_is_checked_with_everything_else() {
        let text = "\
[[fdb.static]]
mac = '02:00:00:00:00:01'
port = 'tap1'
[[fdb.static]]
mac = '33:33:00:00:00:01'
prot = 'tap0'
[[fdb.static]]
mac = '02:00:00:00:00:01'
port = 'tap0'
[[port]]
tap = 'tap0'
";
        let expected = "\
error: there is no port `tap1`; did you mean `tap0`?
 --> lab.toml:3:8
  |
3 | port = 'tap1'
  |        ^^^^^^

error: `port` is missing in a static entry
 --> lab.toml:4:1
  |
4 | [[fdb.static]]
  | ^^^^^^^^^^^^^^

error: there is no key `prot`; did you mean `port`?
 --> lab.toml:6:1
  |
6 | prot = 'tap0'
  | ^^^^

error: the address 02:00:00:00:00:01 is given twice
 --> lab.toml:8:7
  |
2 | mac = '02:00:00:00:00:01'
  |       ------------------- first here
...
8 | mac = '02:00:00:00:00:01'
  |       ^^^^^^^^^^^^^^^^^^^
";
        assert_eq!(told(text), expected);
        let text = "[fdb]\nsize = 64\nstatic = [{ mac = '02-00-00-00-00-01', port = 'b' }]\n\
                    [[port]]\ntap = 'a'\n[[port]]\ntap = 'b'\n";
        let entries: Vec<_> = topology(text).statics.iter().map(ToString::to_string).collect();
        assert_eq!(entries, ["02:00:00:00:00:01 dev b static"]);
    }

    #[test]
    fn a_file_of_the_wrong_form_is_told_what_is_wrong() {
        let cases = [
            ("[[port]]\ntap = tap0\n", "`tap0` is no value; a text stands in quotes: \"tap0\""),
            ("[[port]]\ntap = 't'\ntap = 'u'\n", "duplicate key"),
            ("[port]\ntap = 't'\n", "a port is a table in double brackets: [[port]]"),
            ("port = 'tap0'\n", "a port is a table in double brackets: [[port]]"),
            ("port = ['tap0']\n", "a port is a table in double brackets: [[port]]"),
            ("switch = 2\n[[port]]\ntap = 't'", "`switch` is a table: [switch]"),
            ("[[port]]\nnetns = 'a'\n", "no kind of port is named; there are: tap, "),
            ("[[port]]\ntap = 'a'\nvde = '/run/v'\n", "`vde` is a second kind of port"),
            ("[[port]]\ntap = ['a', 'b']\n", "a word is too many: it is written tap = DEVICE"),
            ("[[port]]\ntap = ''\n", "the device name is empty"),
            ("[[port]]\ntap = 't'\nmtu = [1500]\n", "`mtu` has one value"),
            ("[[port]]\ntap = 't'\nmtu = 1.5\n", "mtu `1.5` is not a number from"),
            ("[[port]]\ntap = 't'\nmtu = -1\n", "mtu `-1` is not a number from"),
            ("[[port]]\ntap = 't'\nmtu = 99999999999999999999\n", "out of range"),
            ("[[port]]\ntap = 't'\nmtu = {}\n", "a table cannot stand here"),
            ("[[port]]\ntap = 't'\nmtu = 2026-01-01\n", "a date cannot stand here"),
            ("[[port]]\ntap = 't'\nmtu = ''\n", "option `mtu` needs a value"),
            ("[[port]]\ntap = 't'\npersist = 'yes'\n", "neither `on` nor `off`"),
            ("[[port]]\npcap = 'x'\nin = 'y'\n", "a word is too many: it is written pcap = true"),
            ("[switch]\npersist = 1\n[[port]]\ntap = 't'", "`persist` is true or false"),
            ("[switch]\nworkers = [1]\n[[port]]\ntap = 't'", "`workers` has one value"),
            ("[fdb]\nworkers = 1\n[[port]]\ntap = 't'", "there is no key `workers`; [fdb] has"),
            ("[fdb]\nstatic = 1\n[[port]]\ntap = 't'", "a static entry is a table in double"),
            ("[fdb]\nstatic = [1]\n[[port]]\ntap = 't'", "a static entry is a table in double"),
            ("[[fdb.static]]\nmac = ['x']\nport = 't'\n[[port]]\ntap = 't'", "`mac` has one value"),
            ("", "no port is given"),
        ];
        for (text, sentence) in cases {
            let told = told(text);
            assert!(told.contains(sentence), "{text}: {told}");
            assert_eq!(told.matches("error:").count(), 1, "{text}: {told}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_read_does_not_make_workers_too_many() {
        let told = told("[switch]\nworkers = 2\n[[port]]\ntap = 'a'\n[[port]]\ntap = 'b/'\n");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
    }

    #[test]
    fn programs_are_told_line_column_and_message() {
        let told = resolve("[[port]]\ntap = 'ä/'\n\tmtu = 1 # é\n", &Words::default());
        let json: serde_json::Value = serde_json::from_str(&told.unwrap_err().json()).unwrap();
        let expected = serde_json::json!([
            {"file": "lab.toml", "line": 2, "column": 7,
             "message": "the device name `ä/` has a '/' in it"},
            {"file": "lab.toml", "line": 3, "column": 8,
             "message": "mtu 1 is out of range: 68 to 65521"},
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_hostile_file_costs_little() {
        let nested = format!("a = {}", "[".repeat(100_000));
        let told = told(&nested);
        assert!(told.contains("recursion"), "{}", &told[..200]);
        let many = "a = 1\n[[port]]\n".repeat(10_000);
        let many = resolve(&many, &Words::default()).unwrap_err();
        assert!(many.text(false).lines().count() < 7 * 52, "only the first are shown");
        let json: serde_json::Value = serde_json::from_str(&many.json()).unwrap();
        let last = json.as_array().unwrap().last().unwrap();
        let message = last["message"].as_str().unwrap();
        assert!(message.starts_with("there are ") && message.ends_with(" faults in all"), "{last}");
    }

    #[test]
    fn a_terminal_is_not_moved_by_what_stands_in_a_file() {
        let told = told("[[port]]\ntap = \"a\\u001b[1m\"\n# \u{7f}\n\"\\u001b\" = 1\n");
        assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
    }

    /// Values for each option of each kind.
    const VALUES: &[(&str, &[&str])] = &[
        ("side", &["auto", "fd", "netdev"]),
        ("owner", &["nobody", "7", "007"]),
        ("mac", &["02:00:00:00:00:01"]),
        ("queues", &["1", "4"]),
        ("persist", &["on", "off"]),
        ("host", &["drop", "keep"]),
        ("lower", &["eth0"]),
        ("mode", &["bridge", "vepa", "private", "passthru"]),
        ("peer", &["eth0", "true"]),
        ("addr", &["10.0.0.1/24", "fd00::1/64"]),
        ("connect", &["on", "off"]),
        ("in", &["a,b.pcap", "on", "\"\\ä\u{1}"]),
        ("out", &["b.pcap", "-1", "'''"]),
        ("speed", &["original", "0.5x", "7x", "1000", "18446744073709551615", "top"]),
        ("netns", &["h1", "/run/a,b", "4711", "04711", "off"]),
        ("mtu", &["68", "9000"]),
        ("name", &["uplink", "12", "on"]),
        ("quota", &["1", "64"]),
        ("bridge", &["br", "lan", "7"]),
    ];

    /// A spec of this kind: for each option a number that draws its value, or none.
    fn spec(kind: &Kind, number: usize, draws: &[usize]) -> Option<PortSpec> {
        let words = kind.words.iter().enumerate().map(|(index, word)| match (*word, index) {
            ("DEVICE", _) => format!("dev{number}"),
            (_, _) if kind.name == "udp" => format!("127.0.0.1:{}", 1 + number * 2 + index),
            (_, 0) => format!("/run/x,{number}"),
            (_, _) => format!(",y\"{number}"),
        });
        let known = kind.options.iter().chain(COMMON).zip(draws);
        let options = known.flat_map(|(setting, draw)| {
            let values = VALUES.iter().find(|(name, _)| *name == setting.name);
            let values = values.unwrap_or_else(|| panic!("no value for {}", setting.name)).1;
            let value = |at: usize| (setting.name.to_owned(), values[at].to_owned());
            let count = match setting.many {
                true => draw % 3,
                false => usize::from(*draw < values.len()),
            };
            let first = if setting.many { 0 } else { *draw };
            (first..first + count).map(value).collect::<Vec<_>>()
        });
        PortSpec::read(kind, words.collect(), &options.collect::<Vec<_>>()).ok()
    }

    /// A topology with ports of all kinds; words of the command line for the rest.
    fn draw(draws: &[Vec<usize>], settings: &[usize]) -> Words {
        let mut read: Vec<PortSpec> = Vec::new();
        for (row, draws) in draws.iter().enumerate() {
            for (index, kind) in KINDS.iter().enumerate() {
                let number = row * KINDS.len() + index;
                let Some(mut found) = spec(kind, number, draws) else { continue };
                if read.iter().any(|other| other.name == found.name) {
                    found.name += &format!("-{number}");
                }
                read.push(found);
            }
        }
        let draw = |at: usize, values: [&str; 2]| {
            settings[at].checked_sub(1).map(|which| values[which].to_owned())
        };
        Words {
            read,
            workers: draw(0, ["1", "auto"]),
            cpus: draw(1, ["5", "0,2-2"]),
            busy_poll: draw(2, ["50", "always"]),
            group_forward: draw(3, ["wire", "standard"]),
            fdb_size: draw(4, ["64", "4096"]),
            fdb_quota: draw(5, ["1", "64"]),
            ageing: draw(6, ["1", "1000000"]),
            mtu: draw(7, ["1280", "9000"]),
            persist: settings[8] > 0,
            metrics: draw(9, ["127.0.0.1:0", "unix:/run/\"m"]),
            allow_path: draw(10, ["/", "/tmp"]).into_iter().collect(),
            ..Words::default()
        }
    }

    #[test]
    fn every_kind_is_drawn() {
        let words = draw(&[vec![5; 17], vec![0; 17], vec![1; 17]], &[0; 11]);
        for kind in KINDS {
            assert!(words.read.iter().any(|spec| spec.emit().0.name == kind.name), "{}", kind.name);
        }
    }

    proptest! {
        #[test]
        fn what_runs_can_be_written_as_a_file_that_says_the_same(
            draws in proptest::collection::vec(proptest::collection::vec(0..6_usize, 17), 1..4),
            settings in proptest::collection::vec(0..3_usize, 11),
        ) {
            let mut words = draw(&draws, &settings);
            let clients = |spec: &PortSpec| [spec.name.clone(), format!("{}.7", spec.name)];
            let names = words.read.iter().flat_map(clients).filter(|name| {
                words.read.iter().any(|spec| spec.may_be_named(name))
            });
            let names: Vec<_> = names.take(3).collect();
            let entry = |(number, port)| [format!("02:00:00:00:00:0{number}"), port];
            words.statics = names.into_iter().enumerate().map(entry).collect();
            let topology = Topology::resolve(&words, &CPUS);
            prop_assume!(topology.is_ok());
            let topology = topology.unwrap();
            let text = emit::emit(&topology);
            let again = match resolve(&text, &Words::default()) {
                Ok(again) => again,
                Err(told) => panic!("{text}\n{}", told.text(false)),
            };
            prop_assert_eq!(&again.ports, &topology.ports, "{}", text);
            prop_assert_eq!(&again.statics, &topology.statics, "{}", text);
            prop_assert_eq!(again.emit_settings(), topology.emit_settings());
            prop_assert_eq!(&again.allow_path, &topology.allow_path);
            prop_assert_eq!(again.switch.workers, topology.switch.workers);
            prop_assert_eq!(emit::emit(&again), text);
        }

        #[test]
        fn whatever_the_text_nothing_panics_and_each_refusal_has_a_reason(
            lines in proptest::collection::vec(
                &*[
                    r"\[\[port\]\]|\[switch\]|\[fdb\]|\[\[fdb\.static\]\]|\PC{0,6}|",
                    r#"(tap|host|dgram|pcap|mtu|addr|quota|workers|cpus|[a-z."é]{0,3}) = "#,
                    r#"("[a-z,/\\é]{0,4}"|[0-9x_.-]{0,4}|true|\[("a"|1|,){0,4}\]|\{\}|'')"#,
                ]
                .concat(),
                0..8,
            ),
        ) {
            let text = lines.join("\n");
            if let Err(told) = resolve(&text, &Words::default()) {
                prop_assert!(told.text(false).contains("error: "));
                let json: serde_json::Value = serde_json::from_str(&told.json()).unwrap();
                prop_assert!(!json.as_array().unwrap().is_empty());
            }
        }
    }
}
