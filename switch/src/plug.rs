//! Plugs: what stands for each port spec while the switch runs. A spec says what there should
//! be; a plug opens it, gives its ports to the switch, and knows what to do when one is gone:
//!
//! | a plug on      | has            | when the port is gone                               |
//! |----------------|----------------|-----------------------------------------------------|
//! | a descriptor   | one port       | it is gone for good                                 |
//! | a netdev       | one port       | it sleeps until there is a device of that name      |
//! | a listener     | one a client   | that client is gone, others may come                |
//! | a connection   | one port       | it tries again, less and less often                 |
//!
//! Everything here belongs to the control thread: it may block, allocate and fail. The data plane
//! meets a port only when it is open. What has to be waited for, lookouts wait for (threads of
//! their own) and tell by [`Plugs::arrivals`].

mod bridges;
mod change;
mod hands;
mod kept;
mod lookout;
mod loops;
mod made;
mod open;
mod opener;
mod origin;
mod owner;
mod show;
mod source;

use std::{
    collections::BTreeMap,
    fmt, io,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, never};
use netlab::LinkEvent;

use self::{
    bridges::Bridges,
    hands::Hands,
    owner::Owner,
    source::{Source, Watches},
};
pub use self::{
    change::{Back, Change, Failure},
    opener::Opener,
};
use crate::{
    port::{PortId, any::AnyPort},
    switch::{Event, Handle, PortConfig, PortReport},
    topology::PortSpec,
};

/// Arrivals that wait for the control thread at the most; a lookout waits with the next.
const ARRIVALS_MAX: usize = 64;
/// How often it is looked whether a receive ring still turns.
const RINGS_INTERVAL: Duration = Duration::from_secs(1);

/// All plugs of one switch.
pub struct Plugs {
    /// By number, which no other plug ever has.
    plugs: BTreeMap<usize, Plug>,
    /// The number of the next one.
    next: usize,
    /// It was told of those below this number for what they wait.
    told: usize,
    /// Ports that are open and not yet plugged in, each with the number of its plug.
    opened: Vec<(usize, Opened)>,
    bridges: Bridges,
    watches: Watches,
    tell: Sender<Arrival>,
    arrivals: Receiver<Arrival>,
    /// When the receive rings were last looked at.
    rings_watched: Instant,
    /// The last to be dropped: what it removes, nobody uses any more.
    hands: Hands,
}

/// What stands for one spec.
struct Plug {
    spec: PortSpec,
    source: Source,
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

/// What a lookout found.
enum Arrival {
    /// A port for the plug of this number: a client came, or a connection was made.
    Port { plug: usize, port: Box<AnyPort> },
    /// It did not work out, for the plug of this number; it is tried again.
    Trouble { plug: usize, why: String },
    /// Something has befallen a link, in the namespace of the watch of this number.
    Link { watch: usize, event: LinkEvent },
}

impl Plugs {
    /// Opens what these specs ask for: all, or none. Whoever asked for four ports and got three
    /// would not notice for a long time.
    ///
    /// # Errors
    ///
    /// Each spec that did not open; what did is closed again.
    pub fn open(specs: &[PortSpec]) -> Result<Plugs, Vec<Failure>> {
        Plugs::open_with(Hands::Own(Owner::default()), specs)
    }

    /// The same by an opener, which removes what was made when all this is dropped, or when this
    /// process ends in any other way.
    ///
    /// # Errors
    ///
    /// As [`Plugs::open`].
    pub fn open_by(opener: Opener, specs: &[PortSpec]) -> Result<Plugs, Vec<Failure>> {
        Plugs::open_with(Hands::Opener(opener), specs)
    }

    fn open_with(hands: Hands, specs: &[PortSpec]) -> Result<Plugs, Vec<Failure>> {
        let (tell, arrivals) = bounded(ARRIVALS_MAX);
        let mut plugs = Plugs {
            plugs: BTreeMap::new(),
            next: 0,
            told: 0,
            opened: Vec::new(),
            bridges: Bridges::default(),
            watches: Watches::default(),
            tell,
            arrivals,
            rings_watched: Instant::now(),
            hands,
        };
        plugs.open_more(specs)?;
        Ok(plugs)
    }

    /// Sends the opener away, if there is one: from then on nothing is opened and nothing is
    /// removed. What was made stays, and a device that has gone does not come back.
    pub fn fix(&mut self) {
        if let Hands::Opener(opener) = &self.hands {
            opener.leave();
        }
    }

    /// Opens what these specs ask for besides what there is: all, or none. [`Plugs::plug_in`]
    /// gives it to the switch.
    ///
    /// # Errors
    ///
    /// Each spec that did not open, or would make a loop; what did open is closed again.
    pub fn open_more(&mut self, specs: &[PortSpec]) -> Result<(), Vec<Failure>> {
        let first = self.next;
        let mut failures = Vec::new();
        for spec in specs {
            let number = self.next;
            self.next += 1;
            match self.open_one(number, spec) {
                Ok((source, opened)) => {
                    self.opened.extend(opened.map(|opened| (number, opened)));
                    let (spec, ports) = (spec.clone(), Vec::new());
                    self.plugs.insert(number, Plug { spec, source, ports });
                }
                Err(why) => failures.push(Failure { name: spec.name.clone(), why }),
            }
        }
        if failures.is_empty() {
            let name = "the ports' devices".to_owned();
            let unknown = |error| vec![Failure { name, why: netlab::reason(&error) }];
            failures = self.hands.loops().unwrap_or_else(unknown);
        }
        if failures.is_empty() {
            return Ok(());
        }
        // The ports first: a device that was made goes when nobody has it open.
        self.opened.retain(|(number, _)| *number < first);
        self.plugs.retain(|number, _| *number < first);
        (first..self.next).for_each(|number| self.hands.remove(number));
        Err(failures)
    }

    /// Opens one, and lets be waited for what is still to come of it.
    fn open_one(
        &mut self,
        number: usize,
        spec: &PortSpec,
    ) -> Result<(Source, Option<Opened>), String> {
        let (origin, opened) = self.hands.open(number, spec, self.watches.count())?;
        let port = opened.as_ref().map(|opened| &opened.port);
        let reconnect = self.hands.reconnect(number, spec);
        let source =
            Source::of(origin, number, spec, port, &self.tell, &mut self.watches, reconnect);
        Ok((source.map_err(|error| netlab::reason(&error))?, opened))
    }

    /// Takes the plug of this name out: its ports leave the switch, what was made for it goes.
    /// Returns the last counts of its ports; `None`: there is no such plug.
    pub fn remove(&mut self, name: &str, handle: &mut Handle<AnyPort>) -> Option<Vec<PortReport>> {
        let found = self.plugs.iter().find(|(_, plug)| plug.spec.name == name);
        let number = *found?.0;
        // What it still has to say is about nothing that is there.
        self.opened.retain(|(of, _)| *of != number);
        let plug = self.plugs.remove(&number)?;
        let reports = plug.ports.iter().filter_map(|port| handle.remove(*port)).collect();
        self.hands.remove(number);
        Some(reports)
    }

    /// Gives the plug of this name another quota, and all ports that it has or will have. `None`:
    /// that of any port. `false`: there is no such plug.
    pub fn set_quota(
        &mut self,
        name: &str,
        quota: Option<u32>,
        handle: &mut Handle<AnyPort>,
    ) -> bool {
        let plug = self.plugs.values_mut().find(|plug| plug.spec.name == name);
        let Some(plug) = plug else { return false };
        plug.spec.quota = quota;
        for port in &plug.ports {
            handle.set_quota(*port, quota);
        }
        true
    }

    /// Gives the ports that are open to the switch, all at once.
    ///
    /// # Errors
    ///
    /// As [`Handle::add_all`]: then they are closed.
    pub fn plug_in(&mut self, handle: &mut Handle<AnyPort>) -> io::Result<Vec<Change>> {
        let (mut ports, mut numbers, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        let opened = std::mem::take(&mut self.opened);
        for (number, Opened { config, port, done, warnings }) in opened {
            changes.push(Change::Came { name: config.name.clone(), done, warnings });
            let bridge = self.plugs[&number].spec.bridge.clone();
            let bridge = self.bridge(&bridge)?;
            ports.push((PortConfig { bridge, ..config }, port));
            numbers.push(number);
        }
        for (number, id) in numbers.into_iter().zip(handle.add_all(ports)?) {
            self.plug(number).ports.push(id);
        }
        self.hands.settle();
        let new = self.plugs.range(std::mem::replace(&mut self.told, self.next)..);
        for (_, plug) in new.filter(|(_, plug)| plug.ports.is_empty()) {
            let (name, what) = (plug.spec.name.clone(), plug.source.waits_for().to_owned());
            changes.push(Change::Waits { name, what });
        }
        Ok(changes)
    }

    /// Becomes ready when [`Plugs::tend`] has something to do. For `select`; what is taken out of
    /// it by others is lost.
    pub fn arrivals(&self) -> &Receiver<impl Send + use<>> {
        &self.arrivals
    }

    /// What the control plane does from time to time, and when [`Plugs::arrivals`] or
    /// [`Handle::notices`] has something. Tends the switch too.
    pub fn tend(&mut self, handle: &mut Handle<AnyPort>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.watch_rings(handle);
        for event in handle.tend() {
            self.hear(event, handle, &mut changes);
        }
        for plug in self.plugs.values_mut() {
            let name = &plug.spec.name;
            let news = std::iter::from_fn(|| plug.source.news());
            changes.extend(news.map(|what| Change::Told { name: name.clone(), what }));
        }
        while let Ok(arrival) = self.arrivals.try_recv() {
            match arrival {
                Arrival::Port { plug, port } => changes.extend(self.arrive(plug, *port, handle)),
                Arrival::Trouble { plug, why } => {
                    let failure = |plug: &Plug| Failure { name: plug.spec.name.clone(), why };
                    changes.extend(self.plugs.get(&plug).map(failure).map(Change::Failed));
                }
                Arrival::Link { watch, event } => {
                    self.follow(watch, &event, handle, &mut changes);
                }
            }
        }
        changes
    }

    /// Whether a port is plugged in, or may still come.
    pub fn alive(&self) -> bool {
        let opens = self.hands.can_open();
        let may_bring = |source: &Source| source.may_bring() && (opens || !source.is_opened());
        let alive = |plug: &Plug| !plug.ports.is_empty() || may_bring(&plug.source);
        self.plugs.values().any(alive)
    }

    /// The plug of a number that was given out and not taken back.
    fn plug(&mut self, number: usize) -> &mut Plug {
        self.plugs.get_mut(&number).expect("a port that waits to be plugged in has its plug")
    }

    /// A client or a connection has become a port. `None`: its plug was taken out meanwhile.
    fn arrive(
        &mut self,
        number: usize,
        port: AnyPort,
        handle: &mut Handle<AnyPort>,
    ) -> Option<Change> {
        let plug = self.plugs.get_mut(&number)?;
        let name = plug.source.name_next(&plug.spec.name);
        let bridge = self.bridges.number(&plug.spec.bridge)?;
        let config = PortConfig { quota: plug.spec.quota, bridge, name: name.clone() };
        Some(match handle.add(config, port) {
            Ok(id) => {
                plug.ports.push(id);
                Change::Came { name, done: "connected".to_owned(), warnings: Vec::new() }
            }
            Err(error) => Change::Failed(Failure { name, why: netlab::reason(&error) }),
        })
    }

    /// Something has befallen a link: it may be a plug's device, or one for which a plug waits.
    fn follow(
        &mut self,
        watch: usize,
        event: &LinkEvent,
        handle: &mut Handle<AnyPort>,
        changes: &mut Vec<Change>,
    ) {
        for (number, plug) in &mut self.plugs {
            let Some(index) = plug.source.concerned(watch, event) else { continue };
            if index.take().is_some() {
                for report in plug.ports.drain(..).filter_map(|port| handle.remove(port)) {
                    let (name, error, back) = (report.name, None, Back::Device);
                    changes.push(Change::Left { name, error, back });
                }
            }
            changes.extend(plug.open_again(*number, &mut self.hands, handle));
        }
    }

    /// Something happened in the switch: if a port has left, its plug may bring it back.
    fn hear(&mut self, event: Event, handle: &mut Handle<AnyPort>, changes: &mut Vec<Change>) {
        let Event::Detached { port, name, error } = event else {
            return changes.push(Change::Switch(event));
        };
        let plug = self.plugs.iter_mut().find(|(_, plug)| plug.ports.contains(&port));
        let left = plug.and_then(|(number, plug)| {
            plug.ports.retain(|other| *other != port);
            Some((plug.source.left()?, *number, plug))
        });
        let Some((back, number, plug)) = left else {
            return changes.push(Change::Switch(Event::Detached { port, name, error }));
        };
        changes.push(Change::Left { name, error, back });
        changes.extend(plug.open_again(number, &mut self.hands, handle));
    }

    /// A receive ring that the kernel has stopped wakes nobody: who asks for the kernel's drops
    /// finds it out, and the port leaves (port/packet.rs).
    fn watch_rings(&mut self, handle: &Handle<AnyPort>) {
        if self.rings_watched.elapsed() < RINGS_INTERVAL {
            return;
        }
        self.rings_watched = Instant::now();
        for plug in self.plugs.values().filter(|plug| plug.source.has_ring()) {
            for port in &plug.ports {
                // The count is for reports; here it is the asking that matters.
                let _ = handle.kernel_drops(*port);
            }
        }
    }
}

impl Plug {
    /// Opens a plug's device again, if it has one and it is there. If it does not open, it is not
    /// finished yet, and more will be told of its link.
    fn open_again(
        &mut self,
        number: usize,
        hands: &mut Hands,
        handle: &mut Handle<AnyPort>,
    ) -> Option<Change> {
        let Source::Device { index, .. } = &mut self.source else { return None };
        let (opened, found) = hands.again(number, &self.spec).ok()?;
        *index = Some(found);
        let Opened { config, port, done, warnings } = opened;
        let name = config.name.clone();
        Some(match handle.add(config, port) {
            Ok(id) => {
                self.ports.push(id);
                Change::Came { name, done, warnings }
            }
            Err(error) => Change::Failed(Failure { name, why: netlab::reason(&error) }),
        })
    }
}

impl Drop for Plugs {
    fn drop(&mut self) {
        // A lookout that waits to tell something would otherwise wait for ever to be stopped.
        self.arrivals = never();
    }
}

impl fmt::Debug for Plugs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.plugs.values().map(|plug| (&plug.spec.name, &plug.ports));
        f.debug_map().entries(names).finish()
    }
}
