//! The options of a switch.

use std::path::PathBuf;

use clap::Args;
use uswitch::topology::{Faults, KINDS, Words};

use super::router::RouterArgs;
use crate::program::{
    control::{ControlConfig, NAME_DEFAULT, check_name, find_group},
    kinds, log,
};

/// What the switch is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// What the topology reads.
    pub(crate) words: Words,
    /// The file that it reads besides.
    pub(crate) config: Option<PathBuf>,
    /// JSON in place of tables.
    pub(crate) json: bool,
    /// Nothing but warnings, failures and what was asked for.
    pub(crate) quiet: bool,
    /// More than usual.
    pub(crate) verbose: bool,
    /// JSON in place of sentences.
    pub(crate) log_json: bool,
    /// The descriptor that waits for us to be ready.
    pub(crate) ready_fd: Option<String>,
    /// How it can be steered. `None`: it cannot.
    pub(crate) control: Option<ControlConfig>,
    /// Whether the ports of the start are all that there will be.
    pub(crate) no_opener: bool,
    /// What was wrong with the form of the command line.
    pub(crate) faults: Faults,
}

/// The options of a switch.
#[derive(Debug, Default, PartialEq, Args)]
pub(super) struct SwitchArgs {
    /// Read a file, as `uswitch check` checks it; options here go before those there, and ports
    /// here come besides. `-`: standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Ports")]
    config: Option<PathBuf>,

    /// Ports, as names of TAPs separated by commas: `tap0,tap1,tap2`
    #[arg(long, value_name = "NAMES", help_heading = "Ports")]
    ports: Vec<String>,

    /// One port with options, such as `tap0,mtu=9000,netns=h1`; may be repeated
    #[arg(long, value_name = "SPEC", help_heading = "Ports", long_help = port_help())]
    port: Vec<String>,

    /// MTU of each port that has no `mtu=` of its own, 68 to 65521 [default: as the device has it]
    #[arg(long, value_name = "OCTETS", help_heading = "Ports")]
    mtu: Option<String>,

    /// Leave the devices that were made in place at the end
    #[arg(long, help_heading = "Ports")]
    persist: bool,

    /// Seconds after which a silent station is forgotten, 1 to 1000000 [default: 300]
    #[arg(long, value_name = "SECONDS", help_heading = "Forwarding")]
    ageing: Option<String>,

    /// Addresses that the forwarding database holds, 64 to 16777216 [default: 65536]
    #[arg(long, value_name = "N", help_heading = "Forwarding")]
    fdb_size: Option<String>,

    /// Addresses learned behind one port at the most [default: an eighth of --fdb-size]
    #[arg(long, value_name = "N", help_heading = "Forwarding")]
    fdb_quota: Option<String>,

    /// What to do with frames for 01-80-C2-00-00-00 to -0F: `standard` ends them here as IEEE
    /// 802.1Q wants it, `wire` lets STP, LACP, LLDP and PAUSE pass as a wire would [default:
    /// standard]
    #[arg(long, value_name = "standard|wire", help_heading = "Forwarding")]
    group_forward: Option<String>,

    /// Threads that forward; `auto` is one for each processor, but not more than ports
    /// [default: auto]
    #[arg(long, value_name = "N|auto", help_heading = "Workers")]
    workers: Option<String>,

    /// Processors to which workers are pinned in turn, such as `0,2-3` [default: not pinned]
    #[arg(long, value_name = "LIST", help_heading = "Workers")]
    cpus: Option<String>,

    /// How long a worker goes on asking for frames before it sleeps: `off`, microseconds, or
    /// `always`, which costs a whole processor for each worker [default: off]
    #[arg(long, value_name = "off|MICROSECONDS|always", help_heading = "Workers")]
    busy_poll: Option<String>,

    #[command(flatten)]
    router: RouterArgs,

    /// Print counters as JSON, one object a line, in place of tables
    #[arg(short, long, help_heading = "Output")]
    pub(super) json: bool,

    /// Tell only warnings and failures; no table at the end (JSON is printed all the same)
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,

    /// Tell more: the settings at the start, the learned addresses at the end
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,

    /// How the lines on standard error look: `text`, or `json`, an object each [default: text]
    #[arg(long, value_name = "text|json", help_heading = "Output")]
    log_format: Option<String>,

    /// Write a newline to this descriptor, 3 or above, when frames flow, and close it
    #[arg(long, value_name = "FD", help_heading = "Output")]
    ready_fd: Option<String>,

    /// Keep no process that could open ports later: those of the start are fixed, none that has
    /// gone comes back, and devices that were made stay at the end
    #[arg(long, help_heading = "Control")]
    no_opener: bool,

    /// Let ports that come later be files or sockets below this folder; may be repeated. Without
    /// it: in the folders of those of the start
    #[arg(long, value_name = "FOLDER", help_heading = "Control")]
    allow_path: Vec<String>,

    #[command(flatten)]
    pub(super) control: ControlArgs,
}

/// How a switch can be steered while it runs.
#[derive(Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Control")]
pub(super) struct ControlArgs {
    /// Name of the switch; in front of a command, the name of the switch that it is for [default:
    /// uswitch]
    #[arg(short, long, value_name = "NAME")]
    pub(super) name: Option<String>,

    /// Who beside root and the user of the switch may steer it: with all rights that it has
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Make no control socket: what runs cannot be asked or changed
    #[arg(long)]
    no_control: bool,

    /// Let Prometheus read the counters at an address of this machine, such as 127.0.0.1:9119, or
    /// at a unix socket, `unix:PATH`
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,
}

impl ControlArgs {
    /// What they mean for a switch that is started.
    fn settle(self, faults: &mut Faults) -> Option<ControlConfig> {
        let name = check_name(self.name.as_deref().unwrap_or(NAME_DEFAULT));
        let name = faults.note("--name", name.map_err(Faults::from));
        let group = self.socket_group.as_deref().map(find_group).transpose();
        let group = faults.note("--socket-group", group.map_err(Faults::from)).flatten();
        name.filter(|_| !self.no_control).map(|name| ControlConfig { name, group })
    }
}

impl SwitchArgs {
    /// Whether nothing is said of what the switch is to be, only which one is meant, and how it is
    /// told.
    pub(super) fn is_bare(&self) -> bool {
        let name = self.control.name.clone();
        let control = ControlArgs { name, ..ControlArgs::default() };
        *self == SwitchArgs { json: self.json, control, ..SwitchArgs::default() }
    }

    /// Whether it has a port, or a TUN.
    pub(super) fn has_ports(&self) -> bool {
        !(self.ports.is_empty() && self.port.is_empty() && self.router.tun.is_empty())
    }

    /// The same, as far as it can be read alone; the rest the topology reads.
    pub(super) fn options(self, mut faults: Faults) -> Box<Options> {
        let metrics = self.control.metrics.clone();
        let log_json = log::is_json(self.log_format.as_deref());
        let log_json = faults.note("--log-format", log_json).unwrap_or_default();
        let control = self.control.settle(&mut faults);
        let words = Words {
            ports: self.ports,
            port: self.port,
            mtu: self.mtu,
            persist: self.persist,
            workers: self.workers,
            cpus: self.cpus,
            busy_poll: self.busy_poll,
            ageing: self.ageing,
            fdb_size: self.fdb_size,
            fdb_quota: self.fdb_quota,
            group_forward: self.group_forward,
            metrics,
            allow_path: self.allow_path,
            ..self.router.words()
        };
        let (config, ready_fd) = (self.config, self.ready_fd);
        let SwitchArgs { json, quiet, verbose, no_opener, .. } = self;
        Box::new(Options {
            words,
            config,
            control,
            json,
            quiet,
            verbose,
            log_json,
            ready_fd,
            no_opener,
            faults,
        })
    }
}

/// The help of `--port`.
fn port_help() -> String {
    format!(
        "One port with options, such as `tap0,mtu=9000,netns=h1`; may be repeated. Its form is \
         [KIND:]WORD[,WORD]...[,OPTION=VALUE]..., and a comma inside a value is written twice. \
         KIND is {} if left out:\n\n{}",
        KINDS[0].name,
        kinds::options()
    )
}
