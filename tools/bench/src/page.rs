//! A page for a browser: plots and tables of one run, in one file that needs no other, light or
//! dark as its reader likes it. It is made of the lines that the program writes for machines.

pub mod pictures;
mod scale;

use serde_json::Value;

use crate::{
    device::KINDS,
    plot::{Curve, Plot},
};

/// The page of these lines.
pub fn page(lines: &[Value]) -> String {
    let mut body = head(lines);
    body.push_str(&legend(lines));
    body.push_str(&throughput(lines));
    body.push_str(&ratios(lines));
    body.push_str(&latency(lines));
    body.push_str(&loss(lines));
    body.push_str(&scale::scale(lines));
    body.push_str(&scale::load(lines));
    body.push_str(&scale::soak(lines));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>uswitch-bench</title>\n<style>{STYLE}</style></head>\n\
         <body>\n{body}</body></html>\n"
    )
}

/// What was run where.
fn head(lines: &[Value]) -> String {
    let Some(run) = lines.iter().find(|line| line["kind"] == "run") else {
        return "<h1>uswitch-bench</h1>\n".into();
    };
    let words = run["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let command = words.collect::<Vec<_>>().join(" ");
    let word = |key: &str| match &run[key] {
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    };
    format!(
        "<h1>uswitch-bench</h1>\n<p><code>{}</code></p>\n<p>Linux {}, {} processors ({}), version \
         {}. Absolute figures are this machine's; trust the ratios.</p>\n",
        escaped(&command),
        word("kernel"),
        word("processors"),
        word("processor"),
        word("version"),
    )
}

/// Which device has which colour.
fn legend(lines: &[Value]) -> String {
    let name = |device: &String| {
        let [red, green, blue] = colour(device);
        let style = format!("background:rgb({red},{green},{blue})");
        format!("<span><i style=\"{style}\"></i>{}</span>\n", escaped(device))
    };
    let names: String = devices(lines).iter().map(name).collect();
    format!("<p class=\"legend\">{names}</p>\n")
}

fn throughput(lines: &[Value]) -> String {
    let mut found = of_kind(lines, "throughput");
    // One plot is of one pattern: the first.
    if let Some(pattern) = found.first().map(|line| line["pattern"].clone()) {
        found.retain(|line| line["pattern"] == pattern);
    }
    let sizes = sizes(&found);
    let curves = |factor: &dyn Fn(&Value) -> f64| {
        let curve = |device: &String| {
            let of =
                |size: &Value| found.iter().find(|l| l["device"] == **device && l["size"] == *size);
            let at = sizes.iter().enumerate().filter_map(|(at, size)| Some((at, of(size)?)));
            let value = |line: &Value, key: &str| line[key].as_f64().unwrap_or(0.0) * factor(line);
            let (mut points, mut spread) = (Vec::new(), Vec::new());
            for (at, line) in at {
                points.push((at as f64, value(line, "median")));
                spread.push((value(line, "least"), value(line, "most")));
            }
            Curve { colour: colour(device), points, spread }
        };
        devices(lines).iter().map(curve).collect()
    };
    let (x_title, x_names) = ("octets of a frame", sizes.iter().map(text).collect::<Vec<_>>());
    let plot = |y_title, curves| {
        let plot = Plot { y_title, x_title, x_names: x_names.clone(), y_log: false, curves };
        plot.svg().unwrap_or_default()
    };
    if found.is_empty() {
        return String::new();
    }
    let bits = |line: &Value| octets(&line["size"]) * 8.0 / 1e9;
    let rows = found.iter().map(|line| {
        let grouped = |key: &str| line[key].as_f64().map_or_else(|| "-".into(), grouped);
        let limit = line["tester_limit"] == true;
        let fault = line["fault"].as_str().map(str::to_owned);
        let note = fault.or(limit.then(|| "the tester's limit".to_owned())).unwrap_or_default();
        vec![
            text(&line["device"]),
            text(&line["size"]),
            grouped("median"),
            format!("{} ... {}", grouped("least"), grouped("most")),
            grouped("cpu_per_frame"),
            note,
        ]
    });
    let heads = ["device", "octets", "frames/s", "least ... most", "CPU ns a frame", ""];
    section(
        "Throughput",
        "The fastest rate at which no more than the allowed share is lost: medians of all rounds, \
         with the least and the most.",
        &[plot("million frames a second", curves(&|_| 1e-6)), plot("Gbit/s", curves(&bits))],
        &table(&heads, rows),
    )
}

fn ratios(lines: &[Value]) -> String {
    let found = of_kind(lines, "ratio");
    if found.is_empty() {
        return String::new();
    }
    let rows = found.iter().map(|line| {
        let number = |value: &Value| value.as_f64().map_or_else(String::new, |n| format!("{n:.2}"));
        let [low, high] = [0, 1].map(|end| number(&line["confidence_95"][end]));
        vec![
            format!("{} / {}", text(&line["device"]), text(&line["by"])),
            text(&line["size"]),
            number(&line["median"]),
            format!("{low} ... {high}"),
            line["rounds"].as_array().map_or(0, Vec::len).to_string(),
        ]
    });
    let heads = ["", "octets", "ratio", "95 % confidence", "rounds"];
    section("Ratios of throughputs, round by round", "", &[], &table(&heads, rows))
}

fn latency(lines: &[Value]) -> String {
    const NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];
    let found = of_kind(lines, "latency");
    let mut whole = String::new();
    for size in sizes(&found) {
        let curve = |device: &String| {
            let own = |line: &&&Value| line["device"] == **device && line["size"] == size;
            let half = found.iter().filter(own).find(|line| line["share"] == 0.5);
            let quantiles = half.map(|line| &line["latency"]);
            let value = |name: &str| Some(quantiles?[name].as_f64()? / 1e3);
            let points =
                NAMES.iter().enumerate().filter_map(|(at, n)| Some((at as f64, value(n)?)));
            Curve { colour: colour(device), points: points.collect(), spread: Vec::new() }
        };
        let plot = Plot {
            y_title: "microseconds",
            x_title: "share of frames that were quicker",
            x_names: NAMES.iter().map(|name| (*name).to_owned()).collect(),
            y_log: true,
            curves: devices(lines).iter().map(curve).collect(),
        };
        let title = format!("Latency at half the throughput, frames of {} octets", text(&size));
        let about = "From when a frame was to be sent to when it was there.";
        whole.push_str(&section(&title, about, &[plot.svg().unwrap_or_default()], ""));
    }
    whole
}

fn loss(lines: &[Value]) -> String {
    let found = of_kind(lines, "loss_curve");
    let mut whole = String::new();
    for size in sizes(&found) {
        let curve = |device: &String| {
            let own = |line: &&&Value| line["device"] == **device && line["size"] == size;
            let points = found.iter().filter(own).flat_map(|line| line["points"].as_array());
            let point = |point: &Value| {
                Some((point["rate_offered"].as_f64()? / 1e6, point["loss"].as_f64()? * 100.0))
            };
            let mut points: Vec<_> = points.flatten().filter_map(point).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Curve { colour: colour(device), points, spread: Vec::new() }
        };
        let plot = Plot {
            y_title: "lost, in percent",
            x_title: "million frames a second that were offered",
            x_names: Vec::new(),
            y_log: false,
            curves: devices(lines).iter().map(curve).collect(),
        };
        let title = format!("Loss by rate, frames of {} octets", text(&size));
        whole.push_str(&section(&title, "", &[plot.svg().unwrap_or_default()], ""));
    }
    whole
}

fn section(title: &str, about: &str, plots: &[String], table: &str) -> String {
    let figures: String = plots.iter().map(|svg| format!("<figure>{svg}</figure>\n")).collect();
    let about =
        if about.is_empty() { String::new() } else { format!("<p>{}</p>\n", escaped(about)) };
    format!("<section><h2>{}</h2>\n{about}{figures}{table}</section>\n", escaped(title))
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells: String =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: String = rows.map(|cells| row(&cells, "td")).collect();
    format!("<div class=\"wide\"><table>\n{}{rows}</table></div>\n", row(&heads, "th"))
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// The devices in the order in which they came first.
fn devices(lines: &[Value]) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for device in lines.iter().filter_map(|line| line["device"].as_str()) {
        if !devices.iter().any(|one| one == device) {
            devices.push(device.to_owned());
        }
    }
    devices
}

/// The sizes likewise.
fn sizes(lines: &[&Value]) -> Vec<Value> {
    let mut sizes: Vec<Value> = Vec::new();
    for line in lines {
        if !sizes.contains(&line["size"]) {
            sizes.push(line["size"].clone());
        }
    }
    sizes
}

/// Octets of a frame of this size on average.
fn octets(size: &Value) -> f64 {
    size.as_f64()
        .or_else(|| Some(size.as_str()?.parse::<crate::plan::Size>().ok()?.mean()))
        .unwrap_or(0.0)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A whole number in groups of three.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A device's colour, the same in every report: legible on white and on black, and told apart by
/// most eyes (after Okabe and Ito, "Color universal design", 2008).
fn colour(device: &str) -> [u8; 3] {
    const COLOURS: [[u8; 3]; 10] = [
        [128, 128, 128],
        [160, 110, 60],
        [0, 130, 200],
        [70, 180, 230],
        [220, 90, 0],
        [0, 158, 115],
        [200, 110, 165],
        [200, 160, 0],
        [150, 80, 220],
        [220, 50, 80],
    ];
    let index = KINDS.iter().position(|(_, name, _)| *name == device).unwrap_or(0);
    COLOURS[index % COLOURS.len()]
}

/// Text that is no markup, whoever wrote it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Attributes of a picture give way to a style sheet, which knows light and dark.
const STYLE: &str = "
:root{--ink:#1b1f24;--paper:#fff;--grid:#e2e5e9;--soft:#57606a;color-scheme:light dark}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e9ed;--paper:#0f1318;--grid:#2a3038;--soft:#9aa4b0}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}p{color:var(--soft)}
code{overflow-wrap:anywhere}figure{margin:1rem 0}svg{width:100%;height:auto;display:block}
svg text{font-family:system-ui,sans-serif}
svg [fill=\"#010203\"]{fill:var(--ink)}svg [stroke=\"#010203\"]{stroke:var(--ink)}
svg [stroke=\"#030201\"]{stroke:var(--grid)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;color:var(--ink);position:sticky;top:0;
background:var(--paper);padding:.5rem 0}
.legend i{display:inline-block;width:.9em;height:.9em;border-radius:50%;margin-right:.4em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--soft);font-weight:normal}
th:first-child,td:first-child{text-align:left;padding-left:0}
";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines() -> Vec<Value> {
        let mut lines = vec![json!({ "kind": "run", "command": ["a", "<b>"], "kernel": "6.18" })];
        for (device, rate) in [("uswitch", 1e6), ("bridge", 2e6)] {
            for size in [json!(60), json!("imix")] {
                lines.push(json!({ "kind": "throughput", "device": device, "size": size,
                    "median": rate, "least": rate / 2.0, "most": rate, "fault": null }));
            }
            let latency =
                json!({ "p50": 1000, "p90": 2000, "p99": 3000, "p99.9": 4000, "max": 9000 });
            lines.push(json!({ "kind": "latency", "device": device, "size": 60, "share": 0.5,
                "latency": latency }));
            lines.push(json!({ "kind": "loss_curve", "device": device, "size": 60,
                "points": [{ "rate_offered": 1e6, "loss": 0.1 }] }));
        }
        lines.push(json!({ "kind": "ratio", "device": "uswitch", "by": "bridge", "size": 60,
            "median": 0.5, "confidence_95": [0.4, 0.6], "rounds": [0.5] }));
        lines
    }

    #[test]
    fn every_result_has_its_place_and_nothing_is_fetched() {
        let page = page(&lines());
        assert_eq!(page.matches("<svg").count(), 4, "two of throughput, latency, loss");
        let parts = ["1,000,000", "0.40 ... 0.60", "a &lt;b&gt;", "Linux 6.18", "imix", "p99.9"];
        for part in parts {
            assert!(page.contains(part), "{part}");
        }
        for fetched in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!page.contains(fetched), "{fetched}");
        }
    }

    #[test]
    fn results_that_are_not_there_or_null_are_no_trouble() {
        assert!(!page(&[]).contains("<svg"));
        let mut lines = lines();
        for line in &mut lines {
            for key in ["median", "least", "latency", "points", "confidence_95", "size"] {
                line[key] = Value::Null;
            }
        }
        assert!(page(&lines).contains("Throughput"));
    }
}
