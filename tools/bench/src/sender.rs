//! Sends the frames of a trial when they are due, out of as many ports as its streams have, from
//! one thread.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use hdrhistogram::Histogram;
use netlab::{FrameOutlet, OUTLET_FRAMES_MAX, Sending};

use crate::{
    pace::{Clock, Pace},
    plan::{Filler, FramePlan, Head, Purpose, SIGNATURE_LEN, Signature, VNET_LEN},
    stop::Stop,
    tally::latencies,
};

/// What a sender got rid of.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Frames that were offered to the device: those that were taken, and those that found no
    /// room. The latter are lost.
    pub offered: u64,
    /// Of these, for each stream.
    pub offered_by: Vec<u64>,
    /// Frames that found no room: the queue at the device's door was full.
    pub refused: u64,
    /// Frames of the schedule for which there was no time: the tester could not keep up, or was
    /// stopped.
    pub unsent: u64,
    /// From the start to the last frame.
    pub elapsed: Duration,
    /// By how many nanoseconds frames were sent late.
    pub lateness: Histogram<u64>,
}

/// The frames of the streams, in turn: frame N of the schedule is of stream N modulo their number.
pub struct Sender<'a> {
    streams: Vec<Stream<'a>>,
    /// One for each port that sends.
    outlets: Vec<Sending<'a>>,
}

struct Stream<'a> {
    plan: &'a FramePlan,
    vnet_header: Option<[u8; VNET_LEN]>,
    /// In turn.
    fillers: Vec<Filler>,
    /// The index of its outlet.
    outlet: usize,
}

/// A frame of a batch: what is not the same for all of its stream.
#[derive(Clone, Copy)]
struct Written {
    head: Head,
    signature: [u8; SIGNATURE_LEN],
    stream: usize,
    sequence: u64,
    due_ns: u64,
}

impl<'a> Sender<'a> {
    /// For streams, each with the outlet of its port, of which several may have the same. It
    /// stays on the thread that made it.
    pub fn new(streams: impl IntoIterator<Item = (&'a FramePlan, &'a FrameOutlet)>) -> Sender<'a> {
        let (mut found, mut of, mut outlets) = (Vec::new(), Vec::new(), Vec::new());
        for (plan, outlet) in streams {
            let index = of.iter().position(|one| std::ptr::eq(*one, outlet)).unwrap_or_else(|| {
                of.push(outlet);
                outlets.push(outlet.sending());
                of.len() - 1
            });
            let (fillers, vnet_header) = (plan.fillers(), plan.vnet_header());
            found.push(Stream { plan, vnet_header, fillers, outlet: index });
        }
        Sender { streams: found, outlets }
    }

    /// Sends a schedule, until it is done, `until` has come, or it is stopped.
    ///
    /// # Errors
    ///
    /// A link does not take a frame, is down, or is gone.
    pub fn send(
        &mut self,
        pace: Pace,
        clock: &Clock,
        until: Duration,
        stop: &Stop,
    ) -> io::Result<Sent> {
        let mut sent = Sent {
            offered: 0,
            offered_by: vec![0; self.streams.len()],
            refused: 0,
            unsent: 0,
            elapsed: Duration::ZERO,
            lateness: latencies(),
        };
        let (mut batch, until_ns) = (Vec::with_capacity(OUTLET_FRAMES_MAX), until.as_nanos());
        let (mut next, mut now) = (0, clock.now_ns());
        while next < pace.frames && !stop.is_given() && u128::from(now) < until_ns {
            let due = pace.due(now);
            if due <= next {
                // Not for longer than until somebody may want to stop it.
                clock.wait_until(pace.due_ns(next).min(now + LOOK_NS));
                now = clock.now_ns();
                continue;
            }
            batch.clear();
            let end = due.min(next + OUTLET_FRAMES_MAX as u64);
            batch.extend((next..end).map(|frame| self.write(frame, pace.due_ns(frame))));
            // Those of an outlet together, in their order: of hundreds few have one in a batch.
            let streams = &self.streams;
            batch.sort_by_key(|written: &Written| streams[written.stream].outlet);
            let mut rest = &batch[..];
            while let Some(first) = rest.first() {
                let outlet = self.streams[first.stream].outlet;
                let own = |written: &&Written| self.streams[written.stream].outlet == outlet;
                let (group, others) = rest.split_at(rest.iter().take_while(own).count());
                self.send_batch(outlet, group, &mut sent)?;
                rest = others;
            }
            sent.offered = sent.offered_by.iter().sum();
            now = clock.now_ns();
            for written in &batch {
                sent.lateness.saturating_record(now.saturating_sub(written.due_ns).max(1));
            }
            next = end;
        }
        sent.elapsed = Duration::from_nanos(now);
        sent.unsent = pace.frames - next;
        Ok(sent)
    }

    /// Sends a frame from each address of each stream, by which it is learned.
    ///
    /// # Errors
    ///
    /// A link does not take a frame, is down, or is gone.
    pub fn teach(&mut self) -> io::Result<()> {
        let flows = self.streams.iter().map(|stream| stream.plan.sources()).max().unwrap_or(0);
        for flow in 0..flows {
            let mut batch = Vec::new();
            for (index, stream) in self.streams.iter().enumerate() {
                let plan = stream.plan;
                if flow < plan.sources() {
                    let (purpose, sequence) = (Purpose::Learn, flow as u64);
                    let signature = Signature { purpose, stream: plan.stream, sequence, due_ns: 0 };
                    let signature = stream.filler(sequence).sign(signature);
                    let head = plan.learning_head(flow);
                    batch.push(Written { head, signature, stream: index, sequence, due_ns: 0 });
                }
            }
            for chunk in batch.chunks(OUTLET_FRAMES_MAX) {
                let mut sent = vec![0; self.streams.len()];
                for outlet in 0..self.outlets.len() {
                    self.send_counted(outlet, chunk, &mut sent)?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, frame: u64, due_ns: u64) -> Written {
        let count = self.streams.len() as u64;
        let (stream, sequence) = ((frame % count) as usize, frame / count);
        let own = &self.streams[stream];
        let purpose = Purpose::Measure;
        let signature = Signature { purpose, stream: own.plan.stream, sequence, due_ns };
        let signature = own.filler(sequence).sign(signature);
        Written { head: own.plan.head(sequence), signature, stream, sequence, due_ns }
    }

    fn send_batch(&mut self, outlet: usize, batch: &[Written], sent: &mut Sent) -> io::Result<()> {
        let refused = self.send_counted(outlet, batch, &mut sent.offered_by)?;
        sent.refused += refused;
        Ok(())
    }

    /// Sends those of a batch that leave by this outlet, and says how many had no room.
    fn send_counted(
        &mut self,
        outlet: usize,
        batch: &[Written],
        offered: &mut [u64],
    ) -> io::Result<u64> {
        let streams = &self.streams;
        let empty = [IoSlice::new(&[]); 4];
        let (mut parts, mut count) = ([empty; OUTLET_FRAMES_MAX], 0);
        for Written { head: (head, len), signature, stream, sequence, .. } in batch {
            if streams[*stream].outlet == outlet {
                let filler = streams[*stream].filler(*sequence).octets();
                let vnet = streams[*stream].vnet_header.as_ref();
                let vnet = vnet.map_or(&[][..], |header| &header[..]);
                parts[count] = [vnet, &head[..*len], signature, filler].map(IoSlice::new);
                offered[*stream] += 1;
                count += 1;
            }
        }
        let (mut done, mut refused) = (0, 0);
        while done < count {
            match self.outlets[outlet].send(&parts[done..count])? {
                // An open loop: what has no room is lost, and what comes next is due next.
                0 => {
                    refused += 1;
                    done += 1;
                }
                taken => done += taken,
            }
        }
        Ok(refused)
    }
}

impl Stream<'_> {
    fn filler(&self, sequence: u64) -> &Filler {
        &self.fillers[(sequence % self.fillers.len() as u64) as usize]
    }
}

/// How long a sender waits before it looks whether it shall stop, in nanoseconds.
const LOOK_NS: u64 = 50_000_000;
