//! A network device behind a port: deleted, made again, moved, renamed, down and up.

use netlab::{FrameSocket, Namespace};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
    stream::Stream,
};

use crate::lab::{ETH, PATIENCE, Program, lay, links, passes, silent, socket};

/// A machine with three hosts, each behind a packet port: two with traffic between them, and one
/// whose device lives.
struct Machine {
    namespace: Namespace,
    hosts: [Namespace; 3],
    program: Program,
}

/// The device that lives.
const LIVES: &str = "p2";

impl Machine {
    fn new() -> Machine {
        let namespace = silent();
        let hosts = [silent(), silent(), silent()];
        for (number, host) in hosts.iter().enumerate() {
            lay(&namespace, &format!("p{number}"), host);
        }
        let ports = ["packet:p0", "packet:p1", "packet:p2,name=lives"];
        let program = Program::start(&namespace, &ports);
        Machine { namespace, hosts, program }
    }

    fn stream(&self) -> Stream {
        Stream::new(socket(&self.hosts[0]), socket(&self.hosts[1]))
    }

    /// The host behind the device that lives is heard and hears.
    fn answers(&self, word: &str) {
        let mut machine = self.namespace.links().unwrap();
        assert!(machine.wait_running(LIVES, PATIENCE).unwrap());
        let (mut host, mut other) = (socket(&self.hosts[2]), socket(&self.hosts[1]));
        passes(&host, &mut other, word);
        passes(&other, &mut host, word);
    }

    fn slept(&mut self) {
        self.program.says("lives: asleep until its device is back");
    }

    fn woke(&mut self) {
        self.program.says("lives: packet socket, MTU 1500");
    }
}

#[test]
fn device_that_is_deleted_under_traffic_sleeps_and_is_served_when_it_is_made_again() {
    if !privileged() {
        return;
    }
    let mut machine = Machine::new();
    machine.answers("first");
    machine.stream().beside(|| {
        for _ in 0..3 {
            machine.namespace.links().unwrap().delete(LIVES).unwrap();
            machine.slept();
            lay(&machine.namespace, LIVES, &machine.hosts[2]);
            machine.woke();
            machine.answers("made again");
        }
    });
    let json = machine.program.stop();
    let lives = json["ports"].as_array().unwrap().iter().filter(|port| port["name"] == "lives");
    assert_eq!(lives.count(), 4, "its counts of each life are there: {json}");
}

#[test]
fn device_that_is_deleted_and_made_again_at_once_is_served_again() {
    if !privileged() {
        return;
    }
    let mut machine = Machine::new();
    for _ in 0..5 {
        machine.namespace.links().unwrap().delete(LIVES).unwrap();
        lay(&machine.namespace, LIVES, &machine.hosts[2]);
        machine.slept();
        machine.woke();
        machine.answers("at once");
    }
    machine.program.stop();
}

#[test]
fn device_that_is_renamed_is_served_under_any_name_and_found_by_its_first_one() {
    if !privileged() {
        return;
    }
    let mut machine = Machine::new();
    machine.stream().beside(|| {
        let mut here = machine.namespace.links().unwrap();
        here.rename(LIVES, "other").unwrap();
        let (mut host, mut other) = (socket(&machine.hosts[2]), socket(&machine.hosts[1]));
        passes(&host, &mut other, "renamed");
        passes(&other, &mut host, "renamed");
        // One of its old name comes, and is served when the first is gone.
        let newcomer = silent();
        lay(&machine.namespace, LIVES, &newcomer);
        passes(&host, &mut other, "the first is served still");
        here.delete("other").unwrap();
        machine.slept();
        machine.woke();
        passes(&socket(&newcomer), &mut other, "the newcomer");
    });
    machine.program.stop();
}

#[test]
fn device_that_is_moved_away_sleeps_until_it_comes_back() {
    if !privileged() {
        return;
    }
    let mut machine = Machine::new();
    let away = silent();
    machine.stream().beside(|| {
        for _ in 0..2 {
            machine.namespace.links().unwrap().move_to(LIVES, &away).unwrap();
            machine.slept();
            // What happens to it there is nothing to us, nor to what it does under another name.
            let mut there = away.links().unwrap();
            there.set_up(LIVES).unwrap();
            there.rename(LIVES, "other").unwrap();
            there.move_to("other", &machine.namespace).unwrap();
            machine.namespace.links().unwrap().rename("other", LIVES).unwrap();
            machine.woke();
            machine.answers("back again");
        }
    });
    machine.program.stop();
}

#[test]
fn device_that_is_down_for_a_while_costs_its_own_frames_alone() {
    if !privileged() {
        return;
    }
    const LOST: u64 = 50;
    let mut machine = Machine::new();
    machine.answers("before");
    let sender = socket(&machine.hosts[0]);
    machine.stream().beside(|| {
        machine.namespace.links().unwrap().set_down(LIVES).unwrap();
        let before = machine.program.count("lives", "tx_down");
        for _ in 0..LOST {
            sender.send(&frame(BROADCAST, station(1), b"to who is down")).unwrap();
        }
        let mut begun = before;
        while begun < before + LOST {
            begun = machine.program.count("lives", "tx_down");
        }
        machine.namespace.links().unwrap().set_up(LIVES).unwrap();
        machine.answers("up again");
    });
    assert!(!machine.program.has_said("asleep"), "down is not gone");
    machine.program.stop();
}

#[test]
fn what_was_there_stays_when_the_program_ends() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    machine.program.stop();
    assert_eq!(links(&machine.namespace), ["p0", "p1", "p2"]);
    // The host hears its own devices again, which it did not while they were ports.
    let (from, host) = (socket(&machine.hosts[0]), &machine.namespace);
    let mut to = FrameSocket::open(host, "p0").unwrap();
    passes(&from, &mut to, "to the host");
    assert_eq!(links(&machine.hosts[0]), [ETH]);
}
