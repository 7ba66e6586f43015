//! `uswitch port`, `fdb`, `route`, `leg`, `reload`, `config`, `stats`, `drops`, `explain` and
//! `monitor`: they ask a switch that runs, on its control socket, and print what it says. Nouns and
//! flags are those of bridge(8) and ip(8).

mod flow;
mod legs;
mod line;
mod neighbours;
mod reload;
mod routing;
mod show;

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use uswitch::{
    frame::Mac,
    topology::{COMMON, Faults, KINDS, PortSpec, StaticEntry},
};

pub(crate) use self::{line::Line, routing::RouterCommand};
use super::{
    control::{ConfigPage, Event, FdbPage, Flushed, PortPage, Request, Told, Topic},
    explain::{Explained, Given},
    output::{self, FAILURE},
};

/// How long an answer may take: opening a port is the longest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which switch, and how it is told.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Which {
    /// The name of the switch, or the path of its control socket [default: the only one that
    /// runs, or `uswitch`]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Tell it as JSON
    #[arg(short, long)]
    pub(crate) json: bool,
}

impl Which {
    /// The same, with what stood in front of the command.
    pub(crate) fn with(self, name: Option<String>, json: bool) -> Which {
        Which { name: self.name.or(name), json: self.json || json }
    }
}

/// `uswitch port ...`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// List the kinds of port, each with an example
    Kinds {
        /// Tell it as JSON, one object a line, with all options
        #[arg(short, long)]
        json: bool,
    },
    /// Show the ports of a switch that runs
    Show {
        /// A port alone, or the clients of one
        #[arg(value_name = "PORT")]
        port: Option<String>,
        /// With counters
        #[arg(short, long)]
        statistics: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Add a port to a switch that runs, as `--port` does at its start
    Add {
        /// As behind `--port`: `tap0,mtu=9000,netns=h1`; paths are those of the switch
        #[arg(value_name = "SPEC")]
        spec: String,
        #[command(flatten)]
        which: Which,
    },
    /// Set options of a port that stays in a switch that runs, and loses no frame by it
    Set {
        /// Its name
        #[arg(value_name = "PORT")]
        port: String,
        /// As in `port add`: `quota=100`; `quota=default` as if it had not been said. Only the
        /// quota can be set; whatever else it is to have, it is deleted and added anew
        #[arg(value_name = "OPTION=VALUE", required = true)]
        options: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Take a port out of a switch that runs; what was made for it goes
    Del {
        /// Its name
        #[arg(value_name = "PORT")]
        port: String,
        #[command(flatten)]
        which: Which,
    },
}

/// `uswitch fdb ...`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum FdbCommand {
    /// Show the known addresses: all, or those behind a port
    Show {
        /// `port NAME`
        #[arg(value_name = "port NAME", num_args = 0..=2)]
        filter: Vec<String>,
        /// With the seconds since each was heard
        #[arg(short, long)]
        statistics: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Tell behind which port an address is
    Get {
        /// The address: `02:00:00:00:00:01`
        #[arg(value_name = "MAC")]
        mac: String,
        #[command(flatten)]
        which: Which,
    },
    /// Say that an address is behind a port: it does not age, and no frame moves it
    ///
    /// It holds until it is deleted; a port that goes away and comes back has it again. It is
    /// forgotten when the port is deleted.
    Add {
        /// The address: `02:00:00:00:00:01`
        #[arg(value_name = "MAC")]
        mac: String,
        /// `dev NAME`; `master`, `static` and `sticky` may follow, as bridge(8) has them
        #[arg(value_name = "dev NAME", num_args = 0..=5)]
        words: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Forget an address, learned or static
    Del {
        /// The address
        #[arg(value_name = "MAC")]
        mac: String,
        /// `dev NAME`: only if it is behind that port
        #[arg(value_name = "dev NAME", num_args = 0..=5)]
        words: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Forget the learned addresses: all, or those behind a port
    Flush {
        /// `port NAME`
        #[arg(value_name = "port NAME", num_args = 0..=2)]
        filter: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
}

/// `uswitch explain ...`
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The port where the frame comes in
    #[arg(short, long, value_name = "PORT")]
    from: String,
    /// The frame: hexadecimal; FILE#NUMBER for a packet of a capture; `-` for standard input; or
    /// words: `MAC > MAC|broadcast`, `vlan N`, `arp who-has IP tell IP`, `ip IP > IP icmp
    /// echo|udp PORT|tcp PORT`, `type HEX`, `length OCTETS`
    #[arg(value_name = "FRAME", required = true)]
    frame: Vec<String>,
    /// The frame as a host with offloads leaves it: to be cut into segments with so many octets of
    /// payload each, such as 1448
    #[arg(long, value_name = "OCTETS")]
    gso: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// What is asked of a switch that runs.
#[derive(Clone, Debug)]
pub(crate) struct Steer {
    which: Which,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    PortShow { port: Option<String>, statistics: bool },
    PortAdd { spec: String },
    PortDel { port: String },
    PortSet { port: String, options: Vec<String> },
    Reload,
    Router(routing::Ask),
    Config,
    FdbShow { port: Option<String>, statistics: bool },
    FdbGet { mac: Mac },
    FdbAdd { mac: Mac, port: String },
    FdbDel { mac: Mac, port: Option<String> },
    FdbFlush { port: Option<String> },
    Explain { from: String, frame: Given, gso: Option<u16> },
    Stats,
    Drops,
    Monitor { what: Topic },
}

impl Steer {
    /// `uswitch port ...`
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    ///
    /// # Panics
    ///
    /// If it is about the kinds: those are no matter of a switch that runs.
    pub(crate) fn port(command: PortCommand) -> Result<Steer, Faults> {
        let (which, what) = match command {
            PortCommand::Kinds { .. } => unreachable!("the kinds are listed without a switch"),
            PortCommand::Show { port, statistics, which } => {
                (which, What::PortShow { port, statistics })
            }
            PortCommand::Add { spec, which } => {
                // The switch reads it again: it knows what else there is.
                let mut faults = Faults::default();
                faults.note(&format!("`{}`", spec.escape_debug()), spec.parse::<PortSpec>());
                faults.or(Some((which, What::PortAdd { spec })))?
            }
            PortCommand::Del { port, which } => (which, What::PortDel { port }),
            PortCommand::Set { port, options, which } => {
                check_options(&options)?;
                (which, What::PortSet { port, options })
            }
        };
        Ok(Steer { which, what })
    }

    /// `uswitch fdb ...`
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn fdb(command: FdbCommand) -> Result<Steer, Faults> {
        let (which, what) = match command {
            FdbCommand::Show { filter, statistics, which } => {
                (which, What::FdbShow { port: port_of(&filter)?, statistics })
            }
            FdbCommand::Get { mac, which } => (which, What::FdbGet { mac: mac_of(&mac)? }),
            FdbCommand::Add { mac, words, which } => {
                let mut faults = Faults::default();
                let station = StaticEntry::read_station(&mac).map_err(Faults::from);
                let station = station.map_err(|why| faults.append(why)).ok();
                let port = port_of(without_flags(&words)).and_then(|port| {
                    port.ok_or_else(|| "`dev NAME` is missing, the port that it is behind".into())
                });
                let port = port.map_err(|why| faults.append(why)).ok();
                let (mac, port) = faults.or(station.zip(port))?;
                (which, What::FdbAdd { mac, port })
            }
            FdbCommand::Del { mac, words, which } => {
                let (mac, port) = (mac_of(&mac)?, port_of(without_flags(&words))?);
                (which, What::FdbDel { mac, port })
            }
            FdbCommand::Flush { filter, which } => {
                (which, What::FdbFlush { port: port_of(&filter)? })
            }
        };
        Ok(Steer { which, what })
    }

    /// `uswitch reload`
    pub(crate) fn reload(which: Which) -> Steer {
        Steer { which, what: What::Reload }
    }

    /// `uswitch config` of a switch that runs
    pub(crate) fn config(which: Which) -> Steer {
        Steer { which, what: What::Config }
    }

    /// `uswitch stats`
    pub(crate) fn stats(which: Which) -> Steer {
        Steer { which, what: What::Stats }
    }

    /// `uswitch drops`
    pub(crate) fn drops(which: Which) -> Steer {
        Steer { which, what: What::Drops }
    }

    /// `uswitch explain`
    ///
    /// # Errors
    ///
    /// What is wrong with the frame.
    pub(crate) fn explain(args: ExplainArgs) -> Result<Steer, Faults> {
        let ExplainArgs { from, frame, gso, which } = args;
        let mut faults = Faults::default();
        let frame = Given::parse(&frame).map_err(|found| faults.append(found)).ok();
        let gso = gso.as_deref().map(segment_size).transpose();
        let gso = faults.note("--gso", gso.map_err(Faults::from)).flatten();
        let told = frame.map(|frame| What::Explain { from, frame, gso });
        faults.or(told).map(|what| Steer { which, what })
    }

    /// `uswitch monitor`
    pub(crate) fn monitor(what: Topic, which: Which) -> Steer {
        Steer { which, what: What::Monitor { what } }
    }

    /// The same, with what stood in front of the command.
    pub(crate) fn with(self, name: Option<String>, json: bool) -> Steer {
        Steer { which: self.which.with(name, json), ..self }
    }
}

/// Octets of payload in a segment.
fn segment_size(text: &str) -> Result<u16, String> {
    let size = text.parse().ok().filter(|size| *size > 0);
    size.ok_or_else(|| format!("`{text}` is not a number from 1 to {}", u16::MAX))
}

/// What can be known of options without the port: the switch reads them again.
fn check_options(options: &[String]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let mut common = Vec::new();
    for option in options {
        match option.split_once('=') {
            None => faults.push(format!(
                "`{}` is not OPTION=VALUE, as in `quota=100`",
                option.escape_debug()
            )),
            Some((name, value)) if COMMON.iter().any(|known| known.name == name) => {
                common.push((name.to_owned(), value.to_owned()));
            }
            Some(_) => {}
        }
    }
    common.retain(|(_, value)| value != "default");
    // Every kind has them.
    let read = PortSpec::read(&KINDS[0], vec!["port".to_owned()], &common);
    let read = read.map_err(|found| faults.append(found));
    faults.or(read.ok().map(|_| ()))
}

/// The address that was typed.
fn mac_of(text: &str) -> Result<Mac, Faults> {
    let no_address = |error| format!("`{}` is no address: {error}", text.escape_debug());
    text.parse().map_err(|error| Faults::from(no_address(error)))
}

/// The words before those that bridge(8) wants for what is meant here anyway.
fn without_flags(words: &[String]) -> &[String] {
    let is_flag = |word: &&String| matches!(word.as_str(), "master" | "static" | "sticky");
    let flags = words.iter().skip(2).rev().take_while(is_flag).count();
    &words[..words.len() - flags]
}

/// The port in `port NAME`; `dev NAME` and `brport NAME` are what bridge(8) says.
fn port_of(filter: &[String]) -> Result<Option<String>, Faults> {
    match filter {
        [] => Ok(None),
        [word, name] if matches!(word.as_str(), "port" | "dev" | "brport") => {
            Ok(Some(name.clone()))
        }
        words => {
            let words = words.join(" ");
            let words = words.escape_debug();
            Err(Faults::from(format!("`{words}` is not `port NAME`, as in `port tap0`")))
        }
    }
}

/// Does it.
pub(crate) fn run(steer: &Steer) -> ExitCode {
    let done = Line::open(steer.which.name.as_deref(), PATIENCE).and_then(|mut line| {
        let json = steer.which.json;
        match &steer.what {
            What::Monitor { what } => line.monitor(*what, json),
            What::Reload => line.reload(json),
            what => Ok(output::print(&line.text(what, json)?)),
        }
    });
    done.unwrap_or_else(|sentences| {
        sentences.lines().for_each(output::complain);
        ExitCode::from(FAILURE)
    })
}

/// What the switch of this name runs, as a file, and its workers.
///
/// # Errors
///
/// A sentence, or several, one a line.
pub(crate) fn running(name: Option<&str>) -> Result<ConfigPage, String> {
    Line::open(name, PATIENCE)?.config()
}

impl Line {
    /// Asks, and prints what comes of it.
    fn text(&mut self, what: &What, json: bool) -> Result<String, String> {
        match what {
            What::PortShow { port, statistics } => {
                let rows = self.ports(port.as_deref(), false)?;
                Ok(show::ports(&rows, *statistics, json))
            }
            What::PortAdd { spec } => {
                let Told { told } = self.ask(&Request::PortAdd { spec: spec.clone() })?;
                Ok(show::told(&told, json))
            }
            What::PortDel { port } => {
                let page: PortPage = self.ask(&Request::PortDel { port: port.clone() })?;
                Ok(if json { show::ports(&page.ports, true, true) } else { String::new() })
            }
            What::PortSet { port, options } => {
                let (port, set) = (port.clone(), options.clone());
                let Told { told } = self.ask(&Request::PortSet { port, set })?;
                Ok(show::told(&told, json))
            }
            What::Router(ask) => self.router(ask, json),
            What::Config => Ok(show::config(&self.config()?.toml, json)),
            What::FdbShow { port, statistics } => {
                let rows = self.fdb(port.as_deref())?;
                Ok(show::fdb(rows, *statistics, json))
            }
            What::FdbGet { mac } => {
                let page: FdbPage = self.ask(&Request::FdbGet { mac: mac.to_string() })?;
                Ok(show::fdb(page.entries, true, json))
            }
            What::FdbAdd { mac, port } => {
                let (mac, port) = (mac.to_string(), port.clone());
                let page: FdbPage = self.ask(&Request::FdbAdd { mac, port })?;
                Ok(if json { show::fdb(page.entries, true, true) } else { String::new() })
            }
            What::FdbDel { mac, port } => {
                let (mac, port) = (mac.to_string(), port.clone());
                let page: FdbPage = self.ask(&Request::FdbDel { mac, port })?;
                Ok(if json { show::fdb(page.entries, true, true) } else { String::new() })
            }
            What::FdbFlush { port } => {
                let flushed: Flushed = self.ask(&Request::FdbFlush { port: port.clone() })?;
                Ok(show::flushed(&flushed, json))
            }
            What::Explain { from, frame, gso } => {
                let octets = frame.octets()?;
                let frame = octets.iter().map(|octet| format!("{octet:02x}")).collect();
                let from = from.clone();
                let told: Explained = self.ask(&Request::Explain { from, frame, gso: *gso })?;
                Ok(show::explained(&told, json))
            }
            What::Stats => Ok(self.status()?.render(json)),
            What::Drops => Ok(show::drops(&self.status()?, json)),
            What::Monitor { .. } | What::Reload => Ok(String::new()),
        }
    }

    /// Prints events until the switch ends, or nobody reads them any more.
    fn monitor(&mut self, what: Topic, json: bool) -> Result<ExitCode, String> {
        let _: serde_json::Value = self.ask(&Request::Monitor { what })?;
        let patience = self.reader.get_mut().set_read_timeout(None);
        patience.map_err(|error| netlab::reason(&error))?;
        while let Some(line) = self.next()? {
            let text = if json {
                line
            } else {
                let event: Event = serde_json::from_str(&line)
                    .map_err(|error| format!("an event is not what was expected: {error}"))?;
                show::event(&event)
            };
            if let Err(code) = output::print_more(&text) {
                return Ok(ExitCode::from(code));
            }
        }
        Err("the switch has ended, or has cut this off".to_owned())
    }
}
