//! Routers: the kernel's, in a namespace of its own with veth pairs, and this project's, with TAPs.
//! The addresses are those of [`Version`]; behind each port are as many networks as the terms say,
//! by way of the port's host, which takes what comes and answers nothing but ARP and neighbour
//! solicitations.

use std::{fmt::Write, fs, io};

use netlab::{Namespace, Prefix};

use super::{
    Device, Folder, Kind, LINK, StartError, Terms, between, hosts, ours, outer, path_of, port_ends,
};
use crate::plan::{FramePlan, Version};

/// The kernel's.
pub(super) fn kernel(terms: &Terms) -> Result<Device, StartError> {
    let hosts = hosts(terms.ports)?;
    let router = between(&hosts, terms.mtu)?;
    for (name, value) in FORWARDING {
        router.set_sysctl(name, value)?;
    }
    let mut links = router.links()?;
    for (port, host) in (0..).zip(&hosts) {
        let link = outer(port.into());
        links.set_mac(&link, Version::router(port))?;
        for version in [Version::V4, Version::V6] {
            links.add_address(&link, prefix(version.leg(port), version.leg_bits())?)?;
        }
        settle(host, port, terms.mtu)?;
    }
    for (version, port, number) in routes(terms) {
        let network = prefix(version.network(port, number), version.route_bits())?;
        links.add_route(network, Some(version.host(port)), None)?;
    }
    let (ports, processes) = (port_ends(hosts), Vec::new());
    Ok(Device {
        kind: Kind::Router,
        ports,
        processes,
        polls: false,
        _between: vec![router],
        _folder: None,
    })
}

/// This project's. Its routes are in a file: a command line has no room for many.
pub(super) fn uswitch(terms: &Terms) -> Result<Device, StartError> {
    let (hosts, folder) = (hosts(terms.ports)?, Folder::new("router")?);
    let (mut words, mut specs) = (Vec::new(), Vec::new());
    for (port, host) in (0..).zip(&hosts) {
        let (path, mtu) = (path_of(host), terms.mtu);
        specs.push(format!("tap:{LINK},netns={path},mtu={mtu},name=port{port}"));
        let legs = [Version::V4, Version::V6].map(|version| {
            let bits = version.leg_bits();
            format!("{}/{bits}", version.leg(port))
        });
        let mac = Version::router(port).map(|octet| format!("{octet:02x}")).join(":");
        words.extend(["--leg".into(), format!("port{port}={},mac={mac}", legs.join(","))]);
    }
    let mut text = String::new();
    for (version, port, number) in routes(terms) {
        let (network, bits) = (version.network(port, number), version.route_bits());
        let via = version.host(port);
        writeln!(text, "[[route]]\nto = \"{network}/{bits}\"\nvia = \"{via}\"")
            .expect("a text takes what is written");
    }
    let file = folder.path().join("routes.toml");
    fs::write(&file, text)?;
    words.extend(["--config".into(), file.display().to_string()]);
    let mut own = terms.clone();
    own.uswitch_words.splice(0..0, words);
    let child = ours::run(&own, specs.into_iter())?;
    for (port, host) in (0..).zip(&hosts) {
        settle(host, port, terms.mtu)?;
    }
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Device {
        kind: Kind::UswitchRouter,
        ports,
        processes,
        polls: false,
        _between: Vec::new(),
        _folder: Some(folder),
    })
}

/// Gives a port's host its addresses.
fn settle(host: &Namespace, port: u8, mtu: u32) -> io::Result<()> {
    let mut links = host.links()?;
    links.set_mac(LINK, FramePlan::address(port, 0))?;
    links.set_mtu(LINK, mtu)?;
    links.set_up(LINK)?;
    for version in [Version::V4, Version::V6] {
        links.add_address(LINK, prefix(version.host(port), version.leg_bits())?)?;
        let all = if version == Version::V4 { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
        links.add_route(all, Some(version.leg(port)), None)?;
    }
    Ok(())
}

/// All routes: version, port, number.
fn routes(terms: &Terms) -> impl Iterator<Item = (Version, u8, usize)> {
    let (ports, routes) = (terms.ports as u8, terms.routes);
    [Version::V4, Version::V6].into_iter().flat_map(move |version| {
        (0..ports).flat_map(move |port| (0..routes).map(move |number| (version, port, number)))
    })
}

fn prefix(address: std::net::IpAddr, bits: u8) -> io::Result<Prefix> {
    Prefix::new(address, bits).ok_or_else(|| io::Error::other("a prefix is too long"))
}

/// What makes a namespace a router.
const FORWARDING: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/all/forwarding", "1"),
];
