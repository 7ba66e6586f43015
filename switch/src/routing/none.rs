//! A switch that was built without a router: there is none at any worker's side.

use crate::{
    bridge::Bridge,
    egress::Egress,
    fdb::Tick,
    frame::Lent,
    port::Tx,
    worker::{Lost, Moved},
};

/// Nor a reason for which it drops anything.
pub(crate) const REASONS_MAX: usize = 0;

/// None.
pub(crate) fn reason(_: u8) -> Option<(&'static str, &'static str)> {
    None
}

/// There is no such thing.
pub(crate) enum Routing {}

impl Routing {
    pub(crate) fn take<T: Tx>(&mut self, _: &mut Egress<T>) -> bool {
        match *self {}
    }
}

/// As if there were one.
#[expect(dead_code, reason = "a worker fills it in, and nobody reads it")]
pub(crate) struct Crossing<'a, T: Tx, W> {
    pub(crate) bridge: &'a Bridge,
    pub(crate) egress: &'a mut Egress<T>,
    pub(crate) lost: &'a mut Vec<Lost>,
    pub(crate) moved: &'a mut Option<Moved>,
    pub(crate) witness: &'a mut W,
    pub(crate) now: Tick,
}

impl<T: Tx, W> Crossing<'_, T, W> {
    pub(crate) fn route(&mut self, routing: &mut Routing, _: &mut Lent<'_>) {
        match *routing {}
    }
}
