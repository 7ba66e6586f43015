//! `uswitch leg show`: where the router has its feet, and what went through each.

use serde::Serialize;
use uswitch::stats::{Counter, PortStats};

use super::Line;
use crate::program::{
    control::{AddressRow, LegPage, LegRow, PortRow, Request, Show},
    report::{columns, count, router},
};

/// A leg, with what went through it.
#[derive(Serialize)]
struct JsonLeg<'a> {
    #[serde(flatten)]
    leg: &'a LegRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats64: Option<JsonStats>,
}

/// By the keys of `ip -s -j addr`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct JsonStats {
    rx: JsonWay,
    tx: JsonWay,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct JsonWay {
    bytes: u64,
    packets: u64,
    dropped: u64,
}

impl JsonStats {
    /// As the router sees it: what the port of the leg has sent, it has received.
    fn of(port: &PortStats) -> JsonStats {
        let get = |counter| port.get(counter);
        JsonStats {
            rx: JsonWay {
                bytes: get(Counter::TxOctets),
                packets: get(Counter::TxFrames),
                dropped: port.tx_drops(),
            },
            tx: JsonWay {
                bytes: get(Counter::RxOctets),
                packets: get(Counter::RxFrames),
                dropped: port.rx_drops(),
            },
        }
    }
}

impl Line {
    /// The legs.
    pub(super) fn legs(&mut self, statistics: bool, json: bool) -> Result<String, String> {
        let LegPage { legs } = self.ask(&Request::LegShow {})?;
        if !statistics {
            return Ok(self::legs(&legs, &[], json));
        }
        let ports = self.ports(None, false)?;
        let show: Show = self.ask(&Request::Show {})?;
        let told = self::legs(&legs, &ports, json);
        Ok(if json { told } else { told + &router::summary(&show.router) })
    }
}

/// As ip-address(8) has them, a line for each leg and one for each address; two more of a leg whose
/// port is among these.
fn legs(rows: &[LegRow], ports: &[PortRow], json: bool) -> String {
    let stats = |leg: &LegRow| {
        let name = format!("leg:{}", leg.ifname);
        let port = ports.iter().find(|port| port.ifname == name)?;
        Some(JsonStats::of(&port.report()?.stats))
    };
    if json {
        let rows = rows.iter().map(|leg| JsonLeg { leg, stats64: stats(leg) });
        let rows: Vec<_> = rows.collect();
        return serde_json::to_string(&rows).expect("names, numbers and lists of them") + "\n";
    }
    let tell = |row: &LegRow| {
        let LegRow { ifname, mtu, address, addr_info, reverse_path, proxy, redirects } = row;
        let mut text = format!("{ifname}: mtu {mtu}");
        text += &address.as_ref().map_or(String::new(), |mac| format!(" address {mac}"));
        text += &reverse_path.as_ref().map_or(String::new(), |how| format!(" reverse-path {how}"));
        text += if *proxy { " proxy" } else { "" };
        text += if *redirects { " redirects\n" } else { "\n" };
        for own in addr_info {
            let tentative = if own.tentative { " tentative" } else { "" };
            let failed = if own.dadfailed { " dadfailed" } else { "" };
            let AddressRow { family, local, prefixlen, .. } = own;
            text += &format!("    {family} {local}/{prefixlen}{tentative}{failed}\n");
        }
        text + &stats(row).map(ways).unwrap_or_default()
    };
    rows.iter().map(tell).collect()
}

/// What went through, both ways.
fn ways(stats: JsonStats) -> String {
    let way = |name: &str, way: JsonWay| {
        let JsonWay { bytes, packets, dropped } = way;
        [format!("    {name}"), count(packets), count(bytes), count(dropped)]
    };
    let head = ["", "packets", "bytes", "dropped"].map(str::to_owned);
    columns(&[head, way("RX", stats.rx), way("TX", stats.tx)], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_through_is_told_as_the_router_sees_it() {
        let row = LegRow {
            ifname: "br".to_owned(),
            mtu: 1500,
            address: None,
            addr_info: Vec::new(),
            reverse_path: None,
            proxy: false,
            redirects: false,
        };
        let port: PortRow = serde_json::from_value(serde_json::json!({
            "ifname": "leg:br", "operstate": "UP", "kind": "leg", "counts": {
                "index": 1, "kernel_rx_dropped": 0, "kernel_tx_dropped": 0,
                "counters": {"tx_frames": 1234, "tx_octets": 99, "tx_full": 2, "rx_frames": 5},
            },
        }))
        .unwrap();
        let expected = "br: mtu 1500\n        packets  bytes  dropped\n    \
                        RX    1,234     99        2\n    TX        5      0        0\n";
        let rows = [row];
        assert_eq!(legs(&rows, std::slice::from_ref(&port), false), expected);
        let told = legs(&rows, &[port], true);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told[0]["stats64"]["rx"]["packets"], 1234);
        assert_eq!(told[0]["ifname"], "br");
    }

    #[test]
    fn legs_are_told_as_ip_tells_addresses() {
        let rows: Vec<LegRow> = serde_json::from_value(serde_json::json!([
            {"ifname": "br", "mtu": 1500, "proxy": true, "reverse_path": "strict",
             "address": "02:00:00:00:00:01",
             "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 24},
                           {"family": "inet6", "local": "fe80::1", "prefixlen": 64,
                            "dadfailed": true}]},
            {"ifname": "tun0", "mtu": 1400, "redirects": true, "addr_info": []},
        ]))
        .unwrap();
        let expected = "br: mtu 1500 address 02:00:00:00:00:01 reverse-path strict proxy\n    \
                        inet 10.0.0.1/24\n    inet6 fe80::1/64 dadfailed\n\
                        tun0: mtu 1400 redirects\n";
        assert_eq!(legs(&rows, &[], false), expected);
    }
}
