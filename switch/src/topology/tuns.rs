//! TUNs: a device that carries packets, and the router's leg there, said in one
//!
//! ```text
//! --tun DEVICE=ADDRESS/BITS[,ADDRESS/BITS]...[,host=ADDRESS[/BITS]]...[,OPTION=VALUE]...
//! ```
//!
//! The device is a port in a bridge of its own, which has its name, and so has the leg.

use netlab::Prefix;

use super::{
    About, BRIDGE_DEFAULT, Faults, LegSpec, PortKind, PortSpec, Setting, TUN,
    bridges::check_bridge,
    legs::{Given, take_apart},
    said::{Said, address, covers, each, many, one, prefix},
};

/// The options of a TUN, on a command line and in a file.
pub const TUN_OPTIONS: &[Setting] = &[
    many("address", "ADDRESS/BITS", "an address of the router there"),
    many("host", "ADDRESS[/BITS]", "an address of this machine there"),
    one("netns", "NAME|PATH|PID", "network namespace of the device"),
    one("mtu", "OCTETS", "largest packet, 68 to 65521"),
    one("mac", "ADDRESS", "MAC address of the leg"),
    one("reverse-path", "off|loose|strict", "whether sources must be reached by any leg, by it"),
    one("queues", "N", "queues of the device, 1 to 256"),
    one("persist", "on|off", "the device stays at the end"),
];

/// A TUN, as it should be: the leg, and the port on the other side of its bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct TunLeg {
    /// The leg.
    pub leg: LegSpec,
    /// The device.
    pub port: PortSpec,
}

impl TunLeg {
    /// What these options of the TUN of this name mean, wherever they were written.
    ///
    /// # Errors
    ///
    /// All of their faults, each about the option with its number.
    pub fn read(device: &str, said: &[Said]) -> Result<TunLeg, Faults> {
        let (mut faults, mut leg) = (Faults::default(), LegSpec::new(device.to_owned()));
        each("a TUN", TUN_OPTIONS, said, &mut faults, |name, text| match name {
            // They are the device's.
            "host" | "netns" | "queues" | "persist" => Ok(()),
            _ => leg.take(name, text),
        });
        if !said.iter().any(|(name, _)| name == "address") {
            faults.push("it has no address, as in `tun0=10.9.0.1/24`");
        }
        let mut options = Vec::new();
        for (index, (name, text)) in said.iter().enumerate() {
            let option = match &**name {
                _ if text.is_empty() => continue,
                "host" => match host(text, &leg.addresses) {
                    Ok(host) => (name.clone(), host.to_string()),
                    Err(sentence) => {
                        faults.push_about(About::Said(index), sentence);
                        continue;
                    }
                },
                "mac" => ("leg".to_owned(), text.clone()),
                "netns" | "queues" | "persist" => (name.clone(), text.clone()),
                _ => continue,
            };
            options.push(option);
        }
        options.extend(leg.mtu.map(|mtu| ("mtu".to_owned(), mtu.to_string())));
        let port = PortSpec::read(&TUN, vec![device.to_owned()], &options);
        let port = port.map_err(|found| blame(&found, said, &mut faults)).ok();
        let bridge = port.as_ref().map(|_| check_bridge(device));
        let bridge = bridge.and_then(|name| name.map_err(|fault| faults.push(fault)).ok());
        let port = port.zip(bridge).map(|(port, bridge)| PortSpec { bridge, ..port });
        faults.or(port.map(|port| TunLeg { leg, port }))
    }

    /// The two of them, if that is what they are.
    pub fn of(leg: &LegSpec, port: &PortSpec) -> Option<TunLeg> {
        let is_tun = matches!(port.kind, PortKind::Tun(_)) && port.bridge == leg.name;
        is_tun.then(|| TunLeg { leg: leg.clone(), port: port.clone() })
    }

    /// Its options, by which [`TunLeg::read`] gives it again.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let mut options = self.leg.emit();
        let addresses = self.leg.addresses.len();
        let (_, _, of_port) = self.port.emit();
        // The leg has said the others.
        let is_own = |name: &str| matches!(name, "host" | "netns" | "queues" | "persist");
        let own: Vec<_> = of_port.into_iter().filter(|(name, _)| is_own(name)).collect();
        options.splice(addresses..addresses, own);
        options
    }
}

impl std::str::FromStr for TunLeg {
    type Err = Faults;

    /// Reads what stands behind `--tun`.
    fn from_str(text: &str) -> Result<TunLeg, Faults> {
        let (device, said) = take_apart(text, "DEVICE", "tun0=10.9.0.1/24,host=10.9.0.2")?;
        TunLeg::read(&device, &said)
    }
}

/// The machine's address on a TUN where the router has these: without a length, that of the
/// router's.
fn host(text: &str, own: &[Prefix]) -> Result<Prefix, String> {
    let found = prefix(text)?;
    let host = found.address();
    if own.iter().any(|own| own.address() == host) {
        return Err(format!(
            "{host} is the router's own address there: this machine needs another"
        ));
    }
    if text.contains('/') {
        return Ok(found);
    }
    let host = address(text)?;
    let link = own.iter().find(|own| covers(**own, host));
    link.and_then(|link| Prefix::new(host, link.prefix_len())).ok_or_else(|| {
        format!("host {host} is on no link of the router there: give it a length, as in {host}/24")
    })
}

/// Notes what is wrong with the device, each at the option that says it.
fn blame(found: &Faults, said: &[Said], faults: &mut Faults) {
    for (about, sentence) in found.places() {
        let name = match about {
            About::Setting(name) if name == "leg" => "mac",
            About::Setting(name) => name,
            _ => "",
        };
        let at = said.iter().position(|(other, _)| other == name);
        // The leg has told what is wrong with what both have.
        if matches!(name, "mac" | "mtu") && !faults.is_empty() {
            continue;
        }
        faults.push_about(at.map_or(About::Whole, About::Said), sentence);
    }
}

/// All TUNs of the command line, as far as they can be read: their legs join the others, and their
/// ports are given back.
pub(super) fn tuns(
    texts: &[String],
    legs: &mut Given<LegSpec>,
    whole: &mut bool,
    faults: &mut Faults,
) -> Vec<PortSpec> {
    let (tuns, all) = Given::<TunLeg>::read(Vec::new(), "--tun", texts, faults);
    *whole &= all;
    let mut ports = Vec::new();
    for (TunLeg { leg, port }, option) in tuns.specs.into_iter().zip(tuns.options) {
        legs.push(leg, option);
        ports.push(port);
    }
    ports
}

/// No other port may be in the bridge of a TUN.
pub(super) fn check(ports: &[PortSpec], faults: &mut Faults) {
    let is_tun = |port: &&PortSpec| matches!(port.kind, PortKind::Tun(_));
    for (number, port) in ports.iter().enumerate().filter(|(_, port)| !is_tun(port)) {
        let PortSpec { name, bridge, .. } = port;
        if bridge != BRIDGE_DEFAULT && ports.iter().filter(is_tun).any(|tun| tun.bridge == *bridge)
        {
            let sentence = format!(
                "port `{name}`: bridge `{bridge}` is that of a TUN, which carries packets and no \
                 frames; no port can be in it"
            );
            faults.push_about(About::Port(number, "bridge"), sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TunLeg, Faults> {
        text.parse()
    }

    #[test]
    fn a_tun_is_a_leg_and_a_port_in_a_bridge_of_their_own() {
        let cases = [
            (
                "tun0=10.9.0.1/24,host=10.9.0.2",
                "tun0=10.9.0.1/24",
                "tun:tun0,host=10.9.0.2/24,bridge=tun0",
            ),
            (
                "tun0=10.9.0.1/24,fd09::1/64,host=fd09::2,host=10.8.0.2/8,netns=h1,mtu=1400,\
                 persist=on,queues=2,mac=02:00:00:00:00:0a,reverse-path=loose",
                "tun0=10.9.0.1/24,fd09::1/64,mtu=1400,mac=02:00:00:00:00:0a,reverse-path=loose",
                "tun:tun0,host=fd09::2/64,host=10.8.0.2/8,leg=02:00:00:00:00:0a,queues=2,\
                 persist=on,netns=h1,mtu=1400,bridge=tun0",
            ),
        ];
        for (text, leg, port) in cases {
            let tun = read(text).unwrap_or_else(|faults| panic!("{text}: {faults}"));
            assert_eq!((&*tun.leg.to_string(), &*tun.port.to_string()), (leg, port));
            let said: Vec<_> =
                tun.emit().into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
            assert_eq!(TunLeg::read("tun0", &said), Ok(tun));
        }
    }

    #[test]
    fn each_fault_of_a_tun_is_a_sentence_that_helps() {
        let cases = [
            ("tun0", "`tun0` has no address: it is written DEVICE=ADDRESS/BITS, as in `tun0=10"),
            ("tun0=10.9.0.1", "10.9.0.1 has no length"),
            ("a/b=10.9.0.1/24", "the device name `a/b` has a '/' in it"),
            ("=10.9.0.1/24", "the device name is empty"),
            ("tun0=10.9.0.1/24,host=10.9.0.1", "10.9.0.1 is the router's own address there"),
            ("tun0=10.9.0.1/24,host=10.8.0.1", "host 10.8.0.1 is on no link of the router there"),
            ("tun0=10.9.0.1/24,host=x", "`x` is no address"),
            ("tun0=10.9.0.1/24,host=", "option `host` needs a value"),
            ("tun0=10.9.0.1/24,mtu=1", "mtu 1 is out of range"),
            ("tun0=10.9.0.1/24,mac=x", "mac `x`: a MAC address is six octets"),
            ("tun0=10.9.0.1/24,queues=0", "queues 0 is out of range: 1 to 256"),
            ("tun0=10.9.0.1/24,persist=yes", "persist `yes` is neither `on` nor `off`"),
            ("tun0=10.9.0.1/24,proxy=on", "there is no option `proxy`; a TUN has: address, host"),
            ("tun0=10.9.0.1/24,hots=10.9.0.2", "there is no option `hots`; did you mean `host`?"),
        ];
        for (text, sentence) in cases {
            let faults = read(text).expect_err(text);
            assert_eq!(faults.iter().count(), 1, "{text}: {faults}");
            assert!(faults.to_string().starts_with(sentence), "{text}: {faults}");
        }
    }
}
