//! A router in a switch: its legs are ports, and all workers route by the same tables.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
};

use crossbeam_channel::{Sender, bounded};
use uswitch_router::{neighbour::resolved::Resolved, stats::Stats};

use super::{Handle, PortConfig};
use crate::{
    frame::Mac,
    port::{Port, PortId},
    routing::Routes,
    run::{Bell, Command},
};

/// What the control plane knows of the router.
pub(super) struct Router {
    /// The secret of all workers' routers: a flow has one path, whoever receives it.
    seed: u64,

    /// By which all workers route. Held here too, so that none of them is the last to let go of a
    /// large table: to free one takes long.
    routes: Option<Routes>,
}

impl Default for Router {
    /// None, with a secret of its own.
    fn default() -> Router {
        Router { seed: RandomState::new().hash_one(0), routes: None }
    }
}

impl<P: Port> Handle<P> {
    /// Plugs in the foot of a router. Frames for its address leave by it, whoever else says that
    /// he has it.
    ///
    /// # Errors
    ///
    /// As [`Handle::add_all`], and that the table has no room for another static entry.
    pub fn add_leg(&mut self, config: PortConfig, own: Mac, port: P) -> io::Result<PortId> {
        let fid = config.bridge.fid();
        let id = self.add(config, port)?;
        match self.fdb.add_static(self.fdb.place(fid, own), id, self.now()) {
            Ok(()) => Ok(id),
            Err(refused) => {
                self.remove(id);
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, refused.to_string()))
            }
        }
    }

    /// Routes so from now on what leaves by legs. Returns when every worker does.
    pub fn route(&mut self, routes: Routes) {
        for worker in &self.workers {
            worker.tell(Command::Route(Box::new(routes.clone()), self.router.seed));
        }
        self.finish();
        self.router.routes = Some(routes);
    }

    /// The secret of all workers' routers.
    pub(crate) fn flow_seed(&self) -> u64 {
        self.router.seed
    }

    /// What became of packets on all workers.
    pub fn routed(&self) -> Vec<Stats> {
        let ask = |worker: &super::Hand<P>| {
            let (to, answer) = bounded(1);
            worker.tell(Command::Routed(to));
            answer
        };
        let answers: Vec<_> = self.workers.iter().map(ask).collect();
        // A worker that died has none.
        answers.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }

    /// A way to tell all workers of neighbours, for another thread.
    pub fn teller(&self) -> Teller<P> {
        let hand = |worker: &super::Hand<P>| (worker.commands.clone(), worker.bell.clone());
        Teller { workers: self.workers.iter().map(hand).collect() }
    }
}

/// Tells all workers of neighbours.
pub struct Teller<P: Port> {
    workers: Vec<(Sender<Command<P>>, Arc<Bell>)>,
}

impl<P: Port> Teller<P> {
    /// These are the neighbours from now on, if a worker routes by this generation of routes.
    pub fn know(&self, generation: u64, neighbours: &Arc<Resolved>) {
        for (commands, bell) in &self.workers {
            // Fails when the worker has ended: then nobody needs to know.
            let _ = commands.send(Command::Know(generation, neighbours.clone()));
            bell.ring();
        }
    }
}
