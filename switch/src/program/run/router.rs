//! The router of a switch that runs: legs and routes as the topology has them, plugged in behind
//! the ports and changed with it.

mod counts;
mod find;
mod routed;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use uswitch::{
    frame::Mac,
    plug::Plugs,
    port::{any::AnyPort, tun::TUN_HOST},
    routing::{LegConfig, Legs, Prepared, RouteError},
    switch::{Handle, PortConfig},
    topology::{AdvertiseSpec, LegSpec, NeighbourSpec, PortKind, Preference, Topology, router},
};
use uswitch_router::{
    advertise::{self, AdvertiseConfig},
    link::{Event, LinkAddress},
    neighbour::{Link, Standing, State},
    prefix::Prefix,
    route::{Hop, LegId},
    tables::is_link_local,
};

use crate::program::control::Event as News;

/// What the names of legs' ports begin with: no port of another kind has such a name.
const PORT_PREFIX: &str = "leg:";

/// A neighbour, as it is told.
pub(crate) struct Neighbour {
    /// The number of the leg.
    pub(in crate::program) leg: usize,
    pub(in crate::program) address: IpAddr,
    pub(in crate::program) to: Option<String>,
    /// By iproute2's word.
    pub(in crate::program) state: &'static str,
}

impl Neighbour {
    fn of(known: &uswitch_router::neighbour::Neighbour) -> Neighbour {
        Neighbour {
            leg: known.hop.leg.index(),
            address: known.hop.address,
            to: known.to.map(|to| to.to_string()),
            state: known.state.name(),
        }
    }
}

/// An address that the router has on a link, as it is told.
pub(crate) struct Own {
    /// The number of the leg.
    pub(in crate::program) leg: usize,
    /// The MAC address of the leg.
    pub(in crate::program) mac: String,
    pub(in crate::program) address: IpAddr,
    pub(in crate::program) prefix_len: u8,
    /// Somebody might have it: it is not used yet.
    pub(in crate::program) tentative: bool,
    /// Somebody had it: it is not used.
    pub(in crate::program) duplicate: bool,
}

/// The router, from the first leg on.
#[derive(Default)]
pub(crate) struct Router {
    legs: Option<Legs>,
    /// The addresses that were made up, by the names of their legs: hosts know them.
    made_up: HashMap<String, Mac>,
}

impl Router {
    /// From now on there is what this topology says.
    ///
    /// # Errors
    ///
    /// Sentences that say why not; then nothing has changed.
    pub(in crate::program) fn apply(
        &mut self,
        topology: &Topology,
        plugs: &mut Plugs,
        handle: &mut Handle<AnyPort>,
    ) -> Result<(), Vec<String>> {
        let prepared = self.prepare(topology, plugs, handle)?;
        self.go_on(topology, handle, prepared)
    }

    /// Has from the system all that this topology needs of it; nothing is routed by it yet.
    ///
    /// # Errors
    ///
    /// Sentences that say why not; then nothing has changed.
    pub(in crate::program) fn prepare(
        &mut self,
        topology: &Topology,
        plugs: &mut Plugs,
        handle: &mut Handle<AnyPort>,
    ) -> Result<Option<Prepared>, Vec<String>> {
        if topology.legs.is_empty() && self.legs.is_none() {
            return Ok(None);
        }
        let mut configs = Vec::new();
        let (legs, routes) = topology.legs_and_routes();
        for (spec, leg) in topology.legs.iter().zip(legs) {
            let bridge = plugs.bridge(&spec.name).map_err(|error| vec![error.to_string()])?;
            let link = self.link(spec, topology);
            let name = format!("{PORT_PREFIX}{}", spec.name);
            let port = PortConfig { bridge, ..PortConfig::named(name) };
            let advertise = spec.advertise.as_ref().map(|said| advertised(said, spec));
            configs.push(LegConfig { port, link, leg, advertise });
        }
        let legs = match &mut self.legs {
            Some(legs) => legs,
            none => {
                let started = Legs::start(handle);
                let failed = |error| vec![format!("no router: {}", netlab::reason(&error))];
                none.insert(started.map_err(failed)?)
            }
        };
        let prepared = legs.prepare(handle, configs, &routes);
        prepared.map(Some).map_err(|error| sentences(&error))
    }

    /// What was prepared is not to be.
    pub(in crate::program) fn abandon(
        &self,
        handle: &mut Handle<AnyPort>,
        prepared: Option<Prepared>,
    ) {
        if let (Some(legs), Some(prepared)) = (&self.legs, prepared) {
            legs.abandon(handle, prepared);
        }
    }

    /// Goes on with what was prepared for this topology.
    ///
    /// # Errors
    ///
    /// Sentences about what is not as it should be.
    pub(in crate::program) fn go_on(
        &mut self,
        topology: &Topology,
        handle: &mut Handle<AnyPort>,
        prepared: Option<Prepared>,
    ) -> Result<(), Vec<String>> {
        let (Some(legs), Some(prepared)) = (&mut self.legs, prepared) else { return Ok(()) };
        legs.go_on(handle, prepared).map_err(|error| sentences(&error))?;
        let wrong = topology.neighbours.iter().filter_map(|said| {
            let leg = topology.legs.iter().position(|leg| leg.name == said.leg)?;
            let hop = Hop { leg: LegId(leg as u16), address: said.address };
            let added = legs.add_neighbour(hop, LinkAddress(said.mac.octets()));
            added.err().map(|why| format!("neighbour {}: {why}", said.address))
        });
        let wrong: Vec<_> = wrong.collect();
        unsay(legs, topology);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// What a leg is on its link.
    fn link(&mut self, spec: &LegSpec, topology: &Topology) -> Link {
        let tun = topology.ports.iter().find_map(|port| match &port.kind {
            PortKind::Tun(tun) if port.bridge == spec.name => Some(tun),
            _ => None,
        });
        let own = tun
            .map(|tun| tun.leg)
            .or(spec.mac)
            .unwrap_or_else(|| *self.made_up.entry(spec.name.clone()).or_insert_with(make_up));
        let addresses = router::addresses(spec);
        Link {
            point_to_point: tun.map(|_| LinkAddress(TUN_HOST.octets())),
            proxy: spec.proxy,
            ..Link::new(LinkAddress(own.octets()), addresses)
        }
    }

    /// All neighbours, by leg and address.
    pub(in crate::program) fn neighbours(&self) -> Vec<Neighbour> {
        let known = self.legs.as_ref().and_then(Legs::neighbours).unwrap_or_default();
        let mut all: Vec<_> = known.iter().map(Neighbour::of).collect();
        all.sort_by_key(|known| (known.leg, known.address));
        all
    }

    /// The router's own addresses, by leg.
    pub(in crate::program) fn own(&self) -> Vec<Own> {
        let Some(legs) = &self.legs else { return Vec::new() };
        let macs: Vec<_> = legs.iter().map(|(config, _)| config.link.own.to_string()).collect();
        let own = legs.own().unwrap_or_default().into_iter();
        own.filter_map(|(leg, own, standing)| {
            Some(Own {
                leg: leg.index(),
                mac: macs.get(leg.index())?.clone(),
                address: own.address,
                prefix_len: match own.prefix {
                    Prefix::V4(net) => net.length(),
                    Prefix::V6(net) => net.length(),
                },
                tentative: standing == Standing::Tentative,
                duplicate: standing == Standing::Duplicate,
            })
        })
        .collect()
    }

    /// Enters a neighbour that a person said.
    ///
    /// # Errors
    ///
    /// Why there can be no such neighbour.
    pub(in crate::program) fn add_neighbour(
        &self,
        leg: usize,
        said: &NeighbourSpec,
    ) -> Result<(), String> {
        let hop = Hop { leg: LegId(leg as u16), address: said.address };
        let Some(legs) = &self.legs else { return Err("there is no router".to_owned()) };
        legs.add_neighbour(hop, LinkAddress(said.mac.octets())).map_err(|why| why.to_string())
    }

    /// Forgets a neighbour, learned or said.
    pub(in crate::program) fn remove_neighbour(&self, leg: usize, address: IpAddr) {
        let hop = Hop { leg: LegId(leg as u16), address };
        if let Some(legs) = &self.legs {
            legs.remove_neighbour(hop);
        }
    }

    /// Forgets what was learned on a leg, or on all; how many those were.
    pub(in crate::program) fn flush_neighbours(&self, leg: Option<usize>) -> usize {
        let leg = leg.map(|leg| LegId(leg as u16));
        self.legs.as_ref().map_or(0, |legs| legs.flush_neighbours(leg))
    }

    /// What happened on the links since the last call.
    pub(in crate::program) fn events(&self) -> Vec<News> {
        let Some(legs) = &self.legs else { return Vec::new() };
        let name = |leg: LegId| {
            let config = legs.iter().nth(leg.index()).map(|(config, _)| config);
            config.map_or_else(String::new, |config| {
                config.port.name.trim_start_matches(PORT_PREFIX).to_owned()
            })
        };
        let news = |event: Event| {
            let text = event.to_string();
            News::of_link(event.name(), &name(event.leg()), &text)
        };
        legs.events().try_iter().map(news).collect()
    }
}

/// What a leg tells hosts, in the router's own terms.
fn advertised(said: &AdvertiseSpec, leg: &LegSpec) -> AdvertiseConfig {
    let net = |prefix: netlab::Prefix| {
        Prefix::of(prefix.address(), prefix.prefix_len()).expect("no longer than its address")
    };
    let prefixes = said.prefixes.iter().map(|said| advertise::AdvertisedPrefix {
        prefix: net(said.prefix),
        on_link: said.on_link,
        autonomous: said.autonomous,
        valid_s: said.valid,
        preferred_s: said.preferred,
    });
    let own = router::addresses(leg).into_iter().map(|own| own.prefix);
    let own = own.filter(|prefix| !prefix.is_v4() && !is_link_local(prefix.address()));
    let own = own.map(advertise::AdvertisedPrefix::new);
    // Both are checked where they are read.
    let seconds = |seconds: u32| u16::try_from(seconds).unwrap_or(u16::MAX);
    AdvertiseConfig {
        lifetime_s: seconds(said.lifetime),
        preference: match said.preference {
            Preference::Low => advertise::Preference::Low,
            Preference::Medium => advertise::Preference::Medium,
            Preference::High => advertise::Preference::High,
        },
        managed: said.managed,
        other: said.other,
        hop_limit: said.hop_limit,
        mtu: said.mtu,
        prefixes: if said.prefixes.is_empty() { own.collect() } else { prefixes.collect() },
        dns: said.rdnss.clone(),
        search: said.dnssl.clone(),
        ..AdvertiseConfig::every(seconds(said.interval))
    }
}

/// Forgets the neighbours that were said once, and are not any more.
fn unsay(legs: &Legs, topology: &Topology) {
    for known in legs.neighbours().unwrap_or_default() {
        let name = topology.legs.get(known.hop.leg.index()).map(|leg| &leg.name);
        let is_it =
            |said: &NeighbourSpec| Some(&said.leg) == name && said.address == known.hop.address;
        if known.state == State::Permanent && !topology.neighbours.iter().any(is_it) {
            legs.remove_neighbour(known.hop);
        }
    }
}

/// A MAC address that nobody else has: locally administered, for one station (IEEE 802-2014,
/// 8.2.2).
fn make_up() -> Mac {
    let [a, b, c, d, e, ..] = RandomState::new().hash_one(0).to_be_bytes();
    Mac::new([2, a, b, c, d, e])
}

fn sentences(error: &RouteError) -> Vec<String> {
    match error {
        RouteError::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
        RouteError::System(leg, error) => vec![format!("{leg}: {}", netlab::reason(error))],
        RouteError::Died => vec!["the router has died, which is a mistake of ours".to_owned()],
    }
}
