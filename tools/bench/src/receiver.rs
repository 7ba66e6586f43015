//! Receives the frames of a trial at all ports, on one thread, and counts them.
//!
//! It sleeps between its looks into the rings: whoever waits for each frame costs the device its
//! wake-up, and a tester must cost as little as it can. Each frame's time is the kernel's.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use netlab::{Arrival, FrameRing, Namespace};

use crate::{
    pace::Clock,
    plan::{Found, FramePlan, Pairing, Purpose, look},
    stop::Stop,
    tally::Tally,
};

/// What came at all ports together.
#[derive(Clone, Debug)]
pub struct Received {
    /// In the order of the plans. Of a stream to a group, what came at all of its ports.
    pub streams: Vec<Tally>,
    /// The same for each port of a stream to a group; empty for others.
    pub copies: Vec<Vec<Tally>>,
    /// Sound frames of the tester's that came where they were not sent to: floods.
    pub strayed: u64,
    /// Frames of the tester's that were changed on their way.
    pub damaged: u64,
    /// Frames of others.
    pub foreign: u64,
    /// Frames that found no room in the tester's rings: the tester lost them, not the device.
    pub dropped: u64,
}

/// The rings of all ports.
pub struct Receiver {
    rings: Vec<FrameRing>,
    dropped_before: u64,
}

impl Receiver {
    /// Opens a ring on the link of each port, in their order, for frames of this size at the most.
    ///
    /// # Errors
    ///
    /// There is no such link, no right to it, or no memory.
    pub fn open<'a>(
        ports: impl IntoIterator<Item = (&'a Namespace, &'a str)>,
        size: usize,
    ) -> io::Result<Receiver> {
        let ports: Vec<_> = ports.into_iter().collect();
        let frames = (RING_OCTETS / size.next_power_of_two()).clamp(RING_FRAMES_MIN, RING_FRAMES);
        // Many ports have little each.
        let frames = (frames * RINGS_WHOLE / ports.len().max(RINGS_WHOLE)).max(RING_FRAMES_MIN);
        let open = |(namespace, link)| FrameRing::open(namespace, link, size + 4, frames);
        let rings = ports.into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(Receiver { rings, dropped_before: 0 })
    }

    /// Throws away what came so far, and begins to count.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn begin(&mut self) -> io::Result<()> {
        for ring in &mut self.rings {
            ring.drain(|_| {});
        }
        self.dropped_before = self.dropped()?;
        Ok(())
    }

    /// How many learning frames have come at each port since the last look.
    pub fn learning(&mut self) -> Vec<u64> {
        let count = |ring: &mut FrameRing| {
            let mut count = 0;
            ring.drain(|arrival| match look(arrival.octets) {
                Found::Own(signature) if signature.purpose == Purpose::Learn => count += 1,
                _ => {}
            });
            count
        };
        self.rings.iter_mut().map(count).collect()
    }

    /// Counts what comes until all streams of `frames` each are complete, or the sender is `done`
    /// and nothing has come for `quiet`.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn receive(
        &mut self,
        plans: &[FramePlan],
        frames: u64,
        clock: &Clock,
        quiet: Duration,
        done: &Stop,
    ) -> io::Result<Received> {
        let mut received = Received::new(plans, self.rings.len(), frames);
        let mut last = Instant::now();
        loop {
            // Before the look: what was sent before `done` was given is seen by one after it.
            let over = done.is_given();
            let mut came = 0;
            for (port, ring) in self.rings.iter_mut().enumerate() {
                came += ring.drain(|arrival| received.count(plans, port, &arrival, clock));
            }
            if came > 0 || !over {
                last = Instant::now();
            }
            if over && last.elapsed() >= quiet {
                break;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        received.dropped = self.dropped()? - self.dropped_before;
        for (stream, copies) in received.streams.iter_mut().zip(&received.copies) {
            if let Some(joint) = Tally::of_all(copies) {
                *stream = joint;
            }
        }
        Ok(received)
    }

    fn dropped(&mut self) -> io::Result<u64> {
        self.rings.iter_mut().map(FrameRing::drops).sum()
    }
}

impl Received {
    fn new(plans: &[FramePlan], ports: usize, frames: u64) -> Received {
        let streams = plans.iter().map(|_| Tally::new(frames)).collect();
        let copies = plans.iter().map(|plan| match plan.pairing {
            Pairing::ToGroup(_) => (1..ports).map(|_| Tally::new(frames)).collect(),
            _ => Vec::new(),
        });
        let copies = copies.collect();
        Received { streams, copies, strayed: 0, damaged: 0, foreign: 0, dropped: 0 }
    }

    fn count(&mut self, plans: &[FramePlan], port: usize, arrival: &Arrival<'_>, clock: &Clock) {
        let signature = match look(arrival.octets) {
            Found::Own(signature) => signature,
            Found::Damaged => return self.damaged += 1,
            Found::Foreign => return self.foreign += 1,
        };
        let stream = usize::from(signature.stream);
        let Some(plan) = plans.get(stream) else { return self.damaged += 1 };
        if signature.purpose == Purpose::Learn {
            // Late, from before the trial.
            return;
        }
        if arrival.len != arrival.octets.len()
            || !plan.is_head(arrival.octets, arrival.tag, signature.sequence)
        {
            self.damaged += 1;
        } else if !plan.goes_to(port) {
            self.strayed += 1;
        } else {
            let at = clock.since_start_ns(arrival.at);
            let latency = at.saturating_sub(signature.due_ns);
            let tally = match plan.pairing {
                // The port from which it was sent has no copy.
                Pairing::ToGroup(_) => {
                    &mut self.copies[stream][port - usize::from(port > usize::from(plan.from))]
                }
                _ => &mut self.streams[stream],
            };
            tally.count(signature.sequence, latency);
        }
    }
}

/// How long it sleeps between two looks: a ring holds a multiple of what comes meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Octets of a ring, if that is neither too many frames nor too few.
const RING_OCTETS: usize = 32 * 1024 * 1024;

/// Frames of a ring: 16 ms at a million a second.
const RING_FRAMES: usize = 16 * 1024;

/// As many ports have rings as large as one that is alone: memory is not without end.
const RINGS_WHOLE: usize = 16;

/// See [`RING_FRAMES`], for large ones.
const RING_FRAMES_MIN: usize = 256;
