//! What happens to stations, for those who listen: learned, moved, aged, forgotten, and ports that
//! reach their quota. No worker tells it, nothing is added to the way of a frame: while somebody
//! listens, the control loop compares the table about once a second with what it was at the last
//! look, in slices, so that it is never held for long. A station that comes and goes between two
//! looks is not seen. Without listeners none of this exists.
//!
//! Strangers choose how much happens, so all of it is bounded: stations that are remembered
//! ([`STATIONS_MAX`]), events of one look ([`EVENTS_A_LOOK_MAX`]), buckets of one slice. What is
//! beyond is counted, and told as `missed` with the last event of a look.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use uswitch::{
    fdb::{Entry, Tick},
    frame::Mac,
    port::{Port, PortId},
    stats::Counter,
    switch::Handle,
};

use super::Event;

/// Stations that are remembered from look to look, some 2 MiB: all of a table of the default size.
const STATIONS_MAX: usize = 65_536;
/// Buckets that are looked at in one go: 256 KiB, 0.1 ms.
const BUCKETS_A_SLICE: usize = 4096;
/// Between two slices others are served.
const SLICE_PAUSE: Duration = Duration::from_millis(1);
/// From the end of a look to the next.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Events that come of one look at the most.
const EVENTS_A_LOOK_MAX: usize = 256;

/// What ports are refused, and how that is told.
const REFUSALS: [(Counter, &str, &str); 2] = [
    (Counter::LearnQuota, "quota", "it has as many addresses as its quota allows"),
    (Counter::LearnFull, "full", "the forwarding database is full"),
];

/// The stations as they were at the last look.
#[derive(Debug, Default)]
pub(crate) struct Stations {
    known: HashMap<(u16, Mac), Known>,
    /// What ports were called at this look, and at the last.
    names: BTreeMap<PortId, String>,
    names_before: BTreeMap<PortId, String>,
    refusals: BTreeMap<PortId, Refusals>,
    /// Number of this look.
    look: u32,
    /// Where it goes on. `None`: there is none under way.
    bucket: Option<usize>,
    /// When the next begins.
    next: Option<Instant>,
    /// Stations of this look and of the last for which there was no room.
    beyond: [u64; 2],
    /// Events of this look that were told.
    told: usize,
    /// The last event, which is told with the next or at the end of the look.
    held: Option<Event>,
    missed: u64,
}

#[derive(Debug)]
struct Known {
    port: PortId,
    heard: Tick,
    /// In which look it was seen last.
    look: u32,
}

/// What a port was refused until the last look, and whether that was so in the last interval.
#[derive(Debug, Default)]
struct Refusals {
    name: String,
    counts: [u64; REFUSALS.len()],
    grew: [bool; REFUSALS.len()],
}

impl Stations {
    /// Whether there is something to compare with: whoever begins to listen now misses nothing.
    pub(crate) fn is_ready(&self) -> bool {
        self.next.is_some()
    }

    /// How long nothing is to be done.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        match (self.bucket, self.next) {
            (None, Some(next)) => next.saturating_duration_since(now),
            _ => SLICE_PAUSE,
        }
    }

    /// Looks at a slice, if it is time: the events, each with how many were lost before it.
    pub(crate) fn look<P: Port>(&mut self, handle: &Handle<P>, time: Instant) -> Vec<(Event, u64)> {
        let mut events = Vec::new();
        let begin = match (self.bucket, self.next) {
            (Some(bucket), _) => bucket,
            (None, Some(next)) if time < next => return events,
            (None, _) => {
                self.begin(handle, &mut events);
                0
            }
        };
        let (now, end) = (handle.now(), begin + BUCKETS_A_SLICE);
        for (_, entry) in handle.fdb().entries_in(begin..end, now) {
            // What is said, whoever says it knows.
            if !entry.is_static {
                self.see(&entry, handle, now, &mut events);
            }
        }
        self.bucket = (end < handle.fdb().buckets()).then_some(end);
        if self.bucket.is_none() {
            self.end(handle, now, &mut events);
            self.next = Some(time + LOOK_INTERVAL);
        }
        events
    }

    fn begin<P: Port>(&mut self, handle: &Handle<P>, events: &mut Vec<(Event, u64)>) {
        self.look = self.look.wrapping_add(1);
        self.told = 0;
        self.beyond = [0, self.beyond[0]];
        let names = handle.ports().map(|(port, name)| (port, name.to_owned())).collect();
        self.names_before = std::mem::replace(&mut self.names, names);
        self.refusals.retain(|port, of| handle.name(*port) == Some(&of.name));
        let mut told = Vec::new();
        for (port, name) in &self.names {
            let Some(stats) = handle.stats(*port) else { continue };
            let new = || Refusals { name: name.clone(), ..Refusals::default() };
            let of = self.refusals.entry(*port).or_insert_with(new);
            for (which, (counter, kind, what)) in REFUSALS.iter().enumerate() {
                let count = stats.get(*counter);
                let grows = count > of.counts[which];
                // Told once, and again when it has been otherwise.
                if grows && !of.grew[which] && self.next.is_some() {
                    let text =
                        format!("{name}: {what}: what it hears more is flooded, not learned");
                    told.push(Event::of_port(kind, name, text));
                }
                (of.counts[which], of.grew[which]) = (count, grows);
            }
        }
        told.into_iter().for_each(|event| self.tell(event, events));
    }

    /// Compares an entry with what is known of its station.
    fn see<P: Port>(
        &mut self,
        entry: &Entry,
        handle: &Handle<P>,
        now: Tick,
        events: &mut Vec<(Event, u64)>,
    ) {
        let Entry { fid, mac, port, .. } = *entry;
        let heard = Tick(now.0.wrapping_sub(Tick::from_duration(entry.age).0));
        let seen = Known { port, heard, look: self.look };
        let name = handle.name(port).unwrap_or("?");
        let room = self.known.len() < STATIONS_MAX;
        match self.known.get_mut(&(fid, mac)) {
            Some(known) => {
                let from = std::mem::replace(known, seen).port;
                // The number may be another port's by now.
                let from = self.names_before.get(&from).or(self.names.get(&from));
                if let Some(from) = from.filter(|from| *from != name) {
                    let event = Event::moved(mac, from, name);
                    self.tell(event, events);
                }
            }
            None if room => {
                self.known.insert((fid, mac), seen);
                if self.next.is_some() {
                    self.tell(Event::of_station("learned", mac, name), events);
                }
            }
            None => self.beyond[0] += 1,
        }
    }

    /// Everything has been seen; what was not is gone.
    fn end<P: Port>(&mut self, handle: &Handle<P>, now: Tick, events: &mut Vec<(Event, u64)>) {
        let (fdb, look, mut gone) = (handle.fdb(), self.look, Vec::new());
        self.known.retain(|(fid, mac), known| {
            // One that went to a bucket that had been looked at is seen next time.
            let stays = known.look == look || fdb.lookup(fdb.place(*fid, *mac), now).is_some();
            if !stays {
                let aged = fdb.is_expired(known.heard, now);
                gone.push((*mac, known.port, if aged { "aged" } else { "forgotten" }));
            }
            stays
        });
        for (mac, port, kind) in gone {
            let before = self.names_before.get(&port).or(self.names.get(&port));
            // With a port all of its stations go, and that has been told.
            if let Some(name) = handle.name(port).filter(|name| before.is_some_and(|b| b == name)) {
                self.tell(Event::of_station(kind, mac, name), events);
            }
        }
        if self.next.is_some() {
            self.missed += self.beyond[0].abs_diff(self.beyond[1]);
        }
        if let Some(last) = self.held.take() {
            events.push((last, std::mem::take(&mut self.missed)));
        }
    }

    /// The last is held back, so that at the end there is one to tell what was missed.
    fn tell(&mut self, event: Event, events: &mut Vec<(Event, u64)>) {
        let Some(before) = self.held.replace(event) else { return };
        if self.told + 1 < EVENTS_A_LOOK_MAX {
            self.told += 1;
            events.push((before, std::mem::take(&mut self.missed)));
        } else {
            self.missed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use uswitch::{
        bridge::VLAN_UNAWARE,
        fdb::FdbConfig,
        port::memory::{Memory, cable},
        switch::{PortConfig, SwitchConfig, start},
    };

    use super::*;

    /// A switch whose ports nobody uses: the test learns for them.
    struct Lab {
        handle: Handle<Memory>,
        stations: Stations,
        time: Instant,
    }

    impl Lab {
        fn new(fdb: FdbConfig, ports: &[&str]) -> Lab {
            let config = SwitchConfig { fdb, ..SwitchConfig::default() };
            let mut handle = start::<Memory>(&config).unwrap();
            for port in ports {
                handle.add(PortConfig::named(*port), cable(1500, 4).1).unwrap();
            }
            Lab { handle, stations: Stations::default(), time: Instant::now() }
        }

        fn learn(&self, number: u64, port: &str) {
            let fdb = self.handle.fdb();
            let place = fdb.place(VLAN_UNAWARE, mac(number));
            fdb.learn(place, self.handle.find(port).unwrap(), self.handle.now());
        }

        /// A whole look, a second later than the last.
        fn look(&mut self) -> Vec<(String, u64)> {
            self.time += LOOK_INTERVAL;
            let mut events = self.stations.look(&self.handle, self.time);
            while self.stations.bucket.is_some() {
                assert_eq!(self.stations.pause(self.time), SLICE_PAUSE);
                events.extend(self.stations.look(&self.handle, self.time));
            }
            assert_eq!(self.stations.pause(self.time), LOOK_INTERVAL);
            assert!(self.stations.look(&self.handle, self.time).is_empty(), "it is not time");
            events.into_iter().map(|(event, missed)| (event.text, missed)).collect()
        }

        fn texts(&mut self) -> Vec<String> {
            let mut texts: Vec<_> = self.look().into_iter().map(|(text, _)| text).collect();
            texts.sort();
            texts
        }
    }

    fn mac(number: u64) -> Mac {
        Mac::from_bits(0x0200_0000_0000 | number)
    }

    #[test]
    fn what_happens_to_stations_is_told_once() {
        let mut lab = Lab::new(FdbConfig::default(), &["a", "b"]);
        lab.learn(1, "a");
        assert!(!lab.stations.is_ready());
        assert!(lab.texts().is_empty(), "what was known before is no news");
        assert!(lab.stations.is_ready());
        assert!(lab.texts().is_empty());
        lab.learn(1, "b");
        lab.learn(2, "a");
        let told = ["02:00:00:00:00:01: moved from a to b", "02:00:00:00:00:02: learned behind a"];
        assert_eq!(lab.texts(), told);
        assert!(lab.texts().is_empty());
        lab.handle.fdb().flush(lab.handle.find("a"));
        assert_eq!(lab.texts(), ["02:00:00:00:00:02: forgotten, it was behind a"]);
        // With a port its stations go without a word, even if its number goes to another.
        let b = lab.handle.find("b").unwrap();
        lab.handle.remove(b).unwrap();
        let c = lab.handle.add(PortConfig::named("c"), cable(1500, 4).1).unwrap();
        assert_eq!(b, c);
        assert!(lab.texts().is_empty());
        // What is said is no news, nor does it make a station forgotten.
        lab.learn(3, "a");
        assert_eq!(lab.texts(), ["02:00:00:00:00:03: learned behind a"]);
        lab.handle.add_static(mac(3), "c").unwrap();
        lab.handle.add_static(mac(4), "c").unwrap();
        assert!(lab.texts().is_empty());
    }

    #[test]
    fn station_behind_another_port_with_the_same_number_has_moved() {
        let mut lab = Lab::new(FdbConfig::default(), &["a", "b"]);
        lab.learn(1, "b");
        lab.look();
        lab.handle.remove(lab.handle.find("b").unwrap()).unwrap();
        lab.handle.add(PortConfig::named("c"), cable(1500, 4).1).unwrap();
        lab.learn(1, "c");
        assert_eq!(lab.texts(), ["02:00:00:00:00:01: moved from b to c"]);
        assert!(lab.texts().is_empty());
    }

    #[test]
    fn silent_station_ages() {
        let fdb = FdbConfig { ageing: Duration::from_millis(100), ..FdbConfig::default() };
        let mut lab = Lab::new(fdb, &["a"]);
        lab.look();
        lab.learn(1, "a");
        let mut told = lab.texts();
        // It may have aged before it was seen, on a machine that is busy.
        while told.len() != 1 {
            lab.learn(1, "a");
            told = lab.texts();
        }
        let mut told = lab.texts();
        while told.is_empty() {
            told = lab.texts();
        }
        assert_eq!(told, ["02:00:00:00:00:01: aged, it was behind a"]);
    }

    #[test]
    fn flood_of_addresses_is_bounded_and_what_is_beyond_is_counted() {
        let fdb = FdbConfig { quota: 200_000, ..FdbConfig::new(200_000) };
        let mut lab = Lab::new(fdb, &["a", "b"]);
        lab.look();
        (0..1000).for_each(|number| lab.learn(number, "a"));
        let told = lab.look();
        assert_eq!(told.len(), EVENTS_A_LOOK_MAX);
        assert_eq!(told.iter().map(|(_, missed)| missed + 1).sum::<u64>(), 1000);
        (0..100_000).for_each(|number| lab.learn(number, "a"));
        let learned = lab.handle.fdb().used() as u64;
        assert!(learned > 99_000, "{learned}");
        let told = lab.look();
        assert_eq!(told.len(), EVENTS_A_LOOK_MAX);
        assert_eq!(lab.stations.known.len(), STATIONS_MAX);
        assert_eq!(told.iter().map(|(_, missed)| missed + 1).sum::<u64>(), learned - 1000);
        assert!(lab.look().is_empty(), "those beyond are no news again");
        lab.handle.fdb().flush(None);
        let told: u64 = lab.look().iter().map(|(_, missed)| missed + 1).sum();
        assert_eq!(told, learned);
    }
}
