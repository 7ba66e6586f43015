//! The neighbours of one leg, ordered by address, by timer, by who gives way first, and by who is
//! waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    entry::{Entry, Rank},
    resolved::Known,
};

/// Trees, for strangers choose the addresses: none of them has a worst case to be found.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<IpAddr, Entry>,
    timers: BTreeSet<(u64, IpAddr)>,
    order: BTreeSet<(Rank, u64, IpAddr)>,
    /// Those for whom something waits.
    holding: BTreeSet<(u64, IpAddr)>,
    held_octets: usize,
    permanent: usize,
    /// Whether what workers know of this leg is not what it was.
    changed: bool,
}

impl Table {
    pub fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    /// Puts an entry in, in place of one that was there.
    pub fn put(&mut self, address: IpAddr, entry: Entry) {
        self.remove(address);
        self.changed |= entry.known().is_some();
        self.timers.extend(entry.deadline.map(|deadline| (deadline, address)));
        self.order.insert((entry.rank(), entry.since, address));
        if !entry.held.is_empty() {
            self.holding.insert((entry.since, address));
        }
        self.held_octets += entry.held_octets();
        self.permanent += usize::from(entry.rank() == Rank::Permanent);
        self.entries.insert(address, entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, address: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&address)?;
        self.changed |= entry.known().is_some();
        if let Some(deadline) = entry.deadline {
            self.timers.remove(&(deadline, address));
        }
        self.order.remove(&(entry.rank(), entry.since, address));
        self.holding.remove(&(entry.since, address));
        self.held_octets -= entry.held_octets();
        self.permanent -= usize::from(entry.rank() == Rank::Permanent);
        Some(entry)
    }

    /// Changes an entry, which is there.
    pub fn edit<R>(&mut self, address: IpAddr, edit: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let changed = self.changed;
        let mut entry = self.remove(address)?;
        let before = entry.known();
        let result = edit(&mut entry);
        let same = entry.known() == before;
        self.put(address, entry);
        if same {
            self.changed = changed;
        }
        Some(result)
    }

    /// When the next timer ends.
    pub fn next(&self) -> Option<u64> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// One whose timer has ended, the longest ago first.
    pub fn due(&self, now: u64) -> Option<IpAddr> {
        self.timers.first().filter(|(deadline, _)| *deadline <= now).map(|(_, address)| *address)
    }

    /// The first to give way, if it is of no higher rank than this.
    pub fn weakest(&self, most: Rank) -> Option<IpAddr> {
        self.order.first().filter(|(rank, ..)| *rank <= most).map(|(.., address)| *address)
    }

    /// The oldest of this rank.
    pub fn oldest(&self, rank: Rank) -> Option<IpAddr> {
        let mut from = self.order.range((rank, 0, IpAddr::from([0; 4]))..);
        from.next().filter(|(of, ..)| *of == rank).map(|(.., address)| *address)
    }

    /// For whom something waits, the longest.
    pub fn first_holding(&self) -> Option<IpAddr> {
        self.holding.first().map(|(_, address)| *address)
    }

    /// Those that count against the quota.
    pub fn learned(&self) -> usize {
        self.entries.len() - self.permanent
    }

    pub fn permanent(&self) -> usize {
        self.permanent
    }

    pub fn held_octets(&self) -> usize {
        self.held_octets
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &Entry)> {
        self.entries.iter().map(|(address, entry)| (*address, entry))
    }

    /// What waits.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.entries.values_mut().flat_map(|entry| entry.held.iter_mut().map(|held| &mut **held))
    }

    /// Workers know nothing of this leg.
    pub fn change(&mut self) {
        self.changed = true;
    }

    /// What workers know, if it changed since the last call.
    pub fn changed(&mut self) -> Option<Vec<(IpAddr, Known)>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        Some(self.iter().filter_map(|(address, e)| Some((address, e.known()?))).collect())
    }
}
