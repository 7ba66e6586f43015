//! Devices that are measured side by side: started, taught the addresses, and each with what was
//! found of it. One that fails is out, and the others go on.

use std::{io, time::Duration};

use netlab::Namespace;
use uswitch_bench::{
    bed::Bed,
    device::{Device, Kind, StartError, Terms},
    plan::{BROADCAST, FramePlan, Pairing, Size, TRAIN_MIN},
    stop::Stop,
};

use super::{
    cli::{Pattern, Streams},
    complain,
};

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
        if kind.ports_max() < terms.ports && kinds.len() > 1 {
            complain(&format!("{kind} does not take part: it has {} ports", kind.ports_max()));
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

/// The streams between the ports of a device of a kind: packets if it routes.
///
/// # Errors
///
/// There is no room for packets in frames of this size, or what routers are not sent.
pub(crate) fn plans(kind: Kind, streams: &Streams, size: Size) -> io::Result<Vec<FramePlan>> {
    let least = size.pattern().iter().min().expect("a pattern is not empty");
    if streams.train && (*least < TRAIN_MIN || kind.routes()) {
        let text = format!("trains have {TRAIN_MIN} octets or more, as --size 65000; no router's");
        return Err(io::Error::other(text));
    }
    let plans = frames(streams, size);
    if !kind.routes() {
        return Ok(plans);
    }
    let version = streams.ip.version();
    let room = FramePlan::size_min(version);
    if *least < room {
        let text = format!("a packet takes a frame of {room} octets: say --size {room} or more");
        return Err(io::Error::other(text));
    }
    if streams.vlan.is_some() || streams.flows > 1 || streams.pattern == Pattern::Broadcast {
        let text = "routers are sent neither tags, nor flows but of --routes, nor broadcasts";
        return Err(io::Error::other(text));
    }
    Ok(plans.into_iter().map(|plan| plan.of_packets(version, streams.routes)).collect())
}

fn frames(streams: &Streams, size: Size) -> Vec<FramePlan> {
    let others = 1..streams.ports as u8;
    let mut pairs: Vec<(u8, u8)> = match streams.pattern {
        Pattern::Line | Pattern::Broadcast => vec![(0, 1)],
        Pattern::OneToMany => others.map(|to| (0, to)).collect(),
        Pattern::ManyToOne => others.map(|from| (from, 0)).collect(),
        // One after the other to the next, to the one after that, and so on: so that no two ports
        // send to a third at once (RFC 2889 section 5.1.3).
        Pattern::Mesh => {
            let count = streams.ports as u8;
            let turn = |step: u8| (0..count).map(move |from| (from, (from + step) % count));
            others.flat_map(turn).collect()
        }
    };
    if streams.bidirectional && streams.pattern != Pattern::Mesh {
        let back: Vec<_> = pairs.iter().map(|(from, to)| (*to, *from)).collect();
        pairs.extend(back);
    }
    let pairing = match streams.pattern {
        Pattern::Broadcast => BROADCAST,
        _ => Pairing::EachToEach,
    };
    let plan = |((from, to), stream)| {
        let (flows, vlan, train) = (streams.flows, streams.vlan, streams.train);
        FramePlan { flows, pairing, vlan, train, ..FramePlan::new(stream, from, to, size) }
    };
    pairs.into_iter().zip(0..).map(plan).collect()
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

#[cfg(test)]
mod tests {
    use super::{super::cli::Ip, *};

    fn pairs(ports: usize, pattern: Pattern, bidirectional: bool) -> Vec<(u8, u8)> {
        let (flows, vlan, train, ip, routes) = (1, None, false, Ip::V4, 1);
        let streams = Streams { flows, vlan, bidirectional, ports, train, ip, routes, pattern };
        let plans = frames(&streams, Size::Octets(60));
        assert!(plans.iter().enumerate().all(|(index, plan)| usize::from(plan.stream) == index));
        plans.iter().map(|plan| (plan.from, plan.to)).collect()
    }

    #[test]
    fn ports_send_to_whom_the_pattern_says() {
        assert_eq!(pairs(2, Pattern::Line, true), [(0, 1), (1, 0)]);
        assert_eq!(pairs(3, Pattern::OneToMany, false), [(0, 1), (0, 2)]);
        assert_eq!(pairs(3, Pattern::ManyToOne, false), [(1, 0), (2, 0)]);
        let mesh = [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)];
        assert_eq!(pairs(3, Pattern::Mesh, true), mesh);
    }
}
