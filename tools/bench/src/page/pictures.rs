//! Pictures that stand alone, as in a README: each an SVG with its title, its legend and a paper
//! of its own, light or dark as its reader likes it.

use serde_json::Value;

use super::{colour, devices, escaped, of_kind, scale::load_plot, sizes, text};
use crate::{
    plot::{Curve, HEIGHT, Plot, WIDTH},
    statistics::Sample,
};

/// The share of the throughput at which latencies are shown, in percent.
const LATENCY_PERCENT: u64 = 50;

/// The quantiles of them.
const QUANTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// Files and what they show, of the lines of `throughput` and of `scale --over load`. Of what was
/// not measured there is none.
pub fn pictures(lines: &[Value]) -> Vec<(&'static str, String)> {
    let drawn = [
        ("throughput.svg", throughput(lines)),
        ("latency.svg", latency(lines)),
        ("load.svg", load(lines)),
    ];
    drawn.into_iter().filter_map(|(name, svg)| Some((name, svg?))).collect()
}

fn throughput(lines: &[Value]) -> Option<String> {
    let found = of_kind(lines, "throughput");
    let sizes = sizes(&found);
    let of = |device: &str| {
        let (mut points, mut spread) = (Vec::new(), Vec::new());
        for (at, size) in sizes.iter().enumerate() {
            let own = |line: &&&Value| line["device"] == device && line["size"] == *size;
            let Some(line) = found.iter().find(own) else { continue };
            let million = |key: &str| line[key].as_f64().map(|number| number / 1e6);
            let Some(median) = million("median") else { continue };
            points.push((at as f64, median));
            spread.push((million("least").unwrap_or(median), million("most").unwrap_or(median)));
        }
        (points, spread)
    };
    let named = named(lines, "throughput", of);
    let plot = Plot {
        y_title: "million frames a second",
        x_title: "octets of a frame",
        x_names: sizes.iter().map(text).collect(),
        y_log: false,
        curves: curves(&named),
    };
    let title = "Throughput: the fastest rate at which next to nothing is lost";
    framed(
        lines,
        title,
        "veth: the tester's own limit; loop: the least that a switch does",
        &named,
        &plot,
    )
}

fn latency(lines: &[Value]) -> Option<String> {
    let found = of_kind(lines, "trial");
    let of = |device: &str| {
        let own = |line: &&&Value| {
            line["device"] == device && line["over"] == "load" && line["value"] == LATENCY_PERCENT
        };
        let of_quantile = |name: &str| {
            let rounds = found.iter().filter(own).filter_map(|line| line["latency"][name].as_f64());
            Some(Sample::new(rounds.collect())?.median() / 1e3)
        };
        let points = QUANTILES.iter().enumerate();
        let points = points.filter_map(|(at, name)| Some((at as f64, of_quantile(name)?)));
        (points.collect(), Vec::new())
    };
    let named = named(lines, "load", of);
    let plot = Plot {
        y_title: "microseconds",
        x_title: "share of the frames that were quicker",
        x_names: QUANTILES.iter().map(|name| (*name).to_owned()).collect(),
        y_log: true,
        curves: curves(&named),
    };
    let title = "Latency at half of the throughput, small frames";
    framed(lines, title, "from when a frame was to be sent to when it was there", &named, &plot)
}

fn load(lines: &[Value]) -> Option<String> {
    let found = of_kind(lines, "load");
    let plot = load_plot(&found);
    let names = found.iter().filter_map(|line| line["device"].as_str());
    let named: Vec<(String, Curve)> =
        names.map(str::to_owned).zip(plot.curves.iter().cloned()).collect();
    let title = "More load than there is room for, small frames";
    framed(lines, title, "up to twice the throughput: what bends down chokes", &named, &plot)
}

type Points = Vec<(f64, f64)>;

/// The curves of the devices of the lines of a kind, of their points and spreads.
fn named(
    lines: &[Value],
    kind: &str,
    of: impl Fn(&str) -> (Points, Points),
) -> Vec<(String, Curve)> {
    let owned: Vec<Value> = of_kind(lines, kind).into_iter().cloned().collect();
    let curve = |device: String| {
        let (points, spread) = of(&device);
        let curve = Curve { colour: colour(&device), points, spread };
        (device, curve)
    };
    devices(&owned).into_iter().map(curve).collect()
}

fn curves(named: &[(String, Curve)]) -> Vec<Curve> {
    named.iter().map(|(_, curve)| curve.clone()).collect()
}

/// A plot with all that it needs to be understood alone. `None`: there is no point.
fn framed(
    lines: &[Value],
    title: &str,
    about: &str,
    named: &[(String, Curve)],
    plot: &Plot<'_>,
) -> Option<String> {
    let inner = plot.svg()?;
    let inner = inner.replacen("<svg ", &format!("<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" "), 1);
    let (legend, top) = legend(named);
    let (bottom, height) = (top + HEIGHT + 14, top + HEIGHT + 30);
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\">\n\
         <title>{0}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"32\" font-size=\"18\" font-weight=\"600\" fill=\"#010203\">{0}</text>\n\
         <text class=\"soft\" x=\"20\" y=\"54\" font-size=\"13\" fill=\"#57606a\">{1}</text>\n\
         {legend}<svg y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\">\n{inner}</svg>\n\
         <text class=\"soft\" x=\"20\" y=\"{bottom}\" font-size=\"11\" \
         fill=\"#57606a\">{2}</text>\n\
         </svg>\n",
        escaped(title),
        escaped(about),
        escaped(&machine(lines)),
    ))
}

/// Names with their colours, in as many rows as they take, and where these end.
fn legend(named: &[(String, Curve)]) -> (String, u32) {
    let (mut x, mut y, mut legend) = (LEGEND_LEFT, LEGEND_TOP, String::new());
    for (name, curve) in named {
        let width = LEGEND_GAP + name.chars().count() as u32 * LETTER;
        if x > LEGEND_LEFT && x + width > WIDTH {
            (x, y) = (LEGEND_LEFT, y + LEGEND_ROW);
        }
        let [red, green, blue] = curve.colour;
        legend.push_str(&format!(
            "<circle cx=\"{x}\" cy=\"{}\" r=\"5\" fill=\"rgb({red},{green},{blue})\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"14\" fill=\"#010203\">{}</text>\n",
            y - 5,
            x + 11,
            escaped(name)
        ));
        x += width;
    }
    (legend, y + LEGEND_ROW)
}

/// Where it was measured.
fn machine(lines: &[Value]) -> String {
    let Some(run) = lines.iter().find(|line| line["kind"] == "run") else { return String::new() };
    let kernel = text(&run["kernel"]);
    // What a distribution puts behind it says nothing of the figures.
    let kernel = kernel.split('-').next().unwrap_or_default();
    let rounds = lines.iter().filter_map(|line| line["rounds"].as_array().map(Vec::len)).max();
    format!(
        "uswitch-bench {}, medians of {} rounds; Linux {kernel}, {} processors ({}): trust ratios",
        text(&run["version"]),
        rounds.unwrap_or(0),
        text(&run["processors"]),
        text(&run["processor"]),
    )
}

/// Attributes give way to a style sheet, which knows light and dark.
const STYLE: &str = "
[fill=\"#010203\"]{fill:#1b1f24}[stroke=\"#010203\"]{stroke:#8b949e}\
[stroke=\"#030201\"]{stroke:#e2e5e9}text{font-family:system-ui,sans-serif}
@media(prefers-color-scheme:dark){.paper{fill:#0f1318}.soft{fill:#9aa4b0}\
[fill=\"#010203\"]{fill:#e6e9ed}[stroke=\"#010203\"]{stroke:#6e7681}\
[stroke=\"#030201\"]{stroke:#2a3038}}
";

/// Where the legend begins, and how far its next row is below.
const LEGEND_LEFT: u32 = 26;
const LEGEND_TOP: u32 = 80;
const LEGEND_ROW: u32 = 22;

/// Beside a name: its dot, and room before the next.
const LEGEND_GAP: u32 = 34;

/// A letter of a name is as wide at the most, in the wide fonts of some readers.
const LETTER: u32 = 9;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines() -> Vec<Value> {
        let mut lines = vec![json!({ "kind": "run", "kernel": "6.18.4-x-1", "processors": 2 })];
        for device in ["uswitch", "bridge<"] {
            for size in [60, 1514] {
                lines.push(json!({ "kind": "throughput", "device": device, "size": size,
                    "rounds": [1, 2, 3], "median": 5e5, "least": 4e5, "most": 6e5 }));
            }
            for (value, p50) in [(50, 1000), (50, 3000), (50, 2000), (100, 900_000)] {
                lines.push(json!({ "kind": "trial", "device": device, "over": "load",
                    "value": value, "latency": { "p50": p50, "max": 9000 } }));
            }
            lines.push(json!({ "kind": "load", "device": device, "size": 60,
                "points": [{ "rate_offered": 1e6, "rate_received": 9e5 }] }));
        }
        lines
    }

    #[test]
    fn there_are_three_each_with_its_names_and_its_machine() {
        let drawn = pictures(&lines());
        let names: Vec<_> = drawn.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["throughput.svg", "latency.svg", "load.svg"]);
        for (name, svg) in &drawn {
            for part in [">uswitch<", ">bridge&lt;<", "Linux 6.18.4, 2", "medians of 3", "rx=\"8\""]
            {
                assert!(svg.contains(part), "{name}: {part}");
            }
            assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count(), "{name}");
            for fetched in ["<script", "href", "@import", "url("] {
                assert!(!svg.contains(fetched), "{name}: {fetched}");
            }
        }
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        assert_eq!(pictures(&[]), []);
        let of = |kind: &str| {
            let lines: Vec<_> = lines().into_iter().filter(|line| line["kind"] == kind).collect();
            pictures(&lines).iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(of("throughput"), ["throughput.svg"]);
        assert_eq!(of("load"), ["load.svg"]);
        assert_eq!(of("trial"), Vec::<&str>::new());
    }
}
