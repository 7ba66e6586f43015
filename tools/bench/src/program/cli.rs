//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use uswitch_bench::{
    device::{self, Kind},
    plan::{FLOWS_MAX, RFC_SIZES, ROUTES_MAX, Size, Version},
    throughput::Terms,
};

use super::{rfc2889, tcp};

/// Tests how fast a switch is, how late and how faithful, after RFC 2544 and its kin.
///
/// It makes network namespaces of its own, puts the device under test between them, and sends
/// frames there and nowhere else. Each frame bears a number, a time and a check, so that loss,
/// order, duplicates, damage and latency are exact. It needs root.
#[derive(Debug, Parser)]
#[command(name = "uswitch-bench", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the devices that can be measured
    Devices,
    /// One trial: so many frames at one rate, and what became of them
    Trial(Trial),
    /// The fastest rate without loss, or with next to none (RFC 2544 section 26.1)
    Throughput(Measure),
    /// That, latency, the curve of loss, bursts and recovery (RFC 2544 section 26), for all sizes
    Rfc2544(Measure),
    /// What a switch learns, lets pass, floods and holds apart, and meshes and stars (RFC 2889)
    Rfc2889(rfc2889::Options),
    /// TCP in bulk, and questions and answers one after the other, with ratios by the first device
    Tcp(tcp::Options),
    /// Throughputs of all switches that are installed, side by side, and their ratios
    Compare(Measure),
    /// Whether a change of the switch's source makes it faster or slower
    Ab(super::ab::Ab),
    /// How throughput and memory grow with ports, addresses, workers and more; overload
    Scale(super::scale::Scale),
    /// Half of what a device can bear, for long: no loss, and no growth of its memory
    Soak(super::soak::Soak),
    /// The pictures of the README, measured and drawn anew in less than five minutes
    Pictures(super::pictures::Pictures),
    /// Makes a page with plots of results that were written before
    Report(Page),
}

#[derive(Debug, Args)]
pub(crate) struct Trial {
    /// What is measured: see `uswitch-bench devices`
    #[arg(short, long, value_name = "DEVICE")]
    pub(crate) device: Kind,
    /// Octets of a frame, without frame check sequence: RFC 2544's 64 is 60 here; or `imix`
    #[arg(short, long, default_value = "60")]
    pub(crate) size: Size,
    /// Frames a second
    #[arg(short, long, default_value = "10000", allow_negative_numbers = true, value_parser = rate)]
    pub(crate) rate: f64,
    /// How many frames
    #[arg(short, long, default_value_t = 10_000, value_parser = frames)]
    pub(crate) frames: u64,
    #[command(flatten)]
    pub(crate) streams: Streams,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Measure {
    /// What is measured, round by round in turn: see `uswitch-bench devices` [default: uswitch; of
    /// compare: all that are installed]. Ratios are by the first
    #[arg(short, long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub(crate) device: Vec<Kind>,
    /// Octets of a frame, without frame check sequence; `rfc` for the sizes of RFC 2544, which are
    /// 60, 124, 252, 508, 1020, 1276 and 1514 here; `imix` for 60, 590 and 1514, mixed 7 to 4 to 1
    /// [default: 60; of rfc2544: rfc]
    #[arg(short, long, value_name = "OCTETS|rfc|imix,...", value_parser = sizes)]
    pub(crate) size: Option<Sizes>,
    #[command(flatten)]
    pub(crate) streams: Streams,
    #[command(flatten)]
    pub(crate) search: Search,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Sizes of frames.
#[derive(Clone, Debug)]
pub(crate) struct Sizes(pub(crate) Vec<Size>);

#[derive(Clone, Debug, Args)]
pub(crate) struct Streams {
    /// In how many pairs of addresses frames come
    #[arg(long, default_value_t = 1, value_parser = flows)]
    pub(crate) flows: usize,
    /// The VLAN whose tag frames bear
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub(crate) vlan: Option<u16>,
    /// Frames go both ways, half of them each
    #[arg(short, long)]
    pub(crate) bidirectional: bool,
    /// How many ports the device has
    #[arg(long, default_value_t = 2, value_parser = ports)]
    pub(crate) ports: usize,
    /// Frames are trains of segments of TCP (GSO), which pass links with an MTU of 1500
    #[arg(long, conflicts_with = "vlan")]
    pub(crate) train: bool,
    /// Which packets routers are sent
    #[arg(long, value_enum, default_value_t = Ip::V4)]
    pub(crate) ip: Ip,
    /// How many networks a router knows behind each port; packets go to all of them
    #[arg(long, default_value_t = 1, value_parser = routes)]
    pub(crate) routes: usize,
    /// Which ports send to which
    #[arg(long, value_enum, default_value_t = Pattern::Line)]
    pub(crate) pattern: Pattern,
}

/// Which packets routers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ip {
    /// IPv4 (RFC 2544)
    #[value(name = "4")]
    V4,
    /// IPv6 (RFC 5180)
    #[value(name = "6")]
    V6,
}

/// Which ports send to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pattern {
    /// The first to the second
    Line,
    /// Each to all others (RFC 2889 section 5.1)
    Mesh,
    /// The first to all others (RFC 2889 section 5.2)
    OneToMany,
    /// All others to the first (RFC 2889 section 5.2)
    ManyToOne,
    /// The first to everybody: what is lost at one of the ports is lost (RFC 2889 section 5.10)
    Broadcast,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Search {
    /// How often all is measured
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// How long a trial is [default: 2; with --rfc: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) trial: Option<Duration>,
    /// The share of frames that may be lost [default: 0.0001; with --rfc: 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) loss: Option<f64>,
    /// How near a rate is to be found, as a share of it
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = resolution)]
    pub(crate) resolution: f64,
    /// The times of RFC 2544 and no loss at all: this takes hours
    #[arg(long)]
    pub(crate) rfc: bool,
    /// Without a direct veth pair and a bare loop beside, which say what the tester is able to
    #[arg(long)]
    pub(crate) no_calibrate: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Start {
    /// Where `uswitch` is, if not beside this program or in PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) uswitch: Option<PathBuf>,
    /// A word more for its command line, as in --uswitch-arg=--workers=1
    #[arg(long = "uswitch-arg", value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) uswitch_words: Vec<String>,
    /// What device `exec` is: the words of a program, which finds the names of its devices, p0, p1
    /// and so on, behind them
    #[arg(long, value_name = "WORDS")]
    pub(crate) exec: Option<String>,
    /// How long a device may take to let the first frame through
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) patience: Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// JSON, a line for each result
    #[arg(short, long)]
    pub(crate) json: bool,
    /// The same into a file, beside what is printed
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// A page with plots, for a browser; it is written anew with each result
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Page {
    /// What --output or --json wrote
    pub(crate) results: PathBuf,
    /// Where the page goes
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,
}

impl Measure {
    /// The devices that were asked for, or these.
    pub(crate) fn devices_or(&self, default: &[Kind]) -> Vec<Kind> {
        if self.device.is_empty() { default.to_vec() } else { self.device.clone() }
    }

    /// The sizes that were asked for, or these.
    pub(crate) fn sizes_or(&self, default: &str) -> Vec<Size> {
        let sizes = self.size.clone();
        sizes.unwrap_or_else(|| sizes_of(default)).0
    }
}

impl Ip {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        name_of(self)
    }

    /// The same for a plan.
    pub(crate) fn version(self) -> Version {
        match self {
            Ip::V4 => Version::V4,
            Ip::V6 => Version::V6,
        }
    }
}

impl Pattern {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        name_of(self)
    }
}

impl Search {
    pub(crate) fn terms(&self) -> Terms {
        let seconds = |rfc, short| if self.rfc { rfc } else { short };
        let duration = Duration::from_secs(seconds(60, 2));
        Terms {
            duration: self.trial.unwrap_or(duration),
            loss: self.loss.unwrap_or(if self.rfc { 0.0 } else { 1e-4 }),
            resolution: self.resolution,
            quiet: Duration::from_millis(seconds(2000, 50)),
        }
    }
}

impl Start {
    /// What a device is started with that carries frames of this size.
    pub(crate) fn terms(&self, streams: &Streams, size: Size) -> device::Terms {
        let exec = self.exec.iter().flat_map(|words| words.split_whitespace());
        device::Terms {
            // The type and the addresses are no part of it; a tag is forgiven.
            mtu: if streams.train { 1500 } else { (size.most() as u32 - 14).max(1500) },
            uswitch: self.uswitch.clone(),
            uswitch_words: self.uswitch_words.clone(),
            exec: exec.map(str::to_owned).collect(),
            ports: streams.ports,
            routes: streams.routes,
        }
    }
}

fn name_of(value: impl clap::ValueEnum) -> String {
    let value = value.to_possible_value();
    value.expect("none is skipped").get_name().to_owned()
}

fn sizes_of(default: &str) -> Sizes {
    sizes(default).expect("a default makes sense")
}

fn sizes(text: &str) -> Result<Sizes, String> {
    let mut sizes = Vec::new();
    for word in text.split(',') {
        match word {
            "rfc" => sizes.extend(RFC_SIZES.map(Size::Octets)),
            _ => sizes.push(word.parse()?),
        }
    }
    Ok(Sizes(sizes))
}

fn flows(text: &str) -> Result<usize, String> {
    let flows = text.parse().ok().filter(|flows| (1..=FLOWS_MAX).contains(flows));
    flows.ok_or_else(|| format!("there are 1 to {FLOWS_MAX} pairs of addresses"))
}

fn routes(text: &str) -> Result<usize, String> {
    let routes = text.parse().ok().filter(|routes| (1..=ROUTES_MAX).contains(routes));
    routes.ok_or_else(|| format!("there are 1 to {ROUTES_MAX} networks behind a port"))
}

fn frames(text: &str) -> Result<u64, String> {
    let frames = text.parse().ok().filter(|frames| (1..=FRAMES_MAX).contains(frames));
    frames.ok_or_else(|| format!("there are 1 to {FRAMES_MAX} frames"))
}

fn ports(text: &str) -> Result<usize, String> {
    let ports = text.parse().ok().filter(|ports| (2..=PORTS_MAX).contains(ports));
    ports.ok_or_else(|| format!("there are 2 to {PORTS_MAX} ports"))
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| *rate >= 0.1 && *rate <= 1e8);
    rate.ok_or_else(|| "a rate is 0.1 to 100000000 frames a second".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share
        .ok_or_else(|| "a share is 0 or more and less than 1: 0.0001 is one in ten thousand".into())
}

fn resolution(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0001..=0.5).contains(share));
    share.ok_or_else(|| "a resolution is 0.0001 to 0.5: 0.02 is two in a hundred".into())
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=3600.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| "it takes 0.001 to 3600 seconds".to_owned())?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Ports at the most: a mesh of them has 240 streams, each with a histogram of its own.
const PORTS_MAX: usize = 16;

/// Frames of one trial at the most: an hour at a rate that no socket reaches. Each takes a bit.
const FRAMES_MAX: u64 = 1 << 36;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (words, cure) in [
            ("trial", "--device"),
            ("throughput -d nonsense", "there are veth, "),
            ("throughput -d veth -s 59", "60 to 65549"),
            ("throughput -d veth -s 60,,", "60 to 65549"),
            ("throughput -d veth --trial 0", "0.001 to 3600"),
            ("throughput -d veth --loss 1", "less than 1"),
            ("throughput -d veth --rounds 0", "1..=1000"),
            ("throughput -d veth --resolution nan", "0.0001 to 0.5"),
            ("trial -d veth --rate -1", "0.1 to 100000000"),
            ("trial -d veth --flows 1048577", "1 to 1048576"),
            ("trial -d veth --vlan 4095", "4094"),
            ("trial -d veth --ports 17", "2 to 16"),
            ("trial -d veth --pattern ring", "many-to-one"),
            ("tiral", "trial"),
        ] {
            let words = ["uswitch-bench"].into_iter().chain(words.split(' '));
            let error = Cli::try_parse_from(words.clone()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(cure), "{:?}: {error}", words.last());
        }
    }

    #[test]
    fn full_times_and_no_loss_are_one_word() {
        let terms = |words: &str| {
            let words = "uswitch-bench throughput -d veth".split(' ').chain(words.split(' '));
            match Cli::parse_from(words.filter(|word| !word.is_empty())).command {
                Command::Throughput(options) => options.search.terms(),
                other => panic!("{other:?}"),
            }
        };
        let (short, rfc) = (terms(""), terms("--rfc"));
        assert_eq!((short.duration, short.loss), (Duration::from_secs(2), 1e-4));
        assert_eq!((rfc.duration, rfc.loss), (Duration::from_secs(60), 0.0));
        assert_eq!(rfc.quiet, Duration::from_secs(2));
        assert_eq!(terms("--rfc --trial 5").duration, Duration::from_secs(5));
    }
}
