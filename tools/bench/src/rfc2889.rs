//! The measurements of RFC 2889 that are not throughputs of a pattern of ports: what a switch
//! learns, what it lets pass, and what one port does to another.
//!
//! Meshes and stars (sections 5.1 to 5.4) and broadcast frames (section 5.10) are throughputs,
//! latencies and curves of loss between ports that a pattern says, and stand elsewhere.
//!
//! What the RFC asks of wires and what is different of a switch in software:
//!
//! * A port has no line rate. Where the RFC says the maximum offered load of a port, it is here
//!   the throughput that was found between two ports: any device has that.
//! * There is no gap between frames that could be shortened: forward pressure (section 5.6) cannot
//!   be put on a port, and is not measured. The forwarding rates of the same section are.
//! * Frames bear no frame check sequence, so none of them can be wrong in that, in alignment or by
//!   dribbling bits (section 5.9). They can be too short or too long.
//! * Nobody pauses anybody (IEEE 802.3-2018, annex 31B): what has no room is lost.

pub mod addresses;
pub mod congestion;
pub mod errored;
pub mod forwarding;
