//! What is opened while there are the rights to, and one thread: who opens ports later, and the
//! sockets by which the switch is steered, read and watched over. Then the rights are given up.

use std::io;

use uswitch::{plug::Opener, topology::Topology};

use crate::program::{
    cli::Options,
    control, metrics,
    notify::Notify,
    privileges::{self, Needs},
};

/// What was opened.
pub(super) struct Doors {
    /// Who has the rights from now on.
    pub(super) opener: Opener,
    /// `None`: nobody may steer. It forwards as well if the socket could not be had: a sentence.
    pub(super) control: Result<Option<control::Listening>, String>,
    /// `None`: nobody may read the counters.
    pub(super) metrics: Option<metrics::Listening>,
    pub(super) notify: Notify,
    /// What this kernel cannot do to confine the switch: sentences.
    pub(super) missing: Vec<String>,
}

impl Doors {
    /// Opens them and gives the rights up. To be called before the first thread is started.
    ///
    /// # Errors
    ///
    /// Sentences: then nothing may be begun.
    pub(super) fn open(options: &Options, topology: &Topology) -> Result<Doors, Vec<String>> {
        let failed =
            |error: io::Error| format!("no opener was started: {}", netlab::reason(&error));
        privileges::raise_descriptor_bound();
        // The first, so that it has none of the others.
        let keep = privileges::keep_for_opener;
        let opener = Opener::start(keep, &topology.ports, &topology.allow_path)
            .map_err(|error| vec![failed(error)])?;
        let control = options.control.as_ref().map(control::ControlConfig::listen).transpose();
        let metrics = topology.metrics.as_ref().map(metrics::Listening::at).transpose();
        let metrics = metrics.map_err(|why| vec![why])?;
        let notify = Notify::from_environment();
        let needs = Needs {
            config: options.config.as_deref(),
            routes: topology.route_file.as_ref().map(|file| file.path()),
            control: control.iter().flatten().map(|control| &*control.folder).next(),
            metrics: metrics.as_ref().and_then(metrics::Listening::path),
            ports: &topology.ports,
        };
        let missing = privileges::give_up(&needs).map_err(|why| vec![why])?;
        Ok(Doors { opener, control, metrics, notify, missing })
    }
}
