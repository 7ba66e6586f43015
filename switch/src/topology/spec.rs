//! One port as a person writes it, in the manner of QEMU's comma options:
//!
//! ```text
//! [KIND:]WHAT[,OPTION=VALUE]...        tap0        tap:tap0,netns=h1,mtu=9000,queues=2
//! ```
//!
//! and a comma inside a value is written twice. A further kind of port is one row more in
//! [`KINDS`], one variant more in [`PortKind`] and one function that turns its fields into it.

use std::{collections::HashMap, ops::RangeInclusive, str::FromStr};

use super::{Faults, nearest, number};
use crate::frame::Mac;

/// The MTU that a TAP can have: IPv4's least (RFC 791), and what fits into the kernel's frame of
/// 65,535 octets behind the Ethernet header (drivers/net/tun.c, `tun_net_init`).
pub const MTU_RANGE: RangeInclusive<u32> = 68..=65_521;

/// Queues that one TAP can have (drivers/net/tun.c, `MAX_TAP_QUEUES`).
pub const QUEUES_RANGE: RangeInclusive<u16> = 1..=256;

/// Octets of a device's name (linux/if.h: `IFNAMSIZ` less the closing zero).
pub const DEVICE_NAME_MAX: usize = 15;

/// Octets of a port's own name.
pub const PORT_NAME_MAX: usize = 63;

/// Kinds of port: the first is meant when a spec names none.
pub const KINDS: &[Kind] = &[Kind {
    name: "tap",
    what: "DEVICE",
    about: "a TAP, made and removed if it is not there",
    options: &[
        Setting { name: "netns", value: "NAME|PATH|PID", about: "network namespace of the device" },
        Setting { name: "mtu", value: "OCTETS", about: "MTU of the device, 68 to 65521" },
        Setting { name: "mac", value: "ADDRESS", about: "MAC address of the host's end" },
        Setting { name: "queues", value: "N", about: "queues of the device, 1 to 256" },
        Setting { name: "persist", value: "on|off", about: "the device stays at the end" },
    ],
    parse: parse_tap,
}];

/// Options that every kind of port has.
pub const COMMON: &[Setting] = &[
    Setting { name: "name", value: "NAME", about: "name in tables, if not the device's" },
    Setting { name: "quota", value: "N", about: "addresses learned behind it, at most" },
];

/// One kind of port: a row of [`KINDS`].
#[derive(Debug)]
pub struct Kind {
    /// The word before the colon.
    pub name: &'static str,
    /// What stands behind the colon.
    pub what: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Its options, besides [`COMMON`].
    pub options: &'static [Setting],
    parse: fn(&str, &mut Fields<'_>) -> Option<PortKind>,
}

/// One option of a port spec.
#[derive(Debug)]
pub struct Setting {
    /// The word before the equals sign.
    pub name: &'static str,
    /// What stands behind it.
    pub value: &'static str,
    /// What it sets, in a few words.
    pub about: &'static str,
}

/// One port as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Its name in tables and events: the device's, unless said otherwise.
    pub name: String,
    /// How many addresses may be learned behind it. `None`: as many as behind any port.
    pub quota: Option<u32>,
    /// What it is.
    pub kind: PortKind,
}

/// What a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A TAP.
    Tap(TapSpec),
}

/// A TAP as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapSpec {
    /// The device's name.
    pub device: String,
    /// The network namespace of the device: a name, a path or the number of a process. `None`:
    /// our own.
    pub netns: Option<String>,
    /// The MTU. `None`: as the device has it.
    pub mtu: Option<u32>,
    /// The address of the host's end. `None`: as the device has it.
    pub mac: Option<Mac>,
    /// How many queues.
    pub queues: u16,
    /// Whether the device stays at the end, if it was not there before (then it always does).
    /// `None`: as is said for all ports.
    pub persist: Option<bool>,
}

impl FromStr for PortSpec {
    type Err = Faults;

    /// Reads `[KIND:]WHAT[,OPTION=VALUE]...` and tells all of its faults at once.
    fn from_str(text: &str) -> Result<PortSpec, Faults> {
        let mut texts = split(text).into_iter();
        let head = texts.next().unwrap_or_default();
        let (kind, what) = match head.split_once(':') {
            None => (Some(&KINDS[0]), head.as_str()),
            Some((name, what)) => (KINDS.iter().find(|kind| kind.name == name), what),
        };
        let mut faults = Faults::default();
        let Some(kind) = kind else {
            let name = head.split(':').next().unwrap_or_default();
            let names = || KINDS.iter().map(|kind| kind.name);
            let list = names().collect::<Vec<_>>().join(", ");
            faults.push(match nearest(name, names()) {
                Some(near) => format!("there is no kind of port `{name}`; did you mean `{near}`?"),
                None => format!("there is no kind of port `{name}`; there are: {list}"),
            });
            return Err(faults);
        };
        let mut fields = Fields { values: HashMap::new(), faults: &mut faults };
        texts.for_each(|text| fields.take(kind, &text));
        let port = (kind.parse)(what, &mut fields);
        let name = fields.parse("name", |name| check_name(name, "name", PORT_NAME_MAX, &[]));
        let quota = fields.parse("quota", |text| number(text, "quota", 1..=u32::MAX));
        faults.or(port.map(|kind| {
            let PortKind::Tap(tap) = &kind;
            PortSpec { name: name.unwrap_or_else(|| tap.device.clone()), quota, kind }
        }))
    }
}

/// The options of one spec that are known, each once; what is wrong with the others.
struct Fields<'a> {
    values: HashMap<&'static str, String>,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    /// Files one `OPTION=VALUE`.
    fn take(&mut self, kind: &Kind, text: &str) {
        if text.is_empty() {
            return self.faults.push("an option is empty: there is a comma too many");
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let known = || kind.options.iter().chain(COMMON);
        let Some(setting) = known().find(|setting| setting.name == name) else {
            let list = known().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
            let near = nearest(name, known().map(|setting| setting.name));
            return self.faults.push(match near {
                Some(near) => format!("there is no option `{name}`; did you mean `{near}`?"),
                None => format!("there is no option `{name}`; a {} has: {list}", kind.name),
            });
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            let Setting { name, value, .. } = setting;
            return self.faults.push(format!("option `{name}` needs a value: {name}={value}"));
        };
        if self.values.insert(setting.name, value.to_owned()).is_some() {
            self.faults.push(format!("option `{name}` is given twice"));
        }
    }

    /// Parses the option of this name if it was given; what is wrong becomes a fault.
    fn parse<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.values.get(name)?;
        parse(value).map_err(|fault| self.faults.push(fault)).ok()
    }
}

fn parse_tap(device: &str, fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = check_device(device).map_err(|fault| fields.faults.push(fault)).ok();
    let netns = fields.parse("netns", |text| Ok(text.to_owned()));
    let mtu = fields.parse("mtu", |text| number(text, "mtu", MTU_RANGE));
    let mac = fields.parse("mac", parse_mac);
    let queues = fields.parse("queues", |text| number(text, "queues", QUEUES_RANGE)).unwrap_or(1);
    let persist = fields.parse("persist", |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("persist `{text}` is neither `on` nor `off`")),
    });
    Some(PortKind::Tap(TapSpec { device: device?, netns, mtu, mac, queues, persist }))
}

/// Takes a text apart at its commas; of two in a row one is part of the value, as in QEMU.
fn split(text: &str) -> Vec<String> {
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

/// A device's name as the kernel takes it (net/core/dev.c, `dev_valid_name`), and as a terminal
/// can show it.
fn check_device(name: &str) -> Result<String, String> {
    if matches!(name, "." | "..") {
        return Err(format!("`{name}` cannot be a device's name"));
    }
    // The kernel reads a `%` as an order to number devices.
    check_name(name, "device name", DEVICE_NAME_MAX, &['/', ':', '%'])
}

fn check_name(name: &str, what: &str, len_max: usize, bad: &[char]) -> Result<String, String> {
    if name.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if let Some(c) = name.chars().find(|c| c.is_whitespace() || c.is_control() || bad.contains(c)) {
        return Err(format!("the {what} `{}` has a {c:?} in it", name.escape_debug()));
    }
    if name.len() > len_max {
        let len = name.len();
        return Err(format!("the {what} `{name}` has {len} octets; at most {len_max} may be"));
    }
    Ok(name.to_owned())
}

fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text.parse().map_err(|error| format!("mac `{text}`: {error}"))?;
    if mac.is_group() {
        return Err(format!("mac {mac} is a group address: the first octet must be even"));
    }
    if mac == Mac::NULL {
        return Err(format!("mac {mac} is nobody's address"));
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn tap(text: &str) -> (PortSpec, TapSpec) {
        let spec: PortSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
        let PortKind::Tap(tap) = spec.kind.clone();
        (spec, tap)
    }

    #[test]
    fn a_bare_name_is_a_tap() {
        for text in ["tap0", "tap:tap0"] {
            let (spec, tap) = tap(text);
            assert_eq!((&*spec.name, spec.quota), ("tap0", None));
            let TapSpec { device, netns, mtu, mac, queues, persist } = tap;
            assert_eq!(
                (&*device, netns, mtu, mac, queues, persist),
                ("tap0", None, None, None, 1, None)
            );
        }
    }

    #[test]
    fn every_option_arrives() {
        let (spec, tap) = tap("tap:t,netns=/run/netns/a,,b=c,mtu=9000,mac=02-00-00-00-00-0A,\
                               queues=256,persist=on,name=uplink-1,quota=7");
        assert_eq!((&*spec.name, spec.quota), ("uplink-1", Some(7)));
        assert_eq!(tap.netns.as_deref(), Some("/run/netns/a,b=c"));
        assert_eq!((tap.mtu, tap.queues, tap.persist), (Some(9000), 256, Some(true)));
        assert_eq!(tap.mac, Some(Mac::new([2, 0, 0, 0, 0, 10])));
    }

    #[test]
    fn each_fault_is_a_sentence_that_helps() {
        let cases = [
            ("", "the device name is empty"),
            ("tap:", "the device name is empty"),
            ("a b", "the device name `a b` has a ' ' in it"),
            ("a/b", "the device name `a/b` has a '/' in it"),
            ("tap:a:b", "the device name `a:b` has a ':' in it"),
            ("tap%d", "the device name `tap%d` has a '%' in it"),
            ("a\u{1b}[1m", "the device name `a\\u{1b}[1m` has a '\\u{1b}' in it"),
            ("..", "`..` cannot be a device's name"),
            (
                "sixteen-octets-x",
                "the device name `sixteen-octets-x` has 16 octets; at most 15 may be",
            ),
            ("äääääääö", "the device name `äääääääö` has 16 octets; at most 15 may be"),
            ("tap1:x", "there is no kind of port `tap1`; did you mean `tap`?"),
            ("vhost-user:x", "there is no kind of port `vhost-user`; there are: tap"),
            ("t,", "an option is empty: there is a comma too many"),
            ("t,mtu", "option `mtu` needs a value: mtu=OCTETS"),
            ("t,persist=", "option `persist` needs a value: persist=on|off"),
            ("t,qeues=2", "there is no option `qeues`; did you mean `queues`?"),
            (
                "t,=2",
                "there is no option ``; a tap has: netns, mtu, mac, queues, persist, name, quota",
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
        ];
        for (text, sentence) in cases {
            let faults = text.parse::<PortSpec>().expect_err(text);
            assert_eq!(faults.iter().collect::<Vec<_>>(), [sentence], "{text}");
        }
    }

    #[test]
    fn all_faults_of_a_spec_are_told_at_once() {
        let faults = "a/b,colour=red,mtu=1,queues=x,quota=0,".parse::<PortSpec>().unwrap_err();
        assert_eq!(faults.iter().count(), 6, "{faults}");
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
                Ok(spec) => prop_assert!(!spec.name.is_empty()),
                Err(faults) => prop_assert!(faults.iter().next().is_some()),
            }
        }

        #[test]
        fn whatever_the_octets(text in "\\PC*") {
            let _ = text.parse::<PortSpec>();
        }
    }
}
