//! The legs of a switch: what the control plane holds of its router. It plugs them in, starts the
//! slow path behind them, and changes all of it while packets go on.

use std::{io, sync::Arc};

use crossbeam_channel::Receiver;
use uswitch_router::{
    advertise::AdvertiseConfig,
    forward::Flow,
    link::{Event, LinkAddress},
    neighbour::{Link, Neighbour, NeighbourFault, Standing, resolved::Resolved},
    prefix::LegAddress,
    route::{Fault, Hop, Leg, LegId, Route},
    slow::Slow,
    tables::{Tables, Target, Via},
    totals::Totals,
};

use super::{
    Foot, Routes,
    slow::{End, SlowPath, Swap, Used},
};
use crate::{
    bridge::Ingress,
    frame::Mac,
    port::{
        Port, PortId,
        leg::{LegPort, leg_pair},
    },
    switch::{Handle, PortConfig},
};

/// What a leg is to be like.
#[derive(Clone, Debug)]
pub struct LegConfig {
    /// The port that it is: name and bridge.
    pub port: PortConfig,
    /// What it is on its link. Its own address is the leg's, and no other leg's.
    pub link: Link,
    /// What it is to the router; the addresses are those of the link.
    pub leg: Leg,
    /// What it tells hosts of itself. `None`: nothing.
    pub advertise: Option<AdvertiseConfig>,
}

impl LegConfig {
    pub(super) fn own(&self) -> Mac {
        Mac::new(self.link.own.0)
    }

    /// Whether the port of one is good for the other.
    fn is_alike(&self, other: &LegConfig) -> bool {
        self.port == other.port && self.link.own == other.link.own
    }
}

/// Why legs and routes cannot be.
#[derive(Debug)]
pub enum RouteError {
    /// They do not fit together.
    Faults(Vec<Fault>),
    /// What the system said when this leg was plugged in.
    System(String, io::Error),
    /// The slow path has died: our mistake, and it left a panic.
    Died,
}

/// A leg and the port that it is.
type Placed = (LegConfig, PortId);

/// Legs and routes for which all that the system could refuse has been had: see [`Legs::prepare`].
pub struct Prepared {
    placed: Vec<Placed>,
    ends: Vec<End>,
    /// The legs that are new.
    new: Vec<PortId>,
    tables: Arc<Tables>,
}

/// The legs, and the slow path behind them.
pub struct Legs {
    slow: SlowPath,
    /// By number.
    placed: Vec<Placed>,
    tables: Arc<Tables>,
    generation: u64,
}

impl Legs {
    /// A router without legs.
    ///
    /// # Errors
    ///
    /// What the system said to a new thread.
    pub fn start<P: Port>(handle: &Handle<P>) -> io::Result<Legs> {
        let slow = SlowPath::start(handle.teller(), handle.epoch(), handle.flow_seed())?;
        let tables = Tables::build(Vec::new(), &[]).expect("nothing, in which nothing is wrong");
        Ok(Legs { slow, placed: Vec::new(), tables: Arc::new(tables), generation: 0 })
    }

    /// From now on there are these legs and routes. A leg that was there stays as it is, and keeps
    /// its neighbours.
    ///
    /// # Errors
    ///
    /// Why not; then nothing has changed.
    pub fn apply<P: Port + From<LegPort>>(
        &mut self,
        handle: &mut Handle<P>,
        configs: Vec<LegConfig>,
        routes: &[Route],
    ) -> Result<(), RouteError> {
        let prepared = self.prepare(handle, configs, routes)?;
        self.go_on(handle, prepared)
    }

    /// Plugs in the legs that are new, all or none, and makes the tables. Nothing is routed by them
    /// before [`Legs::go_on`]; if it is not to be, [`Legs::abandon`] takes them out again.
    ///
    /// # Errors
    ///
    /// Why not; then nothing has changed.
    pub fn prepare<P: Port + From<LegPort>>(
        &self,
        handle: &mut Handle<P>,
        configs: Vec<LegConfig>,
        routes: &[Route],
    ) -> Result<Prepared, RouteError> {
        let leg = |config: &LegConfig| Leg { addresses: config.link.own(), ..config.leg.clone() };
        let tables = Tables::build(configs.iter().map(leg).collect(), routes);
        let tables = Arc::new(tables.map_err(RouteError::Faults)?);
        self.place(handle, configs, tables)
    }

    /// Takes out what was plugged in for nothing.
    pub fn abandon<P: Port>(&self, handle: &mut Handle<P>, prepared: Prepared) {
        prepared.new.into_iter().for_each(|port| drop(handle.remove(port)));
    }

    /// From now on there is what was prepared. Nothing has been prepared or applied since.
    ///
    /// # Errors
    ///
    /// That the slow path has died.
    pub fn go_on<P: Port>(
        &mut self,
        handle: &mut Handle<P>,
        prepared: Prepared,
    ) -> Result<(), RouteError> {
        let Prepared { placed, ends, tables, new: _ } = prepared;
        self.generation += 1;
        let links = placed.iter().map(|(config, _)| config.link.clone()).collect();
        let generation = self.generation;
        let advertise = placed.iter().map(|(config, _)| config.advertise.clone()).collect();
        let tables_too = tables.clone();
        let swap = |done| Swap { generation, tables: tables_too, links, advertise, ends, done };
        let neighbours = self.slow.swap(swap).ok_or(RouteError::Died)?;
        let gone = std::mem::replace(&mut self.placed, placed);
        self.tables = tables;
        self.route(handle, neighbours);
        // What the slow path has heard meanwhile, workers could not take: they had other routes.
        let again = self.slow.ask(|slow| slow.neighbours().tell_again());
        again.ok_or(RouteError::Died)?;
        for (_, port) in gone {
            if !self.placed.iter().any(|(_, kept)| *kept == port) {
                handle.remove(port);
            }
        }
        Ok(())
    }

    /// Plugs in the legs that are new, all or none.
    fn place<P: Port + From<LegPort>>(
        &self,
        handle: &mut Handle<P>,
        configs: Vec<LegConfig>,
        tables: Arc<Tables>,
    ) -> Result<Prepared, RouteError> {
        let (mut placed, mut ends, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for config in configs {
            let before = self
                .placed
                .iter()
                .position(|(other, port)| other.is_alike(&config) && handle.name(*port).is_some());
            let (port, end) = match before {
                Some(index) => (self.placed[index].1, End::There(LegId(index as u16))),
                None => {
                    let pair = leg_pair(config.own()).and_then(|(near, far)| {
                        let port = handle.add_leg(config.port.clone(), config.own(), near.into());
                        Ok((port?, End::New(far)))
                    });
                    match pair {
                        Ok(pair) => {
                            new.push(pair.0);
                            pair
                        }
                        Err(error) => {
                            new.into_iter().for_each(|port| drop(handle.remove(port)));
                            return Err(RouteError::System(config.port.name, error));
                        }
                    }
                }
            };
            placed.push((config, port));
            ends.push(end);
        }
        Ok(Prepared { placed, ends, new, tables })
    }

    /// Tells all workers.
    fn route<P: Port>(&self, handle: &mut Handle<P>, neighbours: Arc<Resolved>) {
        let routes = self.routes(handle, neighbours, self.slow.used.clone());
        handle.route(routes);
    }

    /// What workers route by.
    pub(super) fn routes<P: Port>(
        &self,
        handle: &Handle<P>,
        neighbours: Arc<Resolved>,
        used: Used,
    ) -> Routes {
        let foot = |(config, port): &Placed| {
            let ingress = Ingress { port: *port, bridge: config.port.bridge };
            // A port that has been lost is nobody's foot, whoever has its number.
            handle.name(*port).map(|_| Foot { ingress, own: config.own() })
        };
        let feet = self.placed.iter().map(foot).collect();
        let (generation, tables) = (self.generation, self.tables.clone());
        Routes { generation, tables, feet, neighbours, used }
    }

    /// The neighbours of whom the workers know. `None`: there is no router yet.
    pub(super) fn resolved(&self) -> Option<Arc<Resolved>> {
        self.slow.ask(|slow| Arc::new(slow.neighbours().told().clone()))
    }

    /// The legs, by number, each with its port.
    pub fn iter(&self) -> impl Iterator<Item = (&LegConfig, PortId)> {
        self.placed.iter().map(|(config, port)| (config, *port))
    }

    /// The tables by which packets are routed.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// By which of its next hops a flow goes, also while its neighbour is asked for. `None`: it
    /// has none.
    pub fn choose<P: Port>(&self, handle: &Handle<P>, flow: &Flow) -> Option<Via> {
        let Target::Hops(hops) = self.tables.lookup(flow.destination) else { return None };
        Some(hops.choose(flow.hash(handle.flow_seed())))
    }

    /// All neighbours. `None`: there is no router yet.
    pub fn neighbours(&self) -> Option<Vec<Neighbour>> {
        self.slow.ask(|slow| slow.neighbours().iter().collect())
    }

    /// The router's own addresses on its links, and whether they are used. `None`: there is no
    /// router yet.
    pub fn own(&self) -> Option<Vec<(LegId, LegAddress, Standing)>> {
        self.slow.ask(|slow| slow.neighbours().own().collect())
    }

    /// Enters a neighbour that stays until it is removed.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn add_neighbour(&self, hop: Hop, to: LinkAddress) -> Result<(), NeighbourFault> {
        let added = self.slow.ask(move |slow| slow.neighbours().add_static(hop, to));
        added.unwrap_or(Err(NeighbourFault::NoLeg(hop.leg)))
    }

    /// Forgets a neighbour, whoever entered it. `false`: it was not known.
    pub fn remove_neighbour(&self, hop: Hop) -> bool {
        self.slow.ask(move |slow| slow.neighbours().remove(hop)).unwrap_or(false)
    }

    /// Forgets all that was learned on a leg, or on all, and says how many that were.
    pub fn flush_neighbours(&self, leg: Option<LegId>) -> usize {
        self.slow.ask(move |slow| slow.neighbours().flush(leg)).unwrap_or(0)
    }

    /// What became of packets: on all workers, and in the slow path. Workers are asked first: what
    /// they give to the slow path meanwhile is counted twice by nobody.
    pub fn totals<P: Port>(&self, handle: &Handle<P>) -> Totals {
        let workers = handle.routed();
        let slow = self.slow.ask(|slow: &mut Slow| slow.totals());
        let mut totals = slow.unwrap_or_default();
        workers.iter().for_each(|stats| totals.add_worker(stats));
        totals
    }

    /// What happens on the links, for a person or a log.
    pub fn events(&self) -> &Receiver<Event> {
        &self.slow.events
    }
}
