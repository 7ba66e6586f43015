//! What is said of a router's parts, in the order in which it was said: names of options, each with
//! its value. A file and a command line end here alike, so that one place knows what an address is
//! and how a wrong one is told.

use std::net::IpAddr;

use netlab::Prefix;

use super::{About, Faults, Setting, nearest};

/// The name of an option and its value.
pub type Said = (String, String);

pub(super) const fn one(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: false }
}

pub(super) const fn many(name: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { name, value, about, many: true }
}

/// Gives each value that may be there to `take`, and notes what is wrong, with the number of the
/// option that it is about. `what` has these options, and no others.
pub(super) fn each(
    what: &str,
    options: &[Setting],
    said: &[Said],
    faults: &mut Faults,
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) {
    for (index, (name, text)) in said.iter().enumerate() {
        let Some(option) = options.iter().find(|option| option.name == name) else {
            let names = || options.iter().map(|option| option.name);
            let list = names().collect::<Vec<_>>().join(", ");
            faults.push_about(
                About::Name(index),
                match nearest(name, names()) {
                    Some(near) => {
                        format!("there is no option `{name}`; did you mean `{near}`?")
                    }
                    None => format!("there is no option `{name}`; {what} has: {list}"),
                },
            );
            continue;
        };
        let again = said[..index].iter().any(|(before, _)| before == name);
        let done = match (again && !option.many, text.is_empty() && !option.value.is_empty()) {
            (true, _) => Err(format!("option `{name}` is given twice")),
            (_, true) => Err(format!("option `{name}` needs a value: {name}={}", option.value)),
            _ => take(name, text),
        };
        if let Err(sentence) = done {
            faults.push_about(About::Said(index), sentence);
        }
    }
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| no_address(text, "10.0.0.1 or fd00::1"))
}

/// An address with the length of its prefix, which nobody can guess.
pub(super) fn address_on_link(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    if text.contains('/') {
        return Ok(prefix);
    }
    let (len, address) = (if prefix.address().is_ipv4() { 24 } else { 64 }, prefix.address());
    let meant = Prefix::new(address, len).map_or(prefix, |prefix| prefix);
    let alone = prefix.prefix_len();
    Err(format!(
        "{address} has no length: write {meant} if its link is {}/{len}, or {address}/{alone} if \
         nobody else is on it",
        meant.network()
    ))
}

/// A network: no bits are set behind the length. A lone address is that address.
pub(super) fn network(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    let (network, len) = (prefix.network(), prefix.prefix_len());
    if network == prefix.address() {
        return Ok(prefix);
    }
    let alone = if network.is_ipv4() { 32 } else { 128 };
    Err(format!(
        "{prefix} has bits set behind its length: write {network}/{len} for the network, or \
         {}/{alone} for this address alone",
        prefix.address()
    ))
}

/// An address, with or without a length.
pub(super) fn prefix(text: &str) -> Result<Prefix, String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let found: IpAddr =
        address.parse().map_err(|_| no_address(address, "10.0.0.1/24 or fd00::1/64"))?;
    let bits = if found.is_ipv4() { 32 } else { 128 };
    let Some(len) = len else {
        return Prefix::new(found, bits).ok_or_else(|| format!("{found} is no address"));
    };
    // `parse` would take a sign.
    let digits = !len.is_empty() && len.bytes().all(|octet| octet.is_ascii_digit());
    let number = if digits { len.parse().unwrap_or(u8::MAX) } else { u8::MAX };
    Prefix::new(found, number).ok_or_else(|| {
        format!("`{}` is no length of a prefix: 0 to {bits} may stand behind the /", shown(len))
    })
}

/// Whether the address is good on one link only (RFC 4291, section 2.5.6).
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether the address is on the link of this prefix.
pub(super) fn covers(prefix: Prefix, address: IpAddr) -> bool {
    let other = Prefix::new(address, prefix.prefix_len());
    prefix.address().is_ipv4() == address.is_ipv4()
        && other.is_some_and(|other| other.network() == prefix.network())
}

/// `on` or `off`.
pub(super) fn on_off(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{name} `{}` is neither `on` nor `off`", shown(text))),
    }
}

/// A text as it can be shown.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

fn no_address(text: &str, example: &str) -> String {
    format!("`{}` is no address, as {example} is", shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_told_with_what_was_meant() {
        let cases = [
            (address("10.0.0").unwrap_err(), "`10.0.0` is no address, as 10.0.0.1 or fd00::1 is"),
            (
                address_on_link("10.0.0.1").unwrap_err(),
                "10.0.0.1 has no length: write 10.0.0.1/24 if its link is 10.0.0.0/24, or \
                 10.0.0.1/32 if nobody else is on it",
            ),
            (
                address_on_link("fd00::1").unwrap_err(),
                "fd00::1 has no length: write fd00::1/64 if its link is fd00::/64, or \
                 fd00::1/128 if nobody else is on it",
            ),
            (
                network("10.0.0.1/24").unwrap_err(),
                "10.0.0.1/24 has bits set behind its length: write 10.0.0.0/24 for the network, \
                 or 10.0.0.1/32 for this address alone",
            ),
            (
                prefix("10.0.0.1/33").unwrap_err(),
                "`33` is no length of a prefix: 0 to 32 may stand behind the /",
            ),
            (
                prefix("::/999").unwrap_err(),
                "`999` is no length of a prefix: 0 to 128 may stand behind the /",
            ),
        ];
        for (told, expected) in cases {
            assert_eq!(told, expected);
        }
        for text in ["::/", "::/+1", "::/-1", "::/1/1", "x/8", "/8", ""] {
            assert!(prefix(text).is_err(), "{text}");
        }
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert_eq!(network("fd00::1").unwrap().to_string(), "fd00::1/128");
    }

    #[test]
    fn an_address_is_on_a_link_or_not() {
        let covers =
            |text: &str, other: &str| covers(prefix(text).unwrap(), other.parse().unwrap());
        assert!(covers("10.0.0.1/24", "10.0.0.255") && !covers("10.0.0.1/24", "10.0.1.0"));
        assert!(covers("fd00::1/64", "fd00::ffff") && !covers("fd00::1/64", "10.0.0.1"));
        assert!(covers("0.0.0.0/0", "192.0.2.1") && !covers("0.0.0.0/0", "::"));
    }
}
