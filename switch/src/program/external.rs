//! `uswitch NAME ...` with a NAME that is no subcommand runs `uswitch-NAME`, as git and cargo do.

use std::{
    env,
    ffi::OsString,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use clap::CommandFactory;
use uswitch::topology::{Faults, nearest};

use super::{
    cli::Cli,
    output::{self, FAILURE},
};

/// Becomes the program `uswitch-NAME`; returns only if that did not work.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let (name, arguments) = words.split_first().expect("clap found a word that it did not know");
    let name = name.to_string_lossy();
    // With a slash in it the name would be a path, and PATH not be asked.
    if name.contains('/') {
        return output::usage(&unknown(&name));
    }
    let program = format!("uswitch-{name}");
    let error = Command::new(found(&program)).args(arguments).exec();
    if error.kind() == ErrorKind::NotFound {
        return output::usage(&unknown(&name));
    }
    output::complain(format_args!("`{program}` did not start: {}", netlab::reason(&error)));
    ExitCode::from(FAILURE)
}

/// Where a program is: beside this one, with which it was built or installed, or else in PATH.
fn found(program: &str) -> PathBuf {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(program)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| program.into())
}

fn unknown(name: &str) -> Faults {
    let command = Cli::command();
    let there = command.get_subcommands().map(clap::Command::get_name).chain(["help"]);
    let name = name.escape_debug();
    let name = name.to_string();
    Faults::from(match nearest(&name, there) {
        _ if name == "bench" => {
            "the traffic tester, `uswitch-bench`, is neither beside this program \
            nor in PATH: `cargo install --path tools/bench` installs it"
                .into()
        }
        Some(near) => format!("there is no command `{name}`; did you mean `{near}`?"),
        None => format!(
            "there is no command `{name}`, and no program `uswitch-{name}` beside this one or in \
             PATH; to switch between ports, say `uswitch --ports {name},...`"
        ),
    })
}
