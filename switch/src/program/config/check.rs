//! `uswitch check FILE`: what is wrong with a configuration file, before a switch is told to run
//! it. Exit codes: 0 nothing, 2 something; 1 if it cannot be read.

use std::{path::Path, process::ExitCode};

use uswitch::topology::Words;

use crate::program::{
    config,
    output::{self, DONE, plural},
    run::cpus,
};

/// Checks a file as a switch on this machine would.
pub(crate) fn run(path: &Path, json: bool) -> ExitCode {
    let cpus = cpus();
    let topology = match config::load(path, &Words::default(), &cpus) {
        Ok(topology) => topology,
        Err(told) if json => {
            let printed = output::print(&told.json());
            return if printed == ExitCode::from(DONE) { told.code() } else { printed };
        }
        Err(told) => {
            told.show();
            return told.code();
        }
    };
    for warning in topology.warnings(&cpus) {
        output::warn(warning);
    }
    if json {
        return output::print("[]\n");
    }
    let ports = plural(topology.ports.len(), "port");
    let workers = plural(topology.switch.workers, "worker");
    let name = path.display();
    output::print(&format!("{name}: {ports}, {workers}, nothing wrong\n"))
}
