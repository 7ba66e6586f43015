//! `uswitch diff OLD NEW`: what would be done to a switch that runs one file if it were given the
//! other. Exit codes as of diff(1): 0 nothing, 1 something, 2 trouble.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use uswitch::topology::{Action, Words, plan};

use crate::program::{
    config,
    output::{self, DONE, FAILURE, USAGE},
    run::cpus,
};

/// Tells what is to be done to make the new of the old.
pub(crate) fn run(files: &[PathBuf; 2], json: bool) -> ExitCode {
    let cpus = cpus();
    let read = |file: &PathBuf| config::load(file, &Words::default(), &cpus);
    let (old, new) = match (read(&files[0]), read(&files[1])) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            [old.err(), new.err()].into_iter().flatten().for_each(|told| told.show());
            return ExitCode::from(USAGE);
        }
    };
    let actions = plan(&old, &new);
    let text = if json {
        let told: Vec<_> = actions.iter().map(Told::from).collect();
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

/// An action, for programs.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Told {
    Restart { setting: &'static str, old: String, new: String },
    Remove { port: String, old: String },
    Change { port: String, old: String, new: String },
    Add { port: String, new: String },
}

impl From<&Action> for Told {
    fn from(action: &Action) -> Told {
        match action {
            Action::Restart { setting, old, new } => {
                Told::Restart { setting, old: old.clone(), new: new.clone() }
            }
            Action::Remove(old) => Told::Remove { port: old.name.clone(), old: old.to_string() },
            Action::Change { old, new } => {
                let port = new.name.clone();
                Told::Change { port, old: old.to_string(), new: new.to_string() }
            }
            Action::Add(new) => Told::Add { port: new.name.clone(), new: new.to_string() },
        }
    }
}
