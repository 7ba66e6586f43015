//! Any sequence of what a switch does to its forwarding database, against a map that does the
//! same. Four octets are one operation; [`Model::step`] says how they are read.
#![no_main]

use std::{collections::HashMap, time::Duration};

use libfuzzer_sys::fuzz_target;
use uswitch::{
    fdb::{FDB_RESERVE, FDB_SIZE_MIN, Fdb, FdbConfig, Learn, Seed, Tick},
    frame::Mac,
    port::PortId,
};

/// Operations of one input; what comes behind them is not read.
const OPERATIONS_MAX: usize = 512;
const PORTS: usize = 4;
const AGEING_TICKS: u32 = 20;
const SIZE: u32 = FDB_SIZE_MIN;

fuzz_target!(|input: &[u8]| {
    let mut model = Model::new();
    for operation in input.as_chunks().0.iter().take(OPERATIONS_MAX) {
        model.step(*operation);
        model.assert_counts();
    }
    model.assert_entries();
});

/// A station by VLAN and number.
type Station = (u16, u8);

/// The table, and what should be in it.
struct Model {
    fdb: Fdb,
    now: u32,
    /// Behind which port, and when heard last. Those that have expired may be gone from the table.
    stations: HashMap<Station, (usize, u32)>,
    /// Of the ports that are attached.
    quotas: [Option<u32>; PORTS],
    /// Entries that each port had before the last operation.
    before: [usize; PORTS],
}

impl Model {
    fn new() -> Model {
        let ageing = Duration::from_millis(u64::from(AGEING_TICKS) * Tick::MILLIS);
        let seed = Seed::from_number(1);
        let fdb = Fdb::new(&FdbConfig { size: SIZE, quota: SIZE / 4, ageing, seed });
        let (stations, quotas, before) = Default::default();
        Model { fdb, now: AGEING_TICKS, stations, quotas, before }
    }

    fn step(&mut self, [kind, number, b, c]: [u8; 4]) {
        let station = (u16::from(b >> 7), number);
        let port = usize::from(b) % PORTS;
        match kind % 16 {
            0..=6 => self.learn(station, port, self.now - u32::from(c) % 2),
            7..=10 => self.lookup(station),
            11 => self.now += u32::from(c) % (AGEING_TICKS + 2),
            12 => {
                let quota = (c % 2 == 0).then_some(u32::from(c) / 2);
                self.fdb.attach(PortId::new(port), quota);
                self.quotas[port] = Some(quota.unwrap_or(SIZE / 4));
            }
            13 => {
                if self.quotas[port].take().is_some() {
                    self.fdb.detach(PortId::new(port));
                    self.stations.retain(|_, (of, _)| *of != port);
                }
            }
            14 => {
                let only = (c % 2 == 0).then_some(port);
                self.fdb.flush(only.map(PortId::new));
                self.stations.retain(|_, (of, _)| only.is_some_and(|port| *of != port));
            }
            _ => {
                self.fdb.sweep(Tick(self.now));
                self.stations.retain(|_, (_, heard)| self.now - *heard < AGEING_TICKS);
                assert_eq!(self.fdb.used(), self.stations.len(), "a sweep leaves what is live");
            }
        }
    }

    /// Learns at a moment that may be a little before another worker's.
    fn learn(&mut self, station: Station, port: usize, now: u32) {
        let place = self.place(station);
        let learned = self.fdb.learn(place, PortId::new(port), Tick(now));
        let known = self.stations.get(&station).copied();
        let live = known.filter(|(_, heard)| now.saturating_sub(*heard) < AGEING_TICKS);
        match (learned, live) {
            (Learn::Known, Some((of, heard))) if of == port => {
                self.stations.insert(station, (port, heard.max(now)));
            }
            (Learn::Moved { from }, Some((of, _))) if of != port && from.index() == of => {
                self.stations.insert(station, (port, now));
            }
            (Learn::New, None) => {
                self.stations.insert(station, (port, now));
            }
            (Learn::Quota | Learn::Full, _) if live.is_none_or(|(of, _)| of != port) => {
                self.assert_refusal(learned, port);
                self.stations.remove(&station);
            }
            _ => panic!("{station:?} from port {port} at {now} was {known:?}, is {learned:?}"),
        }
    }

    /// A port is refused for a reason, and never what is in its reserve.
    fn assert_refusal(&self, refusal: Learn, port: usize) {
        let used = self.fdb.used_by(PortId::new(port));
        if refusal == Learn::Quota {
            assert!(used >= self.quotas[port].unwrap_or(0) as usize, "the quota is used up");
        } else {
            assert!(used >= FDB_RESERVE as usize, "the reserve is used up");
            // The entry of a station that could not move has just been removed.
            assert!(self.occupied() + 1 >= SIZE as usize, "the table is full");
        }
    }

    fn lookup(&self, station: Station) {
        let known = self.stations.get(&station);
        let live = known.filter(|(_, heard)| self.now.saturating_sub(*heard) < AGEING_TICKS);
        let found = self.fdb.lookup(self.place(station), Tick(self.now));
        assert_eq!(found.map(PortId::index), live.map(|(port, _)| *port), "{station:?}");
    }

    fn place(&self, (vlan, number): Station) -> uswitch::fdb::Place {
        self.fdb.place(vlan, mac(number))
    }

    /// Entries, and those that are kept for somebody.
    fn occupied(&self) -> usize {
        let ports = self.quotas.iter().enumerate();
        let of = ports.map(|(index, quota)| {
            let reserve = if quota.is_some() { FDB_RESERVE as usize } else { 0 };
            self.fdb.used_by(PortId::new(index)).max(reserve)
        });
        of.sum()
    }

    /// Nobody has more than he may, and nobody less than what the map says.
    fn assert_counts(&mut self) {
        let used: [usize; PORTS] = std::array::from_fn(|i| self.fdb.used_by(PortId::new(i)));
        for (port, used) in used.into_iter().enumerate() {
            let quota = self.quotas[port].unwrap_or(0) as usize;
            // What it had stays when its quota is lowered.
            assert!(used <= quota.max(self.before[port]), "port {port} has {used} of {quota}");
            let live = |(of, heard): &&(usize, u32)| *of == port && self.is_live(*heard);
            assert!(used >= self.stations.values().filter(live).count());
        }
        assert!(used.iter().sum::<usize>() <= (SIZE + PORTS as u32 * FDB_RESERVE) as usize);
        self.before = used;
    }

    fn is_live(&self, heard: u32) -> bool {
        self.now.saturating_sub(heard) < AGEING_TICKS
    }

    /// The table says of itself what the map says.
    fn assert_entries(&self) {
        assert_eq!(self.fdb.used(), self.before.iter().sum::<usize>());
        let entries = self.fdb.entries(Tick(self.now)).map(|entry| {
            let ticks = entry.age.as_millis() as u32 / Tick::MILLIS as u32;
            let station = (entry.fid, *entry.mac.octets().last().expect("six octets"));
            assert_eq!(entry.mac, mac(station.1));
            (station, (entry.port.index(), self.now - ticks))
        });
        let mut live = self.stations.clone();
        live.retain(|_, (_, heard)| self.is_live(*heard));
        assert_eq!(entries.collect::<HashMap<_, _>>(), live);
    }
}

fn mac(number: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, number])
}
