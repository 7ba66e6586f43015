//! Flapping: a station that is heard behind two ports in turn. Either two stations have the same
//! address, or its frames come round by a loop; a person should know. A station that has moved,
//! even some times, does not flap.

use std::collections::HashMap;

use crate::{fdb::Tick, frame::Mac, worker::Moved};

/// So many moves, noticed within [`WINDOW_TICKS`], are no longer a station that is carried about.
/// A worker notices one in a tick at the most, the last.
const MOVES: u32 = 8;
/// The time in which they are counted.
const WINDOW_TICKS: i32 = (2000 / Tick::MILLIS) as i32;
/// How long a station is not told of again.
const SILENCE_TICKS: i32 = (60_000 / Tick::MILLIS) as i32;
/// Stations that are counted at a time; strangers choose the addresses.
const STATIONS_MAX: usize = 256;

/// The stations that have moved lately.
#[derive(Debug, Default)]
pub(crate) struct Flaps {
    stations: HashMap<Mac, Flap>,
}

#[derive(Debug)]
struct Flap {
    /// When the first of these moves was.
    since: Tick,
    moves: u32,
    told: bool,
}

impl Flaps {
    /// Takes note of a move. `true`: this station flaps, and that has not been told lately.
    pub(crate) fn note(&mut self, moved: Moved, now: Tick) -> bool {
        if self.stations.len() == STATIONS_MAX && !self.stations.contains_key(&moved.station) {
            self.stations.retain(|_, flap| !flap.is_over(now));
            if self.stations.len() == STATIONS_MAX {
                return false;
            }
        }
        let new = Flap { since: now, moves: 0, told: false };
        let flap = self.stations.entry(moved.station).or_insert(new);
        if flap.is_over(now) {
            *flap = Flap { since: now, moves: 0, told: false };
        }
        flap.moves += 1;
        flap.moves >= MOVES && !std::mem::replace(&mut flap.told, true)
    }
}

impl Flap {
    fn is_over(&self, now: Tick) -> bool {
        now.since(self.since) > if self.told { SILENCE_TICKS } else { WINDOW_TICKS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::PortId;

    fn moved(station: u64) -> Moved {
        Moved { station: Mac::from_bits(station), from: PortId::new(0), to: PortId::new(1) }
    }

    /// How many of so many moves, so many milliseconds apart, are told.
    fn told(flaps: &mut Flaps, begin: u64, apart: u64, count: u64) -> usize {
        let at = |index| Tick::from_millis(begin + index * apart);
        (0..count).filter(|index| flaps.note(moved(1), at(*index))).count()
    }

    #[test]
    fn station_that_moves_again_and_again_is_told_once_a_minute() {
        let mut flaps = Flaps::default();
        assert_eq!(told(&mut flaps, 0, 100, u64::from(MOVES) - 1), 0);
        assert_eq!(told(&mut flaps, 800, 100, 500), 1);
        assert_eq!(told(&mut flaps, 70_000, 100, 500), 1);
    }

    #[test]
    fn station_that_is_carried_about_is_not_told() {
        assert_eq!(told(&mut Flaps::default(), 0, 300, 1000), 0);
    }

    #[test]
    fn strangers_cannot_make_it_remember_more_than_its_bound() {
        let mut flaps = Flaps::default();
        for station in 0..10 * STATIONS_MAX as u64 {
            flaps.note(moved(station), Tick::from_millis(0));
        }
        assert_eq!(flaps.stations.len(), STATIONS_MAX);
        // What is over makes room.
        assert!(!flaps.note(moved(1 << 40), Tick::from_millis(3000)));
        assert_eq!(flaps.stations.len(), 1);
    }
}
