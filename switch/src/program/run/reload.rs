//! SIGHUP and `uswitch reload`: the file is read again, and what differs is done, nothing else. A
//! port that is the same in both is not touched, nor is one of which only the quota differs.
//!
//! The file is the truth, with what the command line says beside it: a port that was added since
//! goes if it is not in the file, one that was deleted comes again, and what was set is set back.
//! So a switch is what its file says whenever it was read, as after `ifreload -a` or `netplan
//! apply`; each port that goes is told, and `uswitch diff FILE` tells it before.
//!
//! Refused whole is a file with a fault, a change that takes a restart, and a port or a leg of the
//! router that does not open. What can be opened beside the ports that go is opened first, so that
//! a failure finds nothing changed yet; what needs a device of theirs is opened when they are gone,
//! and if that fails they are put back. Settings and routes come last: they cannot fail.

use std::path::Path;

use uswitch::{
    switch::SwitchConfig,
    topology::{Action, PortSpec, StaticEntry, Topology, in_the_way, plan},
};

use super::{Running, cpus};
use crate::program::{
    config::{self, Told},
    control::{Applied, Asked, Event as News, statics},
    open, output,
};

/// Why nothing was changed.
enum Refused {
    /// Something is wrong with the file.
    Faulty(Told),
    /// Something else is, a sentence each.
    For(Vec<String>),
}

/// The ports of a plan.
#[derive(Default)]
struct Steps {
    gone: Vec<PortSpec>,
    /// What can be opened while those are there.
    early: Vec<PortSpec>,
    /// What cannot.
    late: Vec<PortSpec>,
    /// What stays, and is set.
    set: Vec<PortSpec>,
    /// Static entries that are said no more.
    unsaid: Vec<StaticEntry>,
    /// Those that are said, and were not, or of another port.
    said: Vec<StaticEntry>,
}

impl Steps {
    fn of(actions: Vec<Action>) -> Steps {
        let mut steps = Steps::default();
        let mut come = Vec::new();
        for action in actions {
            match action {
                Action::Remove(old) => steps.gone.push(old),
                Action::Add(new) => come.push(new),
                Action::Change { old, new } => {
                    steps.gone.push(old);
                    come.push(new);
                }
                Action::Adjust { new, .. } => steps.set.push(new),
                Action::RemoveStatic(old) => steps.unsaid.push(old),
                Action::ChangeStatic { new, .. } | Action::AddStatic(new) => steps.said.push(new),
                // The router follows from the topology.
                Action::RemoveLeg(_)
                | Action::ChangeLeg { .. }
                | Action::AddLeg(_)
                | Action::Routes { .. }
                | Action::RouteFile { .. }
                | Action::Neighbours { .. } => {}
                // Settings follow from the topology; what takes a restart does not get here.
                Action::Set { .. } | Action::Restart { .. } => {}
            }
        }
        let waits = |new: &PortSpec| steps.gone.iter().any(|old| in_the_way(old, new));
        (steps.late, steps.early) = come.into_iter().partition(waits);
        steps
    }
}

impl Running<'_> {
    /// Reads the file again and does what differs, or tells why not: SIGHUP.
    pub(super) fn reload(&mut self, path: &Path) {
        // Whoever is to hear it has heard it.
        let _ = self.try_reload(path);
    }

    /// The same for who asks for it.
    pub(super) fn reload_for(&mut self, asked: &Asked) {
        let outcome = match &self.options.config {
            Some(path) => self.try_reload(path),
            None => Err(Refused::For(vec![NO_FILE.to_owned()])),
        };
        let Some(control) = &self.control else { return };
        match outcome {
            Ok(applied) => control.answer(asked, Ok(applied.json())),
            Err(Refused::Faulty(told)) if told.was_read() => control.refuse(asked, &told),
            Err(Refused::Faulty(told)) => control.answer(asked, Err(told.sentences())),
            Err(Refused::For(sentences)) => control.answer(asked, Err(sentences.join("\n"))),
        }
    }

    /// Does it, and tells whoever listens what came of it.
    fn try_reload(&mut self, path: &Path) -> Result<Applied, Refused> {
        self.notify.reloading();
        let outcome = self.read_and_apply(path);
        self.notify.ready(self.state());
        match &outcome {
            Ok(applied) => self.announce(News::applied(applied)),
            Err(refused) => {
                match refused {
                    Refused::Faulty(told) => told.show(),
                    Refused::For(sentences) => sentences.iter().for_each(output::complain),
                }
                let refused = News::refused(&path.display().to_string());
                output::complain(&refused.text);
                if let Some(control) = &mut self.control {
                    control.tell(refused);
                }
            }
        }
        outcome
    }

    fn read_and_apply(&mut self, path: &Path) -> Result<Applied, Refused> {
        if path == Path::new("-") {
            let sentence = "the file was standard input, which cannot be read again";
            return Err(Refused::For(vec![sentence.to_owned()]));
        }
        let new = config::load(path, &self.options.words, &cpus()).map_err(Refused::Faulty)?;
        let actions = plan(&self.now(), &new);
        let restarts = actions.iter().filter(|action| matches!(action, Action::Restart { .. }));
        let restarts: Vec<_> = restarts.map(|a| a.to_string()[2..].to_owned()).collect();
        if !restarts.is_empty() {
            return Err(Refused::For(restarts));
        }
        let applied = Applied::of(&path.display().to_string(), &actions);
        let steps = Steps::of(actions);
        // Nothing is under way that would have had a number from it.
        self.plugs.forget_bridges(&self.handle, &self.topology.legs);
        let Running { router, plugs, handle, .. } = self;
        let routed = router.prepare(&new, plugs, handle).map_err(Refused::For)?;
        if let Err(failures) = self.apply(&steps) {
            self.router.abandon(&mut self.handle, routed);
            return Err(Refused::For(failures));
        }
        self.set(&steps.set, &new);
        self.say_statics(&steps);
        // What could be wrong with it has been found in the file, or been refused by the system.
        let routed = self.router.go_on(&new, &mut self.handle, routed);
        for why in routed.err().unwrap_or_default() {
            output::warn(why);
        }
        let workers = self.workers;
        self.topology = Topology { switch: SwitchConfig { workers, ..new.switch }, ..new };
        Ok(applied)
    }

    /// What runs: the ports that there are, with the settings that hold.
    fn now(&self) -> Topology {
        let ports = self.plugs.specs().map(|(spec, _)| spec.clone()).collect();
        Topology { ports, statics: statics(&self.handle), ..self.topology.clone() }
    }

    /// Sets what can be set while frames flow.
    fn set(&mut self, ports: &[PortSpec], new: &Topology) {
        let (old, new) = (&self.topology.switch, &new.switch);
        if old.fdb.ageing != new.fdb.ageing {
            self.handle.set_ageing(new.fdb.ageing);
        }
        if old.fdb.quota != new.fdb.quota {
            self.handle.set_fdb_quota(new.fdb.quota);
        }
        if old.group_forward != new.group_forward {
            self.handle.set_group_forward(new.group_forward);
        }
        if old.busy_poll != new.busy_poll {
            self.handle.set_busy_poll(new.busy_poll);
        }
        for PortSpec { name, quota, .. } in ports {
            self.plugs.set_quota(name, *quota, &mut self.handle);
        }
    }

    /// The static entries, which need no device: what goes makes room for what comes.
    fn say_statics(&mut self, Steps { unsaid, said, .. }: &Steps) {
        for StaticEntry { mac, .. } in unsaid {
            self.handle.del_static(*mac);
        }
        for StaticEntry { mac, port } in said {
            if let Err(why) = self.handle.add_static(*mac, port) {
                output::warn(format_args!("{mac}: {why}"));
            }
        }
    }

    /// Does all of it, or nothing.
    fn apply(&mut self, steps: &Steps) -> Result<(), Vec<String>> {
        let Steps { gone, early, late, .. } = steps;
        let workers = self.workers;
        open::open_more(&mut self.plugs, early, workers)?;
        // Of two plugs with one name the older is taken out.
        for old in gone {
            if self.plugs.remove(&old.name, &mut self.handle).is_some() {
                let again = early.iter().chain(late).any(|new| new.name == old.name);
                self.announce(News::removed_for(&old.name, again));
            }
        }
        let mut opened = open::open_more(&mut self.plugs, late, workers);
        if opened.is_ok() {
            let failed = |error| vec![format!("the ports: {}", netlab::reason(&error))];
            opened = self.plug_in().map_err(failed);
        }
        let Err(mut failures) = opened else { return Ok(()) };
        for new in early.iter().chain(late) {
            self.plugs.remove(&new.name, &mut self.handle);
        }
        let back = open::open_more(&mut self.plugs, gone, workers);
        failures.extend(back.err().into_iter().flatten().map(|why| format!("not put back: {why}")));
        if let Err(error) = self.plug_in() {
            failures.push(format!("not put back: {}", netlab::reason(&error)));
        }
        Err(failures)
    }
}

/// What to say to who asks for the file of a switch that has none.
const NO_FILE: &str = "this switch was started without a file, so there is none to read again; \
                       `uswitch port add|set|del` changes it as it runs, `uswitch config` writes \
                       what runs as a file, and `uswitch run -c FILE` starts one with a file";
