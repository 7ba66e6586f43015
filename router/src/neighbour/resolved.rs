//! What workers know of neighbours: a table that is read by all of them and never changed.
//!
//! Each leg has a table of its own, with open addressing, half of it empty at least, so that a
//! change on one leg costs the making of that one. A slot is half of a cache line and lies across
//! none. The hash is seeded: strangers choose their addresses, and must not choose their slots.

use std::{net::IpAddr, sync::Arc};

use crate::{
    link::LinkAddress,
    route::{Hop, LegId},
    tables::is_link_local,
};

/// Where a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its link-layer address.
    pub to: LinkAddress,
    /// Whether it has not been heard of for long: packets go there all the same, and who sends one
    /// says so (RFC 4861, section 7.3.3).
    pub stale: bool,
}

impl Known {
    /// Of somebody on a link without such addresses.
    pub const ANYBODY: Known = Known { to: LinkAddress::NULL, stale: false };
}

/// The table. Every leg's `point_to_point` address is in it, too.
#[derive(Clone, Debug)]
pub struct Resolved {
    legs: Vec<Table>,
    secrets: [u64; 2],
    /// On legs that are not there.
    elsewhere: Option<Known>,
    /// Addresses of the router that it does not use. There are few, and not for long.
    silent: Arc<[Hop]>,
}

/// That of a leg.
#[derive(Clone, Debug)]
struct Table {
    /// A power of two of them, at least half of them empty.
    slots: Arc<[Slot]>,
    /// By so many bits a hash is shifted to be the number of a slot.
    shift: u32,
    /// The one address that all neighbours have.
    point_to_point: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Slot {
    key: Key,
    known: Known,
}

/// An address as numbers. The version tells ::ffff:10.0.0.1 from 10.0.0.1, and 0 is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    halves: [u64; 2],
    version: u8,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Key {
    const NONE: Key = Key { halves: [0; 2], version: 0 };

    #[inline]
    fn of(address: IpAddr) -> Key {
        match address {
            IpAddr::V4(address) => Key { halves: [0, u64::from(address.to_bits())], version: 4 },
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                Key { halves: [(bits >> 64) as u64, bits as u64], version: 6 }
            }
        }
    }

    /// Two multiplications of 64 by 64 bits, folded; the upper bits are the best.
    #[inline]
    fn hash(self, secrets: [u64; 2]) -> u64 {
        let [a, b] = self.halves;
        fold(fold(a ^ secrets[0], SPREAD) ^ b ^ secrets[1], SPREAD)
    }
}

/// An odd number of which half the bits are set.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

impl Resolved {
    /// A table of legs without neighbours, each with the address that all have there, if there is
    /// such a one. The seed is a secret.
    pub fn new(seed: u64, point_to_point: &[Option<LinkAddress>]) -> Resolved {
        let secret = |number: u64| fold(seed ^ number.wrapping_mul(SPREAD), SPREAD);
        let leg = |to: &Option<LinkAddress>| Table {
            point_to_point: to.map(|to| Known { to, stale: false }),
            ..Table::build(&[], [0; 2])
        };
        Resolved {
            legs: point_to_point.iter().map(leg).collect(),
            secrets: [secret(1), secret(2)],
            elsewhere: None,
            silent: Arc::new([]),
        }
    }

    /// Knows everybody, by the address 0: for who has no link layer.
    pub fn any() -> Resolved {
        Resolved { elsewhere: Some(Known::ANYBODY), ..Resolved::new(0, &[]) }
    }

    /// Whether it knows everybody: [`Resolved::any`].
    pub fn is_whole(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Forgets a leg's neighbours and knows these. Of two with one address the last counts.
    ///
    /// # Panics
    ///
    /// If there is no such leg.
    pub fn set(&mut self, leg: LegId, neighbours: &[(IpAddr, Known)]) {
        let table = &mut self.legs[leg.index()];
        let point_to_point = table.point_to_point;
        *table = Table { point_to_point, ..Table::build(neighbours, self.secrets) };
    }

    /// From now on these of the router's own addresses are not used.
    pub fn silence(&mut self, silent: Vec<Hop>) {
        self.silent = silent.into();
    }

    /// Whether the router uses an address of its own, seen from the link of this leg: of link-local
    /// ones each leg has its own (RFC 4862, section 5.4).
    #[inline]
    pub fn is_used(&self, leg: LegId, address: IpAddr) -> bool {
        let is_it = |silent: &Hop| {
            silent.address == address && (silent.leg == leg || !is_link_local(address))
        };
        !self.silent.iter().any(is_it)
    }

    /// Where a neighbour is, if that is known.
    #[inline]
    pub fn get(&self, hop: Hop) -> Option<Known> {
        let Some(table) = self.legs.get(hop.leg.index()) else { return self.elsewhere };
        if table.point_to_point.is_some() {
            return table.point_to_point;
        }
        table.get(Key::of(hop.address), self.secrets)
    }

    /// Neighbours, of all legs.
    pub fn len(&self) -> usize {
        let used = |slot: &&Slot| slot.key != Key::NONE;
        self.legs.iter().map(|table| table.slots.iter().filter(used).count()).sum()
    }

    /// Whether no leg has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    fn build(neighbours: &[(IpAddr, Known)], secrets: [u64; 2]) -> Table {
        let count = (neighbours.len() * 2).next_power_of_two().max(2);
        let shift = u64::BITS - count.ilog2();
        let nobody = Known { to: LinkAddress::NULL, stale: false };
        let mut slots = vec![Slot { key: Key::NONE, known: nobody }; count];
        for (address, known) in neighbours {
            let key = Key::of(*address);
            let mut at = (key.hash(secrets) >> shift) as usize;
            while slots[at].key != Key::NONE && slots[at].key != key {
                at = (at + 1) & (count - 1);
            }
            slots[at] = Slot { key, known: *known };
        }
        Table { slots: slots.into(), shift, point_to_point: None }
    }

    #[inline]
    fn get(&self, key: Key, secrets: [u64; 2]) -> Option<Known> {
        let mut at = (key.hash(secrets) >> self.shift) as usize;
        // It ends: half of the slots are empty.
        loop {
            let slot = self.slots.get(at & (self.slots.len() - 1))?;
            if slot.key == key {
                return Some(slot.known);
            }
            if slot.key == Key::NONE {
                return None;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn hop(leg: u16, address: impl Into<IpAddr>) -> Hop {
        Hop { leg: LegId(leg), address: address.into() }
    }

    fn known(last: u8, stale: bool) -> Known {
        Known { to: LinkAddress([2, 0, 0, 0, 0, last]), stale }
    }

    #[test]
    fn neighbours_of_one_leg_are_not_those_of_another() {
        let mut table = Resolved::new(7, &[None, None]);
        let address = IpAddr::from([10, 0, 0, 2]);
        table.set(LegId(0), &[(address, known(1, false))]);
        table.set(LegId(1), &[(address, known(2, true)), ([10, 0, 0, 3].into(), known(3, false))]);
        assert_eq!(table.get(hop(0, address)), Some(known(1, false)));
        assert_eq!(table.get(hop(1, address)), Some(known(2, true)));
        assert_eq!(table.get(hop(0, [10, 0, 0, 3])), None);
        assert_eq!(table.get(hop(2, address)), None);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn versions_are_told_apart() {
        let mut table = Resolved::new(7, &[None]);
        let v6: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
        let numbers = [
            (IpAddr::from([10, 0, 0, 2]), known(4, false)),
            (v6, known(6, false)),
            ("::a00:2".parse().unwrap(), known(7, false)),
            ("::".parse().unwrap(), known(8, false)),
            (IpAddr::from([0; 4]), known(9, false)),
        ];
        table.set(LegId(0), &numbers);
        for (address, known) in numbers {
            assert_eq!(table.get(hop(0, address)), Some(known), "{address}");
        }
        let empty = Resolved::new(7, &[None]);
        assert!(numbers.iter().all(|(address, _)| empty.get(hop(0, *address)).is_none()));
        assert!(empty.is_empty());
    }

    #[test]
    fn point_to_point_knows_all_and_any_everybody() {
        let peer = LinkAddress([2, 0, 0, 0, 0, 9]);
        let mut table = Resolved::new(7, &[None, Some(peer)]);
        table.set(LegId(1), &[]);
        assert_eq!(table.get(hop(1, [10, 0, 0, 2])), Some(known(9, false)));
        assert_eq!(table.get(hop(0, [10, 0, 0, 2])), None);
        let nobody = Some(Known { to: LinkAddress([0; 6]), stale: false });
        assert_eq!(Resolved::any().get(hop(900, "fd00::1".parse::<IpAddr>().unwrap())), nobody);
    }

    #[test]
    fn neighbours_in_a_row_lie_near_their_slots() {
        // A link of addresses in a row, and one where they differ in their upper bits.
        let rows: [fn(u32) -> IpAddr; 3] = [
            |i| IpAddr::from((0x0a00_0000 + i).to_be_bytes()),
            |i| IpAddr::from((0xfd00_u128 << 112 | u128::from(i)).to_be_bytes()),
            |i| IpAddr::from((0xfd00_u128 << 112 | u128::from(i) << 64).to_be_bytes()),
        ];
        for (seed, row) in (0..20).flat_map(|seed| rows.map(|row| (seed, row))) {
            let mut table = Resolved::new(seed, &[None]);
            let all: Vec<_> = (0..1000).map(|i| (row(i), known(1, false))).collect();
            table.set(LegId(0), &all);
            let Table { slots, shift, .. } = &table.legs[0];
            let far = all.iter().map(|(address, _)| {
                let key = Key::of(*address);
                let begin = (key.hash(table.secrets) >> shift) as usize;
                let found = slots.iter().position(|slot| slot.key == key).unwrap();
                found.wrapping_sub(begin) & (slots.len() - 1)
            });
            // At half a load it is half a slot further for random numbers.
            assert!(far.sum::<usize>() < 1500, "seed {seed}, like {}", row(1));
        }
    }

    proptest! {
        #[test]
        fn table_agrees_with_a_map(
            seed: u64,
            entries in vec((any::<bool>(), 0..300_u32, any::<u8>(), any::<bool>()), 0..400),
        ) {
            let address = |v6: bool, i: u32| match v6 {
                true => IpAddr::from(u128::from(i).to_be_bytes()),
                false => IpAddr::from(i.to_be_bytes()),
            };
            let list: Vec<_> = entries.iter()
                .map(|(v6, i, last, stale)| (address(*v6, *i), known(*last, *stale)))
                .collect();
            let mut table = Resolved::new(seed, &[None, None]);
            table.set(LegId(1), &list);
            let map: HashMap<_, _> = list.into_iter().collect();
            prop_assert_eq!(table.len(), map.len());
            for (v6, i) in (0..300).flat_map(|i| [(false, i), (true, i)]) {
                let address = address(v6, i);
                prop_assert_eq!(table.get(hop(1, address)), map.get(&address).copied());
                prop_assert_eq!(table.get(hop(0, address)), None);
            }
        }
    }
}
