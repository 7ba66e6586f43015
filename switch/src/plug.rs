//! Plugs: what stands for each port spec while the switch runs. A spec says what there should
//! be; a plug opens it, gives its port to the switch, and knows what to do when the port is gone.
//!
//! Everything here belongs to the control thread: it may block, allocate and fail. The data plane
//! meets a port only when it is open.

use std::{fmt, io};

use netlab::{Links, Namespace};

use crate::{
    port::{
        PortId,
        any::AnyPort,
        tap::{Tap, TapConfig},
    },
    switch::{Event, Handle, PortConfig},
    topology::{HostSpec, PortKind, PortSpec, TapSpec},
};

/// All plugs of one switch.
pub struct Plugs {
    plugs: Vec<Plug>,
    /// Ports that are open and not yet plugged in, each with the number of its plug.
    opened: Vec<(usize, Opened)>,
}

/// What stands for one spec.
struct Plug {
    spec: PortSpec,
    /// The ports of it that are plugged in.
    ports: Vec<PortId>,
}

/// A port that is open.
struct Opened {
    config: PortConfig,
    port: AnyPort,
    /// What was done to open it, in a few words.
    done: String,
    warnings: Vec<String>,
}

/// A spec of which nothing could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The port's name.
    pub name: String,
    /// A sentence that says what is wrong, and what helps.
    pub why: String,
}

/// What has changed, for a person or a log.
#[derive(Debug)]
pub enum Change {
    /// A port came: its frames flow.
    Came {
        /// Its name.
        name: String,
        /// What was done to open it.
        done: String,
        /// What did not work, but does not keep it from being used.
        warnings: Vec<String>,
    },
    /// Something happened in the switch: a port has left, and the others go on.
    Switch(Event),
}

impl Plugs {
    /// Opens what these specs ask for: all, or none. Whoever asked for four ports and got three
    /// would not notice for a long time.
    ///
    /// # Errors
    ///
    /// Each spec that did not open; what did is closed again.
    pub fn open(specs: &[PortSpec]) -> Result<Plugs, Vec<Failure>> {
        let mut plugs = Plugs { plugs: Vec::new(), opened: Vec::new() };
        let mut failures = Vec::new();
        for spec in specs {
            match open(spec) {
                Ok(opened) => plugs.opened.push((plugs.plugs.len(), opened)),
                Err(why) => failures.push(Failure { name: spec.name.clone(), why }),
            }
            plugs.plugs.push(Plug { spec: spec.clone(), ports: Vec::new() });
        }
        if failures.is_empty() { Ok(plugs) } else { Err(failures) }
    }

    /// Gives the ports that are open to the switch, all at once.
    ///
    /// # Errors
    ///
    /// As [`Handle::add_all`]: then they are closed.
    pub fn plug_in(&mut self, handle: &mut Handle<AnyPort>) -> io::Result<Vec<Change>> {
        let (mut ports, mut numbers, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, Opened { config, port, done, warnings }) in self.opened.drain(..) {
            changes.push(Change::Came { name: config.name.clone(), done, warnings });
            ports.push((config, port));
            numbers.push(number);
        }
        for (number, id) in numbers.into_iter().zip(handle.add_all(ports)?) {
            self.plugs[number].ports.push(id);
        }
        Ok(changes)
    }

    /// What the control plane does from time to time, and when [`Handle::notices`] has something.
    /// Tends the switch too.
    pub fn tend(&mut self, handle: &mut Handle<AnyPort>) -> Vec<Change> {
        let mut changes = Vec::new();
        for event in handle.tend() {
            if let Event::Detached { port, .. } = &event {
                for plug in &mut self.plugs {
                    plug.ports.retain(|other| other != port);
                }
            }
            changes.push(Change::Switch(event));
        }
        changes
    }

    /// Whether a port is plugged in.
    pub fn alive(&self) -> bool {
        self.plugs.iter().any(|plug| !plug.ports.is_empty())
    }
}

impl fmt::Debug for Plugs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.plugs.iter().map(|plug| (&plug.spec.name, &plug.ports));
        f.debug_map().entries(names).finish()
    }
}

fn open(spec: &PortSpec) -> Result<Opened, String> {
    let netns = spec.netns.as_deref().map(Namespace::open).transpose();
    let netns = netns.map_err(|error| netlab::reason(&error))?;
    match &spec.kind {
        PortKind::Tap(tap) => open_tap(spec, tap, netns),
        PortKind::Host(host) => open_host(spec, host, netns),
    }
}

fn open_host(spec: &PortSpec, host: &HostSpec, netns: Option<Namespace>) -> Result<Opened, String> {
    let HostSpec { device, addresses, mac } = host;
    let (mac, queues, persist) = (*mac, 1, None);
    let tap = TapSpec { device: device.clone(), mac, queues, persist };
    let mut opened = open_tap(spec, &tap, netns.clone())?;
    let set = || -> io::Result<()> {
        let mut links = netns.map_or_else(Links::here, |netns| netns.links())?;
        for address in addresses {
            match links.add_address(device, *address) {
                Err(error) if netlab::errno(&error) != Some(libc::EEXIST) => return Err(error),
                _ => opened.done.push_str(&format!(", {address}")),
            }
        }
        Ok(())
    };
    set().map_err(|error| netlab::reason(&error))?;
    Ok(opened)
}

fn open_tap(spec: &PortSpec, tap: &TapSpec, netns: Option<Namespace>) -> Result<Opened, String> {
    let TapSpec { device, mac, queues, persist } = tap;
    let config = TapConfig {
        name: device.clone(),
        netns,
        mtu: spec.mtu,
        mac: *mac,
        queues: *queues,
        persist: persist.unwrap_or(false),
    };
    let port = Tap::open(&config).map_err(|error| without(device, &error.to_string()))?;
    let done = if port.created() { "created" } else { "attached (it was there, and stays)" };
    let offloads: Vec<_> = port.offloads().collect();
    let offloads = match &*offloads {
        [] => "no offloads".to_owned(),
        names => format!("offloads {}", names.join(" ")),
    };
    Ok(Opened {
        config: PortConfig { name: spec.name.clone(), quota: spec.quota },
        done: format!("{done}, MTU {}, {offloads}", port.mtu()),
        warnings: port.warnings().to_vec(),
        port: port.into(),
    })
}

/// The sentence without the device's name at its head: the port's name will stand there.
fn without(device: &str, sentence: &str) -> String {
    sentence.strip_prefix(&format!("{device}: ")).unwrap_or(sentence).to_owned()
}
