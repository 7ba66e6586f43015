//! Two routers in a row, each a program of its own, joined by a pair of sockets. What people ask a
//! network with, traceroute and tracepath, has to find both and the smallest MTU on the way.

use std::process::Command;

use netlab::Namespace;
use uswitch_tests::{privileged, running::Program};

use crate::machine::{Machine, ping, transfer_stream};

/// The largest packets of the three links: each router makes it smaller.
const MTUS: [u16; 3] = [1500, 1400, 1300];

/// A host, the first router, the second, another host.
struct Chain {
    machine: Machine,
    routers: [Program; 2],
    near: Namespace,
    far: Namespace,
}

impl Chain {
    fn new() -> Chain {
        let machine = Machine::new();
        // Of datagrams that wait in a socket there may be as many as frames in a TAP.
        machine.namespace.set_sysctl("net/unix/max_dgram_qlen", "512").unwrap();
        let legs = |near: u8, own: u8, far: u8| {
            let leg = |name: &str, net: u8, number: u8| {
                let mtu = MTUS[usize::from(net)];
                format!("--leg={name}=10.{net}.0.{number}/24,fd00:{net}::{number}/64,mtu={mtu}")
            };
            [leg("br", near, 1), leg("between", 1, own)].into_iter().chain([
                format!("--route=default,via=10.1.0.{far}"),
                format!("--route=default,via=fd00:1::{far}"),
            ])
        };
        let routers = [("tap0", 0, 1, 2), ("tap1", 2, 2, 1)].map(|(tap, near, own, far)| {
            let joint = format!("--port=dgram:{own}.sock,{far}.sock,bridge=between");
            let words: Vec<_> = [format!("--ports={tap}"), joint].into_iter().collect();
            let words: Vec<_> = words.into_iter().chain(legs(near, own, far)).collect();
            machine.start(&words.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let host = |tap: &str, net: u8| {
            let own = [format!("10.{net}.0.2/24"), format!("fd00:{net}::2/64")];
            let router = [format!("10.{net}.0.1"), format!("fd00:{net}::1")];
            machine.host(tap, &own.each_ref().map(|a| &**a), &router.each_ref().map(|a| &**a))
        };
        let (near, far) = (host("tap0", 0), host("tap1", 2));
        let chain = Chain { machine, routers, near, far };
        // From here on everybody knows everybody: a first packet may be lost.
        for (host, far) in [(&chain.near, 2), (&chain.far, 0)] {
            [format!("10.{far}.0.2"), format!("fd00:{far}::2")]
                .iter()
                .for_each(|to| ping(host, to));
        }
        chain
    }

    /// What this command says on the near host.
    fn says(&self, words: &str) -> String {
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("LC_ALL", "C");
        let output = self.near.run(|| command.output()).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn end(self) {
        self.routers.into_iter().for_each(|router| drop(router.stop()));
        drop(self.machine);
    }
}

/// The second word of each line that begins with the number of a hop.
fn hops(text: &str) -> Vec<&str> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let hops = words.filter(|words| words.len() > 1 && words[0].parse::<u8>().is_ok());
    hops.map(|words| words[1]).collect()
}

#[test]
fn traceroute_shows_every_hop_whatever_it_sends() {
    if !privileged() {
        return;
    }
    let chain = Chain::new();
    for method in ["", " -I", " -T -p 9", " -U -p 33434"] {
        for (version, own, hop, to) in [
            (4, "10.0.0.1", "10.1.0.2", "10.2.0.2"),
            (6, "fd00::1", "fd00:1::2", "fd00:2::2"),
            // The router itself answers where it is the end.
            (4, "10.0.0.1", "10.2.0.1", "10.2.0.1"),
            (6, "fd00::1", "fd00:2::1", "fd00:2::1"),
        ] {
            // One question at a time, and as long for its answer as there is.
            let text =
                chain.says(&format!("traceroute -{version} -n -q 1 -N 1 -m 5 -w 100{method} {to}"));
            let expected: &[&str] = if hop == to { &[own, to] } else { &[own, hop, to] };
            assert_eq!(hops(&text), expected, "{method}: {text}");
        }
    }
    chain.end();
}

#[test]
fn tracepath_finds_the_smallest_mtu_down_the_chain() {
    if !privileged() {
        return;
    }
    let chain = Chain::new();
    for (version, hops, to) in
        [(4, ["10.0.0.1", "10.1.0.2"], "10.2.0.2"), (6, ["fd00::1", "fd00:1::2"], "fd00:2::2")]
    {
        let text = chain.says(&format!("tracepath -{version} -n -m 5 {to}"));
        assert!(text.contains(" pmtu 1400") && text.contains(" pmtu 1300"), "{text}");
        assert!(hops.iter().all(|hop| text.contains(hop)), "{text}");
        let end = format!("pmtu {} hops 3 back 3", MTUS[2]);
        assert!(text.contains(&end) && text.contains("reached"), "{text}");
    }
    chain.end();
}

#[test]
fn tcp_crosses_two_routers_on_links_of_different_mtus() {
    if !privileged() {
        return;
    }
    let chain = Chain::new();
    let ends = [(&chain.near, &chain.far, 2), (&chain.far, &chain.near, 0)];
    for (from, to, net) in ends {
        for address in [format!("10.{net}.0.2"), format!("fd00:{net}::2")] {
            transfer_stream(from, to, address.parse().unwrap());
        }
    }
    chain.end();
}
