//! What the facts mean for a switch: pure functions, one for each check.

use serde::Serialize;

use super::facts::{Facts, NODE, TapFacts};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something will not work as one expects.
    Warning,
    /// A switch cannot work.
    Failure,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Failure => "failure",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The name of the check.
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) sentence: String,
    /// What helps, to be typed.
    pub(super) command: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, sentence: impl Into<String>) -> Finding {
        Finding { check, level, sentence: sentence.into(), command: None }
    }

    fn helped(self, command: impl Into<String>) -> Finding {
        Finding { command: Some(command.into()), ..self }
    }
}

/// Judges all facts, in the order in which they would be mended.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let one = [kernel, tun, rights, capabilities, offloads, descriptors, processors, landlock];
    let mut findings: Vec<_> = one.iter().map(|check| check(facts)).collect();
    findings.extend(facts.taps.iter().map(tap));
    findings.extend([forwarding, bridge_filter, congestion, datagrams].map(|check| check(facts)));
    findings
}

/// The version whose TAPs have all offloads (TUN_F_USO4 and TUN_F_USO6 of linux/if_tun.h).
const KERNEL_USO: (u32, u32) = (6, 2);

fn kernel(facts: &Facts) -> Finding {
    let (name, (major, minor)) = ("kernel", KERNEL_USO);
    let release = &facts.kernel;
    let finding = |level, sentence| Finding::new(name, level, sentence);
    match version(release) {
        Some(version) if version >= KERNEL_USO => {
            finding(Level::Ok, format!("Linux {release} has all that is asked of it."))
        }
        Some(_) => finding(
            Level::Note,
            format!(
                "Linux {release} is older than {major}.{minor}, the first whose TAPs pass UDP in \
                 large pieces; all else works."
            ),
        ),
        None => finding(
            Level::Note,
            format!("The kernel calls itself \"{release}\", which is no version of Linux known."),
        ),
    }
}

/// The first two numbers of `uname -r`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn tun(facts: &Facts) -> Finding {
    let failure = |sentence| Finding::new("tun", Level::Failure, sentence);
    let Some((number, error)) = &facts.node.error else {
        return Finding::new("tun", Level::Ok, format!("{NODE} can be opened."));
    };
    match (*number, facts.node.mode) {
        (libc::ENOENT, _) => failure(format!("There is no {NODE}, from which TAPs come.")).helped(
            "sudo sh -c 'modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 200'",
        ),
        (libc::ENXIO | libc::ENODEV, _) => {
            failure(format!("There is no driver behind {NODE}.")).helped("sudo modprobe tun")
        }
        (libc::EACCES, Some(mode)) if mode & 0o006 != 0o006 => failure(format!(
            "{NODE} may not be opened: its mode is {mode:04o}, and 0666, as most systems have it, \
             is safe."
        ))
        .helped("sudo chmod 666 /dev/net/tun"),
        (libc::EACCES | libc::EPERM, _) => failure(format!(
            "{NODE} may not be opened ({error}) though its mode is not to blame: a container's \
             engine may be."
        ))
        .helped("docker run --device /dev/net/tun ..."),
        _ => failure(format!("{NODE} did not open: {error}.")),
    }
}

/// What capabilities are for, by their numbers (linux/capability.h).
const CAPABILITIES: [(u32, &str, &str); 3] = [
    (12, "CAP_NET_ADMIN", "makes and adopts TAPs and sets links"),
    (13, "CAP_NET_RAW", "opens packet sockets"),
    (21, "CAP_SYS_ADMIN", "enters namespaces"),
];

fn capabilities(facts: &Facts) -> Finding {
    let absent = CAPABILITIES.iter().filter(|(bit, ..)| facts.capabilities >> bit & 1 == 0);
    let words = absent.clone().map(|(_, name, what)| format!("{name}, which {what}"));
    let words = words.collect::<Vec<_>>();
    if words.is_empty() {
        let sentence = "CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN are held.";
        return Finding::new("capabilities", Level::Ok, sentence);
    }
    let names = absent.map(|(_, name, _)| name.to_lowercase()).collect::<Vec<_>>().join(",");
    let sentence = format!("Not held: {}.", words.join("; "));
    Finding::new("capabilities", Level::Warning, sentence)
        .helped(format!("sudo setcap {names}+ep $(command -v uswitch)"))
}

/// Whether namespaces, and TAPs in them, can be made; if not, TAPs may have been made for us.
fn rights(facts: &Facts) -> Finding {
    let name = "namespaces";
    let error = match (&facts.trial.namespace, facts.trial.user_namespace) {
        (Ok(()), false) => {
            return Finding::new(name, Level::Ok, "A network namespace could be made.");
        }
        (Ok(()), true) => {
            let sentence = "Without rights, a network namespace could be made within a user \
                            namespace: `uswitch demo` works, and `unshare -rn` gives a shell.";
            return Finding::new(name, Level::Ok, sentence);
        }
        (Err(error), _) => error,
    };
    let mine = facts.taps.iter().any(|tap| tap.owner.is_some());
    let level = if mine { Level::Warning } else { Level::Failure };
    let locks = [
        ("user/max_user_namespaces", "0", "15000"),
        ("user/max_net_namespaces", "0", "15000"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let is_locked = |(name, locked, _): &&(&str, &str, &str)| {
        facts.sysctls.get(name).is_some_and(|value| value == locked)
    };
    // Who has the rights needs no user namespace: then another thing is the cause.
    let lock = locks.iter().find(is_locked).filter(|_| facts.trial.user_namespace);
    let finding =
        |why| Finding::new(name, level, format!("No network namespace could be made: {why}."));
    match lock {
        Some((path, value, needed)) => {
            let sysctl = path.replace('/', ".");
            finding(format!("sysctl {sysctl} is {value}"))
                .helped(format!("sudo sysctl -w {sysctl}={needed}"))
        }
        None => finding(error.clone()),
    }
}

fn offloads(facts: &Facts) -> Finding {
    let finding = |level, sentence| Finding::new("offloads", level, sentence);
    let granted = match &facts.trial.offloads {
        Ok(granted) => granted,
        // Said already.
        Err(_) if facts.trial.namespace.is_err() || facts.node.error.is_some() => {
            let sentence = "Which offloads a TAP has is unknown, because none could be made.";
            return finding(Level::Note, sentence.to_owned());
        }
        Err(error) => return finding(Level::Failure, format!("No TAP could be made: {error}.")),
    };
    let has = |name| granted.contains(&name);
    let names = granted.join(", ");
    if !has("tso4") || !has("tso6") {
        let sentence = "The kernel grants no TCP segmentation offload to a TAP: TCP will be some \
                        six times slower than it could be.";
        return finding(Level::Warning, sentence.to_owned());
    }
    if !has("uso4") || !has("uso6") {
        let sentence = format!("A TAP has the offloads {names}, and not that for UDP.");
        return finding(Level::Note, sentence);
    }
    finding(Level::Ok, format!("A TAP has all offloads: {names}."))
}

/// Descriptors that a port may need: its own, an epoll, sockets of its clients.
const DESCRIPTORS_A_PORT: u64 = 4;
/// Fewer than this and a switch of some size runs out of them.
const DESCRIPTORS_FEW: u64 = 1024;

fn descriptors(facts: &Facts) -> Finding {
    let (soft, hard) = (facts.descriptors.soft, facts.descriptors.hard);
    let ports = soft / DESCRIPTORS_A_PORT;
    let sentence =
        format!("This process may have {soft} descriptors, enough for about {ports} ports.");
    match soft < DESCRIPTORS_FEW {
        false => Finding::new("descriptors", Level::Ok, sentence),
        true if hard > soft => Finding::new("descriptors", Level::Warning, sentence)
            .helped(format!("ulimit -n {}", hard.min(DESCRIPTORS_FEW * 16))),
        true => Finding::new("descriptors", Level::Warning, sentence),
    }
}

fn processors(facts: &Facts) -> Finding {
    match facts.processors {
        1 => {
            let sentence = "There is one processor, which the switch shares with all hosts: \
                            `--busy-poll` would only take it from them.";
            Finding::new("processors", Level::Note, sentence)
        }
        count => Finding::new("processors", Level::Ok, format!("There are {count} processors.")),
    }
}

fn landlock(facts: &Facts) -> Finding {
    match &facts.unconfined {
        None => {
            let sentence = "The switch can be kept from the files that it does not need.";
            Finding::new("landlock", Level::Ok, sentence)
        }
        Some(why) => Finding::new("landlock", Level::Note, format!("{why}: it does without.")),
    }
}

fn tap(tap: &TapFacts) -> Finding {
    let TapFacts { name, master, holders, .. } = tap;
    let finding = |level, sentence| Finding::new("tap", level, sentence);
    let holder = holders.iter().map(|holder| format!("{} (pid {})", holder.program, holder.pid));
    let holder = holder.collect::<Vec<_>>().join(", ");
    if let Some((bridge, kind)) = master {
        let what = match kind.as_str() {
            "bridge" => "the kernel's bridge",
            "openvswitch" => "Open vSwitch's kernel module, under",
            other => other,
        };
        return finding(
            Level::Warning,
            format!("{name} is a member of {what} {bridge}, which forwards its frames too."),
        )
        .helped(format!("sudo ip link set {name} nomaster"));
    }
    match (holders.is_empty(), tap.up, tap.running) {
        (true, ..) => finding(Level::Note, format!("{name} is held by nobody that we may see.")),
        (false, false, _) => finding(Level::Warning, format!("{name}, held by {holder}, is down."))
            .helped(format!("sudo ip link set {name} up")),
        (false, true, false) => finding(
            Level::Warning,
            format!("{name}, held by {holder}, is up and has no carrier: nothing passes."),
        ),
        (false, true, true) => {
            finding(Level::Note, format!("{name} is held by {holder}, and works."))
        }
    }
}

fn forwarding(facts: &Facts) -> Finding {
    let sysctls = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
    let is_on = |name: &&&str| facts.sysctls.get(**name).is_some_and(|value| value != "0");
    let on = sysctls.iter().filter(is_on).map(|name| name.replace('/', ".")).collect::<Vec<_>>();
    if on.is_empty() {
        let sentence = "This host routes nothing between its devices, past the switch.";
        return Finding::new("forwarding", Level::Ok, sentence);
    }
    let set = on.iter().map(|name| format!("{name}=0")).collect::<Vec<_>>().join(" ");
    let sentence = format!(
        "This host routes packets between its own devices ({}): what reaches its address on a \
         TAP may go past the switch.",
        on.join(", ")
    );
    Finding::new("forwarding", Level::Note, sentence).helped(format!("sudo sysctl -w {set}"))
}

fn bridge_filter(facts: &Facts) -> Finding {
    let sysctls = ["iptables", "ip6tables", "arptables"];
    let on = sysctls.map(|name| format!("net/bridge/bridge-nf-call-{name}"));
    let on = on.iter().filter(|name| facts.sysctls.get(name.as_str()).is_some_and(|v| v != "0"));
    let names = on.map(|name| name.replace('/', ".")).collect::<Vec<_>>();
    if names.is_empty() {
        let sentence = "No packet filter is called for the frames of the kernel's bridges.";
        return Finding::new("bridge-nf", Level::Ok, sentence);
    }
    let set = names.iter().map(|name| format!("{name}=0")).collect::<Vec<_>>().join(" ");
    let sentence = "The kernel's bridges call the packet filter for each frame: of no matter to \
                    a switch of ours, but to whoever compares the two.";
    Finding::new("bridge-nf", Level::Note, sentence).helped(format!("sudo sysctl -w {set}"))
}

fn congestion(facts: &Facts) -> Finding {
    let finding = |level, sentence| Finding::new("tcp", level, sentence);
    match facts.sysctls.get("net/ipv4/tcp_congestion_control").map(String::as_str) {
        Some("bbr") => finding(
            Level::Note,
            "TCP paces itself here (bbr): measurements of a fast link show a quarter of it."
                .to_owned(),
        )
        .helped("sudo sysctl -w net.ipv4.tcp_congestion_control=reno"),
        Some(name) => {
            finding(Level::Ok, format!("TCP's congestion control is {name}, fit for measuring."))
        }
        None => finding(Level::Note, "TCP's congestion control is unknown.".to_owned()),
    }
}

/// Frames that a datagram socket should have room for: some batches.
const DATAGRAMS_FEW: u64 = 512;

fn datagrams(facts: &Facts) -> Finding {
    let name = "net/unix/max_dgram_qlen";
    let finding = |level, sentence| Finding::new("datagrams", level, sentence);
    let held = facts.sysctls.get(name).and_then(|value| value.parse::<u64>().ok());
    match held {
        None => finding(Level::Note, "How much a datagram socket holds is unknown.".to_owned()),
        Some(held) if held >= DATAGRAMS_FEW => {
            finding(Level::Ok, format!("A unix datagram socket holds {held} frames."))
        }
        Some(held) => finding(
            Level::Note,
            format!(
                "A unix datagram socket holds {held} frames: clients of VDE and others on such \
                 sockets lose what comes in bursts."
            ),
        )
        .helped(format!("sudo sysctl -w net.unix.max_dgram_qlen={DATAGRAMS_FEW}")),
    }
}

#[cfg(test)]
mod tests {
    use netlab::Holder;

    use super::{
        super::facts::{Descriptors, Node, Trial},
        *,
    };

    /// A machine on which all is well.
    fn sound() -> Facts {
        let sysctls = [
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv6/conf/all/forwarding", "0"),
            ("net/ipv4/tcp_congestion_control", "cubic"),
            ("net/unix/max_dgram_qlen", "512"),
        ];
        Facts {
            kernel: "6.18.1-cloud".into(),
            node: Node { error: None, mode: Some(0o666) },
            capabilities: u64::MAX,
            trial: Trial {
                user_namespace: false,
                namespace: Ok(()),
                offloads: Ok(vec!["csum", "tso4", "tso6", "uso4", "uso6"]),
            },
            sysctls: sysctls.map(|(name, value)| (name, value.to_owned())).into(),
            taps: Vec::new(),
            descriptors: Descriptors { soft: 1024, hard: 1 << 20 },
            processors: 2,
            unconfined: None,
        }
    }

    /// The one finding that is not that all is well.
    fn only(facts: &Facts) -> Finding {
        let all = findings(facts);
        let odd: Vec<_> = all.iter().filter(|finding| finding.level != Level::Ok).collect();
        let [one] = odd[..] else { panic!("{odd:?}") };
        assert!(one.sentence.ends_with('.'), "{}", one.sentence);
        one.clone()
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Finding {
        let mut facts = sound();
        change(&mut facts);
        only(&facts)
    }

    #[track_caller]
    fn assert_found(found: &Finding, level: Level, words: &str, command: Option<&str>) {
        assert_eq!(found.level, level, "{found:?}");
        assert!(found.sentence.contains(words), "{found:?}");
        assert_eq!(found.command.as_deref(), command, "{found:?}");
    }

    #[test]
    fn sound_machine_is_found_sound() {
        assert!(findings(&sound()).iter().all(|finding| finding.level == Level::Ok));
    }

    #[test]
    fn kernels_are_told_by_their_numbers() {
        assert_eq!(version("6.18.1-cloud"), Some((6, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        for release in ["", "6", "x.y"] {
            assert_eq!(version(release), None, "{release}");
        }
        let old = with(|facts| facts.kernel = "6.1.0-28-amd64".into());
        assert_found(&old, Level::Note, "older than 6.2", None);
        let odd = with(|facts| facts.kernel = "Plan 9".into());
        assert_found(&odd, Level::Note, "\"Plan 9\"", None);
    }

    #[test]
    fn node_that_does_not_open_is_a_failure_with_its_cure() {
        let node = |number, mode| {
            with(|facts| facts.node = Node { error: Some((number, "so".into())), mode })
        };
        let make = "sudo sh -c 'modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 \
                    200'";
        for (number, mode, words, command) in [
            (libc::ENOENT, None, "There is no /dev/net/tun", Some(make)),
            (libc::ENODEV, Some(0o666), "no driver", Some("sudo modprobe tun")),
            (libc::EACCES, Some(0o600), "mode is 0600", Some("sudo chmod 666 /dev/net/tun")),
            (libc::EACCES, Some(0o666), "engine", Some("docker run --device /dev/net/tun ...")),
            (libc::EPERM, Some(0o600), "engine", Some("docker run --device /dev/net/tun ...")),
            (libc::EIO, Some(0o666), "did not open: so", None),
        ] {
            assert_found(&node(number, mode), Level::Failure, words, command);
        }
    }

    #[test]
    fn capabilities_that_are_absent_are_named_with_what_they_are_for() {
        let one = with(|facts| facts.capabilities = !(1 << 13));
        let command = "sudo setcap cap_net_raw+ep $(command -v uswitch)";
        assert_found(&one, Level::Warning, "CAP_NET_RAW, which opens packet", Some(command));
        let none = with(|facts| facts.capabilities = 0);
        let command =
            "sudo setcap cap_net_admin,cap_net_raw,cap_sys_admin+ep $(command -v uswitch)";
        assert_found(&none, Level::Warning, "CAP_SYS_ADMIN, which enters", Some(command));
    }

    #[test]
    fn without_rights_a_user_namespace_is_enough_and_without_that_a_tap_of_ones_own() {
        let mut facts = sound();
        facts.trial.user_namespace = true;
        assert!(findings(&facts).iter().all(|finding| finding.level == Level::Ok));
        facts.trial.namespace = Err("no more of them".into());
        let found = |facts: &Facts| rights(facts);
        assert_found(&found(&facts), Level::Failure, ": no more of them.", None);
        facts.sysctls.insert("user/max_user_namespaces", "0".into());
        let command = Some("sudo sysctl -w user.max_user_namespaces=15000");
        assert_found(&found(&facts), Level::Failure, "user.max_user_namespaces is 0", command);
        facts.taps.push(TapFacts { name: "tap0".into(), owner: Some(1000), ..TapFacts::default() });
        assert_eq!(found(&facts).level, Level::Warning);
        // Root needs none.
        facts.trial.user_namespace = false;
        assert_found(&found(&facts), Level::Warning, ": no more of them.", None);
        for (name, value, command) in [
            ("user/max_net_namespaces", "0", "sudo sysctl -w user.max_net_namespaces=15000"),
            (
                "kernel/unprivileged_userns_clone",
                "0",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ),
        ] {
            let mut facts = sound();
            facts.trial.user_namespace = true;
            facts.trial.namespace = Err("so".into());
            facts.sysctls.insert(name, value.into());
            assert_found(&found(&facts), Level::Failure, "sysctl", Some(command));
        }
    }

    #[test]
    fn offloads_that_are_not_granted_are_told_by_what_they_cost() {
        let granted =
            |names: &[&'static str]| with(|facts| facts.trial.offloads = Ok(names.to_vec()));
        assert_found(&granted(&["csum"]), Level::Warning, "six times slower", None);
        assert_found(&granted(&[]), Level::Warning, "six times slower", None);
        assert_found(&granted(&["csum", "tso4", "tso6"]), Level::Note, "not that for UDP", None);
        let refused = with(|facts| facts.trial.offloads = Err("tap0: why".into()));
        assert_found(&refused, Level::Failure, "No TAP could be made: tap0: why.", None);
        let mut facts = sound();
        facts.trial.offloads = Err("so".into());
        facts.trial.namespace = Err("so".into());
        assert_found(&offloads(&facts), Level::Note, "unknown", None);
    }

    #[test]
    fn few_descriptors_can_be_more_if_the_limit_lets_them() {
        let limits = |soft, hard| with(|facts| facts.descriptors = Descriptors { soft, hard });
        let command = Some("ulimit -n 16384");
        assert_found(&limits(256, 1 << 20), Level::Warning, "about 64 ports", command);
        assert_found(&limits(256, 512), Level::Warning, "64 ports", Some("ulimit -n 512"));
        assert_found(&limits(256, 256), Level::Warning, "64 ports", None);
    }

    #[test]
    fn one_processor_is_noted() {
        let found = with(|facts| facts.processors = 1);
        assert_found(&found, Level::Note, "one processor", None);
    }

    #[test]
    fn kernel_that_cannot_confine_the_switch_is_noted() {
        let found = with(|facts| facts.unconfined = Some("this kernel cannot".into()));
        assert_found(&found, Level::Note, "this kernel cannot: it does without.", None);
    }

    #[test]
    fn taps_are_told_with_holder_bridge_and_carrier() {
        let qemu = || vec![Holder { pid: 77, program: "qemu".into() }];
        let found = |up, running, holders, master: Option<&str>| {
            let master = master.map(|kind| ("sw0".to_owned(), kind.to_owned()));
            let name = "tap0".to_owned();
            let tap = TapFacts { name, up, running, master, owner: None, holders };
            with(|facts| facts.taps.push(tap))
        };
        let free = Some("sudo ip link set tap0 nomaster");
        let up = Some("sudo ip link set tap0 up");
        for (found, level, words, command) in [
            (found(true, false, vec![], None), Level::Note, "held by nobody", None),
            (found(true, true, qemu(), None), Level::Note, "held by qemu (pid 77), and", None),
            (found(false, false, qemu(), None), Level::Warning, "is down", up),
            (found(true, false, qemu(), None), Level::Warning, "no carrier", None),
            (found(true, true, qemu(), Some("bridge")), Level::Warning, "bridge sw0", free),
            (found(true, true, vec![], Some("openvswitch")), Level::Warning, "vSwitch", free),
            (found(true, true, vec![], Some("bond")), Level::Warning, "of bond sw0", free),
        ] {
            assert_found(&found, level, words, command);
        }
    }

    #[test]
    fn sysctls_that_forward_filter_pace_or_bound_are_noted_with_their_cure() {
        let set =
            |name, value: &str| with(|facts| _ = facts.sysctls.insert(name, value.to_owned()));
        for (name, value, words, command) in [
            ("net/ipv4/ip_forward", "1", "past the switch", "net.ipv4.ip_forward=0"),
            (
                "net/ipv6/conf/all/forwarding",
                "1",
                "past the switch",
                "net.ipv6.conf.all.forwarding=0",
            ),
            (
                "net/bridge/bridge-nf-call-arptables",
                "1",
                "compares",
                "net.bridge.bridge-nf-call-arptables=0",
            ),
            (
                "net/ipv4/tcp_congestion_control",
                "bbr",
                "a quarter",
                "net.ipv4.tcp_congestion_control=reno",
            ),
            ("net/unix/max_dgram_qlen", "10", "holds 10", "net.unix.max_dgram_qlen=512"),
        ] {
            let command = format!("sudo sysctl -w {command}");
            assert_found(&set(name, value), Level::Note, words, Some(&command));
        }
        let unknown = with(|facts| _ = facts.sysctls.remove("net/unix/max_dgram_qlen"));
        assert_found(&unknown, Level::Note, "unknown", None);
    }
}
