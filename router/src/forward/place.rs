//! Where packets go, found ahead of the decision.

use super::Router;
use crate::fib::{BATCH, Leaf};

/// Where a packet goes. Good for the tables of which it was had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub(super) Leaf);

impl Router {
    /// Finds where a packet goes. For several use [`Router::places`].
    #[inline]
    pub fn place(&self, octets: &[u8]) -> Place {
        let fib = self.tables.fib();
        match version(octets) {
            4 => destination_v4(octets).map(|address| fib.lookup_v4(address.into())),
            6 => destination_v6(octets).map(|address| fib.lookup_v6(address.into())),
            _ => None,
        }
        .map_or_else(Place::default, Place)
    }

    /// Finds where the packets of a batch go, before the first is decided about: looks that wait
    /// for memory wait together then. Each comes with its index among the places.
    ///
    /// # Panics
    ///
    /// If there is no place of such an index.
    #[inline]
    pub fn places<'a>(
        &self,
        packets: impl Iterator<Item = (usize, &'a [u8])>,
        places: &mut [Place],
    ) {
        let (mut addresses, mut indexes, mut count) = ([0; BATCH], [0; BATCH], 0);
        for (index, octets) in packets {
            // Their searches are long: each step is taken for all of them together.
            let address = if version(octets) == 6 { destination_v6(octets) } else { None };
            let Some(address) = address else {
                places[index] = self.place(octets);
                continue;
            };
            (addresses[count], indexes[count]) = (address, index);
            count += 1;
            if count == BATCH {
                self.places_v6(&addresses, &indexes, places);
                count = 0;
            }
        }
        if count > 0 {
            self.places_v6(&addresses[..count], &indexes[..count], places);
        }
    }

    fn places_v6(&self, addresses: &[u128], indexes: &[usize], places: &mut [Place]) {
        let leaves = &mut [Leaf::NONE; BATCH][..addresses.len()];
        self.tables.fib().lookup_batch_v6(addresses, leaves);
        for (index, leaf) in indexes.iter().zip(leaves) {
            places[*index] = Place(*leaf);
        }
    }
}

fn version(octets: &[u8]) -> u8 {
    octets.first().map_or(0, |first| first >> 4)
}

fn destination_v4(octets: &[u8]) -> Option<u32> {
    octets.get(16..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn destination_v6(octets: &[u8]) -> Option<u128> {
    octets.get(24..)?.first_chunk().copied().map(u128::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        forward::sample::{ipv4, ipv6},
        route::Leg,
        tables::Tables,
    };

    fn router() -> Router {
        let leg = |text: &str| Leg::new(vec![text.parse().unwrap()], 1500);
        let texts = ["10.0.0.1/24", "10.1.0.1/24", "fd00::1/64", "fd01::1/64"];
        Router::new(Arc::new(Tables::build(texts.map(leg).to_vec(), &[]).unwrap()), 1)
    }

    #[test]
    fn batch_of_both_versions_and_of_neither_finds_what_each_finds_alone() {
        let router = router();
        let mut packets = Vec::new();
        // More of IPv6 than are looked up together.
        for index in 0..BATCH + 9 {
            let (own, host) = (index % 3, index % 7);
            packets.push(ipv6("fd00::2", &format!("fd0{own}::{host}"), 64, 17, &[1; 8]));
            packets.push(ipv4("10.0.0.2", &format!("10.{own}.0.{host}"), 64, 17, &[1; 8]));
        }
        packets.extend([vec![], vec![0x60; 39], vec![0x45; 19], vec![0xff; 60]]);
        let wanted: Vec<_> = packets.iter().map(|octets| router.place(octets)).collect();
        let found = &mut vec![Place(Leaf::new(99)); packets.len()];
        router.places(packets.iter().map(Vec::as_slice).enumerate(), found);
        assert_eq!(*found, wanted);
        assert!(wanted.iter().filter(|place| **place == Place::default()).count() >= 4);
        // Those that are asked about, and no others.
        let found = &mut [Place(Leaf::new(99)); 8];
        router.places([(6, &packets[0][..]), (1, &packets[1])].into_iter(), found);
        assert_eq!((found[6], found[1]), (wanted[0], wanted[1]));
        assert_eq!(found.iter().filter(|place| place.0 == Leaf::new(99)).count(), 6);
    }
}
