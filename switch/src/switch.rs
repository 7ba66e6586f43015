//! The switch: it starts workers, gives them ports, watches over them and stops them. A control
//! plane holds its [`Handle`] and steers by it; the data plane needs neither to go on.
//!
//! A port comes in two steps, so that no frame meets a worker that does not know it yet: first
//! every worker gets the sending half, then one gets the receiving half. It leaves the other
//! way round: every worker lets go of it, then its addresses are forgotten, then its number is
//! free for another.

mod captures;
mod event;
mod foresee;
mod ports;
#[cfg(feature = "router")]
mod router;
mod settings;
mod statics;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

#[cfg(feature = "router")]
pub use self::router::Teller;
use self::statics::Statics;
pub use self::{
    event::Event,
    foresee::{Finish, Foresight, Way},
};
pub use crate::run::BusyPoll;
use crate::{
    bridge::{Bridge, BridgeId, GroupForward},
    fdb::{Fdb, FdbConfig, Tick},
    flap::Flaps,
    port::{KernelDrops, PORTS_MAX, Port, PortId, Tx},
    run::{Bell, Command, Loop, Notice},
    stats::{Counter, PortCounters, PortStats},
    worker::{Moved, Worker},
};

/// Workers of one switch at the most.
pub const WORKERS_MAX: usize = 256;
/// Commands that wait for one worker at the most.
const COMMANDS_MAX: usize = 64;
/// Notices of the workers that wait for the control plane at the most.
const NOTICES_MAX: usize = 1024;
/// Ports that have left and are still reported.
const DEPARTED_MAX: usize = 1024;
/// Threads that close ports at the end.
const CLOSERS_MAX: usize = 64;
/// How often the forwarding database is swept. Ageing does not hang on it: a lookup looks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What a switch is to be like.
#[derive(Clone, Debug)]
pub struct SwitchConfig {
    /// Threads that forward: 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// The processors to which they are pinned, one after the other; empty: wherever.
    pub cpus: Vec<usize>,
    /// What they do when there is no frame.
    pub busy_poll: BusyPoll,
    /// The forwarding database.
    pub fdb: FdbConfig,
    /// What becomes of frames for reserved addresses.
    pub group_forward: GroupForward,
}

impl Default for SwitchConfig {
    fn default() -> SwitchConfig {
        SwitchConfig {
            workers: 1,
            cpus: Vec::new(),
            busy_poll: BusyPoll::Off,
            fdb: FdbConfig::default(),
            group_forward: GroupForward::Standard,
        }
    }
}

/// What the switch is to know of a port beside the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// What it is called in reports.
    pub name: String,
    /// Addresses that may be learned behind it; `None`: as many as the database's own quota.
    pub quota: Option<u32>,
    /// Which of the switch's bridges it is a port of.
    pub bridge: BridgeId,
}

impl PortConfig {
    /// A port of the first bridge, with this name and the usual quota.
    pub fn named(name: impl Into<String>) -> PortConfig {
        PortConfig { name: name.into(), quota: None, bridge: BridgeId::FIRST }
    }
}

/// One port in a report.
#[derive(Clone, Debug)]
pub struct PortReport {
    /// Its number, which another may have now if it is not attached any more.
    pub port: PortId,
    /// Its name.
    pub name: String,
    /// Whether it is there still.
    pub attached: bool,
    /// Its counters.
    pub stats: PortStats,
    /// What the kernel dropped on either side of it.
    pub kernel: KernelDrops,
}

/// All counters of a switch.
#[derive(Clone, Debug)]
pub struct Report {
    /// The ports: first those that are there by number, then those that left.
    pub ports: Vec<PortReport>,
    /// Addresses in the forwarding database.
    pub fdb_used: usize,
    /// Addresses that it can hold.
    pub fdb_size: usize,
}

/// The control plane's hold on a running switch. When it is dropped, the switch stops.
pub struct Handle<P: Port> {
    fdb: Arc<Fdb>,
    /// As each worker has it. No frame is decided about with this one.
    bridge: Bridge,
    fdb_size: usize,
    epoch: Instant,
    swept: Instant,
    workers: Vec<Hand<P>>,
    ports: Vec<Option<Attached<P::Tx>>>,
    departed: Vec<PortReport>,
    notices: Receiver<Notice>,
    /// Notices that were taken out of the channel and not looked at yet.
    unheard: Vec<Notice>,
    flaps: Flaps,
    statics: Statics,
    captures: captures::Captures,
    #[cfg(feature = "router")]
    router: router::Router,
}

/// One worker, as the control plane sees it.
struct Hand<P: Port> {
    commands: Sender<Command<P>>,
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
    /// Queues that it serves.
    queues: usize,
}

/// One port, as the control plane sees it.
struct Attached<T> {
    name: String,
    /// A sending half that sends nothing: by it the kernel is asked for its drops.
    tx: T,
    /// One block for each worker.
    counters: Vec<Arc<PortCounters>>,
    /// Which worker serves each of its queues.
    served_by: Vec<usize>,
    /// Its own quota.
    quota: Option<u32>,
    bridge: BridgeId,
}

/// A port that has been taken apart.
struct Parts<P: Port> {
    config: PortConfig,
    rx: Vec<P::Rx>,
    tx: P::Tx,
    clones: Vec<P::Tx>,
}

/// Starts a switch without ports. It forwards from the first two ports on.
///
/// # Errors
///
/// What the system said to a new thread or descriptor.
///
/// # Panics
///
/// If the number of workers is not 1 to [`WORKERS_MAX`].
pub fn start<P: Port>(config: &SwitchConfig) -> io::Result<Handle<P>> {
    assert!((1..=WORKERS_MAX).contains(&config.workers), "1 to {WORKERS_MAX} workers");
    let fdb = Arc::new(Fdb::new(&config.fdb));
    let bridge = Bridge::new(fdb.clone(), config.group_forward);
    let epoch = Instant::now();
    let (tell, notices) = bounded(NOTICES_MAX);
    let mut handle = Handle {
        fdb,
        bridge: bridge.clone(),
        fdb_size: config.fdb.size as usize,
        epoch,
        swept: epoch,
        workers: Vec::new(),
        ports: Vec::new(),
        departed: Vec::new(),
        notices,
        unheard: Vec::new(),
        flaps: Flaps::default(),
        statics: Statics::new(),
        captures: captures::Captures::default(),
        #[cfg(feature = "router")]
        router: router::Router::default(),
    };
    for number in 0..config.workers {
        let (commands, taken) = bounded(COMMANDS_MAX);
        let bell = Arc::new(Bell::new()?);
        let worker = Worker::<P>::new(bridge.clone());
        let turns = Loop::new(worker, taken, tell.clone(), bell.clone(), config.busy_poll, epoch)?;
        let cpu = config.cpus.get(number % config.cpus.len().max(1)).copied();
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            if let Some(id) = cpu {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            turns.run();
        })?;
        handle.workers.push(Hand { commands, bell, thread: Some(thread), queues: 0 });
    }
    Ok(handle)
}

impl<P: Port> Handle<P> {
    /// Plugs a port in. When this returns, its frames flow.
    ///
    /// # Errors
    ///
    /// As [`Handle::add_all`].
    pub fn add(&mut self, config: PortConfig, port: P) -> io::Result<PortId> {
        Ok(self.add_all(vec![(config, port)])?[0])
    }

    /// Plugs ports in, all or none. When this returns, their frames flow. It waits for each
    /// worker twice, however many ports there are.
    ///
    /// # Errors
    ///
    /// What the system said when a port was taken apart, or that there are not so many numbers
    /// left. Then the ports are closed and the switch is as it was.
    pub fn add_all(&mut self, ports: Vec<(PortConfig, P)>) -> io::Result<Vec<PortId>> {
        let taken = |index: usize| self.ports.get(index).is_some_and(Option::is_some);
        let free = (0..PORTS_MAX).filter(|index| !taken(*index)).map(PortId::new);
        let ids: Vec<PortId> = free.take(ports.len()).collect();
        if ids.len() < ports.len() {
            let text = format!("a switch has {PORTS_MAX} ports at the most");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let parts = ports.into_iter().map(|(config, port)| self.take_apart(config, port));
        let parts = parts.collect::<io::Result<Vec<_>>>()?;
        let mut receiving = Vec::new();
        for (id, Parts { config, rx, tx, clones }) in ids.iter().copied().zip(parts) {
            self.fdb.attach(id, config.quota);
            let mut counters = Vec::new();
            for (worker, tx) in self.workers.iter().zip(clones) {
                let block = Arc::new(PortCounters::default());
                let (port, bridge) = (id, config.bridge);
                worker.tell(Command::Attach { port, bridge, tx, counters: block.clone() });
                counters.push(block);
            }
            let PortConfig { name, quota, bridge } = config;
            let served_by = Vec::new();
            let attached = Some(Attached { name, tx, counters, served_by, quota, bridge });
            if id.index() == self.ports.len() {
                self.ports.push(attached);
            } else {
                self.ports[id.index()] = attached;
            }
            self.show_to_all(id);
            receiving.extend(rx.into_iter().map(|rx| (id, rx)));
        }
        self.finish();
        ids.iter().for_each(|id| self.put_statics_of(*id));
        receiving.into_iter().for_each(|(id, rx)| self.serve(id, rx));
        self.finish();
        Ok(ids)
    }

    /// Makes a sending half for each worker, which may fail, before anything is changed.
    fn take_apart(&self, config: PortConfig, port: P) -> io::Result<Parts<P>> {
        let (rx, tx) = port.split()?;
        let clones = (0..self.workers.len()).map(|worker| tx.clone_for(worker));
        let clones = clones.collect::<io::Result<Vec<_>>>()?;
        Ok(Parts { config, rx, tx, clones })
    }

    /// Gives a receiving half to the worker that has the fewest.
    fn serve(&mut self, port: PortId, rx: P::Rx) {
        let attached = self.ports[port.index()].as_mut().expect("a port that was just attached");
        let workers = self.workers.iter_mut().enumerate();
        let (number, worker) =
            workers.min_by_key(|(_, worker)| worker.queues).expect("a switch has a worker");
        worker.queues += 1;
        attached.served_by.push(number);
        let (bridge, counters) = (attached.bridge, attached.counters[number].clone());
        worker.tell(Command::Receive { port, bridge, rx, counters });
    }

    /// Unplugs a port and closes it. `None`: there is no such port.
    pub fn remove(&mut self, port: PortId) -> Option<PortReport> {
        let attached = self.ports.get_mut(port.index())?.take()?;
        for worker in &self.workers {
            worker.tell(Command::Detach { port });
        }
        self.finish();
        self.fdb.detach(port);
        // A worker may have found it gone. Heard later, that would be said of another port, which
        // has its number by then.
        let others = |notice: &Notice| !matches!(notice, Notice::Lost(lost) if lost.port == port);
        self.unheard.extend(self.notices.try_iter());
        self.unheard.retain(others);
        for number in &attached.served_by {
            self.workers[*number].queues -= 1;
        }
        let report = PortReport { attached: false, ..attached.report(port) };
        if self.departed.len() == DEPARTED_MAX {
            self.departed.remove(0);
        }
        self.departed.push(report.clone());
        Some(report)
    }

    /// What the control plane does from time to time, once a second or sooner when
    /// [`Handle::notices`] has something: takes leave of ports that are gone and sweeps the
    /// table. Returns what happened.
    pub fn tend(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let notice = self.unheard.pop().or_else(|| self.notices.try_recv().ok());
            let Some(notice) = notice else { break };
            match notice {
                Notice::Died => events.push(Event::WorkerDied),
                Notice::Moved(moved) => events.extend(self.flapping(moved)),
                // Several halves may have found the same; the first tells.
                Notice::Lost(lost) => {
                    if let Some(report) = self.remove(lost.port) {
                        let (port, name) = (report.port, report.name);
                        events.push(Event::Detached { port, name, error: lost.error });
                    }
                }
            }
        }
        if self.swept.elapsed() >= SWEEP_INTERVAL {
            self.swept = Instant::now();
            self.fdb.sweep(self.now());
        }
        events
    }

    fn flapping(&mut self, moved: Moved) -> Option<Event> {
        let ports = [self.name(moved.from)?.to_owned(), self.name(moved.to)?.to_owned()];
        let flaps = self.flaps.note(moved, self.now());
        flaps.then_some(Event::Flapping { station: moved.station, ports })
    }

    /// Becomes ready when [`Handle::tend`] has something to tell. For `select`; what is taken
    /// out of it by others is lost.
    pub fn notices(&self) -> &Receiver<impl Send + use<P>> {
        &self.notices
    }

    /// All counters.
    pub fn report(&self) -> Report {
        let ports = self.ports.iter().enumerate();
        let there = ports.filter_map(|(i, port)| Some(port.as_ref()?.report(PortId::new(i))));
        Report {
            ports: there.chain(self.departed.iter().cloned()).collect(),
            fdb_used: self.fdb.used(),
            fdb_size: self.fdb_size,
        }
    }

    /// The counters of one port. `None`: there is no such port.
    pub fn port(&self, port: PortId) -> Option<PortReport> {
        Some(self.ports.get(port.index())?.as_ref()?.report(port))
    }

    /// The last counters of ports that have left, of many the latest.
    pub fn departed(&self) -> &[PortReport] {
        &self.departed
    }

    /// The largest payload that a port takes, in octets. `None`: there is no such port.
    pub fn mtu(&self, port: PortId) -> Option<u32> {
        Some(self.ports.get(port.index())?.as_ref()?.tx.mtu())
    }

    /// What the kernel dropped on either side of a port. `None`: there is no such port.
    pub fn kernel_drops(&self, port: PortId) -> Option<KernelDrops> {
        Some(self.ports.get(port.index())?.as_ref()?.tx.kernel_drops())
    }

    /// The forwarding database.
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The name of a port that is attached.
    pub fn name(&self, port: PortId) -> Option<&str> {
        Some(&self.ports.get(port.index())?.as_ref()?.name)
    }

    /// Since when it counts time.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The time by the switch's own clock.
    pub fn now(&self) -> Tick {
        Tick::from_duration(self.epoch.elapsed())
    }

    /// Stops the workers, then reads the counters for the last time. The ports are closed when
    /// the handle is dropped, which this does.
    pub fn stop(mut self) -> Report {
        self.join();
        self.report()
    }

    /// Waits until every worker has done what it was told.
    fn finish(&self) {
        for worker in &self.workers {
            let (done, wait) = bounded(1);
            worker.tell(Command::Done { done });
            // A worker that died drops it, which is an answer too.
            let _ = wait.recv();
        }
    }

    fn join(&mut self) {
        for worker in &self.workers {
            worker.tell(Command::Stop);
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            // Its panic has been printed, and told as an event.
            let _ = thread.join();
        }
    }
}

impl<P: Port> Drop for Handle<P> {
    /// Stops, and closes the ports on several threads: the kernel takes some 20 ms to remove a
    /// device, nearly all of them waiting (64 TAPs: 2.1 s one by one, 0.1 s on 64 threads).
    fn drop(&mut self) {
        self.join();
        let mut sending: Vec<_> =
            self.ports.drain(..).flatten().map(|attached| attached.tx).collect();
        let share = sending.len().div_ceil(CLOSERS_MAX).max(1);
        thread::scope(|scope| {
            while !sending.is_empty() {
                let some = sending.split_off(sending.len().saturating_sub(share));
                // Where no thread can be had, they are closed here.
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(some));
            }
        });
    }
}

impl<P: Port> Hand<P> {
    fn tell(&self, command: Command<P>) {
        // Waits while the channel is full; fails when the worker is dead, which is told apart.
        let _ = self.commands.send(command);
        self.bell.ring();
    }
}

impl<T: Tx> Attached<T> {
    fn report(&self, port: PortId) -> PortReport {
        let stats = self.stats();
        let name = self.name.clone();
        let mut kernel = self.tx.kernel_drops();
        // A device that is down counts what it refuses as dropped: that is told as `tx_down`.
        kernel.tx = kernel.tx.saturating_sub(stats.get(Counter::TxDown));
        PortReport { port, name, attached: true, stats, kernel }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::memory::{Memory, cable};

    const BROADCAST: &[u8] = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello";
    const ANSWER: &[u8] = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x02\x88\xb5hello";
    const PATIENCE: Duration = Duration::from_secs(60);

    fn started(workers: usize) -> Handle<Memory> {
        start(&SwitchConfig { workers, ..SwitchConfig::default() }).unwrap()
    }

    fn plug(handle: &mut Handle<Memory>, name: &str) -> (PortId, Memory) {
        let (host, plug) = cable(1500, 64);
        (handle.add(PortConfig::named(name), plug).unwrap(), host)
    }

    fn take(host: &mut Memory) -> Vec<u8> {
        let begin = Instant::now();
        loop {
            match host.take() {
                Some(frame) => return frame,
                None => assert!(begin.elapsed() < PATIENCE, "a frame arrives"),
            }
        }
    }

    #[test]
    fn ports_come_and_go_while_frames_flow() {
        for workers in [1, 2, 3] {
            let mut handle = started(workers);
            let (a, mut host_a) = plug(&mut handle, "a");
            let (b, mut host_b) = plug(&mut handle, "b");
            host_a.put(BROADCAST);
            assert_eq!(take(&mut host_b), BROADCAST);
            assert_eq!(handle.remove(b).unwrap().stats.get(Counter::TxFrames), 1);
            assert!(handle.remove(b).is_none());
            let (c, mut host_c) = plug(&mut handle, "c");
            assert_eq!(c, b, "the number is free for another");
            host_a.put(BROADCAST);
            assert_eq!(take(&mut host_c), BROADCAST);
            assert_eq!(handle.name(a), Some("a"));
            let report = handle.stop();
            let names: Vec<_> = report.ports.iter().map(|p| (&*p.name, p.attached)).collect();
            assert_eq!(names, [("a", true), ("c", true), ("b", false)]);
            assert_eq!(report.ports[0].stats.get(Counter::RxFlooded), 2);
        }
    }

    #[test]
    fn port_that_is_gone_leaves_with_one_event_and_its_addresses() {
        let mut handle = started(2);
        let (_, mut host_a) = plug(&mut handle, "a");
        let (b, mut host_b) = plug(&mut handle, "b");
        host_b.put(ANSWER);
        take(&mut host_a);
        assert_eq!(handle.fdb().used_by(b), 1);
        host_b.unplug();
        let begin = Instant::now();
        let mut events = Vec::new();
        while events.is_empty() && begin.elapsed() < PATIENCE {
            host_a.put(BROADCAST);
            events = handle.tend();
        }
        assert!(matches!(&events[..], [Event::Detached { port, name, .. }] if *port == b
            && name == "b"));
        assert!(handle.tend().is_empty());
        assert_eq!(handle.fdb().used_by(b), 0);
        assert!(handle.name(b).is_none());
    }

    #[test]
    fn port_with_the_number_of_one_that_was_gone_stays() {
        let mut handle = started(2);
        let (_, mut host_a) = plug(&mut handle, "a");
        let (b, mut host_b) = plug(&mut handle, "b");
        host_b.unplug();
        let begin = Instant::now();
        while handle.notices.is_empty() {
            assert!(begin.elapsed() < PATIENCE, "a worker finds it gone");
        }
        handle.remove(b);
        let (c, mut host_c) = plug(&mut handle, "c");
        assert_eq!(c, b);
        assert!(handle.tend().is_empty());
        assert_eq!(handle.name(c), Some("c"));
        host_a.put(BROADCAST);
        assert_eq!(take(&mut host_c), BROADCAST);
    }

    #[test]
    fn station_with_the_address_of_another_is_told() {
        let mut handle = started(2);
        let (_, mut host_a) = plug(&mut handle, "a");
        let (_, mut host_b) = plug(&mut handle, "b");
        let begin = Instant::now();
        let event = loop {
            // Each waits until the other has been heard, as two stations with one address would.
            host_a.put(BROADCAST);
            take(&mut host_b);
            host_b.put(BROADCAST);
            take(&mut host_a);
            if let Some(event) = handle.tend().pop() {
                break event;
            }
            assert!(begin.elapsed() < PATIENCE, "it is told");
        };
        let Event::Flapping { station, mut ports } = event else { panic!("{event}") };
        ports.sort();
        assert_eq!(
            (station.octets().as_slice(), ports),
            (&BROADCAST[6..12], ["a", "b"].map(Into::into))
        );
    }

    #[test]
    fn report_adds_up_what_all_workers_counted_for_a_port() {
        let mut handle = started(2);
        let (_, mut host_a) = plug(&mut handle, "a");
        let (_, mut host_b) = plug(&mut handle, "b");
        host_a.put(BROADCAST);
        take(&mut host_b);
        host_b.put(ANSWER);
        take(&mut host_a);
        // What one of them receives for a port, the other sends to it.
        for port in handle.stop().ports {
            let counts = [Counter::RxFrames, Counter::TxFrames].map(|c| port.stats.get(c));
            assert_eq!(counts, [1, 1], "{}", port.name);
        }
    }
}
