//! A test bed: a device with the tester's sockets at its ports.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use netlab::{FrameOutlet, OutletConfig};

use crate::{
    cpu,
    device::Device,
    pace::{Clock, Pace},
    plan::FramePlan,
    receiver::Receiver,
    sender::Sender,
    stop::Stop,
    trial::Trial,
};

/// A device, the streams that go through it, and sockets at its ports.
pub struct Bed<'a> {
    device: &'a mut Device,
    plans: Vec<FramePlan>,
    /// By port.
    outlets: Vec<FrameOutlet>,
    receiver: Receiver,
}

/// How a trial is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The schedule of all streams together.
    pub pace: Pace,
    /// When sending ends, whether the schedule is done or not.
    pub until: Duration,
    /// For how long nothing has come when no more will (RFC 2544 section 23: two seconds).
    pub quiet: Duration,
}

impl<'a> Bed<'a> {
    /// Opens sockets at the ports. The streams have the numbers of their places.
    ///
    /// # Errors
    ///
    /// A port's link is not there, or what the system said.
    ///
    /// # Panics
    ///
    /// If a stream has another number, or a port that the device does not have.
    pub fn open(device: &'a mut Device, plans: Vec<FramePlan>) -> io::Result<Bed<'a>> {
        for (index, plan) in plans.iter().enumerate() {
            assert_eq!(usize::from(plan.stream), index, "streams are numbered");
            assert!(usize::from(plan.from.max(plan.to)) < device.ports.len(), "ports are there");
        }
        let size = plans.iter().map(|plan| plan.size.most()).max().expect("there is a stream");
        let vnet_header = plans.iter().any(|plan| plan.train);
        assert!(plans.iter().all(|plan| plan.train == vnet_header), "all are trains or none");
        let config = OutletConfig { bypass_qdisc: true, vnet_header };
        let ends = || device.ports.iter().map(|port| (&port.namespace, port.link.as_str()));
        let open = |(namespace, link)| FrameOutlet::open(namespace, link, config);
        let outlets = ends().map(open).collect::<io::Result<_>>()?;
        let receiver = Receiver::open(ends(), size)?;
        Ok(Bed { device, plans, outlets, receiver })
    }

    /// Sends frames by which the addresses of all stations are learned, until some have come at
    /// each port (RFC 2544 section 23). `false`: that did not happen in time: nothing comes
    /// through this device.
    ///
    /// # Errors
    ///
    /// A link is down or gone, or what the system said.
    pub fn teach(&mut self, patience: Duration, stop: &Stop) -> io::Result<bool> {
        // Stations speak at both ends of a stream, or frames to them are flooded.
        let back = self.plans.iter().map(FramePlan::back);
        let all: Vec<FramePlan> = self.plans.iter().cloned().chain(back).collect();
        let outlets = &self.outlets;
        let mut sender =
            Sender::new(all.iter().map(|plan| (plan, &outlets[usize::from(plan.from)])));
        let mut heard = vec![0; self.device.ports.len()];
        let begin = Instant::now();
        self.receiver.begin()?;
        while begin.elapsed() < patience && !stop.is_given() {
            sender.teach()?;
            let asked = Instant::now();
            while asked.elapsed() < TEACH_INTERVAL {
                for (sum, count) in heard.iter_mut().zip(self.receiver.learning()) {
                    *sum += count;
                }
                let used = |port: usize| all.iter().any(|plan| plan.goes_to(port));
                if heard.iter().enumerate().all(|(port, count)| *count > 0 || !used(port)) {
                    return Ok(true);
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(false)
    }

    /// Does one trial. When it is stopped, it ends early and tells what it has.
    ///
    /// # Errors
    ///
    /// A link does not take a frame, is down or gone, or what the system said.
    pub fn trial(&mut self, load: &Load, stop: &Stop) -> io::Result<Trial> {
        let (plans, outlets, receiver) = (&self.plans, &self.outlets, &mut self.receiver);
        receiver.begin()?;
        let (cpu, cpu_machine) = (self.device.cpu(), cpu::of_machine()?);
        let frames = load.pace.frames.div_ceil(plans.len() as u64);
        let done = Stop::default();
        let clock = Clock::start();
        let (sent, received) = thread::scope(|scope| {
            let counting =
                scope.spawn(|| receiver.receive(plans, frames, &clock, load.quiet, &done));
            let streams = plans.iter().map(|plan| (plan, &outlets[usize::from(plan.from)]));
            let sent = Sender::new(streams).send(load.pace, &clock, load.until, stop);
            done.give();
            (sent, counting.join().expect("a receiver does not panic"))
        });
        Ok(Trial {
            pace: load.pace,
            sent: sent?,
            received: received?,
            // One that has ended has taken none.
            cpu: self.device.cpu().saturating_sub(cpu),
            cpu_machine: cpu::of_machine()? - cpu_machine,
            drift: clock.drift(),
            died: self.device.died(),
        })
    }

    /// The device.
    pub fn device(&mut self) -> &mut Device {
        self.device
    }
}

/// How long it waits for learning frames before it sends them again.
const TEACH_INTERVAL: Duration = Duration::from_millis(50);
