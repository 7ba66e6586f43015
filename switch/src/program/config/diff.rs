//! `uswitch diff OLD NEW`: what would be done to a switch that runs one file if it were given the
//! other; `uswitch diff NEW`: what would be done to one that runs. Exit codes as of diff(1): 0
//! nothing, 1 something, 2 trouble.

use std::{path::Path, process::ExitCode};

use serde::Serialize;
use uswitch::topology::{Action, Differing, Topology, Words, plan};

use super::{File, Told};
use crate::program::{
    cli::Compared,
    config,
    output::{self, DONE, FAILURE, USAGE},
    run::cpus,
    steer,
};

/// The processors that a switch may say it has: those of the kernel's masks (linux/sched.h). Which
/// of them there are, it knew.
const CPUS_MAX: usize = 1024;

/// Tells what is to be done to make the new of the old.
pub(crate) fn run(old: &Compared, new: &Path, json: bool) -> ExitCode {
    // What the command line of a switch says beside its file.
    let mut beside = Words::default();
    let old = match old {
        Compared::File(file) => config::load(file, &beside, &cpus()),
        Compared::Running(name) => match steer::running(name.as_deref()) {
            Ok(page) => {
                beside.allow_path = page.allow_path;
                running(page.toml, page.workers)
            }
            Err(sentences) => {
                sentences.lines().for_each(output::complain);
                return ExitCode::from(USAGE);
            }
        },
    };
    let (old, new) = match (old, config::load(new, &beside, &cpus())) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            [old.err(), new.err()].into_iter().flatten().for_each(|told| told.show());
            return ExitCode::from(USAGE);
        }
    };
    let actions = plan(&old, &new);
    let text = if json {
        let told: Vec<_> = actions.iter().map(Line::from).collect();
        serde_json::to_string(&told).expect("texts") + "\n"
    } else {
        actions.iter().map(|action| format!("{action}\n")).collect()
    };
    let printed = output::print(&text);
    if printed != ExitCode::from(DONE) {
        return ExitCode::from(USAGE);
    }
    ExitCode::from(if actions.is_empty() { DONE } else { FAILURE })
}

/// What a switch has said that it runs.
fn running(toml: String, workers: usize) -> Result<Topology, Told> {
    // It may have no port, and more workers than a file could ask for with those that it has.
    let words = Words { unread: true, ..Words::default() };
    let cpus: Vec<_> = (0..CPUS_MAX).collect();
    let mut topology = File::of_switch(toml).resolve(&words, &cpus)?;
    topology.switch.workers = workers;
    topology.workers_auto = false;
    Ok(topology)
}

/// An action, for programs.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Line {
    Restart { setting: &'static str, old: String, new: String },
    Set { setting: &'static str, old: String, new: String },
    Adjust { port: String, old: String, new: String },
    Remove { port: String, old: String },
    Change { port: String, old: String, new: String },
    Add { port: String, new: String },
    RemoveLeg { leg: String, old: String },
    ChangeLeg { leg: String, old: String, new: String },
    AddLeg { leg: String, new: String },
    Routes { gone: Vec<String>, come: Vec<String> },
    RouteFile { gone: Counted, come: Counted },
    Neighbours { gone: Vec<String>, come: Vec<String> },
    RemoveStatic { mac: String, old: String },
    ChangeStatic { mac: String, old: String, new: String },
    AddStatic { mac: String, new: String },
}

/// How many, and the first of them.
#[derive(Serialize)]
struct Counted {
    count: usize,
    first: Vec<String>,
}

impl From<&Differing> for Counted {
    fn from(Differing { count, first }: &Differing) -> Counted {
        Counted { count: *count, first: texts(first) }
    }
}

impl From<&Action> for Line {
    fn from(action: &Action) -> Line {
        match action {
            Action::Restart { setting, old, new } => {
                Line::Restart { setting, old: old.clone(), new: new.clone() }
            }
            Action::Set { setting, old, new } => {
                Line::Set { setting, old: old.clone(), new: new.clone() }
            }
            Action::Adjust { old, new } => {
                let port = new.name.clone();
                Line::Adjust { port, old: old.to_string(), new: new.to_string() }
            }
            Action::Remove(old) => Line::Remove { port: old.name.clone(), old: old.to_string() },
            Action::Change { old, new } => {
                let port = new.name.clone();
                Line::Change { port, old: old.to_string(), new: new.to_string() }
            }
            Action::Add(new) => Line::Add { port: new.name.clone(), new: new.to_string() },
            Action::RemoveLeg(old) => {
                Line::RemoveLeg { leg: old.name.clone(), old: old.to_string() }
            }
            Action::ChangeLeg { old, new } => {
                let leg = new.name.clone();
                Line::ChangeLeg { leg, old: old.to_string(), new: new.to_string() }
            }
            Action::AddLeg(new) => Line::AddLeg { leg: new.name.clone(), new: new.to_string() },
            Action::Routes { gone, come } => Line::Routes { gone: texts(gone), come: texts(come) },
            Action::RouteFile { gone, come } => {
                Line::RouteFile { gone: Counted::from(gone), come: Counted::from(come) }
            }
            Action::Neighbours { gone, come } => {
                Line::Neighbours { gone: texts(gone), come: texts(come) }
            }
            Action::RemoveStatic(old) => {
                Line::RemoveStatic { mac: old.mac.to_string(), old: old.to_string() }
            }
            Action::ChangeStatic { old, new } => {
                let mac = new.mac.to_string();
                Line::ChangeStatic { mac, old: old.to_string(), new: new.to_string() }
            }
            Action::AddStatic(new) => {
                Line::AddStatic { mac: new.mac.to_string(), new: new.to_string() }
            }
        }
    }
}

fn texts(specs: &[impl ToString]) -> Vec<String> {
    specs.iter().map(ToString::to_string).collect()
}
