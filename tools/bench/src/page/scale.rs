//! The parts of a page about growth: curves over ports and the like, overload, load for long.

use serde_json::Value;

use super::{colour, devices, grouped, of_kind, section, sizes, table, text};
use crate::plot::{Curve, Plot};

/// Throughput, memory and idle time over each axis.
pub(super) fn scale(lines: &[Value]) -> String {
    let all = of_kind(lines, "scale");
    let mut axes: Vec<&str> = Vec::new();
    for axis in all.iter().filter_map(|line| line["over"].as_str()) {
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    let of = |axis: &&str| {
        let found: Vec<&Value> =
            all.iter().copied().filter(|line| line["over"] == **axis).collect();
        over(axis, &found)
    };
    axes.iter().map(of).collect()
}

fn over(axis: &str, found: &[&Value]) -> String {
    let mut values: Vec<u64> = found.iter().filter_map(|line| line["value"].as_u64()).collect();
    values.sort_unstable();
    values.dedup();
    let owned: Vec<Value> = found.iter().map(|line| (*line).clone()).collect();
    let plot = |y_title: &str, key: &str, factor: f64| {
        let curve = |device: &String| {
            let (mut points, mut spread) = (Vec::new(), Vec::new());
            for (at, value) in values.iter().enumerate() {
                let own = |l: &&&Value| l["value"] == *value && l["device"] == **device;
                let Some(line) = found.iter().find(own) else { continue };
                let Some(y) = line[key].as_f64() else { continue };
                points.push((at as f64, y * factor));
                let end = |end: usize| line["confidence_95"][end].as_f64().unwrap_or(y) * factor;
                spread.push(if key == "median" {
                    (end(0), end(1))
                } else {
                    (y * factor, y * factor)
                });
            }
            Curve { colour: colour(device), points, spread }
        };
        let curves = devices(&owned).iter().map(curve).collect();
        let x_names = values.iter().map(|value| grouped(*value as f64)).collect();
        let plot = Plot { y_title, x_title: axis, x_names, y_log: false, curves };
        plot.svg().unwrap_or_default()
    };
    let mebi = 1.0 / (1024.0 * 1024.0);
    let plots = [
        plot("million frames a second", "median", 1e-6),
        plot("memory at the most, MiB", "memory_peak", mebi),
        plot("percent of a processor when idle", "idle_cpu", 100.0),
    ];
    let plots: Vec<String> = plots.into_iter().filter(|plot| !plot.is_empty()).collect();
    let rows = found.iter().map(|line| {
        let whole = |value: &Value, factor: f64| {
            value.as_f64().map_or_else(|| "-".into(), |number| grouped(number * factor))
        };
        let [low, high] = [0, 1].map(|end| whole(&line["confidence_95"][end], 1.0));
        let limit = (line["tester_limit"] == true).then(|| "the tester's limit".to_owned());
        let fault = line["fault"].as_str().map(str::to_owned);
        vec![
            text(&line["device"]),
            whole(&line["value"], 1.0),
            whole(&line["median"], 1.0),
            format!("{low} ... {high}"),
            whole(&line["cpu_per_frame"], 1.0),
            whole(&line["memory_peak"], 1.0 / 1024.0),
            fault.or(limit).unwrap_or_default(),
        ]
    });
    let heads = ["device", axis, "frames/s", "95 % confidence", "CPU ns a frame", "memory KiB", ""];
    section(&format!("Throughput over {axis}"), "", &plots, &table(&heads, rows))
}

/// What comes through by what is offered.
pub(super) fn load(lines: &[Value]) -> String {
    let found = of_kind(lines, "load");
    let mut whole = String::new();
    for size in sizes(&found) {
        let own: Vec<&Value> = found.iter().copied().filter(|line| line["size"] == size).collect();
        let about = "Frames that come through by frames that are offered, up to twice the \
                     throughput: a curve that bends down chokes.";
        let rows = own.iter().map(|line| {
            let number = |value: &Value| {
                value.as_f64().map_or_else(|| "-".into(), |number| format!("{number:.2}"))
            };
            let [low, high] = [0, 1].map(|end| number(&line["confidence_95"][end]));
            vec![
                text(&line["device"]),
                line["throughput"].as_f64().map_or_else(|| "-".into(), grouped),
                number(&line["most_offered"]),
                number(&line["kept_of_peak"]),
                format!("{low} ... {high}"),
                line["fault"].as_str().unwrap_or_default().to_owned(),
            ]
        });
        let heads = ["device", "throughput", "times offered", "of the peak", "95 % confidence", ""];
        let plot = load_plot(&own).svg().unwrap_or_default();
        let title = format!("More load than there is room for, frames of {} octets", text(&size));
        whole.push_str(&section(&title, about, &[plot], &table(&heads, rows)));
    }
    whole
}

/// Its picture.
pub(super) fn load_plot(found: &[&Value]) -> Plot<'static> {
    let curve = |line: &&Value| {
        let points = line["points"].as_array().into_iter().flatten().filter_map(|point| {
            let number = |key: &str| Some(point[key].as_f64()? / 1e6);
            Some((number("rate_offered")?, number("rate_received")?))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let device = line["device"].as_str().unwrap_or_default();
        Curve { colour: colour(device), points, spread: Vec::new() }
    };
    Plot {
        y_title: "million frames a second that come through",
        x_title: "million frames a second that are offered",
        x_names: Vec::new(),
        y_log: false,
        curves: found.iter().map(curve).collect(),
    }
}

/// Memory by time, and what became of the frames.
pub(super) fn soak(lines: &[Value]) -> String {
    let slices = of_kind(lines, "soak");
    let mut whole = String::new();
    for total in of_kind(lines, "soak_total") {
        let device = total["device"].as_str().unwrap_or_default();
        let points = slices.iter().filter(|line| line["device"] == device).filter_map(|line| {
            let mebi = line["memory"].as_f64()? / (1024.0 * 1024.0);
            Some((line["after_seconds"].as_f64()? / 60.0, mebi))
        });
        let curve = Curve { colour: colour(device), points: points.collect(), spread: Vec::new() };
        let plot = Plot {
            y_title: "memory, MiB",
            x_title: "minutes",
            x_names: Vec::new(),
            y_log: false,
            curves: vec![curve],
        };
        let number = |key: &str, factor: f64| {
            total[key].as_f64().map_or_else(|| "-".into(), |number| grouped(number * factor))
        };
        let row = vec![
            device.to_owned(),
            number("seconds", 1.0),
            number("offered", 1.0),
            number("lost", 1.0),
            number("memory_peak", 1.0 / 1024.0),
            number("memory_per_hour", 1.0 / 1024.0),
            match total["memory_grows"].as_bool() {
                Some(true) => "it grows".into(),
                Some(false) => "no growth".into(),
                None => String::new(),
            },
        ];
        let heads = ["device", "seconds", "offered", "lost", "memory KiB", "KiB more an hour", ""];
        let table = table(&heads, std::iter::once(row));
        let svg: Vec<String> = plot.svg().into_iter().collect();
        whole.push_str(&section("Load for long", "", &svg, &table));
    }
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_axis_the_overload_and_the_long_load_have_their_places() {
        let mut lines = Vec::new();
        for (over, value) in [("ports", 2), ("ports", 256), ("flows", 65_536)] {
            lines.push(json!({ "kind": "scale", "over": over, "value": value, "device": "uswitch",
                "median": 5e5, "confidence_95": [4e5, 6e5], "memory_peak": 6_291_456,
                "idle_cpu": 0.0, "tester_limit": true, "fault": null }));
        }
        let page = scale(&lines);
        assert_eq!(page.matches("<svg").count(), 6, "three of each axis");
        for part in
            ["over ports", "over flows", "65,536", "400,000 ... 600,000", "tester&#39;s limit"]
        {
            assert!(page.contains(&part.replace("&#39;", "'")), "{part}");
        }
        let points = json!([{ "rate_offered": 1e6, "rate_received": 9e5 }]);
        let overload = json!({ "kind": "load", "device": "bridge", "size": 60, "points": points,
            "kept_of_peak": 0.95, "confidence_95": [0.94, 0.96] });
        let page = load(&[overload]);
        assert!(page.contains("0.94 ... 0.96") && page.contains("<svg"), "{page}");
        let slice = json!({ "kind": "soak", "device": "uswitch", "after_seconds": 60.0,
            "memory": 6_291_456 });
        let total = json!({ "kind": "soak_total", "device": "uswitch", "lost": 0,
            "memory_grows": false });
        let page = soak(&[slice, total]);
        assert!(page.contains("no growth") && page.contains("<svg"), "{page}");
    }

    #[test]
    fn what_is_not_there_is_no_trouble() {
        assert_eq!([scale(&[]), load(&[]), soak(&[])].concat(), "");
        let empty = |kind: &str| vec![json!({ "kind": kind })];
        assert!(load(&empty("load")).contains("More load"));
        assert!(soak(&empty("soak_total")).contains("Load for long"));
        assert_eq!(scale(&empty("scale")), "");
    }
}
