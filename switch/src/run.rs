//! The loop round a worker's turns: it waits for frames, reads the clock and takes commands.
//!
//! A round is: look whether there is a command (one relaxed load), read the clock once, give
//! each ready queue a turn, wait. To wait is to sleep (run/waiting.rs); with busy polling it spins
//! first, or for ever. A spin asks a few queues directly, because an empty read is no dearer
//! than to ask which is ready.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use nix::sys::eventfd::{EfdFlags, EventFd};

#[cfg(feature = "router")]
use uswitch_router::neighbour::resolved::Resolved;

#[cfg(feature = "router")]
use crate::routing::Routes;
use crate::{
    bridge::{BridgeId, GroupForward},
    capture::recorder::Recorder,
    fdb::Tick,
    frame::BATCH_MAX,
    port::{Port, PortId},
    stats::PortCounters,
    worker::{Lost, Moved, Worker},
};

mod waiting;

use waiting::Waiting;

/// So many queues are asked directly in a spin; of more it is asked which are ready.
const SPIN_DIRECT_MAX: usize = 4;
/// Turns of one queue in a round, if they are free, until the others get theirs.
const TURNS_MAX: usize = 4;
/// How soon a notice for which there was no room is offered again.
const RETRY: Duration = Duration::from_millis(100);

/// What a worker does when there is no frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusyPoll {
    /// It sleeps.
    #[default]
    Off,
    /// It goes on asking for so long, then sleeps. Spares a wake-up in a conversation.
    For(Duration),
    /// It goes on asking, and costs a whole processor.
    Always,
}

/// What a worker is told.
pub(crate) enum Command<P: Port> {
    /// Here is a sending half.
    Attach { port: PortId, bridge: BridgeId, tx: P::Tx, counters: Arc<PortCounters> },
    /// Here is a receiving half.
    Receive { port: PortId, bridge: BridgeId, rx: P::Rx, counters: Arc<PortCounters> },
    /// Close both halves.
    Detach { port: PortId },
    /// Treat frames for reserved addresses so.
    GroupForward(GroupForward),
    /// Do this when there is no frame.
    BusyPoll(BusyPoll),
    /// Write down for a capture what passes.
    Record(Box<Recorder>),
    /// The frames of this port too, which the capture knows by this number.
    RecordPort { capture: u64, port: PortId, interface: u16 },
    /// Write no more for this capture.
    EndRecord { capture: u64 },
    /// Route so from now on, with this secret of all routers.
    #[cfg(feature = "router")]
    Route(Box<Routes>, u64),
    /// These are the neighbours of that generation of routes.
    #[cfg(feature = "router")]
    Know(u64, Arc<Resolved>),
    /// Say by this what became of packets.
    #[cfg(feature = "router")]
    Routed(Sender<uswitch_router::stats::Stats>),
    /// Say by this that everything before is done.
    Done { done: Sender<()> },
    /// End.
    Stop,
}

/// What a worker tells.
pub(crate) enum Notice {
    /// A port is gone.
    Lost(Lost),
    /// A station has moved: the last of those that did since this was told last.
    Moved(Moved),
    /// The worker's thread ended without being told to: our mistake, and it left a panic.
    Died,
}

/// Wakes a worker to its commands.
pub(crate) struct Bell {
    rung: AtomicBool,
    event: EventFd,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Bell { rung: AtomicBool::new(false), event })
    }

    /// To be called after the command was sent.
    pub(crate) fn ring(&self) {
        // Release: whoever sees the bell rung finds the command in its channel.
        self.rung.store(true, Ordering::Release);
        // Fails only when it has been rung 2^64 - 2 times and nobody came: it is rung then.
        let _ = self.event.write(1);
    }

    /// The event came, if perhaps behind a flag that was already answered.
    fn heard(&self) {
        // Relaxed, but read and write in one: a plain store would come between what `ring` released
        // and what `quiet` acquires.
        self.rung.fetch_or(true, Ordering::Relaxed);
    }

    fn is_rung(&self) -> bool {
        // Relaxed: it only decides whether to look, and `quiet` orders the look.
        self.rung.load(Ordering::Relaxed)
    }

    /// To be called before the commands are taken, so that a later one rings again.
    fn quiet(&self) {
        // Nothing to read (EAGAIN): the flag was seen before the event was written.
        let _ = self.event.read();
        self.rung.swap(false, Ordering::Acquire);
    }
}

/// One worker's thread.
pub(crate) struct Loop<P: Port> {
    worker: Worker<P>,
    commands: Receiver<Command<P>>,
    notices: Sender<Notice>,
    bell: Arc<Bell>,
    waiting: Waiting,
    busy_poll: BusyPoll,
    epoch: Instant,
    /// The queues that get a turn in the next round.
    ready: Vec<usize>,
    /// Those that are not waited for but asked, because they have nothing to wait on.
    sleepless: usize,
    /// Notices for which there was no room.
    unsaid: Vec<Lost>,
    /// The tick in which it was last told that a station moved.
    moved_told: Tick,
}

impl<P: Port> Loop<P> {
    pub(crate) fn new(
        worker: Worker<P>,
        commands: Receiver<Command<P>>,
        notices: Sender<Notice>,
        bell: Arc<Bell>,
        busy_poll: BusyPoll,
        epoch: Instant,
    ) -> io::Result<Loop<P>> {
        let waiting = Waiting::new(bell.event.as_fd())?;
        let (ready, sleepless, unsaid) = (Vec::new(), 0, Vec::new());
        Ok(Loop {
            worker,
            commands,
            notices,
            bell,
            waiting,
            busy_poll,
            epoch,
            ready,
            sleepless,
            unsaid,
            moved_told: Tick::from_millis(0),
        })
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut guard = DeathWatch { notices: self.notices.clone(), ended: false };
        let mut busy_until = self.epoch;
        loop {
            if self.bell.is_rung() && !self.obey() {
                break;
            }
            let time = Instant::now();
            let now = Tick::from_duration(time - self.epoch);
            let mut frames = 0;
            for queue in &self.ready {
                frames += turns(&mut self.worker, *queue, now);
            }
            self.tell();
            self.tell_moved(now);
            if frames > 0
                && let BusyPoll::For(spin) = self.busy_poll
            {
                busy_until = time + spin;
            }
            self.wait(self.busy_poll == BusyPoll::Always || time < busy_until);
        }
        guard.ended = true;
    }

    /// Finds the queues that are ready, and sleeps until there is one unless it is to `spin`.
    fn wait(&mut self, spin: bool) {
        self.ready.clear();
        let all = self.worker.queues().map(|(queue, _)| queue);
        if spin && all.clone().count() <= SPIN_DIRECT_MAX {
            self.ready.extend(all);
            // The host that will send the next frame may wait for this very processor: with it
            // a round trip took 0.3 of the kernel bridge's, without 0.25 to 1.0, p99 half.
            if self.busy_poll != BusyPoll::Always {
                std::thread::yield_now();
            }
            return;
        }
        let timeout = if spin || self.sleepless > 0 {
            Some(Duration::ZERO)
        } else {
            (!self.unsaid.is_empty()).then_some(RETRY)
        };
        if self.sleepless > 0 {
            let worker = &self.worker;
            self.ready.extend(all.filter(|queue| worker.wait_on(*queue).is_none()));
        }
        let bell = self.bell.event.as_fd();
        if self.waiting.wait(&self.worker, bell, timeout, &mut self.ready) {
            self.bell.heard();
        }
    }

    /// Takes all commands. `false`: it is to end.
    #[cold]
    fn obey(&mut self) -> bool {
        self.bell.quiet();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Attach { port, bridge, tx, counters } => {
                    self.worker.attach(port, bridge, tx, counters);
                }
                Command::Receive { port, bridge, rx, counters } => {
                    let queue = self.worker.receive(port, bridge, rx, counters);
                    self.listen(queue);
                }
                Command::Detach { port } => {
                    let queues = self.worker.queues().filter(|(_, of)| *of == port);
                    for queue in queues.map(|(queue, _)| queue).collect::<Vec<_>>() {
                        self.ignore(queue);
                    }
                    self.worker.detach(port);
                    // Port and queue may be others' numbers when this would be said.
                    self.unsaid.retain(|lost| lost.port != port);
                }
                Command::GroupForward(which) => self.worker.set_group_forward(which),
                Command::BusyPoll(busy_poll) => self.busy_poll = busy_poll,
                Command::Record(recorder) => self.worker.record(*recorder),
                Command::RecordPort { capture, port, interface } => {
                    self.worker.record_port(capture, port, interface);
                }
                Command::EndRecord { capture } => self.worker.end_record(capture),
                #[cfg(feature = "router")]
                Command::Route(routes, seed) => self.worker.route(*routes, seed),
                #[cfg(feature = "router")]
                Command::Know(generation, near) => self.worker.know(generation, near),
                #[cfg(feature = "router")]
                Command::Routed(to) => {
                    let _ = to.try_send(self.worker.routed().copied().unwrap_or_default());
                }
                // Nobody waits any more: that is his affair.
                Command::Done { done } => drop(done.try_send(())),
                Command::Stop => return false,
            }
        }
        true
    }

    /// Waits for this queue from now on, and gives it a turn at once.
    fn listen(&mut self, queue: usize) {
        match self.worker.wait_on(queue) {
            None => self.sleepless += 1,
            Some(_) => self.waiting.add(&self.worker, queue),
        }
        // So that no round has to make room.
        self.ready.reserve(self.worker.queues().count());
        self.ready.push(queue);
    }

    /// Waits no longer for this queue.
    fn ignore(&mut self, queue: usize) {
        match self.worker.wait_on(queue) {
            None => self.sleepless -= 1,
            // It is not there any more when the port was found lost before it was detached.
            Some(_) => self.waiting.remove(&self.worker, queue),
        }
        self.ready.retain(|other| *other != queue);
    }

    /// Tells of the ports that were found gone.
    #[inline]
    fn tell(&mut self) {
        let lost = self.worker.lost();
        if lost.len() > 0 || !self.unsaid.is_empty() {
            self.unsaid.extend(lost);
            self.tell_lost();
        }
    }

    /// Tells of a station that moved, now and then: it may be one that flaps.
    #[inline]
    fn tell_moved(&mut self, now: Tick) {
        let Some(moved) = self.worker.moved() else { return };
        if now != self.moved_told {
            self.moved_told = now;
            // No room: there is enough to be heard.
            let _ = self.notices.try_send(Notice::Moved(moved));
        }
    }

    #[cold]
    fn tell_lost(&mut self) {
        for lost in std::mem::take(&mut self.unsaid) {
            if let Some(queue) = lost.queue {
                // A dead descriptor is always ready: it is not listened to any more.
                self.waiting.remove(&self.worker, queue);
            }
            // If nobody listens any more, the switch is about to stop.
            let told = self.notices.try_send(Notice::Lost(lost));
            if let Err(TrySendError::Full(Notice::Lost(lost))) = told {
                self.unsaid.push(lost);
            }
        }
    }
}

/// Gives a queue its turn, and further ones as long as it has something and asking is free, or has
/// just filled a batch: then it has more, nearly always, and a wait is spared that would say so.
#[inline]
fn turns<P: Port>(worker: &mut Worker<P>, queue: usize, now: Tick) -> usize {
    let mut frames = 0;
    for _ in 0..TURNS_MAX {
        let some = worker.turn(queue, now);
        frames += some;
        if some == 0 || some < BATCH_MAX && !worker.asks_freely(queue) {
            break;
        }
    }
    frames
}

/// Tells if the thread ends by a panic.
struct DeathWatch {
    notices: Sender<Notice>,
    ended: bool,
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.notices.try_send(Notice::Died);
        }
    }
}
