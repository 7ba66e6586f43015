//! One run: the switch on a bench, the model beside it, and the steps that both are led through.

mod table;

use std::collections::VecDeque;

use uswitch::{
    bridge::GroupForward,
    fdb::{FdbConfig, Seed, Tick},
    frame::{BATCH_MAX, WIRE_MAX},
    port::PortId,
    stats::Counter,
};
use uswitch_tests::bench::{Bench, Terms};

use crate::{
    finish::finish,
    model::{Fate, Line, Model, octets, oversize},
    random::Random,
    record::Record,
    traffic::Traffic,
};

/// So many octets of frames surely go into one batch.
const BATCH_OCTETS: usize = 100_000;

pub struct World<'a> {
    random: Random,
    record: &'a mut Record,
    bench: Bench,
    model: Model,
    traffic: Traffic,
    workers: usize,
    /// By number; `None`: free.
    ports: Vec<Option<Port>>,
    /// Ticks since the run began, and what the first one is called.
    clock: i64,
    first_tick: u32,
    /// Limits are narrow, and a sweep comes with each step of time; see the head of model.rs.
    narrow: bool,
    mtus: Vec<u32>,
    /// What each worker should say of ports that it found gone: the port, and whether in receiving.
    lost: Vec<Vec<(usize, bool)>>,
}

/// What should be true of one port.
struct Port {
    mtu: u32,
    /// It takes frames as they are.
    whole: bool,
    /// Who receives for it.
    owner: usize,
    /// Who sends to it.
    attached: Vec<bool>,
    receiving: bool,
    /// Steps that are left until it is there, or gone.
    plan: VecDeque<Change>,
    cut: bool,
    /// Who has found out that it is cut: each worker in sending, the owner in receiving.
    found_tx: Vec<bool>,
    found_rx: bool,
    inbound: Line,
    outbound: Line,
    /// Its host takes nothing at the moment.
    stalled: bool,
    /// What each worker should have counted.
    counts: Vec<Vec<u64>>,
}

/// A step of a port's coming or leaving.
#[derive(Clone, Copy)]
enum Change {
    Attach(usize),
    Receive,
    Detach(usize),
    Forget,
}

impl World<'_> {
    /// Draws a switch and what is round it.
    pub fn new(seed: u64, record: &mut Record) -> World<'_> {
        let mut random = Random::new(seed);
        let (workers, ports) = (random.range(1, 3), random.range(2, 8));
        let narrow = random.percent(60);
        let size = if narrow { random.range(64, 160) } else { random.range(512, 3000) };
        let quota = if narrow { random.choose(&[1, 2, 5, 9, size / 8, size]) } else { size };
        let ageing = random.choose(&[2, 3, 10, 100, 3000]);
        let wire = random.percent(40);
        let config = FdbConfig {
            size: size as u32,
            quota: quota as u32,
            ageing: std::time::Duration::from_millis(ageing * Tick::MILLIS + random.number() % 100),
            seed: Seed::from_number(random.number()),
        };
        let group_forward = if wire { GroupForward::Wire } else { GroupForward::Standard };
        let mtus: Vec<_> =
            (0..2).map(|_| random.choose(&[68, 576, 1280, 1500, 1500, 9000])).collect();
        let traffic = Traffic::new(&mut random, ports, &mtus);
        let model = Model::new(size, ageing as i64, wire);
        let first_tick = random.choose(&[0, 1, 1_000_000, u32::MAX - 50, u32::MAX / 2, u32::MAX]);
        let about = format!("{workers} workers, {ports} ports, {config:?}, {group_forward:?}");
        record.steps.push(about);
        let mut world = World {
            bench: Bench::new(workers, &config, group_forward),
            random,
            record,
            model,
            traffic,
            workers,
            ports: (0..ports).map(|_| None).collect(),
            clock: 0,
            first_tick,
            narrow,
            mtus,
            lost: vec![Vec::new(); workers],
        };
        for port in 0..ports {
            world.plug(port);
            while world.change(port) {}
        }
        world
    }

    /// Makes one step and checks all that can be seen.
    pub fn step(&mut self) {
        let port = self.random.below(self.ports.len());
        match self.random.below(100) {
            0..35 => self.send(port),
            35..66 => self.turn(port),
            66..73 => (0..self.ports.len()).for_each(|port| self.turn(port)),
            73..82 => self.wait(),
            82..84 => self.sweep(),
            84..86 => self.say_or_delete(port),
            86..89 => self.stall(port),
            89..91 => self.cut(port),
            91..92 => self.requota(port),
            92..95 => self.come_or_go(port),
            _ => drop(self.change(port)),
        }
        self.check();
    }

    /// The last step: all that waits is moved, and the table compared.
    pub fn end(&mut self) {
        for port in 0..self.ports.len() {
            self.ports[port].iter_mut().for_each(|port| port.stalled = false);
            while self.ports[port].as_ref().is_some_and(|p| p.receiving && !p.found_rx)
                && !self.ports[port].as_ref().is_some_and(|p| p.inbound.frames.is_empty())
            {
                self.turn(port);
                self.check();
            }
        }
        self.check_table();
        self.sweep();
        self.check_table();
        self.bench.assert_accounts();
    }

    /// What all ports together should have counted, of those that are still there.
    pub fn counts(&self) -> Vec<u64> {
        let mut sum = vec![0; Counter::ALL.len()];
        for counts in self.ports.iter().flatten().flat_map(|port| &port.counts) {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sum
    }

    fn log(&mut self, text: String) {
        let step = self.record.steps.len();
        self.record.steps.push(format!("step {step}, tick {}: {text}", self.clock));
    }

    fn tick(&self, now: i64) -> Tick {
        Tick(self.first_tick.wrapping_add(now as u32))
    }

    /// A host sends some frames.
    fn send(&mut self, number: usize) {
        let count = if self.random.percent(8) { 100 } else { self.random.range(1, 8) };
        let strange = count == 100 && self.random.percent(60);
        let Some(port) = &mut self.ports[number] else { return };
        let mut taken = 0;
        for _ in 0..count {
            let mut wire = if strange {
                self.traffic.draw_stranger(&mut self.random)
            } else {
                self.traffic.draw(&mut self.random, number)
            };
            let took = self.bench.host(number).put_wire(&wire);
            let expected = !port.cut && port.inbound.put(&wire);
            assert_eq!(took, expected, "the cable of port {number} has room");
            taken += usize::from(took);
            if took {
                wire.truncate(WIRE_MAX);
                self.record.frame(number, self.clock, &wire);
            }
        }
        self.log(format!("port {number} is sent {count} frames, takes {taken}"));
    }

    /// A worker looks after one of its queues.
    fn turn(&mut self, number: usize) {
        // Workers read their clocks at different times.
        let late = self.narrow && self.clock > 0 && self.random.percent(10);
        let now = self.clock - i64::from(late);
        self.log(format!("turn of port {number}, late by {}", self.clock - now));
        let moved = self.bench.turn(number, self.tick(now));
        let Some(port) = &mut self.ports[number] else { return };
        if !port.receiving || port.found_rx {
            return assert_eq!(moved, 0);
        }
        if port.cut && port.inbound.frames.is_empty() {
            port.found_rx = true;
            let owner = port.owner;
            self.lost[owner].push((number, true));
        }
        let port = self.ports[number].as_ref().expect("it was there");
        let waiting = port.inbound.frames.len();
        let octets: usize = port.inbound.frames.iter().map(Vec::len).sum();
        assert!(moved <= waiting.min(BATCH_MAX));
        let whole = moved == waiting.min(BATCH_MAX);
        assert!(whole || moved > 0 && octets > BATCH_OCTETS, "{moved} of {waiting}, {octets}");
        for _ in 0..moved {
            let port = self.ports[number].as_mut().expect("it was there");
            let mut wire = port.inbound.take().expect("a frame that moved had waited");
            wire.truncate(WIRE_MAX);
            self.predict(number, &wire, now);
        }
    }

    /// One frame's way through the model.
    fn predict(&mut self, ingress: usize, wire: &[u8], now: i64) {
        let worker = self.ports[ingress].as_ref().expect("it is there").owner;
        self.count(worker, ingress, Counter::RxFrames, 1);
        self.count(worker, ingress, Counter::RxOctets, octets(wire).len());
        let (learned, fate) = self.model.decide(octets(wire), ingress, now);
        if let Some(counter) = learned {
            self.count(worker, ingress, counter, 1);
        }
        let attached = |number: &usize| {
            *number != ingress && self.ports[*number].as_ref().is_some_and(|p| p.attached[worker])
        };
        match fate {
            Fate::Drop(reason) => self.count(worker, ingress, reason, 1),
            Fate::To(egress) if attached(&egress) => {
                self.count(worker, ingress, Counter::RxForwarded, 1);
                self.deliver(worker, egress, wire);
            }
            Fate::To(_) => self.count(worker, ingress, Counter::FilterDetached, 1),
            Fate::Flood => {
                let others: Vec<_> = (0..self.ports.len()).filter(attached).collect();
                if others.is_empty() {
                    return self.count(worker, ingress, Counter::FilterAlone, 1);
                }
                self.count(worker, ingress, Counter::RxFlooded, 1);
                self.count(worker, ingress, Counter::RxCopies, others.len());
                others.iter().for_each(|egress| self.deliver(worker, *egress, wire));
            }
        }
    }

    /// One copy's way out.
    fn deliver(&mut self, worker: usize, egress: usize, wire: &[u8]) {
        let port = self.ports[egress].as_mut().expect("it is there");
        if oversize(wire, port.mtu) {
            return self.count(worker, egress, Counter::TxOversize, 1);
        }
        let Some(pieces) = finish(wire, port.whole) else {
            return self.count(worker, egress, Counter::TxRefused, 1);
        };
        let is_cut = !port.whole && wire.get(1).is_some_and(|kind| *kind != 0);
        let (taken, octets) = if port.cut { (0, 0) } else { port.outbound.put_all(&pieces) };
        if port.cut && !std::mem::replace(&mut port.found_tx[worker], true) {
            self.lost[worker].push((egress, false));
        }
        let failed = if port.cut { Counter::TxGone } else { Counter::TxFull };
        let counter = if taken < pieces.len() { failed } else { Counter::TxFrames };
        self.count(worker, egress, counter, 1);
        self.count(worker, egress, Counter::TxOctets, octets);
        self.count(worker, egress, Counter::TxCut, usize::from(is_cut));
        self.count(worker, egress, Counter::TxSegments, if is_cut { taken } else { 0 });
    }

    fn count(&mut self, worker: usize, port: usize, counter: Counter, count: usize) {
        let port = self.ports[port].as_mut().expect("a port that is there");
        port.counts[worker][counter as usize] += count as u64;
    }

    /// Time passes: a moment, up to just before or just at somebody's end, or long.
    fn wait(&mut self) {
        let ageing = self.model.ageing;
        let mut heard: Vec<_> = self.model.table.values().map(|(_, heard)| *heard).collect();
        heard.sort_unstable();
        let until = match self.random.below(10) {
            0..4 => self.clock + 1,
            4..8 if !heard.is_empty() => {
                self.random.choose(&heard) + ageing - self.random.below(2) as i64
            }
            8 => self.clock + ageing - self.random.below(2) as i64,
            _ => self.clock + self.random.below(ageing as usize + 1) as i64,
        };
        self.clock = self.clock.max(until);
        self.log("time has passed".into());
        if self.narrow {
            self.sweep();
        }
    }

    /// A host stops or begins again to take its frames.
    fn stall(&mut self, number: usize) {
        if let Some(port) = &mut self.ports[number] {
            port.stalled = !port.stalled;
            let text = if port.stalled { "stalls" } else { "goes on" };
            self.log(format!("the host of port {number} {text}"));
        }
    }

    /// A device goes away; the switch will notice.
    fn cut(&mut self, number: usize) {
        if let Some(port) = &mut self.ports[number] {
            self.bench.host(number).unplug();
            port.cut = true;
            self.log(format!("port {number} is cut"));
        }
    }

    fn requota(&mut self, number: usize) {
        if self.narrow && self.ports[number].is_some() && self.model.terms.contains_key(&number) {
            let quota = self.random.below(12);
            self.bench.fdb.attach(PortId::new(number), Some(quota as u32));
            self.model.admit(number, quota);
            self.log(format!("port {number} has a quota of {quota}"));
        }
    }

    /// Begins to plug a port in or to remove it.
    fn come_or_go(&mut self, number: usize) {
        match &mut self.ports[number] {
            None => self.plug(number),
            Some(port) if port.plan.is_empty() => {
                let first = self.random.below(self.workers);
                let workers = (0..self.workers).map(|i| (first + i) % self.workers);
                port.plan = workers.map(Change::Detach).chain([Change::Forget]).collect();
                self.log(format!("port {number} begins to leave"));
            }
            Some(_) => {}
        }
    }

    fn plug(&mut self, number: usize) {
        let owner = self.random.below(self.workers);
        let room = self.random.choose(&[1, 3, 20, 100, 100, 100]);
        let mtu = self.random.choose(&self.mtus);
        let quota = self.random.percent(30).then(|| self.random.below(20) as u32);
        let takes_offloads = self.random.percent(60);
        let terms = Terms { mtu, takes_offloads, room, quota: quota.filter(|_| self.narrow) };
        self.bench.lay(number, owner, &terms);
        let common = self.bench.quota;
        self.model.admit(number, terms.quota.unwrap_or(common) as usize);
        self.ports[number] = Some(Port {
            mtu,
            whole: takes_offloads,
            owner,
            attached: vec![false; self.workers],
            receiving: false,
            plan: (0..self.workers).map(Change::Attach).chain([Change::Receive]).collect(),
            cut: false,
            found_tx: vec![false; self.workers],
            found_rx: false,
            inbound: Line::new(room),
            outbound: Line::new(room),
            stalled: false,
            counts: vec![vec![0; Counter::ALL.len()]; self.workers],
        });
        self.log(format!("port {number} comes: {terms:?}, worker {owner}"));
    }

    /// Makes the next change of a port that comes or leaves. `false`: there is none.
    fn change(&mut self, number: usize) -> bool {
        let Some(port) = &mut self.ports[number] else { return false };
        let Some(change) = port.plan.pop_front() else { return false };
        let text = match change {
            Change::Attach(worker) => {
                self.bench.attach(worker, number);
                port.attached[worker] = true;
                format!("worker {worker} sends to port {number}")
            }
            Change::Receive => {
                self.bench.receive(number);
                port.receiving = true;
                format!("port {number} receives")
            }
            Change::Detach(worker) => {
                self.bench.detach(worker, number);
                port.attached[worker] = false;
                port.receiving &= worker != port.owner;
                format!("worker {worker} lets go of port {number}")
            }
            Change::Forget => {
                self.check_counts();
                self.check_output(number);
                self.bench.forget(number);
                self.model.forget(number);
                self.ports[number] = None;
                format!("port {number} is forgotten")
            }
        };
        self.log(text);
        true
    }

    /// Compares all that can be seen from outside.
    fn check(&mut self) {
        for number in 0..self.ports.len() {
            if self.ports[number].as_ref().is_some_and(|port| !port.stalled) {
                self.check_output(number);
            }
        }
        self.check_counts();
        for (worker, expected) in self.lost.iter_mut().enumerate() {
            let lost = self.bench.lost(worker);
            let mut lost: Vec<_> =
                lost.iter().map(|lost| (lost.port.index(), lost.queue.is_some())).collect();
            lost.sort_unstable();
            expected.sort_unstable();
            assert_eq!(lost, *expected, "ports that worker {worker} found gone");
            expected.clear();
        }
    }

    /// Compares what came out by a port, octet by octet and in order.
    fn check_output(&mut self, number: usize) {
        let port = self.ports[number].as_mut().expect("a port that is there");
        loop {
            let came = self.bench.host(number).take_wire();
            let expected = port.outbound.take();
            if let Some(wire) = &came {
                self.record.frame(number, self.clock, wire);
            }
            // Not by assert_eq: nobody reads 64 KB of octets.
            if came != expected {
                let head = |wire: Option<Vec<u8>>| {
                    wire.map(|wire| (wire.len(), wire[..wire.len().min(34)].to_vec()))
                };
                panic!("port {number} sent {:x?}, not {:x?}", head(came), head(expected));
            }
            if came.is_none() {
                return;
            }
        }
    }

    fn check_counts(&self) {
        for (number, port) in self.ports.iter().enumerate() {
            for (worker, expected) in port.iter().flat_map(|port| port.counts.iter().enumerate()) {
                let counted = self.bench.stats_of(worker, number);
                for counter in Counter::ALL {
                    let (counted, expected) = (counted.get(*counter), expected[*counter as usize]);
                    let name = counter.name();
                    assert_eq!(counted, expected, "{name} of port {number}, worker {worker}");
                }
            }
        }
    }
}
