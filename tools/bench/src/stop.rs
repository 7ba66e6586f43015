//! The end of a measurement, as one thread gives it to others.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A stop that was given, or not yet. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    given: Arc<AtomicBool>,
}

impl Stop {
    /// Gives it. What was done before is seen by whoever sees the stop.
    pub fn give(&self) {
        self.given.store(true, Ordering::Release);
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// The flag itself, for a signal to raise.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.given.clone()
    }
}
