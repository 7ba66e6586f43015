//! Ctrl-C and SIGTERM: the first ends what is measured, so that what was found is told and all is
//! taken away; the second ends the program at once.

use std::io;

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use uswitch_bench::stop::Stop;

use super::STOPPED;

/// A stop that the first signal gives. Call it before anything is made.
///
/// # Errors
///
/// What the system said.
pub(crate) fn listen() -> io::Result<Stop> {
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, i32::from(STOPPED), stop.flag())?;
        flag::register(signal, stop.flag())?;
    }
    Ok(stop)
}
