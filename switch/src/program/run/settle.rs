//! What was typed, and the file, checked before anything is done: everything that is wrong is told
//! at once.

use std::{os::fd::OwnedFd, path::Path, process::ExitCode};

use uswitch::{
    sys,
    topology::{Faults, Topology},
};

use crate::program::{
    cli::Options,
    config::{self, File, Told},
    output,
};

/// The processors that are lent to us.
pub(crate) fn cpus() -> Vec<usize> {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    cpus.into_iter().map(|core| core.id).collect()
}

/// Checks everything that was typed, and the file, before anything is done. If something is wrong,
/// it was told.
pub(super) fn settle(
    options: &Options,
    cpus: &[usize],
) -> Result<(Topology, Option<OwnedFd>), ExitCode> {
    let Some(file) = &options.config else {
        return match &options.words.routes {
            Some(_) => settle_beside_routes(options, cpus),
            None => settle_words(options, cpus).map_err(|faults| output::usage(&faults)),
        };
    };
    settle_file(options, config::load(file, &options.words, cpus))
}

/// A command line that names a file of routes is told as a file beside it would be.
fn settle_beside_routes(
    options: &Options,
    cpus: &[usize],
) -> Result<(Topology, Option<OwnedFd>), ExitCode> {
    settle_file(options, File::none().resolve(&options.words, cpus))
}

fn settle_file(
    options: &Options,
    loaded: Result<Topology, Told>,
) -> Result<(Topology, Option<OwnedFd>), ExitCode> {
    let mut faults = options.faults.clone();
    let ready = settle_beside(options, &mut faults);
    match loaded {
        Ok(topology) => faults.or(Some((topology, ready))).map_err(|faults| output::usage(&faults)),
        Err(told) => {
            faults.iter().for_each(output::complain);
            Err(told.refuse())
        }
    }
}

fn settle_words(options: &Options, cpus: &[usize]) -> Result<(Topology, Option<OwnedFd>), Faults> {
    let mut faults = options.faults.clone();
    let words = &options.words;
    // A port may be in what could not be read.
    if !words.have_ports() && faults.is_empty() {
        faults.push("no port is given; say for example `uswitch --ports tap0,tap1,tap2`");
    }
    let ready = settle_beside(options, &mut faults);
    let topology = Topology::resolve(words, cpus);
    let topology = topology.map_err(|found| faults.append(found)).ok();
    faults.or(topology.map(|topology| (topology, ready)))
}

/// The options that are no part of a topology.
fn settle_beside(options: &Options, faults: &mut Faults) -> Option<OwnedFd> {
    if options.quiet && options.verbose {
        faults.push("--quiet and --verbose: there is no being both");
    }
    for folder in options.words.allow_path.iter().filter(|folder| !Path::new(folder).is_dir()) {
        faults.push(format!("--allow-path: `{}` is no folder", folder.escape_debug()));
    }
    let ready = options.ready_fd.as_deref().map(descriptor).transpose();
    faults.note("--ready-fd", ready).flatten()
}

/// Takes over the descriptor with this number. Nothing has been opened yet: what is there was
/// given to us.
fn descriptor(number: &str) -> Result<OwnedFd, Faults> {
    let fd = number.parse().map_err(|_| format!("`{number}` is not the number of a descriptor"))?;
    sys::inherit(fd)
        .map_err(|error| Faults::from(format!("descriptor {number}: {}", netlab::reason(&error))))
}
