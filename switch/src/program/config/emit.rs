//! `uswitch config`: what runs, or would run, as a file that says the same.

use uswitch::topology::{LegSpec, PortSpec, StaticEntry, Topology};

use super::read::{ALLOW_PATH, PERSIST, SETTINGS};

mod routing;

/// The file of a topology. What it leaves to the machine (`auto`), it leaves.
pub(crate) fn emit(topology: &Topology) -> String {
    let ports = topology.ports.iter().map(|spec| port(spec, &topology.legs));
    head(topology) + &ports.collect::<String>()
}

/// All of it but the ports.
pub(crate) fn head(topology: &Topology) -> String {
    let said = topology.emit_settings();
    let mut text = String::new();
    for table in ["switch", "fdb", "router"] {
        let of_router = |name: &str| name.starts_with("icmp-") || name == "routes";
        if table == "router" && !said.iter().any(|(name, _)| of_router(name)) {
            continue;
        }
        let gap = if text.is_empty() { "" } else { "\n" };
        text += &format!("{gap}[{table}]\n");
        let here = SETTINGS.iter().filter(|(of, ..)| *of == table);
        let here = here.map(|(_, key, option, _)| (*key, option.trim_start_matches('-')));
        let persist = (table == "switch").then_some((PERSIST, PERSIST));
        for (key, option) in here.chain(persist) {
            let found = said.iter().find(|(name, _)| *name == option);
            text += &found
                .map(|(_, text)| format!("{key} = {}\n", said_of(key, text)))
                .unwrap_or_default();
        }
        if table == "switch" && !topology.allow_path.is_empty() {
            let folders = array(topology.allow_path.iter().map(|folder| quoted(folder)));
            text += &format!("{ALLOW_PATH} = {folders}\n");
        }
    }
    for StaticEntry { mac, port } in &topology.statics {
        let [mac, port] = [&mac.to_string(), port].map(|text| quoted(text));
        text += &format!("\n[[fdb.static]]\nmac = {mac}\nport = {port}\n");
    }
    text + &routing::tables(topology)
}

/// The table of one port, and the empty line before it. Nothing, if one of these legs says it.
pub(crate) fn port(spec: &PortSpec, legs: &[LegSpec]) -> String {
    if routing::is_said_by_leg(spec, legs) {
        return String::new();
    }
    let (kind, words, options) = spec.emit();
    let words = match &*words {
        [] => "true".to_owned(),
        [word] => quoted(word),
        words => array(words.iter().map(|word| quoted(word))),
    };
    let mut text = format!("\n[[port]]\n{} = {words}\n", kind.name);
    let mut done = Vec::new();
    for (name, _) in &options {
        if done.contains(name) {
            continue;
        }
        done.push(*name);
        let of_name = options.iter().filter(|(other, _)| other == name);
        let mut values: Vec<_> = of_name.map(|(_, text)| value(text)).collect();
        let many = kind.options.iter().any(|setting| setting.name == *name && setting.many);
        let all = if many { array(values.into_iter()) } else { values.remove(0) };
        text += &format!("{name} = {all}\n");
    }
    text
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

/// The value of a setting; a path is a text whatever it is.
fn said_of(key: &str, text: &str) -> String {
    if key == "routes" { quoted(text) } else { value(text) }
}

/// A value as a person would write it: numbers and switches without quotes. A number that would
/// not be read as it is written (`007`) is a text.
fn value(text: &str) -> String {
    match text {
        "on" => "true".to_owned(),
        "off" => "false".to_owned(),
        _ if text.parse::<u32>().is_ok_and(|number| number.to_string() == text) => text.to_owned(),
        _ => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
