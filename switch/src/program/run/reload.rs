//! SIGHUP: the file is read again, and what differs is done, nothing else. A port that is the same
//! in both is not touched.
//!
//! Refused whole is a file with a fault, a change that takes a restart, and a port that does not
//! open. What can be opened beside the ports that go is opened first, so that a failure finds
//! nothing changed yet; what needs a device of theirs is opened when they are gone, and if that
//! fails they are put back.

use std::path::Path;

use uswitch::topology::{Action, PortSpec, Topology, in_the_way, plan};

use super::{Running, cpus, plural};
use crate::program::{config, open, output};

/// The ports of a plan.
#[derive(Default)]
struct Steps {
    gone: Vec<PortSpec>,
    /// What can be opened while those are there.
    early: Vec<PortSpec>,
    /// What cannot.
    late: Vec<PortSpec>,
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
                // Whoever has any of them does not get here.
                Action::Restart { .. } => {}
            }
        }
        let waits = |new: &PortSpec| steps.gone.iter().any(|old| in_the_way(old, new));
        (steps.late, steps.early) = come.into_iter().partition(waits);
        steps
    }
}

impl Running<'_> {
    /// Reads the file again and does what differs, or tells why not.
    pub(super) fn reload(&mut self, path: &Path) {
        let name = path.display();
        let kept = || output::complain(format_args!("{name}: nothing was changed"));
        if path == Path::new("-") {
            return output::complain("standard input cannot be read again; nothing was changed");
        }
        let new = match config::load(path, &self.options.words, &cpus()) {
            Ok(new) => new,
            Err(told) => {
                told.show();
                return kept();
            }
        };
        let ports = self.plugs.specs().map(|(spec, _)| spec.clone()).collect();
        let actions = plan(&Topology { ports, ..self.topology.clone() }, &new);
        let mut restarts = actions.iter().filter(|action| matches!(action, Action::Restart { .. }));
        if restarts.clone().next().is_some() {
            restarts.by_ref().for_each(|action| {
                output::complain(action.to_string().trim_start_matches("! "));
            });
            return kept();
        }
        let steps = Steps::of(actions);
        let counts = [steps.early.len() + steps.late.len(), steps.gone.len()];
        if let Err(failures) = self.apply(&steps) {
            failures.iter().for_each(output::complain);
            return kept();
        }
        self.topology.ports = new.ports;
        if !self.options.quiet {
            steps.gone.iter().for_each(|old| output::tell(format_args!("{}: removed", old.name)));
            let [come, gone] = counts.map(|count| plural(count, "port"));
            output::tell(format_args!("{name}: read again, {gone} out, {come} in"));
        }
    }

    /// Does all of it, or nothing.
    fn apply(&mut self, steps: &Steps) -> Result<(), Vec<String>> {
        let Steps { gone, early, late } = steps;
        let workers = self.workers;
        open::open_more(&mut self.plugs, early, workers)?;
        // Of two plugs with one name the older is taken out.
        for old in gone {
            self.plugs.remove(&old.name, &mut self.handle);
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
