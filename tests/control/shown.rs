//! The router of a switch that runs is seen as its ports are.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
};

use netlab::Namespace;
use uswitch_router::{neighbour::stats::Counter, stats::Reason, totals::Count};

use crate::{
    capture::{capture, ended, fields},
    lab::{Lab, eventually},
    routing::{Host, routed},
};

/// Datagrams that are lost on purpose.
const LOST: u32 = 3;

/// Sends datagrams that have this router as their last.
fn lose(from: &Namespace, to: &Host) {
    let to = SocketAddr::new(to.address(), 9);
    let socket = from.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    socket.set_ttl(1).unwrap();
    for _ in 0..LOST {
        // The error about the one before comes in its place.
        assert!((0..=LOST).any(|_| socket.send_to(b"x", to).is_ok()));
    }
}

#[test]
fn counters_of_the_router_are_told_as_those_of_ports_are() {
    let lab = Lab::new();
    let (running, hosts) = routed(&lab, &[]);
    hosts[0].ping([10, 2, 0, 1].into());
    lose(&hosts[0].namespace, &hosts[1]);
    eventually("all are dropped", || {
        lab.json("stats -j")["router"]["drops"]["ttl"] == u64::from(LOST)
    });
    let router = &lab.json("stats -j")["router"];
    for count in Count::ALL {
        assert!(router[count.name()].is_u64(), "{count:?}: {router}");
    }
    for reason in Reason::ALL {
        assert!(router["drops"][reason.name()].is_u64(), "{reason:?}: {router}");
    }
    assert!(router[Counter::ArpTaken.name()].as_u64() > Some(0), "{router}");
    assert!(router["forwarded"].as_u64() > Some(1) && router["echoes"].as_u64() > Some(0));
    let stats = lab.done("stats");
    assert!(stats.contains("\nrouter: received ") && stats.contains("leg:b1 "), "{stats}");
    assert!(stats.contains("\nttl ") && stats.lines().all(|line| line.len() <= 80), "{stats}");
    let drops = lab.done("drops");
    let row = drops.lines().find(|line| line.starts_with("ttl ")).unwrap_or_else(|| {
        panic!("{drops}");
    });
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>().join(" "),
        "ttl (router) 3 no hops were left"
    );
    let drops = lab.json("drops -j");
    let row = drops.as_array().unwrap().iter().find(|row| row["reason"] == "ttl").unwrap();
    assert_eq!((&row["frames"], &row["ifname"]), (&LOST.into(), &serde_json::Value::Null));
    assert_eq!(row["about"], Reason::Ttl.about());
    // Each leg has its own, as the router sees them.
    let ports = lab.done("port show");
    assert!(
        ports.lines().any(|line| {
            line.split_whitespace().take(3).collect::<Vec<_>>() == ["leg:b1", "leg", "UP"]
        }),
        "{ports}"
    );
    assert_eq!(lab.json("port show leg:b2 -j")[0]["kind"], "leg");
    let legs = lab.json("leg show -s -j");
    assert!(legs[0]["stats64"]["rx"]["packets"].as_u64() > Some(u64::from(LOST)), "{legs}");
    let legs = lab.done("leg show -s");
    assert!(legs.contains("    RX ") && legs.contains("router: received "), "{legs}");
    assert!(!lab.done("leg show").contains("RX"));
    for words in ["port del leg:b1", "port set leg:b1 quota=1"] {
        let (code, _, err) = lab.run(words);
        assert_eq!(code, 1, "{words}: {err}");
        assert!(err.contains("`leg:b1` is a leg of the router"), "{words}: {err}");
    }
    let report = lab.end("lab", running);
    assert_eq!(report["router"]["drops"]["ttl"], u64::from(LOST), "{report}");
}

#[test]
fn tshark_sees_a_packet_before_and_after_the_router() {
    let lab = Lab::new();
    let (running, hosts) = routed(&lab, &[]);
    let both = ["--filter", "icmp and ip src 10.1.0.2", "-c", "4"];
    let all = capture(&lab, &both, "all.pcapng");
    let legs = ["leg:b1", "leg:b2", "--filter", "icmp and ip src 10.1.0.2", "-c", "2"];
    let legs = capture(&lab, &legs, "legs.pcapng");
    let drops = capture(&lab, &["--drops", "--filter", "udp port 9", "-c", "3"], "drops.pcapng");
    // The neighbours are known by now, so that a worker sends it on.
    hosts[0].ping(hosts[1].address());
    lose(&hosts[0].namespace, &hosts[1]);
    for capture in [all, legs, drops] {
        let (code, said) = ended(capture);
        assert_eq!(code, 0, "{said}");
    }
    let wanted = ["frame.interface_name", "frame.packet_flags_direction", "ip.ttl"];
    let seen = |file: &str| {
        let rows = fields(&lab.path(file), &wanted).into_iter();
        rows.map(|row| row.replace("0x0000000", "").replace('\t', " ")).collect::<Vec<_>>()
    };
    assert_eq!(seen("all.pcapng"), ["h1 1 64", "leg:b1 2 64", "leg:b2 1 63", "h2 2 63"]);
    assert_eq!(seen("legs.pcapng"), ["leg:b1 2 64", "leg:b2 1 63"]);
    assert_eq!(seen("drops.pcapng"), ["leg:b1 2 1"; LOST as usize]);
    let comments = fields(&lab.path("drops.pcapng"), &["frame.comment"]);
    assert!(comments.iter().all(|why| why == "ttl: No hops were left."), "{comments:?}");
    let (code, _, err) = lab.run("capture leg:b3");
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("there is no port `leg:b3`; did you mean `leg:b"), "{err}");
    lab.end("lab", running);
}

#[test]
fn ways_of_equal_cost_are_told_with_weights_and_one_for_each_flow() {
    let lab = Lab::new();
    let (running, _hosts) =
        routed(&lab, &["--route", "10.8.0.0/16,via=10.1.0.9,weight=2,via=10.2.0.9"]);
    let all = "10.8.0.1\n\tnexthop via 10.1.0.9 dev b1 weight 2\n\
               \tnexthop via 10.2.0.9 dev b2 weight 1\n";
    assert_eq!(lab.done("route get 10.8.0.1"), all);
    let ways = ["10.1.0.9 dev b1", "10.2.0.9 dev b2"]
        .map(|way| format!("10.8.0.1 from 10.1.0.2 via {way}\n"));
    let mut flows = [0; 2];
    for port in 1..=20 {
        let words = format!("route get 10.8.0.1 from 10.1.0.2 ipproto udp sport {port} dport 53");
        let told = lab.done(&words);
        assert_eq!(told, lab.done(&words), "a flow has one way");
        flows[ways.iter().position(|way| *way == told).unwrap_or_else(|| panic!("{told}"))] += 1;
    }
    assert!(flows.iter().all(|flows| *flows > 0), "{flows:?}");
    let told = lab.json("route get 10.8.0.1 from 10.1.0.2 -j");
    assert_eq!((&told[0]["from"], &told[0]["dst"]), (&"10.1.0.2".into(), &"10.8.0.1".into()));
    // A route that came later is in the tables that run.
    lab.done("route add 10.8.0.1,via=10.2.0.9");
    assert_eq!(lab.done("route get 10.8.0.1"), "10.8.0.1 via 10.2.0.9 dev b2\n");
    lab.end("lab", running);
}

#[test]
fn tun_that_is_deleted_takes_its_leg_and_what_leads_by_it() {
    let lab = Lab::new();
    let machine = Namespace::new().unwrap();
    let (pid, fd) = (std::process::id(), machine.as_fd().as_raw_fd());
    let tun = format!("--tun=t0=10.9.0.1/24,netns=/proc/{pid}/fd/{fd}");
    let (running, hosts) = routed(
        &lab,
        &[
            &tun,
            "--route=10.7.0.0/16,via=10.9.0.2",
            "--route=10.8.0.0/16,via=10.9.0.2,via=10.2.0.9",
            "--route=10.6.0.0/16,via=10.1.0.9",
        ],
    );
    assert!(lab.done("leg show").contains("t0: ") && lab.done("port show").contains("leg:t0 "));
    lab.done("port del t0");
    let legs = lab.json("leg show -j");
    assert_eq!(legs.as_array().unwrap().len(), 2, "{legs}");
    let ports = lab.done("port show");
    assert!(!ports.contains("t0"), "{ports}");
    let routes = lab.done("route show");
    let said: Vec<_> = routes.lines().filter(|line| !line.contains("proto kernel")).collect();
    assert_eq!(said, ["10.8.0.0/16 via 10.2.0.9 dev b2", "10.6.0.0/16 via 10.1.0.9 dev b1"]);
    eventually("it is told", || {
        lab.log("lab").contains("leg t0: gone with its TUN, and 1 route\n")
    });
    // The others go on, and what runs is a sound file.
    hosts[0].ping(hosts[1].address());
    let file = lab.path("now.toml");
    std::fs::write(&file, lab.done("config")).unwrap();
    lab.done(&format!("check {}", file.display()));
    lab.end("lab", running);
}
