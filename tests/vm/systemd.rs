//! The units of the package under a systemd that is the first process of a machine: what
//! `systemd-analyze` cannot tell, namely whether a switch lives under all that they forbid.
//!
//! The guest has the systemd of this machine, its libraries, a busybox and the switch, all of it in
//! memory. Nobody but systemd starts, watches or ends the switch in there.

mod tree;

use crate::{initramfs::equipped, station::Station};

/// Its file system is in its memory too.
const MEMORY: &str = "512M";

/// In place of the unit's half a minute: nobody waits so long for what stands still, and where much
/// is to be done a guest may stand still itself.
const SOON: &str = "5s";
const LATE: &str = "10min";

/// What the switch of uswitch@lab runs: hosts in two namespaces.
const LAB: &str = "[[port]]\ntap = 'tap1'\nnetns = '/run/h1'\n\
                   [[port]]\ntap = 'tap2'\nnetns = 'h2'\n";

/// Of a process, as proc(5) has it: all sets of capabilities, and its filters.
const RIGHTS: &str = "CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp";

/// What the head of the unit lists that the opener keeps, by the numbers of linux/capability.h:
/// DAC_OVERRIDE 1, FOWNER 3, NET_BIND_SERVICE 10, NET_ADMIN 12, NET_RAW 13, SYS_PTRACE 19,
/// SYS_ADMIN 21, MKNOD 27.
const OPENERS: u64 = 1 << 1 | 1 << 3 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21 | 1 << 27;

/// Where the namespace of a host is held: that of the first where the unit's own are not.
fn netns(number: u8) -> String {
    if number == 1 { "/run/h1".to_owned() } else { format!("/run/netns/h{number}") }
}

/// A machine with systemd.
struct Machine(Station);

impl Machine {
    fn start() -> Machine {
        let mut station = Station::alone(&tree::initramfs(), MEMORY, "systemd.show_status=0");
        station.ready();
        let mut machine = Machine(station);
        machine.write("/etc/uswitch/lab.toml", LAB);
        machine.watch(LATE);
        (1..=3).for_each(|number| machine.host(number));
        machine
    }

    fn run(&mut self, command: &str) -> String {
        self.0.run(command)
    }

    fn write(&mut self, path: &str, text: &str) {
        let text = text.replace('\n', "\\n");
        self.run(&format!("mkdir -p $(dirname {path}) && printf \"{text}\" >{path}"));
    }

    /// A namespace, held by a file.
    fn host(&mut self, number: u8) {
        let file = netns(number);
        self.run(&format!("mkdir -p /run/netns && touch {file} && unshare --net={file} true"));
    }

    /// Has systemd wait so long for a sign of life, from the next start on.
    fn watch(&mut self, time: &str) {
        let text = format!("[Service]\nWatchdogSec={time}\n");
        self.write("/run/systemd/system/uswitch@.service.d/watchdog.conf", &text);
        self.run("systemctl daemon-reload");
    }

    /// Starts the unit; its journal tells why not.
    fn start_unit(&mut self) {
        let journal = "journalctl --sync; journalctl -o cat -u uswitch@lab; false";
        self.run(&format!("systemctl restart uswitch@lab || {{ {journal}; }}"));
    }

    /// What systemd says of the unit.
    fn property(&mut self, name: &str) -> String {
        self.run(&format!("systemctl show -P {name} uswitch@lab"))
    }

    /// Waits until systemd has started it again, with the ports of its file.
    fn comes_again(&mut self) {
        let is = |name: &str| format!("$(systemctl show -P {name} uswitch@lab)");
        let (restarts, state) = (is("NRestarts"), is("ActiveState"));
        self.run(&format!(
            "until [ {restarts} -gt 0 ] && [ {state} = active ]; do sleep 0.1; done"
        ));
        assert_eq!(self.ports(), ["tap1 tap UP 1500", "tap2 tap UP 1500"]);
        self.ping(2, 1);
    }

    /// What the switch says of its ports, a line each.
    fn ports(&mut self) -> Vec<String> {
        let text = self.run("uswitch -n lab port show");
        let lines =
            text.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect()
    }

    /// The host behind a port has its address, and asks another.
    fn ping(&mut self, number: u8, other: u8) {
        for host in [number, other] {
            let device = format!("nsenter --net={} ip", netns(host));
            self.run(&format!("{device} addr replace 10.0.0.{host}/24 dev tap{host}"));
        }
        let ping = format!("nsenter --net={} ping -c 1 -W 1 10.0.0.{other}", netns(number));
        self.run(&format!("until {ping}; do true; done"));
    }

    /// What a process may: the values of [`RIGHTS`].
    fn rights(&mut self, process: &str) -> Vec<u64> {
        let text = self.run(&format!("cat /proc/{process}/status"));
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name}:")));
            u64::from_str_radix(line.unwrap().split_whitespace().last().unwrap(), 16).unwrap()
        };
        RIGHTS.split(' ').map(value).collect()
    }

    /// The journal of the unit.
    fn journal(&mut self) -> String {
        self.run("journalctl --sync && journalctl -o cat -u uswitch@lab")
    }
}

#[test]
fn a_switch_lives_under_systemd_and_its_unit() {
    if !equipped() {
        return;
    }
    let mut machine = Machine::start();
    starts_with_no_more_rights_than_it_needs(&mut machine);
    opens_later_what_its_unit_lets_it(&mut machine);
    reloads_what_differs(&mut machine);
    comes_again_when_it_was_killed(&mut machine);
    comes_again_when_it_stands_still(&mut machine);
    ends_and_leaves_nothing(&mut machine);
    a_faulty_file_is_not_tried_again(&mut machine);
    the_other_unit_runs_its_own_file(&mut machine);
}

fn starts_with_no_more_rights_than_it_needs(machine: &mut Machine) {
    // It returns when the switch has said READY.
    machine.start_unit();
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(machine.property("StatusText").split(',').next(), Some("2 ports"));
    let status = machine.run("systemctl status uswitch@lab");
    assert!(status.contains("Ethernet switch lab in user space"), "{status}");
    assert_eq!(machine.ports(), ["tap1 tap UP 1500", "tap2 tap UP 1500"]);
    machine.ping(1, 2);
    let switch = machine.property("MainPID");
    assert_eq!(machine.rights(&switch), [0, 0, 0, 0, 0, 1, 2]);
    let opener = machine.run(&format!("cat /proc/{switch}/task/{switch}/children"));
    assert_eq!(machine.rights(opener.trim()), [0, OPENERS, OPENERS, OPENERS, 0, 1, 2]);
}

fn opens_later_what_its_unit_lets_it(machine: &mut Machine) {
    machine.run("uswitch -n lab port add tap:tap3,netns=h3");
    machine.ping(3, 1);
    let others = [
        "veth:v0,peer=v1,netns=h3",
        "macvtap:m0,lower=dummy0",
        "stream:/var/lib/uswitch/vm.sock",
        "pcap:out=/var/lib/uswitch/all.pcap",
        "host:lan0,addr=10.0.0.9/24",
    ];
    for spec in others {
        machine.run(&format!("uswitch -n lab port add {spec}"));
    }
    assert_eq!(machine.ports().len(), 3 + others.len());
    // Where the unit lets nobody write.
    let refused = machine.run("uswitch -n lab port add stream:/etc/uswitch.sock; [ $? = 1 ]");
    assert!(refused.contains("--allow-path"), "{refused}");
}

fn reloads_what_differs(machine: &mut Machine) {
    let before = machine.property("MainPID");
    machine.write("/etc/uswitch/lab.toml", &format!("{LAB}[[port]]\ntap = 'tap0'\n"));
    machine.run("systemctl reload uswitch@lab");
    machine.run("until uswitch -n lab port show | grep -q tap0; do true; done");
    let ports = machine.ports();
    assert_eq!(ports.len(), 3, "those that are not in the file have gone: {ports:?}");
    machine.write("/etc/uswitch/lab.toml", "[[port]]\ntapp = 'tap0'\n");
    machine.run("systemctl reload uswitch@lab");
    machine.run("until journalctl -u uswitch@lab | grep -q 'did you mean .tap.'; do true; done");
    assert_eq!(machine.ports(), ports);
    assert_eq!(
        (machine.property("MainPID"), machine.property("ActiveState")),
        (before, "active".into())
    );
    machine.write("/etc/uswitch/lab.toml", LAB);
}

fn comes_again_when_it_was_killed(machine: &mut Machine) {
    assert_eq!(machine.property("NRestarts"), "0", "it has told that it lives");
    machine.run("kill -KILL $(systemctl show -P MainPID uswitch@lab)");
    machine.comes_again();
}

fn comes_again_when_it_stands_still(machine: &mut Machine) {
    machine.watch(SOON);
    machine.start_unit();
    let stamp = machine.property("WatchdogTimestampMonotonic");
    let again = "$(systemctl show -P WatchdogTimestampMonotonic uswitch@lab)";
    machine.run(&format!("while [ {again} = {stamp} ]; do sleep 0.1; done"));
    machine.run("kill -STOP $(systemctl show -P MainPID uswitch@lab)");
    machine.comes_again();
    let journal = machine.journal();
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    machine.watch(LATE);
    machine.start_unit();
}

fn ends_and_leaves_nothing(machine: &mut Machine) {
    machine.run("systemctl stop uswitch@lab");
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(machine.property("Result"), "success");
    machine.run("! pidof uswitch");
    machine.run("! nsenter --net=/run/h1 ip link show tap1");
    machine.run("! ip link show tap0");
    machine.run("[ ! -e /run/uswitch/lab.sock ]");
    let journal = machine.journal();
    for line in ["tap1: created, MTU 1500", "switching 2 ports", "Deactivated successfully"] {
        assert!(journal.contains(line), "{line} is missing in:\n{journal}");
    }
}

fn a_faulty_file_is_not_tried_again(machine: &mut Machine) {
    machine.write("/etc/uswitch/lab.toml", "[[port]]\ntap = 'tap0'\nmtu = 1\n");
    machine.run("systemctl start uswitch@lab; [ $? = 1 ]");
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "2");
    assert_eq!(machine.property("NRestarts"), "0");
    let journal = machine.journal();
    assert!(journal.contains("mtu 1 is out of range"), "{journal}");
}

fn the_other_unit_runs_its_own_file(machine: &mut Machine) {
    machine.run("systemctl enable --now uswitch");
    assert_eq!(machine.run("uswitch port show | grep -c UP"), "2");
    machine.run("systemctl stop uswitch");
}
