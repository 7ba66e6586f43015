//! Loops that can be seen before a frame runs round in one: two ports on the same device, on both
//! ends of one veth pair, on a macvlan and the device that it stands on, or on two macvlans that
//! hear each other. A loop through other people's bridges cannot be seen here; its first sign is an
//! address that flaps.

use std::io;

use netlab::{Link, MacvlanMode, Namespace};

use super::{Failure, kept::Kept};

/// A port's device as it is now.
struct Device<'a> {
    port: &'a str,
    namespace: usize,
    link: Link,
}

/// The ports that would make a loop with one before them, each with a sentence.
///
/// # Errors
///
/// What the system said when it was asked for the devices.
pub(super) fn find<'a>(plugs: impl Iterator<Item = &'a Kept> + Clone) -> io::Result<Vec<Failure>> {
    // The kernel refuses a second descriptor of one TAP: without netdevs there is nothing to see.
    if !plugs.clone().any(|plug| plug.device.is_some()) {
        return Ok(Vec::new());
    }
    let mut namespaces: Vec<(Namespace, Vec<Link>)> = Vec::new();
    let mut devices: Vec<Device<'_>> = Vec::new();
    let mut failures = Vec::new();
    for plug in plugs {
        let Some(name) = plug.spec.kind.device() else { continue };
        let namespace = namespace(plug)?;
        let known = namespaces.iter().position(|(known, _)| *known == namespace);
        let number = known.unwrap_or(namespaces.len());
        if known.is_none() {
            let links = namespace.links()?.list()?;
            namespaces.push((namespace, links));
        }
        let Some(link) = namespaces[number].1.iter().find(|link| link.name == name) else {
            continue;
        };
        let device = Device { port: &plug.spec.name, namespace: number, link: link.clone() };
        for other in &devices {
            if let Some(why) = sees(&device, other, &namespaces)? {
                failures.push(Failure { name: device.port.to_owned(), why });
            }
        }
        devices.push(device);
    }
    Ok(failures)
}

/// Whether frames would run round between two devices, and why.
fn sees(
    one: &Device<'_>,
    other: &Device<'_>,
    namespaces: &[(Namespace, Vec<Link>)],
) -> io::Result<Option<String>> {
    let (name, port) = (&one.link.name, other.port);
    if (one.namespace, one.link.index) == (other.namespace, other.link.index) {
        return Ok(Some(format!(
            "`{name}` is the device of port `{port}` already: frames would run round between them"
        )));
    }
    if one.namespace == other.namespace && hear_each_other(&one.link, &other.link) {
        let beside = &other.link.name;
        return Ok(Some(format!(
            "`{name}` and `{beside}` (port `{port}`) stand on one device and hear each other: what \
             goes out by one comes in by the other; leave one of the two out, or give them \
             mode=private"
        )));
    }
    let (here, there) = (&namespaces[one.namespace].0, &namespaces[other.namespace].0);
    let stands = one.link.stands_on(here, &other.link, there)?;
    if !stands && !other.link.stands_on(there, &one.link, here)? {
        return Ok(None);
    }
    let below = &other.link.name;
    // What stands on the end of a cable is of another kind.
    let cable = [&one.link, &other.link].iter().all(|link| link.kind.as_deref() == Some("veth"));
    Ok(Some(match cable {
        true => format!(
            "`{name}` and `{below}` (port `{port}`) are the two ends of one cable: frames would \
             run round in it; give the other end to a host"
        ),
        false => format!(
            "`{name}` and `{below}` (port `{port}`) are one upon the other: what goes out by one \
             comes in by the other; leave one of the two out"
        ),
    }))
}

/// Whether two macvlans on one device deliver to each other. In mode vepa the next switch on the
/// wire may send back what it got, but does so only if it is told to.
fn hear_each_other(one: &Link, other: &Link) -> bool {
    let bridge = |link: &Link| link.macvlan == Some(MacvlanMode::Bridge);
    one.lower.is_some() && one.lower == other.lower && bridge(one) && bridge(other)
}

/// Where a plug's device is.
fn namespace(plug: &Kept) -> io::Result<Namespace> {
    match (&plug.device, plug.spec.netns.as_deref()) {
        (Some(device), _) => device.namespace(),
        (_, Some(netns)) => Namespace::open(netns),
        (_, None) => Namespace::current(),
    }
}
