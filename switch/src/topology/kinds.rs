//! The kinds of port: one row each in [`KINDS`], one variant of [`PortKind`], and one function
//! that turns the words and options of a spec into it. Help, manual page and `uswitch port kinds`
//! are made from the same rows.

use std::ops::RangeInclusive;

use netlab::Prefix;

use super::{
    number,
    spec::{Fields, check_device, parse_mac},
};
use crate::frame::Mac;

/// Queues that one TAP can have (drivers/net/tun.c, `MAX_TAP_QUEUES`).
pub const QUEUES_RANGE: RangeInclusive<u16> = 1..=256;

/// Kinds of port: the first is meant when a spec names none.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tap",
        words: &["DEVICE"],
        about: "a TAP, made and removed if it is not there",
        example: "tap:tap0,netns=h1,mtu=9000",
        options: &[
            setting("mac", "ADDRESS", "MAC address of the host's end"),
            setting("queues", "N", "queues of the device, 1 to 256"),
            setting("persist", "on|off", "the device stays at the end"),
        ],
        parse: tap,
    },
    Kind {
        name: "host",
        words: &["DEVICE"],
        about: "this machine itself, by a TAP of ours with addresses",
        example: "host:lan0,addr=10.0.0.1/24,addr=fd00::1/64",
        options: &[
            many("addr", "ADDRESS/BITS", "an address of the machine there; as many as you like"),
            setting("mac", "ADDRESS", "MAC address of the machine there"),
        ],
        parse: host,
    },
];

/// Options that every kind of port has.
pub const COMMON: &[Setting] = &[
    setting("netns", "NAME|PATH|PID", "network namespace of the device or socket"),
    setting("mtu", "OCTETS", "largest payload, 68 to 65521; a device's MTU is set to it"),
    setting("name", "NAME", "name in tables, if not the device's"),
    setting("quota", "N", "addresses learned behind it, at most"),
];

/// One kind of port: a row of [`KINDS`].
#[derive(Debug)]
pub struct Kind {
    /// The word before the colon.
    pub name: &'static str,
    /// What stands behind the colon, separated by commas; if nothing, options do.
    pub words: &'static [&'static str],
    /// What it is, in a few words.
    pub about: &'static str,
    /// A spec that could be typed.
    pub example: &'static str,
    /// Its options, besides [`COMMON`].
    pub options: &'static [Setting],
    pub(super) parse: fn(&mut Fields<'_>) -> Option<PortKind>,
}

impl Kind {
    /// How it is written, without options.
    pub fn form(&self) -> String {
        format!("{}:{}", self.name, self.words.join(","))
    }
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
    /// Whether it may be given more than once.
    pub many: bool,
}

const fn setting(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: false }
}

const fn many(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: true }
}

/// What a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A TAP.
    Tap(TapSpec),
    /// The machine itself.
    Host(HostSpec),
}

impl PortKind {
    /// What a port of this kind is called, unless somebody gives it a name.
    pub fn name(&self) -> String {
        match self {
            PortKind::Tap(TapSpec { device, .. }) | PortKind::Host(HostSpec { device, .. }) => {
                device.clone()
            }
        }
    }

    /// The network device that it is, or has.
    pub fn device(&self) -> Option<&str> {
        match self {
            PortKind::Tap(TapSpec { device, .. }) | PortKind::Host(HostSpec { device, .. }) => {
                Some(device)
            }
        }
    }

    /// How many receiving halves it has.
    pub fn queues(&self) -> usize {
        match self {
            PortKind::Tap(tap) => usize::from(tap.queues),
            PortKind::Host(_) => 1,
        }
    }
}

/// A TAP as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapSpec {
    /// The device's name.
    pub device: String,
    /// The address of the host's end. `None`: as the device has it.
    pub mac: Option<Mac>,
    /// How many queues.
    pub queues: u16,
    /// Whether the device stays at the end, if it was not there before (then it always does).
    /// `None`: as is said for all ports.
    pub persist: Option<bool>,
}

fn tap(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let mac = fields.parse("mac", parse_mac);
    let queues = fields.parse("queues", |text| number(text, "queues", QUEUES_RANGE)).unwrap_or(1);
    let persist = fields.switch("persist");
    Some(PortKind::Tap(TapSpec { device: device?, mac, queues, persist }))
}

/// The machine's own place on the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    /// The name of the TAP by which the machine is reached.
    pub device: String,
    /// Its addresses there.
    pub addresses: Vec<Prefix>,
    /// Its MAC address there. `None`: as the device has it.
    pub mac: Option<Mac>,
}

fn host(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let addresses = fields.parse_all("addr", |text| {
        text.parse::<Prefix>().map_err(|error| format!("addr `{text}`: {error}"))
    });
    let mac = fields.parse("mac", parse_mac);
    Some(PortKind::Host(HostSpec { device: device?, addresses, mac }))
}
