//! `show`: what kind of switch this is, and what its router has counted.

use std::process;

use serde::{Deserialize, Serialize};

use super::Steered;
use crate::program::report::router::RouterRow;

/// The answer to `show`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Show {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) elapsed_s: f64,
    pub(crate) workers: usize,
    pub(crate) fdb: ShowFdb,
    /// The counters of the router, if there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) router: Vec<RouterRow>,
}

/// How full the forwarding database is.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ShowFdb {
    pub(crate) used: usize,
    pub(crate) size: usize,
}

impl Steered<'_> {
    pub(super) fn show(&self) -> Show {
        Show {
            name: self.name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            elapsed_s: self.started.elapsed().as_secs_f64(),
            workers: self.topology.switch.workers,
            fdb: ShowFdb {
                used: self.handle.fdb().used(),
                size: self.topology.switch.fdb.size as usize,
            },
            router: self.router.counts(self.handle),
        }
    }
}
