//! What can grow, and what a device and its streams are like then.

use std::thread;

use uswitch_bench::{
    device::PORTS_MAX,
    plan::{FLOWS_MAX, FramePlan, RFC_SIZES, SIZE_MAX, SIZE_MIN, Size},
};

use crate::program::cli::{Ip, Pattern, Streams};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Axis {
    /// Ports, each of which sends to the next
    Ports,
    /// Stations, half of them behind each of two ports, which all speak
    Addresses,
    /// Pairs of stations between two ports, one way
    Flows,
    /// Threads of the switch, with four ports, each of which sends to the next
    Workers,
    /// Octets of a frame
    Sizes,
    /// What is offered, in percent of the throughput: up to twice as much as there is room for
    Load,
}

/// A device at one value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) ports: usize,
    pub(crate) size: Size,
    pub(crate) plans: Vec<FramePlan>,
    /// More words for the switch's command line.
    pub(crate) words: Vec<String>,
}

impl Setting {
    /// As the command line would have it.
    pub(crate) fn streams(&self) -> Streams {
        let (ports, pattern, ip) = (self.ports, Pattern::Line, Ip::V4);
        Streams {
            flows: 1,
            vlan: None,
            bidirectional: false,
            ports,
            ip,
            routes: 1,
            train: false,
            pattern,
        }
    }
}

impl Axis {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Axis::Ports => "ports",
            Axis::Addresses => "addresses",
            Axis::Flows => "flows",
            Axis::Workers => "workers",
            Axis::Sizes => "sizes",
            Axis::Load => "load",
        }
    }

    /// The values that were asked for, or those that there are.
    pub(crate) fn values(self, asked: &[usize]) -> Vec<usize> {
        if !asked.is_empty() {
            return asked.to_vec();
        }
        let (least, most) = self.range();
        let powers = |from: u32, step| (from..32).step_by(step).map(|power| 1 << power);
        let all: Vec<usize> = match self {
            Axis::Ports => powers(1, 1).collect(),
            Axis::Addresses => powers(2, 3).collect(),
            Axis::Flows => powers(0, 4).collect(),
            // Beyond the processors they wait for each other.
            Axis::Workers => (1..=thread::available_parallelism().map_or(2, usize::from)).collect(),
            Axis::Sizes => RFC_SIZES.into_iter().chain([9014]).collect(),
            Axis::Load => vec![25, 50, 75, 100, 125, 150, 200],
        };
        all.into_iter().filter(|value| (least..=most).contains(value)).collect()
    }

    /// Whether these values make sense.
    ///
    /// # Errors
    ///
    /// A sentence that says which would.
    pub(crate) fn check(self, values: &[usize]) -> Result<(), String> {
        let (least, most) = self.range();
        match values.iter().find(|value| !(least..=most).contains(*value)) {
            Some(value) => Err(format!("{} are {least} to {most}, not {value}", self.name())),
            None => Ok(()),
        }
    }

    fn range(self) -> (usize, usize) {
        match self {
            Axis::Ports => (2, PORTS_MAX),
            Axis::Addresses => (2, 2 * FLOWS_MAX),
            Axis::Flows => (1, FLOWS_MAX),
            Axis::Workers => (1, WORKERS_MAX),
            Axis::Sizes => (SIZE_MIN, SIZE_MAX),
            Axis::Load => (1, 1000),
        }
    }

    /// What a device and its streams are like at a value; of `load` at any.
    pub(crate) fn setting(self, value: usize, size: Size) -> Setting {
        let one_way = |size| vec![FramePlan::new(0, 0, 1, size)];
        let (ports, size, plans) = match self {
            Axis::Ports => (value, size, ring(value, size)),
            Axis::Addresses => (2, size, with_flows(ring(2, size), (value / 2).max(1))),
            Axis::Flows => (2, size, with_flows(one_way(size), value)),
            Axis::Workers => (WORKERS_PORTS, size, ring(WORKERS_PORTS, size)),
            Axis::Sizes => (2, Size::Octets(value), one_way(Size::Octets(value))),
            Axis::Load => (2, size, one_way(size)),
        };
        let words = match self {
            Axis::Workers => vec![format!("--workers={value}")],
            Axis::Addresses => table_for(value),
            Axis::Flows => table_for(value * 2),
            Axis::Ports | Axis::Sizes | Axis::Load => Vec::new(),
        };
        Setting { ports, size, plans, words }
    }
}

/// Each port sends to the next, and the last to the first.
fn ring(ports: usize, size: Size) -> Vec<FramePlan> {
    let plan = |from: usize| {
        let to = (from + 1) % ports;
        FramePlan::new(from as u16, from as u8, to as u8, size)
    };
    (0..ports).map(plan).collect()
}

fn with_flows(plans: Vec<FramePlan>, flows: usize) -> Vec<FramePlan> {
    plans.into_iter().map(|plan| FramePlan { flows, ..plan }).collect()
}

/// A table of ours for more addresses than it has room for if nothing is said.
fn table_for(addresses: usize) -> Vec<String> {
    if addresses <= TABLE_QUOTA {
        return Vec::new();
    }
    let (size, quota) = (addresses.next_power_of_two() * 4, addresses);
    vec![format!("--fdb-size={size}"), format!("--fdb-quota={quota}")]
}

/// Addresses behind one port for which the switch has room if nothing is said.
const TABLE_QUOTA: usize = 8192;

/// More than any machine has processors that this was tried on.
const WORKERS_MAX: usize = 64;

/// Ports among which workers share.
const WORKERS_PORTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Axis; 6] =
        [Axis::Ports, Axis::Addresses, Axis::Flows, Axis::Workers, Axis::Sizes, Axis::Load];

    #[test]
    fn default_values_make_sense_and_reach_their_ends() {
        for axis in ALL {
            let values = axis.values(&[]);
            assert_eq!(axis.check(&values), Ok(()), "{axis:?}");
            assert!(values.is_sorted() && !values.is_empty(), "{values:?}");
        }
        assert_eq!(Axis::Ports.values(&[]), [2, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(Axis::Load.values(&[]).last(), Some(&200));
        assert_eq!(Axis::Ports.values(&[3, 5]), [3, 5]);
        assert_eq!(Axis::Ports.check(&[2, 257]), Err("ports are 2 to 256, not 257".into()));
    }

    #[test]
    fn streams_are_numbered_and_between_ports_that_are_there() {
        for axis in ALL {
            for value in axis.values(&[]) {
                let setting = axis.setting(value, Size::Octets(60));
                for (index, plan) in setting.plans.iter().enumerate() {
                    assert_eq!(usize::from(plan.stream), index);
                    assert!(usize::from(plan.from.max(plan.to)) < setting.ports, "{plan:?}");
                    assert_ne!(plan.from, plan.to);
                }
            }
        }
        let last = &Axis::Ports.setting(256, Size::Imix).plans[255];
        assert_eq!((last.from, last.to), (255, 0));
    }

    #[test]
    fn tables_grow_when_they_must() {
        let words = |axis: Axis, value| axis.setting(value, Size::Octets(60)).words;
        assert!(words(Axis::Addresses, 8192).is_empty());
        assert_eq!(words(Axis::Flows, 8192), ["--fdb-size=65536", "--fdb-quota=16384"]);
        assert_eq!(words(Axis::Workers, 3), ["--workers=3"]);
    }
}
