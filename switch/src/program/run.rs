//! The switch as a program: open the ports, switch until somebody wishes the end, tell the counts.

mod doors;
mod reload;
#[cfg(feature = "router")]
pub(crate) mod router;
#[cfg(not(feature = "router"))]
#[path = "run/no_router.rs"]
pub(crate) mod router;
mod settle;
mod steered;
mod told;

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::OwnedFd,
    process::ExitCode,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Select, TryRecvError};
use tracing::debug;
use uswitch::{
    bridge::GroupForward,
    fdb::FdbConfig,
    plug::{Change, Plugs},
    port::any::AnyPort,
    switch::{self, BusyPoll, Event, Handle, SwitchConfig},
    topology::{StaticEntry, Topology},
};

pub(crate) use self::settle::cpus;
use self::{doors::Doors, router::Router, settle::settle};
use super::{
    cli::Options,
    config,
    control::{Captures, Control, Stations},
    metrics::Metrics,
    notify::{Notify, State},
    open,
    output::{self, DONE, FAILURE},
    report::{Status, known_addresses},
    signals::{self, Wish},
};

/// How often the switch is tended if nothing else happens.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// Does what `uswitch --ports ...` asks for, from the first port to the last count.
pub(crate) fn run(options: &Options) -> ExitCode {
    let cpus = cpus();
    let (topology, ready) = match settle(options, &cpus) {
        Ok(settled) => settled,
        Err(code) => return code,
    };
    for warning in topology.warnings(&cpus) {
        output::warn(warning);
    }
    let failed = |failures: Vec<String>| {
        failures.iter().for_each(output::complain);
        ExitCode::from(FAILURE)
    };
    // The first thread is the next thing: from here on there are no rights.
    let doors = match Doors::open(options, &topology) {
        Ok(doors) => doors,
        Err(failures) => return failed(failures),
    };
    // Whoever does not read what is told must not keep the switch from being steered.
    let _writing = output::Writing::begin();
    Running::start(options, &topology, doors).map_or_else(failed, |running| running.forward(ready))
}

/// Prints what [`run`] would run, as a file.
pub(crate) fn print_config(options: &Options) -> ExitCode {
    match settle(options, &cpus()) {
        Ok((topology, _)) => output::print(&config::emit::emit(&topology)),
        Err(code) => code,
    }
}

/// A switch at work, and who wants to know of it.
struct Running<'a> {
    options: &'a Options,
    wishes: Receiver<Wish>,
    plugs: Plugs,
    handle: Handle<AnyPort>,
    started: Instant,
    workers: usize,
    /// What it was told to be.
    topology: Topology,
    /// Who steers. `None`: nobody may.
    control: Option<Control>,
    /// Who reads counters. `None`: nobody may.
    metrics: Option<Metrics>,
    /// Who watches over us.
    notify: Notify,
    /// The stations, while somebody listens for them.
    stations: Option<Stations>,
    captures: Captures,
    router: Router,
}

impl Running<'_> {
    /// Opens the ports and plugs them in.
    fn start<'a>(
        options: &'a Options,
        topology: &Topology,
        doors: Doors,
    ) -> Result<Running<'a>, Vec<String>> {
        let failed = |what: &'static str| {
            move |error: io::Error| vec![format!("{what}: {}", netlab::reason(&error))]
        };
        let Doors { opener, control, metrics, notify, missing } = doors;
        let wishes = signals::listen().map_err(failed("signals cannot be listened to"))?;
        let metrics = metrics.map(Metrics::serve).transpose();
        let metrics = metrics.map_err(|why| vec![why])?;
        let plugs = open::open_all(topology, opener)?;
        let (workers, ports) = (topology.switch.workers, topology.ports.len());
        let started = Instant::now();
        let mut handle =
            switch::start(&topology.switch).map_err(failed("no worker was started"))?;
        for StaticEntry { mac, port } in &topology.statics {
            // Their ports are still to come.
            handle.add_static(*mac, port).map_err(|why| vec![format!("{mac}: {why}")])?;
        }
        let mut running = Running {
            options,
            wishes,
            plugs,
            handle,
            started,
            workers,
            topology: topology.clone(),
            control: None,
            metrics,
            notify,
            stations: None,
            captures: Captures::new(),
            router: Router::default(),
        };
        running.plug_in().map_err(failed("the ports were not plugged in"))?;
        running.route(topology)?;
        if options.no_opener {
            running.plugs.fix();
        }
        running.open_control(control);
        running.tell_metrics();
        debug!("{}", describe(&running.topology));
        missing.iter().for_each(|missing| debug!("{missing}"));
        output::tell(format_args!(
            "switching {} with {}; Ctrl-C ends it",
            output::plural(ports, "port"),
            output::plural(workers, "worker")
        ));
        Ok(running)
    }

    fn plug_in(&mut self) -> io::Result<()> {
        let changes = self.plugs.plug_in(&mut self.handle)?;
        changes.iter().for_each(|change| self.tell(change));
        Ok(())
    }

    /// Routes as this topology says.
    fn route(&mut self, topology: &Topology) -> Result<(), Vec<String>> {
        self.router.apply(topology, &mut self.plugs, &mut self.handle)
    }

    /// Tells what happens on the router's links.
    fn tell_links(&mut self) {
        for news in self.router.events() {
            output::complain(&news.text);
            self.control.iter_mut().for_each(|control| control.tell(news.clone()));
        }
    }

    /// Tells where the counters can be read.
    fn tell_metrics(&self) {
        let Some(metrics) = &self.metrics else { return };
        if let Some(warning) = metrics.warning() {
            output::warn(warning);
        }
        output::tell(format_args!("metrics: {}", metrics.place()));
    }

    /// Gives the counters to who reads them.
    fn answer_metrics(&mut self) {
        if self.metrics.as_ref().is_some_and(|metrics| !metrics.answer(|| self.snapshot())) {
            self.metrics = None;
            output::complain("the metrics have ended, which is a mistake of ours; frames go on");
        }
    }

    /// Tells what has changed to all who want to know.
    fn tell(&mut self, change: &Change) {
        tell(change);
        if let Some(control) = &mut self.control {
            control.tell_change(change);
        }
    }

    /// Frames flow. Returns when somebody wishes the end, or nothing is left to be done.
    fn forward(mut self, ready: Option<OwnedFd>) -> ExitCode {
        if let Some(descriptor) = ready
            && let Err(error) = File::from(descriptor).write_all(b"\n")
        {
            output::complain(format_args!("--ready-fd: {}", netlab::reason(&error)));
        }
        self.notify.ready(self.state());
        let mut code = ExitCode::from(DONE);
        loop {
            self.notify.tend(self.state());
            self.wait();
            let wish = match (self.wishes.try_recv(), &self.options.config) {
                (Ok(Wish::Reload), Some(file)) => {
                    self.reload(file);
                    continue;
                }
                (Ok(Wish::Reload), None) => Ok(Wish::End),
                (wish, _) => wish,
            };
            match wish {
                Ok(Wish::Report) => output::report(self.status().render(self.options.json)),
                Ok(Wish::End) | Err(TryRecvError::Disconnected) => {
                    // A terminal shows `^C` and stays on that line.
                    if io::stderr().is_terminal() {
                        output::tell("");
                    }
                    break;
                }
                Ok(Wish::Reload) | Err(TryRecvError::Empty) => {}
            }
            self.answer();
            self.answer_metrics();
            if let Some(control) = &mut self.control {
                control.look(&mut self.stations, &self.handle);
            }
            self.captures.tend(&mut self.handle);
            self.tell_links();
            let changes = self.plugs.tend(&mut self.handle);
            changes.iter().for_each(|change| self.tell(change));
            let died = |change: &Change| matches!(change, Change::Switch(Event::WorkerDied));
            if changes.iter().any(died) {
                code = ExitCode::from(FAILURE);
                break;
            }
            // Whoever takes the last one out knows what he does, and may bring another.
            let lost = |change: &Change| matches!(change, Change::Switch(Event::Detached { .. }));
            if changes.iter().any(lost) && !self.plugs.alive() {
                output::complain("no port is left");
                code = ExitCode::from(FAILURE);
                break;
            }
        }
        self.end(code)
    }

    /// Sleeps until there is a wish or a notice, or it is time.
    fn wait(&self) {
        let mut select = Select::new();
        select.recv(&self.wishes);
        select.recv(self.handle.notices());
        select.recv(self.plugs.arrivals());
        select.recv(&self.captures.ended);
        if let Some(control) = &self.control {
            select.recv(&control.requests);
        }
        if let Some(metrics) = &self.metrics {
            select.recv(&metrics.wanted);
        }
        // Which of them it was will be seen; what is in them is not for us to take out.
        let pause = self.stations.as_ref().map(|stations| stations.pause(Instant::now()));
        let pause = pause.unwrap_or(TEND_INTERVAL).min(TEND_INTERVAL);
        let _ = select.ready_timeout(self.notify.sleep_max(pause));
    }

    /// What a service manager is told of.
    fn state(&self) -> State {
        let plugs = self.plugs.specs().map(|(_, ports)| ports.len());
        let (ports, waiting) = plugs.fold((0, 0), |(ports, waiting), count| {
            (ports + count, waiting + usize::from(count == 0))
        });
        State { ports, waiting, addresses: self.handle.fdb().used() }
    }

    /// Stops the switch and tells its last counts.
    fn end(mut self, code: ExitCode) -> ExitCode {
        let options = self.options;
        self.notify.stopping();
        // Nobody steers or reads what ends.
        self.control = None;
        self.metrics = None;
        // The table and the router are asked before the workers stop, the counters read after.
        let router = self.router.counts(&self.handle);
        let addresses = options.verbose.then(|| known_addresses(&self.handle));
        let (started, workers) = (self.started, self.workers);
        let report = self.handle.stop();
        self.captures.join();
        if options.quiet && !options.json {
            return code;
        }
        let elapsed = started.elapsed();
        let status = Status { report, router, addresses, elapsed, workers, running: false };
        let printed = output::print(&status.render(options.json));
        if printed == ExitCode::from(DONE) { code } else { printed }
    }
}

/// Tells what has changed: what went well, and what did not.
fn tell(change: &Change) {
    match change {
        Change::Came { name, warnings, .. } => {
            output::tell(change);
            warnings.iter().for_each(|warning| output::warn(format_args!("{name}: {warning}")));
        }
        Change::Waits { .. } | Change::Told { .. } => output::tell(change),
        Change::Left { .. } | Change::Failed(_) | Change::Switch(_) => output::complain(change),
    }
}

/// The settings, for those who want to know more.
fn describe(topology: &Topology) -> String {
    let SwitchConfig { workers: _, cpus, busy_poll, fdb, group_forward } = &topology.switch;
    let cpus = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let pinned = if cpus.is_empty() { "workers not pinned".into() } else { format!("CPUs {cpus}") };
    let busy_poll = match busy_poll {
        BusyPoll::Off => "no busy polling".to_owned(),
        BusyPoll::For(time) => format!("busy polling for {} us", time.as_micros()),
        BusyPoll::Always => "always polling".to_owned(),
    };
    let group_forward = match group_forward {
        GroupForward::Standard => "reserved group addresses not forwarded",
        GroupForward::Wire => "reserved group addresses forwarded",
    };
    let FdbConfig { size, quota, ageing, .. } = fdb;
    let ageing = ageing.as_secs();
    format!(
        "{size} addresses, {quota} a port, forgotten after {ageing} s; {pinned}, {busy_poll}; \
         {group_forward}"
    )
}
