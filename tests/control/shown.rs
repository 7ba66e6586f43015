//! The router of a switch that runs is seen as its ports are.

use std::net::{SocketAddr, UdpSocket};

use netlab::Namespace;
use uswitch_router::{neighbour::stats::Counter, stats::Reason, totals::Count};

use crate::{
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
