//! New packets: what the engine makes beside those that it forwards.

/// Where new packets go: fragments, errors, answers. The caller supplies it.
pub trait Emit {
    /// Room for a packet of exactly so many octets, whatever is in it; `None`: there is none. All
    /// of it will be written. If the verdict is a drop, nothing that was emitted is to be sent.
    fn room(&mut self, octets: usize) -> Option<&mut [u8]>;
}
