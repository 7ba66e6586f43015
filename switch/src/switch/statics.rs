//! Static entries by the names of ports: what a person says about where a station is, for as long
//! as the switch runs. A port that leaves takes its entries out of the forwarding database; when
//! one of its name comes back, they are there before its first frame. While it is away its
//! stations are like any other: flooded, or learned where they are heard.

use std::collections::BTreeMap;

use super::Handle;
use crate::{
    bridge::BridgeId,
    fdb::{FDB_STATIC_MAX, Place, Refused},
    frame::Mac,
    port::{Port, PortId},
};

/// The stations, each with the name of its port: [`FDB_STATIC_MAX`] at the most.
pub(super) type Statics = BTreeMap<Mac, String>;

impl<P: Port> Handle<P> {
    /// Says that a station is behind the port of this name, whether that is there or will be;
    /// what was said of the station before is replaced. Whether it is an address that a station
    /// can have, the caller looks.
    ///
    /// # Errors
    ///
    /// Why not; then nothing has changed.
    pub fn add_static(&mut self, station: Mac, port: &str) -> Result<(), Refused> {
        let known = self.statics.get(&station);
        if known.is_none() && self.statics.len() >= FDB_STATIC_MAX as usize {
            return Err(Refused::Many);
        }
        let before = known.and_then(|port| self.static_place(station, port));
        let place = self.static_place(station, port);
        if let Some((place, id)) = place {
            self.fdb.add_static(place, id, self.now())?;
        }
        if let Some((before, _)) =
            before.filter(|(before, _)| !place.is_some_and(|(p, _)| p == *before))
        {
            self.fdb.forget(before);
        }
        self.statics.insert(station, port.to_owned());
        Ok(())
    }

    /// Takes that back: the station is learned from now on. Returns the name of the port that
    /// was said; `None`: nothing was.
    pub fn del_static(&mut self, station: Mac) -> Option<String> {
        let port = self.statics.remove(&station)?;
        if let Some((place, _)) = self.static_place(station, &port) {
            self.fdb.forget(place);
        }
        Some(port)
    }

    /// Where the table has a station, on the bridge of the port of this name, and that port.
    /// `None`: the port is not there.
    fn static_place(&self, station: Mac, port: &str) -> Option<(Place, PortId)> {
        let id = self.find(port)?;
        Some((self.fdb.place(self.bridge_of(id)?.fid(), station), id))
    }

    /// All static entries, those included whose port is away, in the order of the addresses.
    pub fn statics(&self) -> impl Iterator<Item = (Mac, &str)> {
        self.statics.iter().map(|(station, port)| (*station, port.as_str()))
    }

    /// Puts in what was said of a port that has just come.
    pub(super) fn put_statics_of(&self, port: PortId) {
        let name = self.name(port).expect("a port that was just attached");
        let fid = self.bridge_of(port).map_or(0, BridgeId::fid);
        for (station, _) in self.statics.iter().filter(|(_, of)| *of == name) {
            let place = self.fdb.place(fid, *station);
            // Refused only if others' static entries are wherever it could be; then it is flooded.
            let _ = self.fdb.add_static(place, port, self.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{PortConfig, SwitchConfig, start},
        *,
    };
    use crate::port::memory::{Memory, cable};

    const STATION: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

    fn plug(handle: &mut Handle<Memory>, name: &str) -> PortId {
        handle.add(PortConfig::named(name), cable(1500, 10).1).unwrap()
    }

    fn found(handle: &Handle<Memory>) -> Option<PortId> {
        handle.fdb().lookup(handle.fdb().place(BridgeId::FIRST.fid(), STATION), handle.now())
    }

    #[test]
    fn entries_come_back_with_a_port_of_their_name_and_only_with_that() {
        let mut handle = start::<Memory>(&SwitchConfig::default()).unwrap();
        handle.add_static(STATION, "a").unwrap();
        assert_eq!(found(&handle), None);
        let b = plug(&mut handle, "b");
        assert_eq!(found(&handle), None);
        let a = plug(&mut handle, "a");
        assert_eq!(found(&handle), Some(a));
        handle.remove(a).unwrap();
        assert_eq!((found(&handle), handle.fdb().statics()), (None, 0));
        // Its number goes to another, and it comes back under the next.
        let c = plug(&mut handle, "c");
        assert_eq!((c, found(&handle)), (a, None));
        let a = plug(&mut handle, "a");
        assert_eq!(found(&handle), Some(a));
        handle.add_static(STATION, "b").unwrap();
        assert_eq!(found(&handle), Some(b));
        assert_eq!(handle.statics().collect::<Vec<_>>(), [(STATION, "b")]);
        // Said of a port that is not there, it is nowhere until that comes.
        handle.add_static(STATION, "d").unwrap();
        assert_eq!((found(&handle), handle.fdb().statics()), (None, 0));
        let d = plug(&mut handle, "d");
        assert_eq!(found(&handle), Some(d));
        assert_eq!(handle.del_static(STATION).as_deref(), Some("d"));
        assert_eq!((found(&handle), handle.del_static(STATION)), (None, None));
        handle.remove(d).unwrap();
        plug(&mut handle, "d");
        assert_eq!((found(&handle), handle.statics().count()), (None, 0));
    }

    #[test]
    fn they_are_bounded_whether_their_ports_are_there_or_not() {
        let mut handle = start::<Memory>(&SwitchConfig::default()).unwrap();
        plug(&mut handle, "a");
        for number in 0..u64::from(FDB_STATIC_MAX) {
            let port = if number % 2 == 0 { "a" } else { "away" };
            handle.add_static(Mac::from_bits(0x0200_0000_0000 | number), port).unwrap();
        }
        let another = Mac::new([2, 1, 0, 0, 0, 1]);
        assert_eq!(handle.add_static(another, "a"), Err(Refused::Many));
        assert_eq!(handle.statics().count(), FDB_STATIC_MAX as usize);
        handle.add_static(STATION, "a").unwrap();
        assert_eq!(found(&handle), handle.find("a"));
    }
}
