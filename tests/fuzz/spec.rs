//! Any text as a port spec and as the options of a command line. Nothing panics; what is refused
//! has faults that say something, and what is accepted is within its limits.
//!
//! An input is lines of text. The first letter of a line says which option it is for.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use uswitch::{
    fdb::{FDB_SIZE_MAX, FDB_SIZE_MIN},
    switch::WORKERS_MAX,
    topology::{Faults, PORT_NAME_MAX, PortSpec, Topology, Words},
};

/// Processors of a machine; not all, and not in a row.
const CPUS: [usize; 4] = [0, 1, 2, 5];

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut words = Words::default();
    for line in text.lines() {
        match line.parse::<PortSpec>() {
            Ok(port) => assert_port(&port),
            Err(faults) => assert_faults(&faults),
        }
        say(&mut words, line);
    }
    match Topology::resolve(&words, &CPUS) {
        Ok(topology) => assert_topology(&topology),
        Err(faults) => assert_faults(&faults),
    }
});

/// Takes a line as an option, by its first letter.
fn say(words: &mut Words, line: &str) {
    let Some(letter) = line.chars().next() else { return };
    let value = || line[letter.len_utf8()..].to_owned();
    match letter {
        'P' => words.ports.push(value()),
        'm' => words.mtu = Some(value()),
        'w' => words.workers = Some(value()),
        'c' => words.cpus = Some(value()),
        'b' => words.busy_poll = Some(value()),
        'a' => words.ageing = Some(value()),
        's' => words.fdb_size = Some(value()),
        'q' => words.fdb_quota = Some(value()),
        'g' => words.group_forward = Some(value()),
        'e' => words.metrics = Some(value()),
        'p' => words.port.push(value()),
        _ => words.persist = !words.persist,
    }
}

fn assert_topology(topology: &Topology) {
    topology.ports.iter().for_each(assert_port);
    let names: HashSet<_> = topology.ports.iter().map(|port| &port.name).collect();
    assert_eq!(names.len(), topology.ports.len(), "names are told apart");
    let switch = &topology.switch;
    assert!((1..=WORKERS_MAX).contains(&switch.workers));
    assert!(switch.cpus.iter().all(|cpu| CPUS.contains(cpu)));
    assert!((FDB_SIZE_MIN..=FDB_SIZE_MAX).contains(&switch.fdb.size));
    let quotas = topology.ports.iter().filter_map(|port| port.quota);
    assert!(quotas.chain([switch.fdb.quota]).all(|quota| (1..=switch.fdb.size).contains(&quota)));
    let warnings = topology.warnings(&CPUS);
    assert!(warnings.iter().all(|sentence| !sentence.trim().is_empty()));
}

fn assert_port(port: &PortSpec) {
    assert!((1..=PORT_NAME_MAX).contains(&port.name.len()), "{port:?}");
    assert!(!port.name.contains(['/', '\n', '\0']), "{port:?}");
    assert_ne!(port.quota, Some(0));
    assert_eq!(port.to_string().parse().as_ref(), Ok(port), "it can be written again");
}

fn assert_faults(faults: &Faults) {
    assert!(!faults.is_empty() && !faults.to_string().is_empty());
    assert!(faults.iter().all(|sentence| !sentence.trim().is_empty()));
}
