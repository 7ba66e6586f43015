//! A frame that goes to the router: it is explained beyond the leg, sent, and what leaves the next
//! bridge must be what was said, octet for octet.

use serde_json::{Value, json};
use uswitch_tests::running::Running;

use crate::{
    lab::{Lab, eventually},
    station::Station,
};

const LEG: &str = "02:00:00:00:00:0a > 02:00:00:00:ee:01 ip 10.0.0.2 >";
/// Two legs with addresses of their own, two neighbours that need not be asked for.
const WORDS: [&str; 5] = [
    "--leg=br=10.0.0.1/24,fd00::1/64,mac=02:00:00:00:ee:01",
    "--leg=lab=10.1.0.1/24,mac=02:00:00:00:ee:02,mtu=1280",
    "--route=10.2.0.0/16,via=10.1.0.2",
    "--route=10.3.0.0/16,type=prohibit",
    "--route=10.4.0.0/16,type=blackhole",
];

struct Bench {
    lab: Lab,
    running: Running,
    stations: [Station; 2],
}

impl Bench {
    fn new() -> Bench {
        let lab = Lab::new();
        let b = format!("--port={},bridge=lab", lab.spec("b"));
        let running = lab.start("lab", &["a"], &[&[&*b], &WORDS[..]].concat());
        let stations = ["a", "b"].map(|port| lab.station(port));
        eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
        for (leg, address, mac) in [("br", "10.0.0.2", 0xa), ("lab", "10.1.0.2", 0xb)] {
            lab.done(&format!("neigh add {address} lladdr 02:00:00:00:00:{mac:02x} dev {leg}"));
        }
        Bench { lab, running, stations }
    }

    /// Explains a frame of the first station, sends it, and waits for what was said that a station
    /// would get.
    #[track_caller]
    fn compare(&mut self, words: &str) -> Value {
        let told = self.lab.json(&format!("explain -j --from a {words}"));
        assert_eq!(told["egress"][0]["ifname"], "leg:br", "{told}");
        let frame = frame(&self.lab, words);
        self.stations[0].put(&frame);
        for onward in told["routed"]["onward"].as_array().unwrap() {
            let ways = onward["egress"].as_array().unwrap();
            let [way] = &ways[..] else { panic!("{onward}") };
            let station = match way["ifname"].as_str().unwrap() {
                "a.1" => 0,
                "b.1" => 1,
                other => panic!("{other}: {onward}"),
            };
            assert_eq!((&way["sent"], &way["counter"]), (&true.into(), &"tx_frames".into()));
            let wanted = onward["frame"]["hex"].as_str().unwrap();
            loop {
                // What the router says of itself comes between.
                let heard = self.stations[station].take();
                let hex: String = heard.iter().map(|octet| format!("{octet:02x}")).collect();
                let is_it = without_ident(&hex) == without_ident(wanted);
                let chatter = hex[24..28] != *"0800";
                assert!(is_it || chatter, "{hex} is not {wanted}");
                if is_it {
                    break;
                }
            }
        }
        told["routed"].clone()
    }
}

/// The octets of words, by the program itself: nothing else reads them.
fn frame(lab: &Lab, words: &str) -> Vec<u8> {
    let told = lab.json(&format!("explain -j --from a {words}"));
    let hex = told["frame"]["hex"].as_str().unwrap();
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(octet).collect()
}

/// Each packet of ICMP that the router makes has another identification.
fn without_ident(hex: &str) -> String {
    if hex.get(28..30) == Some("45") && hex.get(46..48) == Some("01") {
        return [&hex[..36], &hex[40..48], &hex[52..]].concat();
    }
    hex.to_owned()
}

/// A frame with a packet of IPv4 whose flag DF is cleared (RFC 791, section 3.1; RFC 1624).
fn may_be_cut(hex: &str) -> String {
    assert_eq!(&hex[40..44], "4000");
    let check = u16::from_str_radix(&hex[48..52], 16).unwrap();
    let (sum, carry) = check.overflowing_add(0x4000);
    let check = sum + u16::from(carry);
    format!("{}0000{}{check:04x}{}", &hex[..40], &hex[44..48], &hex[52..])
}

#[test]
fn frame_is_followed_through_the_router_into_the_next_bridge() {
    let mut bench = Bench::new();
    for (words, verdict, reason, onward, sentence) in [
        ("10.1.0.2 udp 9", "forward", None, 1, "on the link of leg lab"),
        ("10.2.7.7 tcp 80", "forward", None, 1, "Its next hop is 10.1.0.2"),
        ("10.1.0.2 udp 9 length 1450", "reply", Some("too_big"), 1, "not to be fragmented"),
        ("10.0.0.1 icmp echo", "reply", None, 1, "asks the router itself"),
        ("10.3.0.1 udp 9", "reply", Some("prohibit"), 1, "the route says prohibit"),
        ("192.0.2.1 udp 9", "reply", Some("no_route"), 1, "Its sender is told by leg br"),
        ("10.4.0.1 udp 9", "drop", Some("blackhole"), 0, "It ends here: the route"),
        ("10.0.0.1 udp 9", "local", None, 0, "for the router itself"),
        ("10.1.0.77 udp 9", "resolve", None, 0, "hold this and ask by ARP"),
    ] {
        let routed = bench.compare(&format!("{LEG} {words}"));
        assert_eq!(routed["verdict"], verdict, "{words}: {routed}");
        assert_eq!(routed["reason"], json!(reason), "{words}: {routed}");
        assert_eq!(routed["onward"].as_array().unwrap().len(), onward, "{words}: {routed}");
        let text = routed["text"].as_str().unwrap();
        assert!(text.contains(sentence), "{words}: {text}");
    }
    // Words say that it may not be cut.
    let told = bench.lab.json(&format!("explain -j --from a {LEG} 10.1.0.2 udp 9 length 1450"));
    let routed = bench.compare(&may_be_cut(told["frame"]["hex"].as_str().unwrap()));
    assert_eq!(
        (&routed["verdict"], routed["onward"].as_array().unwrap().len()),
        (&"fragments".into(), 2)
    );
    assert!(routed["text"].as_str().unwrap().contains("MTU there, 1280"), "{routed}");
    // That nobody answers is known from then on.
    let words = format!("explain -j --from a {LEG} 10.1.0.77 udp 9");
    let told = |lab: &Lab| lab.json(&words)["routed"]["text"].as_str().unwrap().to_owned();
    eventually("it is asked for", || told(&bench.lab).contains("the router is asking by ARP"));
    eventually("nobody answers", || told(&bench.lab).contains("did not answer a moment ago"));
    let Bench { lab, running, .. } = bench;
    lab.end("lab", running);
}

#[test]
fn way_through_the_router_is_told_in_sentences() {
    let bench = Bench::new();
    let text = bench.lab.done(&format!("explain --from a {LEG} 10.2.0.9 udp 9"));
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let (first, routed) = text.split_once("The router, leg br: ").unwrap();
    assert!(first.contains("   leg:br  tx_frames  to the router\n"), "{text}");
    let expected = "\
Its next hop is 10.1.0.2, for 10.2.0.9 is reached by it, on
leg lab, where that is 02:00:00:00:00:0b. It goes on with one hop less.

42 octets from 02:00:00:00:ee:02 to 02:00:00:00:00:0b
  IPv4 from 10.0.0.2 to 10.2.0.9, 28 octets, TTL 63, header checksum right
  UDP from 49152 to 9, checksum right

1. The router sends it by its leg lab.
2. Its header is whole, and 02:00:00:00:ee:02 can be a station's address.
3. ";
    assert!(routed.starts_with(expected), "{routed}");
    assert!(routed.ends_with("Flooded to 1 port (rx_flooded)\n"), "{routed}");
    // Of a flood the router hears what a host would.
    let hears =
        |words: &str| bench.lab.json(&format!("explain -j --from a {words}"))["routed"].take();
    let asked = hears("arp who-has 10.0.0.1 tell 10.0.0.2");
    assert!(asked["text"].as_str().unwrap().contains("It is ARP"), "{asked}");
    let other = hears("02:00:00:00:00:0a > 02:00:00:00:00:77 ip 10.0.0.2 > 10.1.0.2");
    assert_eq!(other["verdict"], "ignore", "{other}");
    let Bench { lab, running, .. } = bench;
    lab.end("lab", running);
}
