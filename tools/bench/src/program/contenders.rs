//! Devices that are measured side by side: started, taught the addresses, and each with what was
//! found of it. One that fails is out, and the others go on.

use std::{io, time::Duration};

use netlab::Namespace;
use uswitch_bench::{
    bed::Bed,
    device::{Device, Kind, StartError, Terms},
    plan::{FramePlan, Size},
    stop::Stop,
};

use super::{cli::Streams, complain};

/// Whether this process may do what it is going to: better told before the first minute than
/// after it.
///
/// # Errors
///
/// A sentence that says which right is missing.
pub(crate) fn check_rights() -> io::Result<()> {
    Namespace::new().map(drop)
}

/// Starts devices. What is not installed is told and left out; what does not start likewise, unless
/// each `must`.
///
/// # Errors
///
/// One of them did not start that must, or there is none left.
pub(crate) fn start(kinds: &[Kind], terms: &Terms, must: bool) -> io::Result<Vec<Device>> {
    let mut devices: Vec<Device> = Vec::new();
    for kind in kinds {
        if devices.iter().any(|device| device.kind == *kind) {
            continue;
        }
        match Device::start(*kind, terms) {
            Ok(device) => devices.push(device),
            Err(error @ StartError::Missing(_)) => {
                complain(&format!("{kind} does not take part: {error}"));
            }
            Err(error) if !must => complain(&format!("{kind} did not start: {error}")),
            Err(error) => {
                return Err(io::Error::other(format!("{kind} did not start: {error}")));
            }
        }
    }
    if devices.is_empty() {
        return Err(io::Error::other("there is nothing left to be measured"));
    }
    Ok(devices)
}

/// The streams of a device with two ports.
pub(crate) fn plans(streams: &Streams, size: Size) -> Vec<FramePlan> {
    let (flows, vlan) = (streams.flows, streams.vlan);
    let there = FramePlan { flows, vlan, ..FramePlan::new(0, 0, 1, size) };
    let back = FramePlan { stream: 1, from: 1, to: 0, ..there.clone() };
    let both = [there, back].into_iter();
    both.take(if streams.bidirectional { 2 } else { 1 }).collect()
}

/// Teaches a device all addresses. An answer is why nothing can be measured.
///
/// # Errors
///
/// What the system said of the tester's own sockets.
pub(crate) fn teach(bed: &mut Bed<'_>, patience: Duration, stop: &Stop) -> Option<String> {
    match bed.teach(patience, stop) {
        Ok(true) => None,
        Ok(false) if bed.device().died() => Some("its process has ended".into()),
        Ok(false) => Some(format!("no frame came through in {} s", patience.as_secs_f64())),
        Err(error) => Some(netlab::reason(&error)),
    }
}
