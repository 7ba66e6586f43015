//! What the router does not do stands beside it, on the same bridge: a server of DHCP, and speakers
//! of OSPF. Their broadcasts and groups pass, and what they tell hosts leads across the router.

use std::{fs, path::Path, thread, time::Duration};

use netlab::Namespace;
use uswitch_tests::{
    privileged,
    running::{Program, Running},
};

use crate::{
    lab::PATIENCE,
    machine::{Machine, ping, prefix, transfer_stream},
    member::{Member, TAP, run, says, spawn},
};

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Two hosts on the bridge with the router's leg, and one on the other.
struct Site {
    near: [Member; 2],
    far: Member,
    program: Program,
    _machine: Machine,
}

impl Site {
    fn new() -> Site {
        let near = ["one", "two"].map(Member::new);
        let (machine, far) = (Machine::new(), Member::new("far"));
        let program = machine.start(&[
            &near[0].port(""),
            &near[1].port(""),
            &far.port(",bridge=lab"),
            "--leg=br=10.0.0.1/24,fd00::1/64",
            "--leg=lab=10.1.0.1/24,fd01::1/64",
        ]);
        far.settle(&["10.1.0.2/24", "fd01::2/64"], &["10.1.0.1", "fd01::1"]);
        Site { near, far, program, _machine: machine }
    }
}

/// What a program says when it says this.
fn until(host: &Namespace, words: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut tries = PATIENCE.as_millis() / LOOK_INTERVAL.as_millis();
    loop {
        let output = run(host, words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if wanted(&text) {
            return text;
        }
        tries -= 1;
        assert!(tries > 0, "`{words}`: {output:?}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// What becomes of a lease. It is no file of the moment: one that is open for writing, if only in
/// a child that another test starts, cannot be run.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/router/lease.sh");

fn udhcpd(folder: &Path) -> String {
    format!(
        "interface {TAP}\nstart 10.0.0.100\nend 10.0.0.100\nmax_leases 1\n\
         option subnet 255.255.255.0\noption router 10.0.0.1\n\
         lease_file {0}/leases\npidfile {0}/pid\n",
        folder.display()
    )
}

#[test]
fn host_gets_its_address_by_dhcp_and_crosses_the_router() {
    if !privileged() {
        return;
    }
    let (site, folder) = (Site::new(), tempfile::tempdir().unwrap());
    let [server, client] = &site.near;
    server.settle(&["10.0.0.3/24"], &["10.0.0.1"]);
    client.settle(&[], &[]);
    let [conf, leases] = ["udhcpd.conf", "leases"].map(|name| folder.path().join(name));
    fs::write(&conf, udhcpd(folder.path())).unwrap();
    fs::write(&leases, "").unwrap();
    let _serving = spawn(&server.namespace, &format!("busybox udhcpd -f {}", conf.display()));
    let asking =
        format!("busybox udhcpc -f -q -n -a -t {} -T 1 -i {TAP} -s {SCRIPT}", PATIENCE.as_secs());
    let said = says(&client.namespace, &asking);
    assert!(said.contains("10.0.0.100/24 by 10.0.0.1 from 10.0.0.3"), "{said}");
    for to in ["10.0.0.1", "10.0.0.3", "10.1.0.1", "10.1.0.2"] {
        ping(&client.namespace, to);
    }
    ping(&site.far.namespace, "10.0.0.100");
    transfer_stream(&site.far.namespace, &client.namespace, "10.0.0.100".parse().unwrap());
    site.program.stop();
}

/// Both versions of OSPF, with short times. What is behind a speaker stands on its `lo`.
fn bird(number: u8, folder: &Path) -> String {
    let area = format!(
        "area 0 {{ interface \"{TAP}\" {{ type broadcast; hello 1; dead count 30; wait 3; }}; }};"
    );
    let versions = [("ipv4", "v2"), ("ipv6", "v3")].map(|(ip, version)| {
        format!(
            "protocol kernel {{ {ip} {{ export where source != RTS_DEVICE; }}; }}\n\
             protocol ospf {version} ospf_{version} {{ \
             {ip} {{ export where source = RTS_DEVICE; }}; {area} }}\n"
        )
    });
    format!(
        "router id 10.0.0.{number};\nlog \"{}/bird{number}.log\" all;\nprotocol device {{}}\n\
         protocol direct {{ ipv4; ipv6; interface \"lo\"; }}\n{}",
        folder.display(),
        versions.concat()
    )
}

#[test]
fn speakers_of_ospf_peer_across_the_bridge_and_learn_each_others_networks() {
    if !privileged() {
        return;
    }
    let (site, folder) = (Site::new(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let speakers: Vec<(&Member, String, Running)> = site
        .near
        .iter()
        .zip(2..)
        .map(|(host, n)| {
            let own = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")];
            host.settle(&own.each_ref().map(|a| &**a), &["10.0.0.1", "fd00::1"]);
            let mut links = host.namespace.links().unwrap();
            for behind in [format!("10.7.{n}.1/32"), format!("fd07::{n}/128")] {
                links.add_address("lo", prefix(&behind)).unwrap();
            }
            let conf = folder.join(format!("bird{n}.conf"));
            fs::write(&conf, bird(n, folder)).unwrap();
            let socket = format!("{}/bird{n}.sock", folder.display());
            let words = format!("bird -f -c {} -s {socket} -P {socket}.pid", conf.display());
            (host, socket, spawn(&host.namespace, &words))
        })
        .collect();
    for (host, socket, _) in &speakers {
        for version in ["ospf_v2", "ospf_v3"] {
            let words = format!("birdc -s {socket} show ospf neighbors {version}");
            until(&host.namespace, &words, |said| said.contains("Full/"));
        }
    }
    for ((host, _, _), other) in speakers.iter().zip([3, 2]) {
        for (version, behind, via) in [
            (4, format!("10.7.{other}.1"), format!("10.0.0.{other}")),
            (6, format!("fd07::{other}"), "fe80::".to_owned()),
        ] {
            let words = format!("ip -{version} route show {behind} proto bird");
            let said = until(&host.namespace, &words, |said| said.contains(&behind));
            assert!(said.contains(&format!("via {via}")) && said.contains(TAP), "{said}");
            ping(&host.namespace, &behind);
        }
        // The router goes on beside them.
        for far in ["10.1.0.2", "fd01::2"] {
            ping(&host.namespace, far);
        }
    }
    drop(speakers);
    site.program.stop();
}
