//! The commands that are about files, or about what runs if no file is named.

use std::path::PathBuf;

use clap::Args;
use uswitch::topology::Faults;

use super::{Order, SwitchArgs};
use crate::program::steer::{Steer, Which};

/// The options of `uswitch config`.
#[derive(Debug, Default, Args)]
pub(super) struct ConfigArgs {
    /// Ask a switch that runs, as without any option
    #[arg(long)]
    pub(super) running: bool,

    #[command(flatten)]
    pub(super) switch: SwitchArgs,
}

/// `uswitch config`: of a switch that runs, unless options say what would.
pub(super) fn config(
    asked: ConfigArgs,
    faults: Faults,
    name: Option<String>,
) -> Result<Order, Faults> {
    if asked.switch.is_bare() {
        let SwitchArgs { json, control, .. } = asked.switch;
        let which = Which { name: control.name, json };
        return Ok(Order::Steer(Steer::config(which).with(name, false)));
    }
    if asked.running {
        return Err("--running: what runs has options of its own; leave out the others, but for \
                    --name"
            .into());
    }
    Ok(Order::Config(asked.switch.options(faults)))
}

/// With what a file is compared.
#[derive(Debug)]
pub(crate) enum Compared {
    /// Another.
    File(PathBuf),
    /// What the switch of this name runs.
    Running(Option<String>),
}

/// `uswitch diff`
pub(super) fn diff(files: Vec<PathBuf>, which: Which) -> Result<Order, Faults> {
    let Which { name, json } = which;
    let mut files = files.into_iter();
    match (files.next(), files.next(), name) {
        (Some(_), Some(_), Some(_)) => Err("--name: two files are compared with each other; name \
                                            one, and it is compared with what runs"
            .into()),
        (Some(old), Some(new), None) => Ok(Order::Diff { old: Compared::File(old), new, json }),
        (Some(new), None, name) => Ok(Order::Diff { old: Compared::Running(name), new, json }),
        (None, ..) => unreachable!("one at least is required"),
    }
}
