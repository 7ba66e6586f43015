//! The words and options of one port while they are read: each is taken out by its name, and what
//! is wrong with it is noted where it stands.

use std::collections::HashMap;

use super::{About, Faults, nearest};
use crate::frame::Mac;

/// Octets of a device's name (linux/if.h: `IFNAMSIZ` less the closing zero).
pub const DEVICE_NAME_MAX: usize = 15;

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

/// The words and options of one spec that are known; what is wrong with the others.
pub(super) struct Fields<'a> {
    pub(super) words: Vec<String>,
    pub(super) values: HashMap<&'static str, Vec<String>>,
    pub(super) faults: &'a mut Faults,
}

impl Fields<'_> {
    /// Files one `OPTION=VALUE`.
    pub(super) fn take(&mut self, kind: &str, known: &[&'static Setting], name: &str, value: &str) {
        let about = About::Setting(name.to_owned());
        let known = || known.iter();
        let Some(setting) = known().find(|setting| setting.name == name) else {
            let list = known().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
            let near = nearest(name, known().map(|setting| setting.name));
            let sentence = match near {
                Some(near) => format!("there is no option `{name}`; did you mean `{near}`?"),
                None => format!("there is no option `{name}`; a {kind} has: {list}"),
            };
            return self.faults.push_about(about, sentence);
        };
        if value.is_empty() {
            let form = setting.value;
            let sentence = format!("option `{name}` needs a value: {name}={form}");
            return self.faults.push_about(about, sentence);
        }
        let values = self.values.entry(setting.name).or_default();
        values.push(value.to_owned());
        if values.len() > 1 && !setting.many {
            self.faults.push_about(about, format!("option `{name}` is given twice"));
        }
    }

    /// The word with this number, parsed; what is wrong, and is there, becomes a fault.
    pub(super) fn word<T>(
        &mut self,
        index: usize,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let word = self.words.get(index)?;
        parse(word).map_err(|fault| self.faults.push_about(About::Word(index), fault)).ok()
    }

    /// Parses the option of this name if it was given; what is wrong becomes a fault.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.values.get(name)?.last()?;
        let about = || About::Setting(name.to_owned());
        parse(value).map_err(|fault| self.faults.push_about(about(), fault)).ok()
    }

    /// Parses every value of an option that may be given more than once.
    pub(super) fn parse_all<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let values = self.values.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut parsed = Vec::new();
        for value in values {
            match parse(value) {
                Ok(value) => parsed.push(value),
                Err(fault) => self.faults.push_about(About::Setting(name.to_owned()), fault),
            }
        }
        parsed
    }

    /// An option as it was written.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.parse(name, |text| Ok(text.to_owned()))
    }

    /// `on` or `off`.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.parse(name, |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("{name} `{text}` is neither `on` nor `off`")),
        })
    }

    /// Whether an option was given, be it well or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// An option without which this kind of port cannot be.
    pub(super) fn require<T>(&mut self, value: Option<T>, name: &str, why: &str) -> Option<T> {
        if value.is_none() && !self.has(name) {
            self.faults.push(format!("option `{name}` is missing: {why}"));
        }
        value
    }
}

/// A device's name as the kernel takes it (net/core/dev.c, `dev_valid_name`), and as a terminal
/// can show it.
pub(super) fn check_device(name: &str) -> Result<String, String> {
    if matches!(name, "." | "..") {
        return Err(format!("`{name}` cannot be a device's name"));
    }
    // The kernel reads a `%` as an order to number devices.
    check_name(name, "device name", DEVICE_NAME_MAX, &['/', ':', '%'])
}

/// A name of so many octets at the most, without white space and what is bad in it.
pub(super) fn check_name(
    name: &str,
    what: &str,
    len_max: usize,
    bad: &[char],
) -> Result<String, String> {
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

/// The address of one station.
pub(super) fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text.parse().map_err(|error| format!("mac `{text}`: {error}"))?;
    if mac.is_group() {
        return Err(format!("mac {mac} is a group address: the first octet must be even"));
    }
    if mac == Mac::NULL {
        return Err(format!("mac {mac} is nobody's address"));
    }
    Ok(mac)
}
