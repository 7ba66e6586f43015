//! Neighbours: who has which link-layer address on the links of the router.

pub mod resolved;
