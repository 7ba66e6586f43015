//! What the demo found out, for people (a picture, tables) and for programs (JSON).

use std::time::Duration;

use serde_json::json;
use uswitch::stats::Counter;

use super::{
    super::{
        output::plural,
        report::{Status, columns, count},
    },
    lab::{self, FROM, HOSTS, Host, SMALL_FRAME_OCTETS, STREAMS, TO},
    paint::Paint,
    rights,
};

/// Columns of a host's box in the picture, without its walls.
const BOX_COLUMNS: usize = 14;

/// Columns between two boxes.
const GAP_COLUMNS: usize = 4;

/// Columns of the names of what was measured.
const NAME_COLUMNS: usize = 20;

/// What became of one ping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_v6: bool,
    /// `None`: there was no answer.
    pub(super) round_trip: Option<Duration>,
}

/// How long datagrams took there and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    pub(super) count: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Everything, as far as it went.
pub(super) struct Results {
    /// Whether the demo runs without root.
    user_namespace: bool,
    pub(super) workers: usize,
    /// Of one measurement.
    duration: Duration,
    pub(super) answers: Vec<Answer>,
    /// Bits a second.
    pub(super) tcp_one: Option<f64>,
    pub(super) tcp_four: Option<f64>,
    /// Frames a second.
    pub(super) small_frames: Option<f64>,
    pub(super) round_trip: Option<RoundTrip>,
    /// The switch's own account.
    pub(super) status: Option<Status>,
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
}

impl Results {
    /// Nothing found out yet.
    pub(super) fn new(user_namespace: bool, workers: usize, duration: Duration) -> Results {
        Results {
            user_namespace,
            workers,
            duration,
            answers: Vec::new(),
            tcp_one: None,
            tcp_four: None,
            small_frames: None,
            round_trip: None,
            status: None,
            elapsed: Duration::ZERO,
            interrupted: false,
        }
    }

    /// Whether each ping was sent and answered.
    pub(super) fn all_reached(&self) -> bool {
        self.answers.len() == pings()
            && self.answers.iter().all(|answer| answer.round_trip.is_some())
    }

    /// Whether everything was done, to the last measurement.
    pub(super) fn is_whole(&self) -> bool {
        self.all_reached() && self.round_trip.is_some() && !self.interrupted
    }

    pub(super) fn reached(&self) -> String {
        let reached = self.answers.iter().filter(|answer| answer.round_trip.is_some()).count();
        format!("{reached} of {} pings", pings())
    }

    /// The hosts, and the switch between them.
    pub(super) fn picture(&self, paint: Paint) -> String {
        let line = |draw: &dyn Fn(&Host) -> String| {
            let boxes: Vec<_> = HOSTS.iter().map(draw).collect();
            format!("  {}\n", boxes.join(&" ".repeat(GAP_COLUMNS))).trim_end().to_owned() + "\n"
        };
        let wall = "─".repeat(BOX_COLUMNS);
        let row = |text: String, look: &dyn Fn(&str) -> String| {
            format!("│{}│", look(&format!("{text:^BOX_COLUMNS$}")))
        };
        let half = BOX_COLUMNS / 2;
        let foot = "─".repeat(BOX_COLUMNS - half - 1);
        let mut text = format!("\n{}", line(&|_| format!("╭{wall}╮")));
        text += &line(&|host| row(host.name.to_owned(), &|t| paint.bold(t)));
        text += &line(&|host| row(host.v4.to_string(), &|t| paint.cyan(t)));
        text += &line(&|host| row(host.v6.to_string(), &|t| paint.cyan(t)));
        text += &line(&|_| format!("╰{}┬{foot}╯", "─".repeat(half)));
        // Filled up before it is painted: paint has letters that take no column.
        let right = BOX_COLUMNS - half - 1;
        text += &line(&|host| {
            let port = paint.dim(&format!("{:<right$}", host.port));
            format!("{:>1$} {port}", "│", half + 2)
        });
        let inner = HOSTS.len() * (BOX_COLUMNS + 2) + (HOSTS.len() - 1) * GAP_COLUMNS - 2;
        let mut lid = vec!['─'; inner];
        for number in 0..HOSTS.len() {
            lid[number * (BOX_COLUMNS + 2 + GAP_COLUMNS) + half] = '┴';
        }
        let lid: String = lid.into_iter().collect();
        let label = format!("uswitch · {}", plural(self.workers, "worker"));
        let ground = if self.user_namespace {
            "without root, in a user namespace of its own"
        } else {
            "three network namespaces, one switch in user space"
        };
        text += &format!("  ╭{lid}╮\n");
        text += &format!("  │{}│\n", paint.bold(&format!("{label:^inner$}")));
        text += &format!("  │{}│\n", paint.dim(&format!("{ground:^inner$}")));
        text + &format!("  ╰{}╯\n\n", "─".repeat(inner))
    }

    /// All that is known, a table for each kind.
    pub(super) fn tables(&self, paint: Paint) -> String {
        let mut text = String::new();
        if !self.answers.is_empty() {
            text += &self.reachability(paint);
        }
        if self.tcp_one.is_some() {
            text += &self.speeds(paint);
        }
        if let Some(status) = &self.status {
            text += &stations(status, paint);
            text += &ports(status, paint);
        }
        text
    }

    /// Who is left with what to do.
    pub(super) fn farewell(&self, paint: Paint) -> String {
        let program = rights::program();
        let sudo = if rights::is_root() && !self.user_namespace { "" } else { "sudo " };
        let commands = [
            (format!("{sudo}{program} --ports tap0,tap1,tap2"), "a switch of your own"),
            (format!("{program} --help"), "everything else"),
        ];
        let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
        let mut text = format!(
            "Done in {:.1} s. The hosts are gone again, nothing is left behind. Next:\n",
            self.elapsed.as_secs_f64()
        );
        for (command, effect) in commands {
            let pad = width - command.len();
            text += &format!("  {}{:pad$}   {}\n", paint.bold(&command), "", paint.dim(effect));
        }
        text
    }

    fn reachability(&self, paint: Paint) -> String {
        let versions = if lab::has_ipv6() { "" } else { "; this kernel has no IPv6" };
        let about = format!("{} came back{versions}", self.reached());
        let mut text = heading(paint, "Reachability", &about);
        text += &format!("  {:12}", "");
        for host in &HOSTS {
            text += &paint.dim(&format!("{:<13}", format!("to {}", host.name)));
        }
        text = text.trim_end().to_owned() + "\n";
        for (from, host) in HOSTS.iter().enumerate() {
            let mut line = paint.dim(&format!("  {:<12}", format!("from {}", host.name)));
            for to in 0..HOSTS.len() {
                if from == to {
                    line += &paint.dim(&format!("{:<13}", "·"));
                    continue;
                }
                let (v4, v6) =
                    (self.mark(from, to, false, paint), self.mark(from, to, true, paint));
                line += &format!("{v4}  {v6}   ");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text + "\n"
    }

    /// Four columns: whether the one host reaches the other.
    fn mark(&self, from: usize, to: usize, is_v6: bool, paint: Paint) -> String {
        let version = if is_v6 { "v6" } else { "v4" };
        let asked = |answer: &&Answer| (answer.from, answer.to, answer.is_v6) == (from, to, is_v6);
        match self.answers.iter().find(asked).map(|answer| answer.round_trip) {
            Some(Some(_)) => format!("{} {version}", paint.green("✓")),
            Some(None) => paint.red(&format!("✗ {version}")),
            None if is_v6 && !lab::has_ipv6() => "    ".to_owned(),
            None => paint.dim(&format!("? {version}")),
        }
    }

    fn speeds(&self, paint: Paint) -> String {
        let title = format!("from {} to {}", HOSTS[FROM].name, HOSTS[TO].name);
        let mut text = heading(paint, "Speed", &title);
        let mut line = |name: &str, figure: Option<String>, about: String| {
            let Some(figure) = figure else { return };
            let (number, unit) = figure.split_once(' ').unwrap_or((&figure, ""));
            // Below each other by their points.
            let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
            let number = paint.bold(&format!("{whole:>5}.{rest:<2}"));
            let line = format!("  {name:<NAME_COLUMNS$}{number} {unit:<8}{}", paint.dim(&about));
            text += line.trim_end();
            text.push('\n');
        };
        line("TCP, one stream", self.tcp_one.map(gigabits), String::new());
        line("TCP, four streams", self.tcp_four.map(gigabits), String::new());
        let about = format!("of {SMALL_FRAME_OCTETS} octets, counted where they arrive");
        line("small frames", self.small_frames.map(megaframes), about);
        let p99 = self.round_trip.map(|trip| micros(trip.p99)).unwrap_or_default();
        let about = format!("median; 99 of 100 within {p99}");
        line("round trip", self.round_trip.map(|trip| micros(trip.p50)), about);
        text + "\n"
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        let hosts = HOSTS.iter().map(|host| {
            let Host { name, port, mac, v4, v6 } = host;
            json!({ "name": name, "port": port, "mac": mac.to_string(), "ipv4": v4, "ipv6": v6 })
        });
        let pings = self.answers.iter().map(|answer| {
            json!({
                "from": HOSTS[answer.from].name,
                "to": HOSTS[answer.to].name,
                "family": if answer.is_v6 { "ipv6" } else { "ipv4" },
                "reached": answer.round_trip.is_some(),
                "round_trip_us": answer.round_trip.map(in_micros),
            })
        });
        let tcp = [(1, self.tcp_one), (STREAMS, self.tcp_four)].into_iter().filter_map(
            |(streams, bits)| Some(json!({ "streams": streams, "gbit_per_s": bits? / 1e9 })),
        );
        let round_trip = self.round_trip.map(|RoundTrip { count, p50, p99 }| {
            json!({ "count": count, "p50_us": in_micros(p50), "p99_us": in_micros(p99) })
        });
        let small_frames = self
            .small_frames
            .map(|frames| json!({ "octets": SMALL_FRAME_OCTETS, "mframes_per_s": frames / 1e6 }));
        let whole = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "interrupted": self.interrupted,
            "user_namespace": self.user_namespace,
            "seconds": self.duration.as_secs_f64(),
            "elapsed_s": self.elapsed.as_secs_f64(),
            "hosts": hosts.collect::<Vec<_>>(),
            "pings": pings.collect::<Vec<_>>(),
            "tcp": tcp.collect::<Vec<_>>(),
            "small_frames": small_frames,
            "round_trip": round_trip,
            "switch": self.status.as_ref().map(|status| json!(status.facts())),
        });
        format!("{whole}\n")
    }
}

/// The forwarding database as it was learned.
fn stations(status: &Status, paint: Paint) -> String {
    let addresses = status.addresses.as_deref().unwrap_or_default();
    let about = format!("{} learned", addresses.len());
    let mut rows = vec![["address", "port", "host", "silent for"].map(str::to_owned)];
    rows.extend(addresses.iter().map(|address| {
        let host = HOSTS.iter().find(|host| host.mac == address.mac).map_or("?", |host| host.name);
        let silent = format!("{:.1} s", address.age.as_secs_f64());
        [address.mac.to_string(), address.port.clone(), host.to_owned(), silent]
    }));
    heading(paint, "Forwarding database", &about) + &table(&columns(&rows, 3), paint)
}

/// What went through the ports.
fn ports(status: &Status, paint: Paint) -> String {
    let head = ["port", "frames in", "octets in", "frames out", "octets out", "dropped"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(status.report.ports.iter().map(|port| {
        let get = |counter| count(port.stats.get(counter));
        let dropped = count(port.stats.rx_drops() + port.stats.tx_drops());
        [
            port.name.clone(),
            get(Counter::RxFrames),
            get(Counter::RxOctets),
            get(Counter::TxFrames),
            get(Counter::TxOctets),
            dropped,
        ]
    }));
    heading(paint, "Ports", "as the switch counted") + &table(&columns(&rows, 1), paint)
}

fn heading(paint: Paint, title: &str, about: &str) -> String {
    format!("{}  {}\n", paint.bold(title), paint.dim(about))
}

/// Lines of columns, indented, the head of them dim, and an empty line behind.
fn table(text: &str, paint: Paint) -> String {
    let lines = text.lines().enumerate().map(|(index, line)| match index {
        0 => format!("  {}\n", paint.dim(line)),
        _ => format!("  {line}\n"),
    });
    lines.collect::<String>() + "\n"
}

/// How many there are to be.
fn pings() -> usize {
    HOSTS.iter().map(|host| host.addresses().len() * (HOSTS.len() - 1)).sum()
}

pub(super) fn gigabits(bits_per_second: f64) -> String {
    format!("{:.2} Gbit/s", bits_per_second / 1e9)
}

pub(super) fn megaframes(frames_per_second: f64) -> String {
    format!("{:.2} Mpps", frames_per_second / 1e6)
}

pub(super) fn micros(time: Duration) -> String {
    match in_micros(time) {
        micros if micros < 1000.0 => format!("{micros:.1} µs"),
        micros => format!("{:.1} ms", micros / 1e3),
    }
}

fn in_micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::new(true, 2, Duration::from_secs(1));
        for (from, to, is_v6) in [(0, 1, false), (0, 1, true), (0, 2, false)] {
            let round_trip = (to == 1).then_some(Duration::from_micros(100));
            results.answers.push(Answer { from, to, is_v6, round_trip });
        }
        results
    }

    #[test]
    fn the_picture_is_straight() {
        let picture = results().picture(Paint::plain());
        let expected = "
  ╭──────────────╮    ╭──────────────╮    ╭──────────────╮
  │    alice     │    │     bob      │    │    carol     │
  │   10.0.0.1   │    │   10.0.0.2   │    │   10.0.0.3   │
  │   fd00::1    │    │   fd00::2    │    │   fd00::3    │
  ╰───────┬──────╯    ╰───────┬──────╯    ╰───────┬──────╯
          │ tap0              │ tap1              │ tap2
  ╭───────┴───────────────────┴───────────────────┴──────╮
  │                 uswitch · 2 workers                  │
  │     without root, in a user namespace of its own     │
  ╰──────────────────────────────────────────────────────╯

";
        assert_eq!(picture, expected);
    }

    #[test]
    fn answered_unanswered_and_unasked_are_told_apart() {
        let mut results = results();
        assert!(!results.all_reached());
        let expected = "\
Reachability  2 of 12 pings came back
              to alice     to bob       to carol
  from alice  ·            ✓ v4  ✓ v6   ✗ v4  ? v6
  from bob    ? v4  ? v6   ·            ? v4  ? v6
  from carol  ? v4  ? v6   ? v4  ? v6   ·

";
        assert_eq!(results.tables(Paint::plain()), expected);

        results.tcp_one = Some(21.416e9);
        results.small_frames = Some(714_000.0);
        let (p50, p99) = (Duration::from_nanos(31_440), Duration::from_micros(112));
        results.round_trip = Some(RoundTrip { count: 9, p50, p99 });
        let expected = "\
Speed  from alice to bob
  TCP, one stream        21.42 Gbit/s
  small frames            0.71 Mpps    of 60 octets, counted where they arrive
  round trip             31.4  µs      median; 99 of 100 within 112.0 µs

";
        assert_eq!(results.speeds(Paint::plain()), expected);
    }

    #[test]
    fn paint_changes_no_letter() {
        let (plain, coloured) = (Paint::plain(), Paint::coloured());
        let strip = |mut text: String| {
            while let Some(start) = text.find('\x1b') {
                let end = start + text[start..].find('m').expect("it ends");
                text.replace_range(start..=end, "");
            }
            text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
        };
        let results = results();
        assert_eq!(strip(results.picture(coloured)), strip(results.picture(plain)));
        assert_eq!(strip(results.tables(coloured)), strip(results.tables(plain)));
    }
}
