//! Ctrl-C and SIGTERM: the first ends what is measured, so that what was found is told and all is
//! taken away; the second ends the program at once.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::STOPPED;

/// A flag that the first signal raises. Call it before anything is made.
///
/// # Errors
///
/// What the system said.
pub(crate) fn listen() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, i32::from(STOPPED), stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}
