//! What a leg tells the hosts on its link of itself: router advertisements (RFC 4861, section
//! 6.2.1; RFC 4191; RFC 8106). The words are those of radvd.conf(5), without its prefix `Adv`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use netlab::Prefix;

use super::{
    About, Faults, Setting, number,
    said::{Said, address, each, many, network, on_off, one, shown},
};

/// Octets of a domain name, dots included (RFC 1035, section 2.3.4).
const DOMAIN_OCTETS_MAX: usize = 253;
/// Octets of each part of it.
const LABEL_OCTETS_MAX: usize = 63;
/// Prefixes, servers or domains of one leg: what fits into one packet of 1280 octets.
const EACH_MAX: usize = 16;

/// The options of what is advertised.
pub const ADVERTISE: &[Setting] = &[
    one("interval", "SECONDS", "between two at the most, 4 to 1800"),
    one("lifetime", "SECONDS", "how long this router may be the default one; 0: it is not"),
    one("managed", "on|off", "addresses are given by DHCPv6"),
    one("other", "on|off", "other things are told by DHCPv6"),
    one("mtu", "OCTETS", "the link's MTU, 1280 to 65521"),
    one("hop-limit", "N", "the hop limit of hosts, 0 to 255; 0: theirs"),
    one("preference", "low|medium|high", "beside other routers"),
    many("prefix", "PREFIX", "a network on the link"),
    many("valid", "SECONDS", "how long"),
    many("preferred", "SECONDS", "how long for new connections"),
    many("autonomous", "on|off", "hosts may make addresses of it"),
    many("on-link", "on|off", "its addresses are on the link"),
    many("rdnss", "ADDRESS", "a name server"),
    many("dnssl", "DOMAIN", "where names are looked for"),
];

/// What is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertiseSpec {
    /// Seconds between two at the most.
    pub interval: u32,
    /// Seconds for which this may be a default router; 0: it is none.
    pub lifetime: u32,
    /// Whether addresses are given by DHCPv6.
    pub managed: bool,
    /// Whether other things are told by DHCPv6.
    pub other: bool,
    /// The link's MTU, if it is told.
    pub mtu: Option<u32>,
    /// The hop limit of hosts; 0: it is not told.
    pub hop_limit: u8,
    /// Beside other routers.
    pub preference: Preference,
    /// Networks on the link. None: those of the leg.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// Name servers.
    pub rdnss: Vec<Ipv6Addr>,
    /// Domains where names are looked for.
    pub dnssl: Vec<String>,
}

impl Default for AdvertiseSpec {
    /// RFC 4861, section 6.2.1.
    fn default() -> AdvertiseSpec {
        AdvertiseSpec {
            interval: 600,
            lifetime: 1800,
            managed: false,
            other: false,
            mtu: None,
            hop_limit: 64,
            preference: Preference::Medium,
            prefixes: Vec::new(),
            rdnss: Vec::new(),
            dnssl: Vec::new(),
        }
    }
}

/// A network that is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedPrefix {
    /// It.
    pub prefix: Prefix,
    /// Seconds for which it is good.
    pub valid: u32,
    /// Seconds for which it is good for new connections.
    pub preferred: u32,
    /// Whether hosts may make addresses of it.
    pub autonomous: bool,
    /// Whether its addresses are on the link.
    pub on_link: bool,
}

impl AdvertisedPrefix {
    /// This network, all else as usual: 30 days and 7 (RFC 4861, section 6.2.1).
    pub fn new(prefix: Prefix) -> AdvertisedPrefix {
        AdvertisedPrefix {
            prefix,
            valid: 2_592_000,
            preferred: 604_800,
            autonomous: true,
            on_link: true,
        }
    }
}

/// Which of several routers is taken (RFC 4191, section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Another one.
    Low,
    /// Any.
    #[default]
    Medium,
    /// This one.
    High,
}

impl AdvertiseSpec {
    /// What these options mean. Those of a prefix stand behind it.
    ///
    /// # Errors
    ///
    /// All of their faults, each about the option with its number.
    pub fn read(said: &[Said]) -> Result<AdvertiseSpec, Faults> {
        let (mut faults, mut spec) = (Faults::default(), AdvertiseSpec::default());
        let what = "what is advertised";
        each(what, ADVERTISE, said, &mut faults, |name, text| spec.take(name, text));
        let at = |name: &str| said.iter().position(|(other, _)| other == name);
        let AdvertiseSpec { interval, preference, .. } = spec;
        match at("lifetime") {
            // Who stays silent for longer than that would be forgotten (section 6.2.1).
            Some(at) if spec.lifetime > 0 && spec.lifetime < interval => {
                let sentence = format!(
                    "lifetime {} is less than the interval, {interval}: a router would be \
                     forgotten between two",
                    spec.lifetime
                );
                faults.push_about(About::Said(at), sentence);
            }
            Some(_) => {}
            None => spec.lifetime = interval * 3,
        }
        if spec.lifetime == 0 && preference != Preference::Medium {
            let about = at("preference").map_or(About::Whole, About::Said);
            faults.push_about(about, "what is no default router (lifetime 0) has no preference");
        }
        let numbers = said.iter().enumerate().filter(|(_, (name, _))| name == "prefix");
        for ((index, _), prefix) in numbers.zip(&spec.prefixes) {
            if let Some(sentence) = prefix.fault() {
                faults.push_about(About::Said(index), sentence);
            }
        }
        let most = spec.prefixes.len().max(spec.rdnss.len()).max(spec.dnssl.len());
        if most > EACH_MAX {
            faults.push(format!(
                "{most} of one kind are too many: {EACH_MAX} fit into an advertisement"
            ));
        }
        faults.or(Some(spec))
    }

    fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "interval" => self.interval = number(text, name, 4..=1800)?,
            "lifetime" => self.lifetime = number(text, name, 0..=9000)?,
            "managed" => self.managed = on_off(name, text)?,
            "other" => self.other = on_off(name, text)?,
            "mtu" => self.mtu = Some(number(text, name, 1280..=65_521)?),
            "hop-limit" => self.hop_limit = number(text, name, 0..=u8::MAX)?,
            "preference" => self.preference = preference(text)?,
            "prefix" => {
                let prefix = network(text);
                // What is behind a wrong one is still its own.
                self.prefixes.push(AdvertisedPrefix::new(*prefix.as_ref().unwrap_or(&NO_PREFIX)));
                if prefix?.address().is_ipv4() {
                    return Err(format!("{text} is of IPv4: only IPv6 is advertised"));
                }
            }
            "rdnss" => match address(text)? {
                IpAddr::V6(server) => self.rdnss.push(server),
                IpAddr::V4(server) => {
                    return Err(format!("{server} is of IPv4: DHCP tells those"));
                }
            },
            "dnssl" => self.dnssl.push(domain(text)?),
            _ => {
                let last = self.prefixes.last_mut();
                let prefix = last.ok_or_else(|| format!("{name} belongs to a prefix"))?;
                match name {
                    "valid" => prefix.valid = number(text, name, 0..=u32::MAX)?,
                    "preferred" => prefix.preferred = number(text, name, 0..=u32::MAX)?,
                    "autonomous" => prefix.autonomous = on_off(name, text)?,
                    _ => prefix.on_link = on_off(name, text)?,
                }
            }
        }
        Ok(())
    }

    /// Its options, by which [`AdvertiseSpec::read`] gives it again, without those of prefixes;
    /// what is as usual is left out.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let usual = AdvertiseSpec::default();
        let on = |on: bool| (if on { "on" } else { "off" }).to_owned();
        let options = [
            ("interval", self.interval.to_string(), self.interval != usual.interval),
            ("lifetime", self.lifetime.to_string(), self.lifetime != self.interval * 3),
            ("managed", on(self.managed), self.managed),
            ("other", on(self.other), self.other),
            ("mtu", self.mtu.unwrap_or_default().to_string(), self.mtu.is_some()),
            ("hop-limit", self.hop_limit.to_string(), self.hop_limit != usual.hop_limit),
            ("preference", self.preference.to_string(), self.preference != usual.preference),
        ];
        let said = options.into_iter().filter(|(.., said)| *said);
        let mut options: Vec<_> = said.map(|(name, text, _)| (name, text)).collect();
        options.extend(self.rdnss.iter().map(|server| ("rdnss", server.to_string())));
        options.extend(self.dnssl.iter().map(|domain| ("dnssl", domain.clone())));
        options
    }
}

/// Stands for one that could not be read.
const NO_PREFIX: Prefix = Prefix::ALL_V6;

impl AdvertisedPrefix {
    fn fault(&self) -> Option<String> {
        let AdvertisedPrefix { prefix, valid, preferred, autonomous, .. } = self;
        if *prefix == NO_PREFIX || prefix.address().is_ipv4() {
            return None;
        }
        if preferred > valid {
            // RFC 4861, section 6.2.1.
            return Some(format!(
                "{prefix} is preferred for longer ({preferred} s) than it is valid ({valid} s)"
            ));
        }
        // The other half is the host's (RFC 4291, section 2.5.1; RFC 4862, section 5.5.3).
        (*autonomous && prefix.prefix_len() != 64).then(|| {
            format!(
                "hosts make addresses of 64 bits and their own 64: {prefix} is no /64, so say \
                     autonomous off"
            )
        })
    }

    /// The options behind it; what is as usual is left out.
    pub fn emit(&self) -> Vec<(&'static str, String)> {
        let usual = AdvertisedPrefix::new(self.prefix);
        let mut options = Vec::new();
        let mut option =
            |name, text: String, said: bool| options.extend(said.then_some((name, text)));
        option("valid", self.valid.to_string(), self.valid != usual.valid);
        option("preferred", self.preferred.to_string(), self.preferred != usual.preferred);
        option("autonomous", "off".to_owned(), !self.autonomous);
        option("on-link", "off".to_owned(), !self.on_link);
        options
    }
}

fn preference(text: &str) -> Result<Preference, String> {
    match text {
        "low" => Ok(Preference::Low),
        "medium" => Ok(Preference::Medium),
        "high" => Ok(Preference::High),
        _ => Err(format!("preference `{}` is neither `low`, `medium` nor `high`", shown(text))),
    }
}

/// A domain as names are made of (RFC 1035, section 2.3.1).
fn domain(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=LABEL_OCTETS_MAX).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    if text.len() <= DOMAIN_OCTETS_MAX && text.split('.').all(is_label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("`{}` is no domain, as `lab.example` is", shown(text)))
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preference::Low => "low",
            Preference::Medium => "medium",
            Preference::High => "high",
        })
    }
}

impl fmt::Display for AdvertiseSpec {
    /// Its options, with commas between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.prefixes.iter().flat_map(|prefix| {
            [("prefix", prefix.prefix.to_string())].into_iter().chain(prefix.emit())
        });
        let options = self.emit().into_iter().chain(prefixes);
        let options = options.map(|(name, text)| format!("{name}={text}"));
        f.write_str(&options.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AdvertiseSpec, Faults> {
        let said = text.split(',').filter(|field| !field.is_empty()).map(|field| {
            let (name, text) = field.split_once('=').unwrap_or((field, ""));
            (name.to_owned(), text.to_owned())
        });
        AdvertiseSpec::read(&said.collect::<Vec<_>>())
    }

    #[test]
    fn every_option_arrives_and_comes_back() {
        let texts = [
            "",
            "interval=4,lifetime=0,managed=on,other=on,mtu=1400,hop-limit=0,rdnss=fd00::1,\
             rdnss=fd00::2,dnssl=lab.example,prefix=fd00::/64,valid=7,preferred=6,autonomous=off,\
             on-link=off,prefix=fd01::/64",
            "interval=100,preference=high",
            "lifetime=9000,preference=low",
        ];
        for text in texts {
            let spec = read(text).unwrap_or_else(|faults| panic!("{text}: {faults}"));
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!(read("interval=100").unwrap().lifetime, 300);
        assert_eq!(read("").unwrap(), AdvertiseSpec::default());
    }

    #[test]
    fn each_fault_is_a_sentence_that_helps() {
        let cases = [
            ("interval=3", "interval 3 is out of range: 4 to 1800"),
            ("lifetime=100", "lifetime 100 is less than the interval, 600"),
            ("lifetime=9001", "lifetime 9001 is out of range: 0 to 9000"),
            ("lifetime=0,preference=high", "what is no default router (lifetime 0) has no"),
            ("preference=none", "preference `none` is neither `low`, `medium` nor `high`"),
            ("mtu=1279", "mtu 1279 is out of range: 1280 to 65521"),
            ("managed=yes", "managed `yes` is neither `on` nor `off`"),
            ("prefix=fd00::1/64", "fd00::1/64 has bits set behind its length: write fd00::/64"),
            ("prefix=10.0.0.0/24", "10.0.0.0/24 is of IPv4: only IPv6 is advertised"),
            ("prefix=fd00::/48", "hosts make addresses of 64 bits and their own 64: fd00::/48"),
            ("prefix=fd00::/64,valid=1", "fd00::/64 is preferred for longer (604800 s) than it"),
            ("valid=1", "valid belongs to a prefix"),
            ("rdnss=10.0.0.1", "10.0.0.1 is of IPv4: DHCP tells those"),
            ("dnssl=a..b", "`a..b` is no domain, as `lab.example` is"),
            ("dnsl=a", "there is no option `dnsl`; did you mean `dnssl`?"),
        ];
        for (text, sentence) in cases {
            let faults = read(text).expect_err(text);
            assert_eq!(faults.iter().count(), 1, "{text}: {faults}");
            assert!(faults.to_string().starts_with(sentence), "{text}: {faults}");
        }
    }
}
