//! What the program tells hosts of itself and their link, by the words of its file: the kernel's
//! autoconfiguration lives by it, and rdisc6 and radvdump, who know nothing of us, read the same
//! words out of it.

use std::{
    io::{BufRead, BufReader},
    sync::mpsc,
    thread,
    time::Duration,
};

use netlab::Namespace;
use serde_json::Value;
use uswitch_tests::privileged;

use crate::{
    lab::PATIENCE,
    machine::{Machine, ping, transfer_stream},
    member::{Member, TAP, says, spawn},
};

const FILE: &str = r#"
[[port]]
tap = "tap0"
netns = "NETNS-0"
name = "one"

[[port]]
tap = "tap0"
netns = "NETNS-1"
name = "two"
bridge = "lab"

[[leg]]
bridge = "br"
address = ["fd00:1::1/64"]

[leg.advertise]
interval = 30
lifetime = 900
managed = true
other = true
mtu = 1400
hop-limit = 42
preference = "high"
rdnss = ["fd00:1::53", "fd00:1::54"]
dnssl = ["lab.example", "home.arpa"]
prefix = [
    { prefix = "fd00:1::/64", valid = 7200, preferred = 3600 },
    { prefix = "fd00:2::/64", autonomous = false },
    { prefix = "2001:db8:7::/48", on-link = false, autonomous = false },
]

[[leg]]
bridge = "lab"
address = ["fd00:3::1/64"]

[leg.advertise]
interval = 4
"#;

/// What rdisc6 makes of it, but for the router's addresses.
const RDISC6: &str = "\
Hop limit : 42 ( 0x2a)
Stateful address conf. : Yes
Stateful other conf. : Yes
Mobile home agent : No
Router preference : high
Neighbor discovery proxy : No
Router lifetime : 900 (0x00000384) seconds
Reachable time : unspecified (0x00000000)
Retransmit time : unspecified (0x00000000)
MTU : 1400 bytes (valid)
Prefix : fd00:1::/64
On-link : Yes
Autonomous address conf.: Yes
Valid time : 7200 (0x00001c20) seconds
Pref. time : 3600 (0x00000e10) seconds
Prefix : fd00:2::/64
On-link : Yes
Autonomous address conf.: No
Valid time : 2592000 (0x00278d00) seconds
Pref. time : 604800 (0x00093a80) seconds
Prefix : 2001:db8:7::/48
On-link : No
Autonomous address conf.: No
Valid time : 2592000 (0x00278d00) seconds
Pref. time : 604800 (0x00093a80) seconds
Recursive DNS server : fd00:1::53
Recursive DNS server : fd00:1::54
DNS servers lifetime : 90 (0x0000005a) seconds
DNS search list : lab.example home.arpa
DNS search list lifetime: 90 (0x0000005a) seconds";

/// And radvdump, in the words of radvd.conf(5), from which ours are.
const RADVDUMP: &str = "\
interface tap0 { \
AdvSendAdvert on; AdvManagedFlag on; AdvOtherConfigFlag on; AdvReachableTime 0; \
AdvRetransTimer 0; AdvCurHopLimit 42; AdvDefaultLifetime 900; AdvHomeAgentFlag off; \
AdvDefaultPreference high; AdvSourceLLAddress on; AdvLinkMTU 1400; \
prefix fd00:1::/64 { AdvValidLifetime 7200; AdvPreferredLifetime 3600; AdvOnLink on; \
AdvAutonomous on; AdvRouterAddr off; }; \
prefix fd00:2::/64 { AdvValidLifetime 2592000; AdvPreferredLifetime 604800; AdvOnLink on; \
AdvAutonomous off; AdvRouterAddr off; }; \
prefix 2001:db8:7::/48 { AdvValidLifetime 2592000; AdvPreferredLifetime 604800; AdvOnLink off; \
AdvAutonomous off; AdvRouterAddr off; }; \
RDNSS fd00:1::53 fd00:1::54 { AdvRDNSSLifetime 90; }; \
DNSSL lab.example home.arpa { AdvDNSSLLifetime 90; }; \
};";

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Its words, with one space between them.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `ip` says, when that is what is waited for.
fn ip<T>(host: &Namespace, words: &str, found: impl Fn(&Value) -> Option<T>) -> T {
    let mut tries = PATIENCE.as_millis() / LOOK_INTERVAL.as_millis();
    loop {
        let text = says(host, &format!("ip -j -6 {words}"));
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(found) = found(&said) {
            return found;
        }
        tries -= 1;
        assert!(tries > 0, "`ip -6 {words}`: {said}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The addresses that the kernel made of what it was told, when duplicates are out of question.
fn addresses(host: &Namespace) -> Vec<Value> {
    ip(host, &format!("address show dev {TAP} scope global -tentative dynamic"), |said| {
        let infos = said.as_array()?.iter().filter_map(|link| link["addr_info"].as_array());
        // What is filtered out is left as an empty one.
        let infos = infos.flatten().filter(|info| info["local"].is_string());
        let infos: Vec<Value> = infos.cloned().collect();
        (!infos.is_empty()).then_some(infos)
    })
}

/// The default routes that it was told of.
fn routes(host: &Namespace) -> Vec<Value> {
    ip(host, "route show default proto ra", |said| {
        said.as_array().filter(|routes| !routes.is_empty()).cloned()
    })
}

/// What radvdump prints of the first advertisement that it hears, without its remarks. What is
/// told by itself comes seldom, so it is asked for.
fn radvdump(host: &Namespace) -> String {
    // It would keep what it says until it ends.
    let mut dump = spawn(host, "stdbuf -oL radvdump");
    let lines = BufReader::new(dump.0.stdout.take().unwrap()).lines();
    let (send, received) = mpsc::channel();
    let reading = thread::spawn(move || {
        lines.map_while(Result::ok).try_for_each(|line| send.send(line)).is_ok()
    });
    let mut text = String::new();
    let mut tries = PATIENCE.as_secs();
    while !text.contains("# End of interface") {
        match received.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => text = format!("{text}{line}\n"),
            Err(_) => drop(rdisc6(host)),
        }
        tries -= u64::from(text.is_empty());
        assert!(tries > 0, "radvdump says something");
    }
    drop(dump);
    drop(received);
    let _ = reading.join();
    let plain = |line: &str| line.split('#').next().unwrap_or_default().to_owned();
    spaced(&text.lines().map(plain).collect::<Vec<_>>().join("\n"))
}

fn rdisc6(host: &Namespace) -> String {
    // As often as there is patience, a second apart.
    says(host, &format!("rdisc6 -1 -r {} -w 1000 {TAP}", PATIENCE.as_secs()))
}

#[test]
fn hosts_live_by_what_the_file_says_and_others_read_the_same_in_it() {
    if !privileged() {
        return;
    }
    let (machine, one, two) = (Machine::new(), Member::new("one"), Member::new("two"));
    let file = FILE.replace("NETNS-0", &one.netns()).replace("NETNS-1", &two.netns());
    let running = machine.start_file(&file);
    for host in [&one, &two] {
        // They have nothing but what they are told.
        host.settle(&[], &[]);
    }
    let made = addresses(&one.namespace);
    let [address] = &made[..] else { panic!("of one prefix of three: {made:?}") };
    let own = address["local"].as_str().unwrap();
    assert!(own.starts_with("fd00:1:") && address["prefixlen"] == 64, "{address}");
    // They run down.
    for (left, all) in [("valid_life_time", 7200), ("preferred_life_time", 3600)] {
        assert!(address[left].as_u64().is_some_and(|left| left <= all && left > all - 600));
    }
    let known = routes(&one.namespace);
    let [route] = &known[..] else { panic!("one router: {known:?}") };
    let metrics = &route["metrics"][0];
    assert_eq!((&route["pref"], &metrics["mtu"]), (&"high".into(), &1400.into()), "{route}");
    assert_eq!(metrics["hoplimit"], 42, "{route}");
    let networks = ip(&one.namespace, "route show proto kernel", |said| {
        let networks = said.as_array()?.iter().filter_map(|route| route["dst"].as_str());
        Some(networks.map(str::to_owned).collect::<Vec<_>>())
    });
    for (network, on_link) in [("fd00:1::/64", true), ("fd00:2::/64", true)]
        .into_iter()
        .chain([("2001:db8:7::/48", false)])
    {
        assert_eq!(networks.iter().any(|other| other == network), on_link, "{networks:?}");
    }

    let said = rdisc6(&one.namespace);
    // Before that stands how often it asked.
    let lines =
        said.lines().map(spaced).skip_while(|line| !RDISC6.starts_with(line) || line.is_empty());
    let lines: Vec<_> = lines.collect();
    let router = format!("from {}", route["gateway"].as_str().unwrap());
    assert!(lines.contains(&router), "{said}");
    let rest: Vec<_> = lines.iter().map(String::as_str).collect();
    let rest: Vec<_> = rest.into_iter().filter(|line| RDISC6.contains(line)).collect();
    assert_eq!(rest.join("\n"), RDISC6, "{said}");
    // Both of the router's addresses.
    assert_eq!(lines.len(), rest.len() + 2, "{said}");
    assert_eq!(radvdump(&one.namespace), RADVDUMP);

    let far = addresses(&two.namespace);
    assert_eq!(routes(&two.namespace)[0]["pref"], "medium");
    let far = far[0]["local"].as_str().unwrap();
    assert!(far.starts_with("fd00:3:"), "of the leg's own network, since nothing else is said");
    ping(&one.namespace, far);
    ping(&two.namespace, own);
    transfer_stream(&two.namespace, &one.namespace, own.parse().unwrap());
    running.stop();
}
