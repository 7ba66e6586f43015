//! What a person says about where stations are, checked: an address that a station can have, a
//! port that there is or may be, no address twice.

use std::{collections::BTreeMap, fmt};

use super::{About, Faults, PortKind, PortSpec, Words, nearest};
use crate::{fdb::FDB_STATIC_MAX, frame::Mac};

/// A station that is behind a port whatever is learned: a static entry of the forwarding database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticEntry {
    /// Its address.
    pub mac: Mac,
    /// The name of the port.
    pub port: String,
}

impl StaticEntry {
    /// Reads an address that a station can have.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn read_station(text: &str) -> Result<Mac, String> {
        let mac: Mac = text
            .parse()
            .map_err(|error| format!("`{}` is no address: {error}", text.escape_debug()))?;
        if mac.is_reserved() {
            return Err(format!(
                "{mac} is reserved (IEEE 802.1Q): frames for it end here or go to all ports \
                 (`--group-forward`), and no station has it"
            ));
        }
        if mac.is_group() {
            return Err(format!(
                "{mac} is the address of a group: its frames go to all ports, and no station has \
                 it"
            ));
        }
        if mac == Mac::NULL {
            return Err(format!("{mac} is nobody's address"));
        }
        Ok(mac)
    }
}

impl fmt::Display for StaticEntry {
    /// As `bridge fdb` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} static", self.mac, self.port)
    }
}

impl PortSpec {
    /// Whether a port that comes of this spec may have this name: its own, or that of a client.
    pub fn may_be_named(&self, name: &str) -> bool {
        let listens = match &self.kind {
            PortKind::Stream(stream) => !stream.connect,
            PortKind::Vde(_) => true,
            _ => false,
        };
        if !listens {
            return self.name == name;
        }
        let number = name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|number| number.parse::<u64>().is_ok_and(|n| n.to_string() == number))
    }
}

/// Why no port of these can have this name. `None`: one can.
pub fn no_such_port<'a>(
    name: &str,
    ports: impl Iterator<Item = &'a PortSpec> + Clone,
) -> Option<String> {
    if ports.clone().any(|spec| spec.may_be_named(name)) {
        return None;
    }
    if ports.clone().any(|spec| spec.name == name) {
        return Some(format!(
            "each client of `{name}` is a port of its own: name one, as in `{name}.1`"
        ));
    }
    let shown = name.escape_debug();
    Some(match nearest(name, ports.map(|spec| spec.name.as_str())) {
        Some(near) => format!("there is no port `{shown}`; did you mean `{near}`?"),
        None => format!("there is no port `{shown}`"),
    })
}

/// All static entries, as far as they can be read.
pub(super) fn statics(words: &Words, ports: &[PortSpec], faults: &mut Faults) -> Vec<StaticEntry> {
    let (mut entries, mut seen) = (Vec::new(), BTreeMap::new());
    for (number, [mac, port]) in words.statics.iter().enumerate() {
        // Of ports that could not be read nothing is known.
        let why = no_such_port(port, ports.iter()).filter(|_| !words.unread);
        if let Some(why) = why {
            faults.push_about(About::Static(number, "port"), why);
        }
        let mac = match StaticEntry::read_station(mac) {
            Ok(mac) => mac,
            Err(why) => {
                faults.push_about(About::Static(number, "mac"), why);
                continue;
            }
        };
        let first = *seen.entry(mac).or_insert(number);
        if first != number {
            let sentence = format!("the address {mac} is given twice");
            faults.push_about(About::StaticTwice([first, number]), sentence);
        }
        entries.push(StaticEntry { mac, port: port.clone() });
    }
    if entries.len() > FDB_STATIC_MAX as usize {
        let count = entries.len();
        faults.push(format!(
            "{count} static entries are too many: there are {FDB_STATIC_MAX} at the most"
        ));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::{super::Topology, *};

    fn words(statics: &[[&str; 2]]) -> Words {
        let statics = statics.iter().map(|entry| entry.map(str::to_owned)).collect();
        let port = ["tap:tap0", "stream:/run/a.sock,name=vm"].map(str::to_owned).to_vec();
        Words { port, statics, ..Words::default() }
    }

    #[test]
    fn an_entry_names_a_station_and_a_port_that_may_be() {
        let words = words(&[
            ["02:00:00:00:00:01", "tap0"],
            ["02-0-0-0-0-2", "vm.12"],
            ["6:0:0:0:0:1", "vm.1"],
        ]);
        let topology = Topology::resolve(&words, &[0]).unwrap();
        let texts: Vec<_> = topology.statics.iter().map(ToString::to_string).collect();
        let expected = [
            "02:00:00:00:00:01 dev tap0 static",
            "02:00:00:00:00:02 dev vm.12 static",
            "06:00:00:00:00:01 dev vm.1 static",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let cases = [
            (["02:00", "tap0"], "`02:00` is no address"),
            (["01:00:5e:00:00:01", "tap0"], "the address of a group"),
            (["01:80:c2:00:00:0e", "tap0"], "is reserved"),
            (["00:00:00:00:00:00", "tap0"], "nobody's address"),
            (["02:00:00:00:00:01", "tap1"], "there is no port `tap1`; did you mean `tap0`?"),
            (["02:00:00:00:00:02", "nothing-like-it"], "there is no port `nothing-like-it`"),
            (["02:00:00:00:00:03", "vm"], "name one, as in `vm.1`"),
            (["02:00:00:00:00:04", "vm.01"], "there is no port `vm.01`"),
            (["02:00:00:00:00:01", "tap0"], "the address 02:00:00:00:00:01 is given twice"),
        ];
        let all: Vec<_> = cases.iter().map(|(entry, _)| *entry).collect();
        let faults = Topology::resolve(&words(&all), &[0]).unwrap_err();
        assert_eq!(faults.iter().count(), cases.len(), "{faults}");
        for (fault, (_, sentence)) in faults.iter().zip(cases) {
            assert!(fault.contains(sentence), "{sentence}: {fault}");
        }
        let unread = Words { unread: true, ..words(&[["02:00:00:00:00:01", "tap1"]]) };
        assert!(Topology::resolve(&unread, &[0]).is_ok(), "it may be what could not be read");
    }

    #[test]
    fn more_than_there_may_be_are_refused() {
        let macs: Vec<_> = (0..=u64::from(FDB_STATIC_MAX))
            .map(|n| Mac::from_bits(2 << 40 | n).to_string())
            .collect();
        let all: Vec<_> = macs.iter().map(|mac| [mac.as_str(), "tap0"]).collect();
        let faults = Topology::resolve(&words(&all), &[0]).unwrap_err();
        assert!(faults.to_string().contains("1025 static entries are too many"), "{faults}");
        assert!(Topology::resolve(&words(&all[1..]), &[0]).is_ok());
    }
}
