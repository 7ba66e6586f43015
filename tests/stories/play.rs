//! Plays a story on a bench.

use std::collections::BTreeMap;

use uswitch::{fdb::Tick, frame::Mac, port::PortId};
use uswitch_tests::bench::Bench;

use crate::story::{Expected, Fault, Step, Story, What};

pub fn play(story: &Story) -> Result<(), Fault> {
    let bench = Bench::new(story.workers, &story.fdb, story.group_forward);
    let mut stage = Stage { story, bench, now: 0, ports: BTreeMap::new(), plugged: 0 };
    for step in &story.steps {
        stage.step(step)?;
    }
    stage.bench.assert_accounts();
    Ok(())
}

struct Stage<'a> {
    story: &'a Story,
    bench: Bench,
    /// Ticks since the beginning.
    now: i64,
    ports: BTreeMap<usize, Port>,
    /// Ports so far: each worker gets one in turn.
    plugged: usize,
}

struct Port {
    name: String,
    /// Its host takes nothing at the moment.
    held: bool,
}

impl Stage<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        let done = self.make(&step.what);
        done.map_err(|text| Fault { line: step.line, text })?;
        if let Some(expected) = &step.expected {
            let came = self.compare(expected);
            came.map_err(|text| Fault { line: expected.line, text })?;
        }
        Ok(())
    }

    fn make(&mut self, what: &What) -> Result<(), String> {
        match what {
            What::Plug { port, name, worker, terms } => {
                let owner = worker.unwrap_or(self.plugged) % self.story.workers;
                self.bench.plug(*port, owner, terms);
                self.ports.insert(*port, Port { name: name.clone(), held: false });
                self.plugged += 1;
            }
            What::Unplug(port) => self.unplug(*port),
            What::Cut(port) => self.bench.host(*port).unplug(),
            What::Gone(port) => {
                let mut lost = (0..self.story.workers).flat_map(|w| self.bench.lost(w));
                let noticed = lost.any(|lost| lost.port == PortId::new(*port));
                ensure(noticed, || "nobody has noticed".into())?;
                self.unplug(*port);
            }
            What::Send(frames) => self.send(frames)?,
            What::Hold(port) => self.hold(*port, true),
            What::Release(port) => self.hold(*port, false),
            What::Wait(ticks) => self.now += ticks,
            What::Sweep => drop(self.bench.fdb.sweep(self.tick())),
            What::Table(station, port) => {
                let known = self.find(*station)?;
                let name = known.map_or("nowhere".into(), |port| self.name(port));
                ensure(known == *port, || format!("it is behind {name}"))?;
            }
            What::Entries(count) => {
                let used = self.bench.fdb.used();
                ensure(used == *count, || format!("there are {used}"))?;
            }
            What::Count(port, counter, count) => {
                let counted = self.bench.stats(*port).get(*counter);
                ensure(counted == *count, || format!("it is {counted}"))?;
            }
        }
        Ok(())
    }

    /// Puts all frames into the cables, then gives each port that has one its turns.
    fn send(&mut self, frames: &[(usize, usize)]) -> Result<(), String> {
        for (port, number) in frames {
            let took = self.bench.host(*port).put_wire(&self.story.frames[*number].octets);
            ensure(took, || format!("{} takes no more frames", self.name(*port)))?;
        }
        let mut ports: Vec<_> = frames.iter().map(|(port, _)| *port).collect();
        ports.dedup();
        for port in ports {
            while self.bench.turn(port, self.tick()) > 0 {}
        }
        // A port that is gone is found in receiving, too, even if nothing came from it.
        for port in self.ports.keys() {
            self.bench.turn(*port, self.tick());
        }
        Ok(())
    }

    fn unplug(&mut self, port: usize) {
        self.bench.unplug(port);
        self.ports.remove(&port);
    }

    fn hold(&mut self, port: usize, held: bool) {
        self.ports.get_mut(&port).expect("a port that is there").held = held;
    }

    /// The table by its list, which must say what a lookup says.
    fn find(&self, station: Mac) -> Result<Option<usize>, String> {
        let place = self.bench.fdb.place(0, station);
        let known = self.bench.fdb.lookup(place, self.tick());
        let mut entries = self.bench.fdb.entries(self.tick());
        let listed = entries.find(|entry| entry.mac == station).map(|entry| entry.port);
        ensure(listed == known, || format!("it is listed at {listed:?}, found at {known:?}"))?;
        Ok(known.map(PortId::index))
    }

    /// Compares what came out by each port that is not held.
    fn compare(&mut self, expected: &Expected) -> Result<(), String> {
        let open = self.ports.iter().filter(|(_, port)| !port.held);
        let open: Vec<_> = open.map(|(port, _)| *port).collect();
        for port in open {
            let host = self.bench.host(port);
            let came: Vec<_> = std::iter::from_fn(|| host.take_wire()).collect();
            let numbers = expected.by_port.get(&port).map_or(&[][..], |numbers| numbers);
            let wires = numbers.iter().map(|number| &self.story.frames[*number].octets);
            if !wires.eq(&came) {
                let came: Vec<_> = came.iter().map(|wire| self.describe(wire)).collect();
                let names = numbers.iter().map(|number| self.story.frames[*number].name.clone());
                let wanted = names.collect::<Vec<_>>();
                let name = self.name(port);
                return Err(format!("by {name} came {}, not {}", list(&came), list(&wanted)));
            }
        }
        Ok(())
    }

    fn describe(&self, wire: &[u8]) -> String {
        let known = self.story.frames.iter().find(|frame| frame.octets == wire);
        let head = &wire[..wire.len().min(30)];
        known.map_or_else(|| format!("{} octets {head:x?}", wire.len()), |frame| frame.name.clone())
    }

    fn name(&self, port: usize) -> String {
        self.ports.get(&port).map_or_else(|| format!("port {port}"), |port| port.name.clone())
    }

    fn tick(&self) -> Tick {
        Tick(self.now as u32)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(" ") }
}

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
