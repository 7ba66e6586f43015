//! In place of the router, in a build without it.

use std::net::IpAddr;

use super::{Found, LegSpec, Part, PartOf, RouterConfig, Wrong, routing::Routes};

/// There are no tables.
#[derive(Debug)]
pub enum Tables {}

/// Says so of each leg and route.
///
/// # Errors
///
/// That of each.
pub fn tables(
    legs: &[LegSpec],
    Routes { said, file }: Routes<'_>,
    _: &RouterConfig,
) -> Result<Tables, Vec<Wrong>> {
    let wrong = |of, option, number| Wrong {
        part: Part { of, number, option, which: 0 },
        other: None,
        sentence: NO_ROUTER.to_owned(),
        of_leg: false,
    };
    let legs = (0..legs.len()).map(|number| wrong(PartOf::Leg, "bridge", number));
    let said = (0..said.len()).map(|number| wrong(PartOf::Route, "to", number));
    let file = file.map(|_| wrong(PartOf::RouteFile, "to", 0));
    Err(legs.chain(said).chain(file).collect())
}

/// Nothing can be looked up.
pub(super) fn lookup(tables: &Tables, _: &[LegSpec], _: IpAddr) -> Found {
    match *tables {}
}

/// What to say to who wants one.
const NO_ROUTER: &str = "this build has no router: it was made without the feature `router`";
