//! What a device does with frames that no wire would carry (RFC 2889 section 5.9): those that are
//! too long and those that are too short. In software a frame has no check sequence, and ends with
//! an octet, so the RFC's others are not to be had: they are told as such.

use std::{io, time::Duration};

use crate::{
    bed::{Bed, Load},
    device::Device,
    pace::Pace,
    plan::{FramePlan, RUNT_MIN, SIZE_MIN, Size},
    stop::Stop,
};

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What it is called.
    pub name: &'static str,
    /// How long it is.
    pub octets: usize,
}

/// Frames of all kinds of errors that there are, on links with this MTU. A tag is forgiven by most
/// (IEEE 802.3-2018, 3.2.7), so too long begins behind it.
pub fn errors(mtu: u32) -> [Error; 4] {
    let longest = mtu as usize + 14 + 4;
    [
        Error { name: "undersize", octets: SIZE_MIN - 1 },
        Error { name: "fragment", octets: RUNT_MIN },
        Error { name: "oversize", octets: longest + 1 },
        Error { name: "jabber", octets: longest * 2 },
    ]
}

/// The RFC's errors that no frame in software can have.
pub const IMPOSSIBLE: [&str; 3] = ["CRC error", "dribble bits", "alignment error"];

/// What a device did with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// None came through: what the RFC wants.
    Filtered,
    /// They came through as they were.
    Forwarded,
    /// They came through, and were other frames then.
    Changed,
    /// Their sender's link does not take them.
    Unsendable,
    /// Some came through and some did not.
    Mixed,
}

impl Outcome {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Filtered => "filtered",
            Outcome::Forwarded => "forwarded",
            Outcome::Changed => "changed",
            Outcome::Unsendable => "not sendable",
            Outcome::Mixed => "mixed",
        }
    }
}

/// Frames of a kind, and what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtering {
    /// Frames that were sent.
    pub offered: u64,
    /// Those that came as they were, wherever.
    pub forwarded: u64,
    /// Those that came otherwise.
    pub changed: u64,
}

impl Filtering {
    /// In a word. Of what is forwarded a busy kernel may lose some.
    pub fn outcome(&self) -> Outcome {
        match (self.offered, self.forwarded, self.changed) {
            (0, ..) => Outcome::Unsendable,
            (_, 0, 0) => Outcome::Filtered,
            (_, 0, _) => Outcome::Changed,
            (offered, forwarded, 0) if forwarded * 2 > offered => Outcome::Forwarded,
            _ => Outcome::Mixed,
        }
    }
}

/// Sends such frames from the first port to the second, at a rate that any device bears. `None`:
/// sound ones do not come through.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn filtering(
    device: &mut Device,
    error: Error,
    terms: &Terms,
    stop: &Stop,
) -> io::Result<Option<Filtering>> {
    let plan = |octets| vec![FramePlan::new(0, 0, 1, Size::Octets(octets))];
    let mut bed = Bed::open(device, plan(SIZE_MIN))?;
    if !bed.teach(terms.patience, stop)? {
        return Ok(None);
    }
    drop(bed);
    // The sender's host is one that is not as its network is.
    let (host, link) = (device.ports[0].namespace.clone(), device.ports[0].link.clone());
    let widened = error.octets > terms.mtu as usize + 14;
    if widened && host.links()?.set_mtu(&link, error.octets as u32).is_err() {
        return Ok(Some(Filtering { offered: 0, forwarded: 0, changed: 0 }));
    }
    let pace = Pace::of(terms.rate, terms.frames);
    let until = Duration::from_nanos(pace.due_ns(pace.frames)) * 2 + GRACE;
    let mut bed = Bed::open(device, plan(error.octets))?;
    let outcome = bed.trial(&Load { pace, until, quiet: terms.quiet }, stop);
    drop(bed);
    if widened {
        host.links()?.set_mtu(&link, terms.mtu)?;
    }
    match outcome {
        Ok(trial) => Ok(Some(Filtering {
            offered: trial.sent.offered,
            forwarded: trial.received() + trial.received.strayed,
            changed: trial.damaged(),
        })),
        Err(error) if is_refused(&error) => {
            Ok(Some(Filtering { offered: 0, forwarded: 0, changed: 0 }))
        }
        Err(error) => Err(error),
    }
}

/// On what terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The MTU of the links, in octets.
    pub mtu: u32,
    /// Frames a second.
    pub rate: f64,
    /// Frames of each kind.
    pub frames: u64,
    /// See [`Load::quiet`].
    pub quiet: Duration,
    /// How long a device may take to let the first frame through.
    pub patience: Duration,
}

fn is_refused(error: &io::Error) -> bool {
    matches!(netlab::errno(error), Some(libc::EMSGSIZE | libc::EINVAL))
}

/// How long the sender may take beyond its schedule.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_begin_where_frames_end() {
        let octets = errors(1500).map(|error| error.octets);
        assert_eq!(octets, [59, 32, 1519, 3036]);
    }

    #[test]
    fn what_became_of_frames_in_a_word() {
        for (counts, outcome) in [
            ([0, 0, 0], Outcome::Unsendable),
            ([10, 0, 0], Outcome::Filtered),
            ([10, 10, 0], Outcome::Forwarded),
            ([10, 9, 0], Outcome::Forwarded),
            ([10, 2, 0], Outcome::Mixed),
            ([10, 0, 10], Outcome::Changed),
            ([10, 5, 5], Outcome::Mixed),
        ] {
            let [offered, forwarded, changed] = counts;
            assert_eq!(Filtering { offered, forwarded, changed }.outcome(), outcome, "{counts:?}");
        }
    }
}
