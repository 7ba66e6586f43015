//! One port as a person writes it, in the manner of QEMU's comma options:
//!
//! ```text
//! [KIND:]WORD[,WORD]...[,OPTION=VALUE]...      tap0     tap:tap0,netns=h1,mtu=9000,queues=2
//! ```
//!
//! and a comma inside a value is written twice. This is the form; what kinds there are, and what
//! their words and options mean, stands in kinds.rs.

use std::{collections::HashMap, ops::RangeInclusive, str::FromStr};

use super::{
    About, Faults,
    bridges::{BRIDGE_DEFAULT, check_bridge},
    fields::{Fields, check_name},
    kinds::{COMMON, KINDS, Kind, PortKind, TUN, TUN_REFUSED},
    nearest, number,
};

/// The MTU that a port can have: IPv4's least (RFC 791), and what fits into the kernel's frame of
/// 65,535 octets behind the Ethernet header (drivers/net/tun.c, `tun_net_init`).
pub const MTU_RANGE: RangeInclusive<u32> = 68..=65_521;

/// Octets of a port's own name.
pub const PORT_NAME_MAX: usize = 63;

/// One port as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct PortSpec {
    /// Its name in tables and events: that of its device or file, unless said otherwise.
    pub name: String,
    /// How many addresses may be learned behind it. `None`: as many as behind any port.
    pub quota: Option<u32>,
    /// The name of the bridge that it is in.
    pub bridge: String,
    /// The network namespace of its device or socket: a name, a path or the number of a process.
    /// `None`: our own.
    pub netns: Option<String>,
    /// The largest payload, in octets. `None`: as the device has it, or 1500.
    pub mtu: Option<u32>,
    /// What it is.
    pub kind: PortKind,
}

impl FromStr for PortSpec {
    type Err = Faults;

    /// Reads a spec and tells all of its faults at once. One of a TUN is refused: see `--tun`.
    fn from_str(text: &str) -> Result<PortSpec, Faults> {
        PortSpec::parse_among(text, KINDS)
    }
}

impl PortSpec {
    /// The same for a port of any kind, as [`PortSpec`] itself is shown.
    pub(crate) fn parse_shown(text: &str) -> Result<PortSpec, Faults> {
        match text.split_once(':') {
            Some((name, _)) if name == TUN.name => PortSpec::parse_among(text, &[TUN]),
            _ => text.parse(),
        }
    }

    fn parse_among(text: &str, kinds: &[Kind]) -> Result<PortSpec, Faults> {
        let mut texts = split(text).into_iter();
        let head = texts.next().unwrap_or_default();
        let (kind, first) = match head.split_once(':') {
            None => (Some(&kinds[0]), head.as_str()),
            Some((name, first)) => (kinds.iter().find(|kind| kind.name == name), first),
        };
        let mut faults = Faults::default();
        let Some(kind) = kind else {
            let name = head.split(':').next().unwrap_or_default();
            let names = || KINDS.iter().map(|kind| kind.name);
            let list = names().collect::<Vec<_>>().join(", ");
            faults.push(match nearest(name, names()) {
                _ if name == TUN.name => TUN_REFUSED.to_owned(),
                Some(near) => format!("there is no kind of port `{name}`; did you mean `{near}`?"),
                None => format!("there is no kind of port `{name}`; there are: {list}"),
            });
            return Err(faults);
        };
        // A kind without words of its own begins with an option.
        let first = (!kind.words.is_empty() || !first.is_empty()).then(|| first.to_owned());
        let (mut words, mut options) = (Vec::new(), Vec::new());
        for (index, text) in first.into_iter().chain(texts).enumerate() {
            if index < kind.words.len() {
                words.push(text);
            } else if text.is_empty() {
                faults.push("an option is empty: there is a comma too many");
            } else {
                options.push(match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (text, String::new()),
                });
            }
        }
        let spec = PortSpec::read(kind, words, &options);
        let spec = spec.map_err(|found| faults.append(found)).ok();
        faults.or(spec)
    }
}

impl PortSpec {
    /// What these words and options of a port mean, wherever they were written.
    ///
    /// # Errors
    ///
    /// All of their faults, each about a word or an option.
    pub fn read(
        kind: &Kind,
        words: Vec<String>,
        options: &[(String, String)],
    ) -> Result<PortSpec, Faults> {
        let mut faults = Faults::default();
        let mut fields = Fields { words, values: HashMap::new(), faults: &mut faults };
        let form = kind.form();
        if let Some(missing) = kind.words.get(fields.words.len()) {
            fields.faults.push(format!("{missing} is missing: it is written {form}"));
        } else if fields.words.len() > kind.words.len() {
            let about = About::Word(kind.words.len());
            fields.faults.push_about(about, format!("a word is too many: it is written {form}"));
        }
        let known: Vec<_> = kind.options.iter().chain(COMMON).collect();
        options.iter().for_each(|(name, value)| fields.take(kind.name, &known, name, value));
        let port = (kind.parse)(&mut fields);
        let name = fields.parse("name", |name| check_name(name, "name", PORT_NAME_MAX, &['/']));
        let quota = fields.parse("quota", |text| number(text, "quota", 1..=u32::MAX));
        let bridge = fields.parse("bridge", check_bridge).unwrap_or(BRIDGE_DEFAULT.into());
        let netns = fields.text("netns");
        let mtu = fields.parse("mtu", |text| number(text, "mtu", MTU_RANGE));
        let name = name.or_else(|| name_of(&mut fields, port.as_ref()?));
        let whole = port.zip(name);
        let whole = whole.map(|(kind, name)| PortSpec { name, quota, bridge, netns, mtu, kind });
        faults.or(whole)
    }
}

/// What a port is called that was given no name.
fn name_of(fields: &mut Fields<'_>, kind: &PortKind) -> Option<String> {
    if fields.has("name") {
        return None;
    }
    let name = kind.name();
    check_name(&name, "port's name", PORT_NAME_MAX, &['/'])
        .map_err(|fault| fields.faults.push(format!("{fault}; give it another with name=")))
        .ok()
}

/// Takes a text apart at its commas; of two in a row one is part of the value, as in QEMU.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        if next == ',' && rest.next_if_eq(&',').is_none() {
            fields.push(String::new());
        } else if let Some(field) = fields.last_mut() {
            field.push(next);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use netlab::MacvlanMode;
    use proptest::prelude::*;

    use super::{
        super::kinds::{
            DgramSpec, HostSpec, MacvlanSpec, PacketSpec, PcapSpec, Side, StreamSpec, TapSpec,
            UdpSpec, VdeSpec, VethSpec, VhostSpec,
        },
        *,
    };
    use crate::{frame::Mac, port::pcap::Speed};

    #[track_caller]
    fn tap(text: &str) -> (PortSpec, TapSpec) {
        let spec: PortSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
        let PortKind::Tap(tap) = spec.kind.clone() else { panic!("{text} is a TAP") };
        (spec, tap)
    }

    #[test]
    fn a_bare_name_is_a_tap() {
        for text in ["tap0", "tap:tap0"] {
            let (spec, tap) = tap(text);
            let PortSpec { name, quota, bridge, netns, mtu, kind: _ } = spec;
            assert_eq!((&*name, quota, netns, mtu), ("tap0", None, None, None));
            assert_eq!(bridge, "br");
            let TapSpec { device, side, owner, mac, queues, persist } = tap;
            assert_eq!((&*device, side, owner), ("tap0", Side::Auto, None));
            assert_eq!((mac, queues, persist), (None, 1, None));
        }
    }

    #[test]
    fn every_option_arrives() {
        let (spec, tap) = tap("tap:t,netns=/run/netns/a,,b=c,mtu=9000,mac=02-00-00-00-00-0A,\
                               queues=256,persist=on,name=uplink-1,quota=7");
        assert_eq!((&*spec.name, spec.quota), ("uplink-1", Some(7)));
        assert_eq!(spec.netns.as_deref(), Some("/run/netns/a,b=c"));
        assert_eq!((spec.mtu, tap.queues, tap.persist), (Some(9000), 256, Some(true)));
        assert_eq!(tap.mac, Some(Mac::new([2, 0, 0, 0, 0, 10])));
    }

    const FAULTS: &[(&str, &str)] = &[
        ("", "the device name is empty"),
        ("tap:", "the device name is empty"),
        ("a b", "the device name `a b` has a ' ' in it"),
        ("a/b", "the device name `a/b` has a '/' in it"),
        ("tap:a:b", "the device name `a:b` has a ':' in it"),
        ("tap%d", "the device name `tap%d` has a '%' in it"),
        ("a\u{1b}[1m", "the device name `a\\u{1b}[1m` has a '\\u{1b}' in it"),
        ("..", "`..` cannot be a device's name"),
        ("sixteen-octets-x", "the device name `sixteen-octets-x` has 16 octets; at most 15 may be"),
        ("äääääääö", "the device name `äääääääö` has 16 octets; at most 15 may be"),
        ("tap1:x", "there is no kind of port `tap1`; did you mean `tap`?"),
        ("t,", "an option is empty: there is a comma too many"),
        ("t,mtu", "option `mtu` needs a value: mtu=OCTETS"),
        ("t,persist=", "option `persist` needs a value: persist=on|off"),
        ("t,qeues=2", "there is no option `qeues`; did you mean `queues`?"),
        (
            "t,=2",
            "there is no option ``; a tap has: side, owner, mac, queues, persist, netns, \
                 mtu, name, quota, bridge",
        ),
        ("t,mtu=1,mtu=1500", "option `mtu` is given twice"),
        ("t,mtu=67", "mtu 67 is out of range: 68 to 65521"),
        ("t,mtu=99999999999999999999", "mtu 99999999999999999999 is out of range: 68 to 65521"),
        ("t,mtu=+1500", "mtu `+1500` is not a number from 68 to 65521"),
        ("t,mtu=1.5k", "mtu `1.5k` is not a number from 68 to 65521"),
        ("t,queues=0", "queues 0 is out of range: 1 to 256"),
        ("t,queues=257", "queues 257 is out of range: 1 to 256"),
        ("t,quota=0", "quota 0 is out of range: 1 to 4294967295"),
        (
            "t,mac=02:00",
            "mac `02:00`: a MAC address is six octets in hexadecimal, as in 02:00:00:00:00:01",
        ),
        (
            "t,mac=01:00:5e:00:00:01",
            "mac 01:00:5e:00:00:01 is a group address: the first octet must be even",
        ),
        ("t,mac=00:00:00:00:00:00", "mac 00:00:00:00:00:00 is nobody's address"),
        ("t,persist=yes", "persist `yes` is neither `on` nor `off`"),
        ("t,name=a b", "the name `a b` has a ' ' in it"),
        ("t,name=a/b", "the name `a/b` has a '/' in it"),
        ("t,bridge=a/b", "the bridge's name `a/b` has a '/' in it"),
        ("t,bridge=a=b", "the bridge's name `a=b` has a '=' in it"),
    ];

    const FAULTS_OF_KINDS: &[(&str, &str)] = &[
        ("t,side=left", "side `left` is neither `auto`, `fd` nor `netdev`"),
        ("t,owner=root", "owner= goes with side=netdev: a TAP of ours is held by us"),
        (
            "t,side=netdev,queues=2",
            "queues= goes with the descriptor side: leave it out, or side=netdev",
        ),
        ("packet:", "the device name is empty"),
        ("packet:p,host=maybe", "host `maybe` is neither `drop` nor `keep`"),
        (
            "packet:p,peer=x",
            "there is no option `peer`; a packet has: host, netns, mtu, name, quota, bridge",
        ),
        ("macvlan:m", "option `lower` is missing: one that is there already is `packet:DEVICE`"),
        ("macvlan:m,lower=a/b", "the device name `a/b` has a '/' in it"),
        (
            "macvtap:m,lower=e,mode=source",
            "`source` is no mode of a macvlan: bridge, vepa, private and passthru are",
        ),
        ("macvtap:m,mode=vepa", "mode= goes with lower=: one that is there already has its mode"),
        ("veth:v", "option `peer` is missing: it names the other end, as in peer=eth0,netns=h1"),
        (
            "host:h,addr=10.0.0.1/33",
            "addr `10.0.0.1/33`: a prefix is an address and a length in bits, as in \
                 10.0.0.1/24 or fd00::1/64",
        ),
        ("stream:", "the path is empty"),
        ("stream:a\0b", "the path has a zero octet in it"),
        ("stream:a,connect=yes", "connect `yes` is neither `on` nor `off`"),
        (
            "stream:/run/a b.sock",
            "the port's name `a b` has a ' ' in it; give it another with name=",
        ),
        ("dgram:a", "REMOTE is missing: it is written dgram:LOCAL,REMOTE"),
        ("udp:127.0.0.1:1", "REMOTE is missing: it is written udp:LOCAL,REMOTE"),
        (
            "udp:localhost:1,127.0.0.1:2",
            "`localhost:1` is no address with a port, as in 127.0.0.1:5001",
        ),
        ("vde:", "the path is empty"),
        ("vde:/", "the port's name `/` has a '/' in it; give it another with name="),
        ("pcap:", "it needs in=FILE to play, or out=FILE to record, or both"),
        ("pcap:speed=2x", "it needs in=FILE to play, or out=FILE to record, or both"),
        (
            "pcap:in=a,speed=fast",
            "a speed is `original`, a factor above 0 as in `2x` or `0.5x`, frames a second as \
                 in `1000`, or `top`",
        ),
        (
            "pcap:in=a,out=a",
            "in= and out= are one file: what is to be played would be written over",
        ),
    ];

    #[test]
    fn each_fault_is_a_sentence_that_helps() {
        for (text, sentence) in FAULTS.iter().chain(FAULTS_OF_KINDS) {
            let faults = text.parse::<PortSpec>().expect_err(text);
            assert_eq!(faults.iter().collect::<Vec<_>>(), [*sentence], "{text}");
        }
    }

    #[test]
    fn all_faults_of_a_spec_are_told_at_once() {
        let faults = "a/b,colour=red,mtu=1,queues=x,quota=0,".parse::<PortSpec>().unwrap_err();
        assert_eq!(faults.iter().count(), 6, "{faults}");
    }

    #[test]
    fn every_option_of_every_kind_needs_a_value_once() {
        for kind in KINDS {
            for setting in kind.options.iter().chain(COMMON) {
                let name = setting.name;
                let faults = |options: &str| {
                    let words = vec!["127.0.0.1:1"; kind.words.len()].join(",");
                    let comma = if kind.words.is_empty() { "" } else { "," };
                    let text = format!("{}:{words}{comma}{options}", kind.name);
                    text.parse::<PortSpec>().expect_err(&text).to_string()
                };
                assert!(faults(name).contains(&format!("option `{name}` needs a value: {name}=")));
                let twice = faults(&format!("{name}=\t,{name}=\t"));
                let once = format!("option `{name}` is given twice");
                assert_eq!(twice.contains(&once), !setting.many, "{}: {twice}", kind.name);
            }
        }
    }

    /// Options that all kinds have, and what becomes of them.
    const OPTIONS: &str = "netns=h1,quota=7,mtu=1400,name=n,bridge=lan";

    #[track_caller]
    fn arrives(text: &str, expected: PortKind) {
        let text = format!("{text},{OPTIONS}");
        let spec: PortSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
        let common = (&*spec.name, spec.quota, spec.netns.as_deref(), spec.mtu);
        assert_eq!(common, ("n", Some(7), Some("h1"), Some(1400)), "{text}");
        assert_eq!(spec.bridge, "lan", "{text}");
        assert_eq!(spec.kind, expected, "{text}");
    }

    #[test]
    fn every_option_of_a_device_arrives() {
        let mac = Some(Mac::new([2, 0, 0, 0, 0, 10]));
        let device = "d".to_owned();
        let lower = Some("e".to_owned());
        let addresses = || vec!["10.0.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()];
        let macvlan =
            |mode| MacvlanSpec { device: device.clone(), lower: lower.clone(), mode, mac };
        let tap = TapSpec {
            device: device.clone(),
            side: Side::Netdev,
            owner: Some("me".into()),
            mac,
            queues: 1,
            persist: Some(false),
        };
        let given = "mac=02:00:00:00:00:0a";
        arrives(&format!("tap:d,side=netdev,owner=me,persist=off,{given}"), PortKind::Tap(tap));
        let packet = PacketSpec { device: device.clone(), keep_host: Some(true) };
        arrives("packet:d,host=keep", PortKind::Packet(packet));
        let vepa = PortKind::Macvtap(macvlan(MacvlanMode::Vepa));
        arrives(&format!("macvtap:d,lower=e,mode=vepa,{given}"), vepa);
        let private = PortKind::Macvlan(macvlan(MacvlanMode::Private));
        arrives(&format!("macvlan:d,lower=e,mode=private,{given}"), private);
        let two = "addr=10.0.0.1/24,addr=fd00::1/64";
        let (device, peer, addresses) = (device.clone(), "p".to_owned(), addresses());
        let host = HostSpec { device: device.clone(), addresses: addresses.clone(), mac };
        arrives(&format!("host:d,{two},{given}"), PortKind::Host(host));
        let veth = VethSpec { device, peer, addresses, mac };
        arrives(&format!("veth:d,peer=p,{two},{given}"), PortKind::Veth(veth));
    }

    #[test]
    fn every_option_of_a_socket_or_a_file_arrives() {
        let stream = StreamSpec { path: "/a,b:c".into(), connect: true };
        arrives("stream:/a,,b:c,connect=on", PortKind::Stream(stream));
        let dgram = DgramSpec { local: "/a".into(), remote: "/b".into() };
        arrives("dgram:/a,/b", PortKind::Dgram(dgram));
        let [local, remote] = ["[::1]:1", "[::2]:2"].map(|text| text.parse().unwrap());
        arrives("udp:[::1]:1,[::2]:2", PortKind::Udp(UdpSpec { local, remote }));
        arrives("vhost-user:/a", PortKind::Vhost(VhostSpec { path: "/a".into() }));
        arrives("vde:/a", PortKind::Vde(VdeSpec { folder: "/a".into() }));
        let (input, output) = (Some("/a".into()), Some("/b".into()));
        let pcap = PcapSpec { input, output, speed: Speed::Original(0.5) };
        arrives("pcap:in=/a,out=/b,speed=0.5x", PortKind::Pcap(pcap));
    }

    #[test]
    fn ports_are_called_after_their_devices_and_files() {
        for (text, name) in [
            ("macvtap:d", "d"),
            ("veth:d,peer=p", "d"),
            ("stream:/run/vm.sock", "vm"),
            ("dgram:/run/ours.sock,/run/theirs", "ours"),
            ("udp:127.0.0.1:5001,127.0.0.1:5002", "udp-5001"),
            ("vde:/run/vde.ctl", "vde"),
            ("pcap:in=/a/in.pcap", "in"),
            ("pcap:in=/a/in.pcap,out=/a/out.pcap", "out"),
        ] {
            assert_eq!(text.parse::<PortSpec>().unwrap().name, name, "{text}");
        }
    }

    #[test]
    fn host_has_as_many_addresses_as_are_given() {
        let spec: PortSpec = "host:lan0,addr=10.0.0.1/24,addr=fd00::1/64".parse().unwrap();
        let PortKind::Host(host) = &spec.kind else { panic!("{spec:?}") };
        let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
        assert_eq!((&*spec.name, &*addresses.join(" ")), ("lan0", "10.0.0.1/24 fd00::1/64"));
        let faults = "host:lan0,addr=10.0.0.1/33,addr=x".parse::<PortSpec>().unwrap_err();
        assert_eq!(faults.iter().count(), 2, "{faults}");
    }

    #[test]
    fn an_unknown_kind_is_told_which_there_are() {
        let faults = "carrier-pigeon:x".parse::<PortSpec>().unwrap_err().to_string();
        assert!(faults.starts_with("there is no kind of port `carrier-pigeon`; there are: tap, "));
        assert!(KINDS.iter().all(|kind| faults.contains(kind.name)), "{faults}");
    }

    #[test]
    fn every_example_can_be_typed() {
        for kind in KINDS {
            let spec: PortSpec =
                kind.example.parse().unwrap_or_else(|f| panic!("{}: {f}", kind.name));
            assert!(kind.example.starts_with(&format!("{}:", kind.name)), "{spec:?}");
        }
    }

    #[test]
    fn a_comma_is_written_twice() {
        assert_eq!(split("a,,b"), ["a,b"]);
        assert_eq!(split("a,,,b"), ["a,", "b"]);
        assert_eq!(split("a,b,"), ["a", "b", ""]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn the_limits_of_the_kernel_are_let_in() {
        for text in
            ["t,mtu=68", "t,mtu=65521", "t,queues=256", "fifteen-octets-", "t,quota=4294967295"]
        {
            tap(text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_refusal_has_a_reason(
            head in r"(tap:|pat:)?[a-z0-9/%:,=.é\x00-\x20]{0,20}",
            options in r"(,(mtu|mac|queues|netns|persist)(=.{0,9})?){0,5}",
        ) {
            match (head + &options).parse::<PortSpec>() {
                Ok(spec) => {
                    prop_assert!(!spec.name.is_empty());
                    prop_assert_eq!(spec.to_string().parse(), Ok(spec));
                }
                Err(faults) => prop_assert!(faults.iter().next().is_some()),
            }
        }

        #[test]
        fn whatever_the_octets(text in "\\PC*") {
            let _ = text.parse::<PortSpec>();
        }
    }
}
