//! Legs: where the router has a foot. A leg is in a bridge and bears its name; on a command line
//! it is written
//!
//! ```text
//! --leg BRIDGE=ADDRESS/BITS[,ADDRESS/BITS]...[,OPTION=VALUE]...
//! ```
//!
//! What is said is read here, and checked as far as one leg alone can be. Whether all of them fit
//! together with the routes, the router's own tables say.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use netlab::Prefix;

use super::{
    About, AdvertiseSpec, Faults, MTU_RANGE, Part, PartOf, PortSpec, Setting, Topology,
    bridges::check_bridge,
    fields::parse_mac,
    nearest, number,
    said::{Said, address_on_link, covers, each, many, on_off, one, shown},
    spec::split,
};
use crate::frame::Mac;

/// Octets of the largest packet by a leg of which nothing is said.
pub const LEG_MTU_DEFAULT: u32 = 1500;

/// The options of a leg, on a command line and in a file.
pub const LEG: &[Setting] = &[
    many("address", "ADDRESS/BITS", "an address of the router there"),
    one("mtu", "OCTETS", "largest packet, 68 to 65521"),
    one("mac", "ADDRESS", "its MAC address"),
    one("reverse-path", "off|loose|strict", "whether sources must be reached by any leg, by it"),
    one("proxy", "on|off", "answers who asks there for addresses behind other legs"),
    one("redirects", "on|off", "tells hosts of routers on their own link that are nearer"),
];

/// A foot of the router, as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct LegSpec {
    /// Its name: that of its bridge.
    pub name: String,
    /// The router's addresses there, each with the length of its link's prefix: one at least.
    pub addresses: Vec<Prefix>,
    /// The largest packet, in octets. `None`: [`LEG_MTU_DEFAULT`].
    pub mtu: Option<u32>,
    /// Its MAC address. `None`: one is made up.
    pub mac: Option<Mac>,
    /// What is asked of the sources of packets that come in.
    pub reverse_path: ReversePath,
    /// Whether it answers for addresses behind other legs (RFC 1027).
    pub proxy: bool,
    /// Whether it tells hosts of better first hops on their own link (RFC 1812, section 5.2.7.2;
    /// RFC 4861, section 8.2). Off if nothing is said: a router must be able to, and need not.
    /// Packets arrive without, and a redirect changes the routes of whoever believes it.
    pub redirects: bool,
    /// What it tells hosts of itself (RFC 4861). `None`: nothing.
    pub advertise: Option<AdvertiseSpec>,
}

/// Whether a packet must come by the leg by which its source is reached (RFC 3704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReversePath {
    /// No matter.
    #[default]
    Off,
    /// There must be a way to the source.
    Loose,
    /// By this leg.
    Strict,
}

impl LegSpec {
    /// What these options of the leg in this bridge mean, wherever they were written.
    ///
    /// # Errors
    ///
    /// All of their faults, each about the option with its number.
    pub fn read(bridge: &str, said: &[Said]) -> Result<LegSpec, Faults> {
        let mut faults = Faults::default();
        let name = check_bridge(bridge).map_err(|fault| faults.push(fault)).unwrap_or_default();
        let mut leg = LegSpec::new(name);
        each("a leg", LEG, said, &mut faults, |name, text| leg.take(name, text));
        if !said.iter().any(|(name, _)| name == "address") {
            faults.push("it has no address, as in `br=10.0.0.1/24`");
        }
        faults.or(Some(leg))
    }

    /// One of which nothing was said.
    pub(super) fn new(name: String) -> LegSpec {
        LegSpec {
            name,
            addresses: Vec::new(),
            mtu: None,
            mac: None,
            reverse_path: ReversePath::Off,
            proxy: false,
            redirects: false,
            advertise: None,
        }
    }

    /// Takes one option.
    pub(super) fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "address" => {
                let own = address_on_link(text)?;
                if self.addresses.iter().any(|other| other.address() == own.address()) {
                    return Err(format!("the address {} is given twice", own.address()));
                }
                self.addresses.push(own);
            }
            "mtu" => self.mtu = Some(number(text, "mtu", MTU_RANGE)?),
            "mac" => self.mac = Some(parse_mac(text)?),
            "reverse-path" => self.reverse_path = text.parse()?,
            "proxy" => self.proxy = on_off(name, text)?,
            "redirects" => self.redirects = on_off(name, text)?,
            _ => unreachable!("only what a leg has"),
        }
        Ok(())
    }

    /// Its options, by which [`LegSpec::read`] gives it again; without what it advertises.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let LegSpec { name: _, addresses, mtu, mac, reverse_path, proxy, redirects, advertise: _ } =
            self;
        let addresses = addresses.iter().map(|own| ("address", own.to_string()));
        let mut options: Vec<_> = addresses.collect();
        options.extend(mtu.map(|mtu| ("mtu", mtu.to_string())));
        options.extend(mac.map(|mac| ("mac", mac.to_string())));
        if *reverse_path != ReversePath::Off {
            options.push(("reverse-path", reverse_path.to_string()));
        }
        options.extend(proxy.then(|| ("proxy", "on".to_owned())));
        options.extend(redirects.then(|| ("redirects", "on".to_owned())));
        options
    }

    /// Whether an address is on its link, so that no router is needed.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| covers(*own, address))
    }

    /// Whether the leg as it is can become the other while packets flow: what differs is the
    /// router's matter, and not that of the port by which it is in its bridge.
    pub fn can_become(&self, new: &LegSpec) -> bool {
        (&self.name, self.mtu, self.mac) == (&new.name, new.mtu, new.mac)
    }
}

impl FromStr for LegSpec {
    type Err = Faults;

    /// Reads what stands behind `--leg`.
    fn from_str(text: &str) -> Result<LegSpec, Faults> {
        let (bridge, said) = take_apart(text, "BRIDGE", "br=10.0.0.1/24")?;
        LegSpec::read(&bridge, &said)
    }
}

/// `NAME=ADDRESS,ADDRESS,OPTION=VALUE` in pieces.
pub(super) fn take_apart(
    text: &str,
    what: &str,
    example: &str,
) -> Result<(String, Vec<Said>), Faults> {
    let fields = split(text);
    let Some((name, first)) = fields[0].split_once('=') else {
        let name = shown(&fields[0]);
        return Err(Faults::from(format!(
            "`{name}` has no address: it is written {what}=ADDRESS/BITS, as in `{example}`"
        )));
    };
    let said = |(index, field): (usize, &str)| match field.split_once('=') {
        Some((name, value)) if index > 0 => (name.to_owned(), value.to_owned()),
        _ => ("address".to_owned(), field.to_owned()),
    };
    let others = fields[1..].iter().map(String::as_str);
    let said = [first].into_iter().chain(others).enumerate().map(said).collect();
    Ok((name.to_owned(), said))
}

impl fmt::Display for LegSpec {
    /// As behind `--leg`; what it advertises stands behind that in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.emit().into_iter().map(|(name, value)| match name {
            "address" => value,
            _ => format!("{name}={value}"),
        });
        write!(f, "{}={}", self.name, words.collect::<Vec<_>>().join(","))?;
        self.advertise.as_ref().map_or(Ok(()), |told| write!(f, " [advertise {told}]"))
    }
}

impl FromStr for ReversePath {
    type Err = String;

    fn from_str(text: &str) -> Result<ReversePath, String> {
        match text {
            "off" => Ok(ReversePath::Off),
            "loose" => Ok(ReversePath::Loose),
            "strict" => Ok(ReversePath::Strict),
            _ => Err(format!(
                "reverse-path `{}` is neither `off`, `loose` nor `strict`",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReversePath::Off => "off",
            ReversePath::Loose => "loose",
            ReversePath::Strict => "strict",
        })
    }
}

/// Legs or routes, each with the option that says it, if it was on a command line.
pub(super) struct Given<T> {
    pub(super) specs: Vec<T>,
    pub(super) options: Vec<Option<String>>,
}

impl<T: FromStr<Err = Faults>> Given<T> {
    /// Those that were read elsewhere, then those of the command line. `false`: not all could be
    /// read.
    pub(super) fn read(
        read: Vec<T>,
        option: &str,
        texts: &[String],
        faults: &mut Faults,
    ) -> (Given<T>, bool) {
        let options = read.iter().map(|_| None).collect();
        let (mut given, mut whole) = (Given { specs: read, options }, true);
        for text in texts {
            let option = format!("{option} `{}`", shown(text));
            match faults.note(&option, text.parse()) {
                Some(spec) => given.push(spec, Some(option)),
                None => whole = false,
            }
        }
        (given, whole)
    }
}

impl<T> Given<T> {
    pub(super) fn push(&mut self, spec: T, option: Option<String>) {
        self.specs.push(spec);
        self.options.push(option);
    }

    /// Notes a fault of the one with this number, behind the option that says it.
    pub(super) fn blame(&self, number: usize, about: About, sentence: String, faults: &mut Faults) {
        let mut found = Faults::default();
        found.push_about(about, sentence);
        match &self.options[number] {
            Some(option) => faults.note::<()>(option, Err(found)),
            None => {
                faults.append(found);
                None
            }
        };
    }
}

/// No bridge may have two.
pub(super) fn check_twice(legs: &Given<LegSpec>, faults: &mut Faults) {
    let mut bridges = BTreeMap::new();
    for (number, LegSpec { name, .. }) in legs.specs.iter().enumerate() {
        let first = *bridges.entry(name).or_insert(number);
        if first != number {
            let part = |number| Part { of: PartOf::Leg, number, option: "bridge", which: 0 };
            let about = About::Router(part(number), Some(part(first)));
            let sentence =
                format!("bridge `{name}` has a leg already: one can have all the addresses");
            legs.blame(number, about, sentence, faults);
        }
    }
}

/// What to say to who names a leg that there is not.
pub fn no_such_leg(name: &str, legs: &[LegSpec]) -> String {
    let name = shown(name);
    match nearest(&name, legs.iter().map(|leg| leg.name.as_str())) {
        Some(near) => format!("there is no leg `{name}`; did you mean `{near}`?"),
        None => format!("there is no leg `{name}`"),
    }
}

/// A sentence for each leg where nobody is.
pub(super) fn deserted(topology: &Topology) -> Vec<String> {
    let has_port =
        |leg: &&LegSpec| topology.ports.iter().any(|port: &PortSpec| port.bridge == leg.name);
    let deserted = topology.legs.iter().filter(|leg| !has_port(leg));
    deserted
        .map(|LegSpec { name, .. }| {
            format!("leg `{name}`: no port is in bridge `{name}`, so nobody is reached there")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_its_bridge_and_addresses() {
        let texts = [
            "br=10.0.0.1/24,fd00:1::1/64",
            "lan=10.0.0.1/24,mtu=9000,mac=02:00:00:00:00:01,reverse-path=strict,proxy=on,\
             redirects=on",
        ];
        for text in texts {
            let leg: LegSpec = text.parse().unwrap_or_else(|faults| panic!("{text}: {faults}"));
            assert_eq!(leg.to_string(), text);
        }
        let leg: LegSpec = "br=10.0.0.1/24,proxy=off,reverse-path=off".parse().unwrap();
        assert_eq!(leg.to_string(), "br=10.0.0.1/24");
        let late: LegSpec = "br=10.0.0.1/24,mtu=1400,fd00::1/64".parse().unwrap();
        assert_eq!(late.addresses.len(), 2);
    }

    #[test]
    fn each_fault_of_a_leg_is_a_sentence_that_helps() {
        let cases = [
            ("br", "`br` has no address: it is written BRIDGE=ADDRESS/BITS, as in"),
            ("", "`` has no address"),
            ("br=", "option `address` needs a value: address=ADDRESS/BITS"),
            ("br=10.0.0.1", "10.0.0.1 has no length: write 10.0.0.1/24"),
            ("br=10.0.0.1/33", "`33` is no length of a prefix"),
            ("br=mtu=1400", "`mtu=1400` is no address"),
            ("=10.0.0.1/24", "the bridge's name is empty"),
            ("a b=10.0.0.1/24", "the bridge's name `a b` has a ' ' in it"),
            ("br=10.0.0.1/24,10.0.0.1/16", "the address 10.0.0.1 is given twice"),
            ("br=10.0.0.1/24,", "option `address` needs a value"),
            ("br=10.0.0.1/24,mttu=1400", "there is no option `mttu`; did you mean `mtu`?"),
            ("br=10.0.0.1/24,colour=red", "there is no option `colour`; a leg has: address, mtu,"),
            ("br=10.0.0.1/24,mtu=1", "mtu 1 is out of range: 68 to 65521"),
            ("br=10.0.0.1/24,mtu=1400,mtu=1400", "option `mtu` is given twice"),
            ("br=10.0.0.1/24,mac=01:00:5e:00:00:01", "is a group address"),
            ("br=10.0.0.1/24,proxy=yes", "proxy `yes` is neither `on` nor `off`"),
            ("br=10.0.0.1/24,reverse-path=on", "reverse-path `on` is neither `off`, `loose` nor"),
        ];
        for (text, sentence) in cases {
            let faults = text.parse::<LegSpec>().expect_err(text);
            assert_eq!(faults.iter().count(), 1, "{text}: {faults}");
            assert!(faults.to_string().contains(sentence), "{text}: {faults}");
        }
        let faults = "br=10.0.0.1,x,mtu=0,proxy=7".parse::<LegSpec>().unwrap_err();
        assert_eq!(faults.iter().count(), 4, "{faults}");
    }
}
