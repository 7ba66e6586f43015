//! Counters: what is counted, for each port, and the reasons for which a frame is dropped.
//!
//! Every frame is accounted for, exactly up to the system call. Over all ports of a switch
//! whose workers stand still,
//!
//! ```text
//! rx_frames                 = rx_forwarded + rx_flooded + drops on the way in
//! rx_forwarded + rx_copies  = tx_frames + drops on the way out
//! ```
//!
//! where a frame that was cut into segments on the way out is one frame, and was sent if all of
//! them were; `tx_octets` counts theirs. `rx_flooded` counts each flooded frame once and
//! `rx_copies` what it became. Nothing is held between two turns. Each block of counters belongs
//! to one port and one worker, and that worker alone writes it: an addition is a load and a store,
//! no locked instruction. A reader adds the blocks of all workers up; it sees each counter exact,
//! but not all of one instant.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once: variant, name in tables and JSON, meaning.
macro_rules! counters {
    ($($(#[doc = $about:literal])+ $variant:ident = $name:literal,)+) => {
        /// What is counted, for each port.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Counter {
            /// All of them, in the order in which tables show them.
            pub const ALL: &[Counter] = &[$(Counter::$variant,)+];

            /// The name in tables and JSON, the same everywhere.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$variant => $name,)+
                }
            }

            /// What it counts, in a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Counter::$variant => concat!($($about),+).trim_ascii(),)+
                }
            }
        }
    };
}

counters! {
    /// Frames received (dot1dTpPortInFrames of RFC 4188).
    RxFrames = "rx_frames",
    /// Octets of the frames received, without frame check sequence (ifHCInOctets of RFC 2863).
    RxOctets = "rx_octets",
    /// Frames received for an address that is known behind one other port.
    RxForwarded = "rx_forwarded",
    /// Frames received for a group or an unknown address: sent to all other ports.
    RxFlooded = "rx_flooded",
    /// Copies that the flooded frames became.
    RxCopies = "rx_copies",
    /// Frames sent (dot1dTpPortOutFrames of RFC 4188).
    TxFrames = "tx_frames",
    /// Octets of the frames sent, without frame check sequence (ifHCOutOctets of RFC 2863).
    TxOctets = "tx_octets",
    /// Frames cut into segments for this port, which does not take them whole.
    TxCut = "tx_cut",
    /// Segments of those frames that the port took.
    TxSegments = "tx_segments",
    /// Addresses learned behind this port.
    LearnNew = "learn_new",
    /// Addresses that moved to this port from another.
    LearnMoved = "learn_moved",
    /// Frames whose source was not learned: the port has as many addresses as its quota allows.
    LearnQuota = "learn_quota",
    /// Frames whose source was not learned: the table is full (dot1dTpLearnedEntryDiscards).
    LearnFull = "learn_full",
    /// Frames whose source was not learned: a static entry says that it is behind another port.
    LearnStatic = "learn_static",
    /// Dropped: shorter than an Ethernet header.
    RxRunt = "rx_runt",
    /// Dropped: the source is a group address, which no station has.
    RxGroupSource = "rx_group_source",
    /// Dropped: the source is 00:00:00:00:00:00.
    RxNullSource = "rx_null_source",
    /// Dropped: for 01-80-C2-00-00-00 to -0F, which a bridge does not forward.
    FilterReserved = "filter_reserved",
    /// Dropped: the destination is behind the port where the frame came from.
    FilterSamePort = "filter_same_port",
    /// Dropped: to be flooded, but there is no other port.
    FilterAlone = "filter_alone",
    /// Dropped: the destination was behind a port that is just being removed.
    FilterDetached = "filter_detached",
    /// Not sent: larger than the MTU of this port.
    TxOversize = "tx_oversize",
    /// Not sent: the port had no room (ifOutDiscards of RFC 2863).
    TxFull = "tx_full",
    /// Not sent: the port refused this frame (ifOutErrors of RFC 2863).
    TxRefused = "tx_refused",
    /// Not sent: the other end of the port was down.
    TxDown = "tx_down",
    /// Not sent: the port's device had just gone.
    TxGone = "tx_gone",
}

impl Counter {
    /// Counters of frames that came to their end: everything from the first drop on.
    pub fn is_drop(self) -> bool {
        self as usize >= Counter::RxRunt as usize
    }

    /// Whether the drop was on the way out; the others were on the way in.
    pub fn is_tx_drop(self) -> bool {
        self as usize >= Counter::TxOversize as usize
    }
}

/// Why the bridge drops a frame on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Shorter than an Ethernet header.
    Runt,
    /// From a group address (IEEE 802-2014, 8.2.2: the I/G bit of a source is 0).
    GroupSource,
    /// From the null address.
    NullSource,
    /// For a reserved address (IEEE 802.1Q-2018, 8.6.3).
    Reserved,
    /// For a station on the port where it came from (IEEE 802.1Q-2018, 8.6.1).
    SamePort,
    /// To be flooded where there is nobody else.
    Alone,
    /// For a port that is being removed.
    Detached,
}

impl From<Reason> for Counter {
    fn from(reason: Reason) -> Counter {
        match reason {
            Reason::Runt => Counter::RxRunt,
            Reason::GroupSource => Counter::RxGroupSource,
            Reason::NullSource => Counter::RxNullSource,
            Reason::Reserved => Counter::FilterReserved,
            Reason::SamePort => Counter::FilterSamePort,
            Reason::Alone => Counter::FilterAlone,
            Reason::Detached => Counter::FilterDetached,
        }
    }
}

/// The counters of one port as one worker writes them, on cache lines of their own.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct PortCounters {
    cells: [AtomicU64; Counter::ALL.len()],
}

impl PortCounters {
    /// Adds. Only the worker to whom the block belongs may call this: two writers would lose
    /// each other's additions (and nothing worse).
    #[inline]
    pub(crate) fn add(&self, counter: Counter, count: u64) {
        if count > 0 {
            let cell = &self.cells[counter as usize];
            // Relaxed: one writer; a reader wants the number, and nothing hangs on its order.
            cell.store(cell.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        }
    }

    /// The numbers as they are now.
    pub fn read(&self) -> PortStats {
        PortStats { counts: std::array::from_fn(|i| self.cells[i].load(Ordering::Relaxed)) }
    }
}

/// Numbers read from counters, or collected for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    counts: [u64; Counter::ALL.len()],
}

impl PortStats {
    /// The number of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Counts so many more.
    #[inline]
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counts[counter as usize] += count;
    }

    /// Adds all numbers of another.
    pub fn merge(&mut self, other: &PortStats) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// All counters with their numbers, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().map(|counter| (*counter, self.get(*counter)))
    }

    /// Frames dropped on the way in.
    pub fn rx_drops(&self) -> u64 {
        self.sum(|counter| counter.is_drop() && !counter.is_tx_drop())
    }

    /// Frames not sent.
    pub fn tx_drops(&self) -> u64 {
        self.sum(Counter::is_tx_drop)
    }

    fn sum(&self, which: impl Fn(Counter) -> bool) -> u64 {
        self.iter().filter(|(counter, _)| which(*counter)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_say_which_way_the_frame_went() {
        let names: std::collections::HashSet<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        for counter in Counter::ALL.iter().filter(|c| c.is_drop()) {
            assert_eq!(counter.is_tx_drop(), counter.name().starts_with("tx_"), "{counter:?}");
            assert!(counter.about().starts_with("Dropped:") || counter.is_tx_drop());
        }
        assert!(!Counter::LearnFull.is_drop());
    }

    #[test]
    fn blocks_of_several_workers_add_up() {
        let blocks = [PortCounters::default(), PortCounters::default()];
        blocks[0].add(Counter::RxFrames, 3);
        blocks[1].add(Counter::RxFrames, 4);
        blocks[1].add(Counter::RxRunt, 1);
        blocks[1].add(Counter::TxFull, 2);
        let mut stats = PortStats::default();
        for block in &blocks {
            stats.merge(&block.read());
        }
        assert_eq!(stats.get(Counter::RxFrames), 7);
        assert_eq!((stats.rx_drops(), stats.tx_drops()), (1, 2));
    }
}
