//! One seed, played to both sides.

use std::{
    collections::BTreeMap,
    fmt::Write,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use uswitch_tests::exchange::{exchange, marking_station};

use crate::{
    intended::{self, Case, Who},
    script::{MTUS, Mac, PORTS, Random, Step, is_group, script, source},
    sides::{Kernel, Setting, Switch, Table},
};

/// Plays again, with another script, when the machine stood still at the wrong time.
const TRIES_MAX: u64 = 10;

/// Plays the script of a seed.
pub fn play(seed: u64, setting: Setting, steps: usize, wait_every: u64) {
    for attempt in 0..TRIES_MAX {
        // Far from all other seeds.
        let mut random = Random::new(seed ^ attempt << 32);
        let script = script(&mut random, steps, wait_every);
        let game = Game::new(format!("seed {seed}, try {attempt}"), setting);
        // A thread of its own for the script: workers would be pinned with the one that starts
        // them.
        let played = thread::scope(|scope| scope.spawn(|| game.play(seed, &script)).join());
        if played.unwrap_or_else(|panic| resume_unwind(panic)) {
            return;
        }
        println!("seed {seed}: the machine was too slow for its clocks, once more");
    }
    panic!("seed {seed}: the machine is too slow to tell what is forgotten from what is not");
}

/// The kernel keeps frames in order only for a sender that stays on its processor.
fn pin(seed: u64) {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(cpu) = cpus.get(seed as usize % cpus.len().max(1)) {
        core_affinity::set_for_current(*cpu);
    }
}

struct Game {
    name: String,
    setting: Setting,
    kernel: Kernel,
    switch: Switch,
    /// When each station was heard last.
    heard: BTreeMap<Mac, Instant>,
}

impl Game {
    fn new(name: String, setting: Setting) -> Game {
        let (kernel, switch) = (Kernel::new(setting), Switch::new(setting));
        Game { name, setting, kernel, switch, heard: BTreeMap::new() }
    }

    /// Plays the script. `false`: one of its steps was too slow.
    fn play(mut self, seed: u64, script: &[Step]) -> bool {
        pin(seed);
        script.iter().enumerate().all(|(number, step)| self.step(number, step))
    }

    /// Plays one step. `false`: it took so long that its outcome says nothing.
    fn step(&mut self, number: usize, step: &Step) -> bool {
        match step {
            Step::Wait => self.wait_for(Duration::ZERO),
            // Whoever is half forgotten shall be so wholly.
            Step::Send { .. } => self.wait_for(self.setting.ageing / 2),
        }
        let begin = Instant::now();
        let name = format!("{}, step {number}", self.name);
        if let Step::Send { port, frames } = step {
            let wire = self.setting.wire;
            let parts = frames.chunk_by(|frame, _| !intended::teaches_one_side(frame, wire));
            for part in parts {
                self.send(&name, *port, part, begin);
                self.compare_tables(&name, *port, part.last().expect("a frame"));
            }
        } else {
            self.compare_tables(&name, 0, &[0; 14]);
        }
        begin.elapsed() < self.setting.ageing / 3
    }

    /// Waits until those who have been silent for longer than this are forgotten for certain.
    fn wait_for(&mut self, silence: Duration) {
        let certain = self.setting.ageing * 3 / 2;
        let silent = |heard: &Instant| heard.elapsed() >= silence;
        // Meanwhile others fall silent.
        while let Some(last) = self.heard.values().copied().filter(silent).max() {
            thread::sleep(certain.saturating_sub(last.elapsed()));
            self.heard.retain(|_, heard| heard.elapsed() < certain);
        }
    }

    /// Sends to both and compares what comes out.
    fn send(&mut self, name: &str, port: usize, frames: &[Vec<u8>], now: Instant) {
        let stations = frames.iter().map(|frame| source(frame));
        let stations = stations.filter(|mac| !is_group(*mac) && *mac != [0; 6]);
        self.heard.extend(stations.chain([marking_station(port)]).map(|mac| (mac, now)));
        let by_kernel = exchange(&mut self.kernel.sockets, port, frames);
        let by_switch = exchange(&mut self.switch.sockets, port, frames);
        for egress in 0..PORTS {
            let name = format!("{name}, from port {port} to port {egress}");
            let passed = [&by_kernel, &by_switch].map(|by| which(&name, frames, &by[egress]));
            for (frame, (kernel, switch)) in frames.iter().zip(passed[0].iter().zip(&passed[1])) {
                if kernel == switch {
                    continue;
                }
                let who = if *kernel { Who::Kernel } else { Who::Switch };
                let case = Case { frame, mtu: MTUS[egress], wire: self.setting.wire };
                assert!(
                    intended::is_intended(&intended::FORWARDED, case, who),
                    "{name}: only the {who:?} sends a frame of {} octets: {}",
                    frame.len(),
                    hex(frame),
                );
            }
        }
    }

    /// Compares the tables after this frame. Where one side only was to learn from it, the
    /// station says something else, and after that both know it.
    fn compare_tables(&mut self, name: &str, port: usize, last: &[u8]) {
        let (kernel, switch) = (self.kernel.table(), self.switch.table());
        for mac in differing(&kernel, &switch) {
            let (theirs, ours) = (kernel.get(&mac), switch.get(&mac));
            assert!(
                ours == Some(&port) && intended::may_know(last, mac, self.setting.wire),
                "{name}: the kernel has {} at {theirs:?}, the switch at {ours:?}",
                hex(&mac),
            );
            let hello = uswitch_tests::exchange::frame([0xff; 6], mac, &[0; 46]);
            self.send(name, port, &[hello], Instant::now());
            assert_eq!(self.kernel.table(), self.switch.table(), "{name}: after a hello");
        }
    }
}

/// The stations about which two tables do not agree.
fn differing(one: &Table, other: &Table) -> Vec<Mac> {
    let macs = one.keys().chain(other.keys()).copied();
    let mut macs: Vec<Mac> = macs.filter(|mac| one.get(mac) != other.get(mac)).collect();
    macs.dedup();
    macs
}

/// Which of the frames are among those received, in the same order and with nothing else.
fn which(name: &str, sent: &[Vec<u8>], received: &[Vec<u8>]) -> Vec<bool> {
    let mut rest = received.iter().peekable();
    let passed = sent.iter().map(|frame| rest.next_if_eq(&frame).is_some()).collect();
    if let Some(strange) = rest.next() {
        panic!("{name}: nobody sent this, or not at this place: {}", hex(strange));
    }
    passed
}

/// The first octets, for people.
fn hex(octets: &[u8]) -> String {
    octets.iter().take(64).fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").expect("there is room in memory");
        text
    })
}
