//! Signals, as messages. The first that asks for the end is a message; the second one ends the
//! program at once, wherever it hangs: the kernel then removes what is to be removed.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
    iterator::Signals,
};

use super::output::FAILURE;

/// Signals that wait to be seen at the most; more of them say nothing new.
const WAITING_MAX: usize = 16;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGINT or SIGTERM: come to an end.
    End,
    /// SIGHUP: read the file again, or come to an end if there is none.
    Reload,
    /// SIGUSR1: tell what was counted so far.
    Report,
}

/// Begins to listen. Call it before the first port is opened, so that whoever sends a signal early
/// is heard as well.
///
/// # Errors
///
/// What the system said.
pub(crate) fn listen() -> io::Result<Receiver<Wish>> {
    let ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, i32::from(FAILURE), ending.clone())?;
        flag::register(signal, ending.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    let (tell, wishes) = bounded(WAITING_MAX);
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let wish = match signal {
                SIGUSR1 => Some(Wish::Report),
                SIGHUP => Some(Wish::Reload),
                _ => None,
            };
            if let Some(wish) = wish {
                // No room: as many are waiting already.
                let _ = tell.try_send(wish);
            } else if tell.send(Wish::End).is_err() {
                return;
            }
        }
    })?;
    Ok(wishes)
}
