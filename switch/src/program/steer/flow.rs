//! The flow in `uswitch route get ADDRESS from ...`, in the words of ip-route(8).

use std::net::IpAddr;

use uswitch::topology::Faults;

use crate::program::control::FlowSpec;

/// IANA's numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Reads `from ADDRESS`, `ipproto`, `sport` and `dport`. `None`: nothing is said. If it is no
/// protocol that is said, it is what a ping sends.
pub(super) fn read(words: &[String]) -> Result<Option<FlowSpec>, Faults> {
    if words.is_empty() {
        return Ok(None);
    }
    let (mut source, mut protocol, mut ports) = (None, None, (None, None));
    for pair in words.chunks(2) {
        let [word, value] = pair else {
            return Err(
                format!("`{}`: a value is missing behind it", pair[0].escape_debug()).into()
            );
        };
        let shown = value.escape_debug();
        let port = || value.parse().map_err(|_| format!("`{shown}` is no port, from 0 to 65535"));
        match word.as_str() {
            "from" => {
                let address = value.parse::<IpAddr>();
                source = Some(address.map_err(|_| format!("`{shown}` is no address"))?);
            }
            "ipproto" => {
                let known = match value.as_str() {
                    "tcp" => Some(TCP),
                    "udp" => Some(UDP),
                    "icmp" => Some(ICMP),
                    "ipv6-icmp" => Some(ICMPV6),
                    number => number.parse().ok(),
                };
                let unknown = || format!("`{shown}` is no protocol, as tcp, udp, icmp or 47 is");
                protocol = Some(known.ok_or_else(unknown)?);
            }
            "sport" => ports.0 = Some(port()?),
            "dport" => ports.1 = Some(port()?),
            word => {
                let word = word.escape_debug();
                return Err(
                    format!("`{word}` is none of `from`, `ipproto`, `sport`, `dport`").into()
                );
            }
        }
    }
    let source = source.ok_or("`from ADDRESS` is missing: a flow comes from somebody")?;
    let ping = if source.is_ipv4() { ICMP } else { ICMPV6 };
    let ports = match ports {
        (None, None) => None,
        (from, to) => Some((from.unwrap_or(0), to.unwrap_or(0))),
    };
    Ok(Some(FlowSpec { source, protocol: protocol.unwrap_or(ping), ports }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Option<FlowSpec>, String> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        read(&words).map_err(|faults| faults.iter().collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_flow_is_said_in_the_words_of_ip() {
        assert_eq!(said(""), Ok(None));
        let flow = |source: &str, protocol, ports| {
            Ok(Some(FlowSpec { source: source.parse().unwrap(), protocol, ports }))
        };
        assert_eq!(said("from 10.0.0.2"), flow("10.0.0.2", ICMP, None));
        assert_eq!(said("from fd00::2"), flow("fd00::2", ICMPV6, None));
        let udp = said("from 10.0.0.2 ipproto udp sport 5 dport 53");
        assert_eq!(udp, flow("10.0.0.2", UDP, Some((5, 53))));
        assert_eq!(said("dport 80 ipproto 6 from 10.0.0.2"), flow("10.0.0.2", TCP, Some((0, 80))));
        for (text, sentence) in [
            ("from", "`from`: a value is missing"),
            ("from x", "`x` is no address"),
            ("ipproto udp", "`from ADDRESS` is missing"),
            ("from 10.0.0.2 ipproto x", "`x` is no protocol"),
            ("from 10.0.0.2 dport 65536", "`65536` is no port"),
            ("iif br", "`iif` is none of"),
        ] {
            let why = said(text).unwrap_err();
            assert!(why.contains(sentence), "{text}: {why}");
        }
    }
}
