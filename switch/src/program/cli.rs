//! What can be typed. The options come as words and go, unread, to the topology, which tells
//! everything that is wrong with them at once; clap alone would stop at the first.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{
    Parser, Subcommand,
    builder::styling::{AnsiColor, Styles},
    error::ErrorKind,
};
use uswitch::topology::Faults;

mod fault;
mod files;
mod generate;
mod notes;
mod router;
mod switch;

pub(crate) use self::{files::Compared, generate::Generate, notes::NOTES, switch::Options};
use self::{files::ConfigArgs, notes::after_help, switch::SwitchArgs};
use super::{
    capture::{Capture, CaptureArgs, extcap},
    control::Topic,
    demo::DemoArgs,
    kinds,
    steer::{ExplainArgs, FdbCommand, PortCommand, RouterCommand, Steer, Which},
    top::TopArgs,
};

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Print this text: somebody asked for help, the version, or the kinds of port.
    Print(String),
    /// Switch.
    Switch(Box<Options>),
    /// Check a configuration file.
    Check { file: PathBuf, json: bool },
    /// Print what would run as a configuration file.
    Config(Box<Options>),
    /// Compare two configuration files; or one with what runs.
    Diff { old: Compared, new: PathBuf, json: bool },
    /// Show the switch at work.
    Demo(DemoArgs),
    /// Look at this machine, and tell in JSON or in words.
    Doctor { json: bool },
    /// Steer a switch that runs.
    Steer(Steer),
    /// See the frames of a switch that runs.
    Capture(Box<Capture>),
    /// Be one of Wireshark's capture tools.
    Extcap(Vec<String>),
    /// Watch a switch that runs.
    Top(TopArgs),
    /// Generate the manual page or completions.
    Generate(Generate),
    /// Run another program.
    External(Vec<OsString>),
}

/// An Ethernet switch in user space
///
/// Connects the ports that are named: it reads frames from each, learns which station is behind
/// which port, and sends each frame where it belongs, until SIGINT (Ctrl-C) or SIGTERM. TAPs that
/// are not there are made, and removed at the end.
#[derive(Debug, Parser)]
#[command(
    name = "uswitch",
    version,
    styles = STYLES,
    after_help = after_help(),
    override_usage = "uswitch --ports NAME,NAME... [--port SPEC]... [OPTIONS]\n       \
                      uswitch COMMAND ...",
    subcommand_value_name = "COMMAND",
    max_term_width = 100,
    args_override_self = true,
)]
pub(crate) struct Cli {
    #[command(flatten)]
    switch: SwitchArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Switch: the same as without this word
    #[command(args_override_self = true)]
    Run(Box<SwitchArgs>),
    /// Check a configuration file and tell everything that is wrong with it
    ///
    /// Exit codes: 0 nothing is wrong, 1 it cannot be read, 2 something is wrong.
    Check {
        /// The file; `-` is standard input
        file: PathBuf,
        /// Tell it as JSON: an array of faults, each with line, column and message
        #[arg(short, long)]
        json: bool,
    },
    /// Print as a configuration file what a switch runs now; or, with options, what would run
    ///
    /// Without options, or with `--name` alone, a switch that runs is asked: what it prints has the
    /// ports that were added since, not those that were deleted, and all that was set. With other
    /// options nothing is asked: it prints what a switch with these would be, with all that was
    /// left out.
    #[command(args_override_self = true)]
    Config(Box<ConfigArgs>),
    /// Tell what a switch that runs one file would do if it were given another
    ///
    /// With one file: what the switch that runs would do if it were given this one. One action a
    /// line: `+` a port comes, `-` one goes, `~` one goes and comes again, `=` a setting, or a port
    /// that stays, is set, `!` a setting takes a restart. Exit codes: 0 nothing is to be done, 1
    /// something, 2 trouble.
    Diff {
        /// What runs, if it is not asked of a switch, and what should run
        #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Let a switch that runs read its file again and do what differs, as SIGHUP does
    ///
    /// Ports that are the same in it lose no frame. The file is the truth: ports that were added
    /// since and are not in it go. Exit codes: 0 done, 2 something is wrong with the file, 1
    /// anything else; then nothing was changed.
    Reload(Which),
    Demo(DemoArgs),
    /// Look at this machine and say what is in the way of a switch, and what to type
    ///
    /// Exit codes: 0 a switch can work here, 1 it cannot.
    Doctor {
        /// Tell it as JSON, one object
        #[arg(short, long)]
        json: bool,
    },
    /// What can be plugged in, and what is plugged into a switch that runs
    Port {
        #[command(subcommand)]
        what: PortCommand,
    },
    /// The addresses that a switch that runs knows
    Fdb {
        #[command(subcommand)]
        what: FdbCommand,
    },
    #[command(flatten)]
    Router(RouterCommand),
    /// Show all counters of a switch that runs
    Stats(Which),
    /// Show why a switch that runs has dropped frames
    Drops(Which),
    Capture(CaptureArgs),
    /// Tell what a switch that runs would do with a frame, and why; nothing is sent or learned
    Explain(ExplainArgs),
    /// Watch a switch that runs: rates, drops and loads on a terminal; `?` tells the keys
    Top(TopArgs),
    /// Tell what happens in a switch that runs, a line each: ports that come and go, stations that
    /// are learned, move or age, quotas that are reached, loops
    Monitor {
        /// What of it
        #[arg(default_value = "all")]
        what: Topic,
        #[command(flatten)]
        which: Which,
    },
    /// Print the manual page or completions for a shell
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// Reads the arguments, the program's own name first.
///
/// # Errors
///
/// What is wrong where there is nothing to be done with the rest. What can wait until the rest has
/// been read too is in [`Options::faults`].
pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Order, Faults> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if let Some(words) = extcap::words(&words) {
        return Ok(Order::Extcap(words));
    }
    let mut faults = Faults::default();
    loop {
        let error = match Cli::try_parse_from(&words) {
            Ok(cli) => match stray(&cli) {
                None => return order(cli, faults),
                Some(external) => {
                    // Everything from the stray word on is the tail of the words.
                    let word = words.remove(words.len() - external);
                    let word = word.to_string_lossy();
                    faults.push(format!(
                        "`{word}` stands alone; names of ports are separated by commas alone, \
                         as in `--ports tap0,tap1`"
                    ));
                    continue;
                }
            },
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
            let text = error.render();
            return Ok(Order::Print(if colours {
                text.ansi().to_string()
            } else {
                text.to_string()
            }));
        }
        faults.push(fault::sentence(&error));
        // Without the culprit the rest can be read as well.
        if !fault::take_out(&mut words, &error) {
            return Err(faults);
        }
    }
}

/// How many words there are from one on that looks like another program's name, but stands behind
/// ports and so was meant to be one of them.
fn stray(cli: &Cli) -> Option<usize> {
    match &cli.command {
        Some(Command::External(words)) if cli.switch.has_ports() => Some(words.len()),
        _ => None,
    }
}

/// Sorts what could be read; what cannot be done is a fault.
fn order(cli: Cli, faults: Faults) -> Result<Order, Faults> {
    let Cli { switch, command } = cli;
    let (name, json) = (switch.control.name.clone(), switch.json);
    let steer = |steer: Steer| Ok(Order::Steer(steer.with(name.clone(), json)));
    match command {
        Some(Command::Run(_)) if switch != SwitchArgs::default() => {
            Err("options stand behind `run` or `config`, not before it".into())
        }
        Some(Command::Config(_)) if !switch.is_bare() => {
            Err("options stand behind `run` or `config`, not before it".into())
        }
        Some(Command::Run(run)) => Ok(Order::Switch(run.options(faults))),
        Some(_) if !faults.is_empty() => Err(faults),
        Some(Command::Config(asked)) => files::config(*asked, faults, name),
        Some(Command::Reload(which)) => steer(Steer::reload(which)),
        Some(Command::Check { file, json }) => Ok(Order::Check { file, json: json || switch.json }),
        Some(Command::Diff { files, which }) => files::diff(files, which.with(name, json)),
        Some(Command::Demo(_)) if switch.has_ports() => {
            Err("demo: it makes ports of its own; leave --ports and --port out".into())
        }
        Some(Command::Demo(args)) => Ok(Order::Demo(DemoArgs {
            json: args.json || switch.json,
            quiet: args.quiet || switch.quiet,
            ..args
        })),
        Some(Command::Doctor { json }) => Ok(Order::Doctor { json: json || switch.json }),
        Some(Command::Port { what: PortCommand::Kinds { json } }) => {
            Ok(Order::Print(kinds::list(json || switch.json)))
        }
        Some(Command::Port { what }) => steer(Steer::port(what)?),
        Some(Command::Fdb { what }) => steer(Steer::fdb(what)?),
        Some(Command::Router(what)) => steer(Steer::router(what)?),
        Some(Command::Stats(which)) => steer(Steer::stats(which)),
        Some(Command::Drops(which)) => steer(Steer::drops(which)),
        Some(Command::Capture(args)) => Ok(Order::Capture(Box::new(args.settle(name)?))),
        Some(Command::Top(mut args)) => {
            args.which.name = args.which.name.or(name.clone());
            args.which.json |= json;
            Ok(Order::Top(args))
        }
        Some(Command::Explain(args)) => steer(Steer::explain(args)?),
        Some(Command::Monitor { what, which }) => steer(Steer::monitor(what, which)),
        Some(Command::Generate { what }) => Ok(Order::Generate(what)),
        Some(Command::External(words)) => Ok(Order::External(words)),
        None => Ok(Order::Switch(switch.options(faults))),
    }
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;
    use uswitch::{fdb, topology::MTU_RANGE};

    use super::*;

    fn read(line: &str) -> Result<Order, Faults> {
        super::read(line.split_whitespace().map(OsString::from))
    }

    #[track_caller]
    fn options(line: &str) -> Options {
        match read(line) {
            Ok(Order::Switch(options)) => *options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_description_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_sentence_and_a_heading() {
        for argument in Cli::command().get_arguments() {
            let name = argument.get_id();
            assert!(argument.get_help().is_some(), "{name} has no help");
            assert!(argument.get_help_heading().is_some(), "{name} has no heading");
        }
    }

    #[test]
    fn the_help_tells_the_defaults_and_limits_that_there_are() {
        let help = Cli::command().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let ageing = fdb::AGEING_DEFAULT.as_secs();
        let (size, low, high) = (fdb::FDB_SIZE_DEFAULT, fdb::FDB_SIZE_MIN, fdb::FDB_SIZE_MAX);
        assert!(help.contains(&format!("forgotten, 1 to 1000000 [default: {ageing}]")), "{help}");
        assert!(help.contains(&format!("{low} to {high} [default: {size}]")), "{help}");
        let (low, high) = (MTU_RANGE.start(), MTU_RANGE.end());
        assert!(help.contains(&format!("{low} to {high} [default: as")), "{help}");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_is_read_all_the_same() {
        let options = options("uswitch --prots tap0 -jx --ports tap1 --mtu=9 --json=1 --workers");
        let faults: Vec<_> = options.faults.iter().collect();
        assert_eq!(options.words.ports, ["tap1"]);
        assert_eq!(options.words.mtu.as_deref(), Some("9"));
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!(faults[0], "there is no option `--prots`; did you mean `--ports`?");
    }

    #[test]
    fn the_last_of_several_goes() {
        assert_eq!(options("uswitch --mtu 1 --mtu 2").words.mtu.as_deref(), Some("2"));
        assert_eq!(options("uswitch --ports a --ports b").words.ports, ["a", "b"]);
    }

    #[test]
    fn a_name_behind_a_blank_is_a_port_and_no_command() {
        let options = options("uswitch --ports tap0, tap1 --mtu 9000");
        let faults: Vec<_> = options.faults.iter().collect();
        assert_eq!(options.words.mtu.as_deref(), Some("9000"));
        assert!(faults[0].starts_with("`tap1` stands alone"), "{faults:?}");
    }

    #[test]
    fn another_name_is_another_program() {
        match read("uswitch lab --up -j") {
            Ok(Order::External(words)) => assert_eq!(words, ["lab", "--up", "-j"]),
            other => panic!("{other:?}"),
        }
        assert!(read("uswitch generate nonsense").is_err());
        assert!(read("uswitch generate").is_err());
        for (line, sentence) in [
            ("uswitch port shwo", "there is no `shwo` here; did you mean `show`?"),
            ("uswitch port foo", "there is no `foo` here; `--help` in its place tells what is"),
            ("uswitch diff a b c", "`c` is one word too many"),
        ] {
            assert_eq!(read(line).unwrap_err().iter().next(), Some(sentence), "{line}");
        }
    }

    #[test]
    fn help_is_an_order_to_print() {
        for line in ["uswitch --help", "uswitch -h", "uswitch -V", "uswitch generate --help"] {
            assert!(matches!(read(line), Ok(Order::Print(_))), "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_to_its_end(
            words in proptest::collection::vec(
                "-{0,3}(ports|port|mtu|prots|json|generate|man|help|lab|[jqvxé=, ]{0,3})(=.{0,3})?",
                0..8,
            ),
        ) {
            let words = ["uswitch".to_owned()].into_iter().chain(words);
            if let Err(faults) = super::read(words.map(OsString::from)) {
                prop_assert!(!faults.is_empty());
            }
        }
    }
}
