//! What happens in a switch that runs, for a person or a log.

use std::{fmt, io};

use crate::{frame::Mac, port::PortId};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A port's device is gone, so the port has left the switch. The others go on.
    Detached {
        /// The number that it had.
        port: PortId,
        /// Its name.
        name: String,
        /// What the system said.
        error: Option<io::Error>,
    },
    /// A station is heard behind two ports in turn.
    Flapping {
        /// Its address.
        station: Mac,
        /// The names of the two ports.
        ports: [String; 2],
    },
    /// A worker ended by a panic: our mistake. Its ports are served no more.
    WorkerDied,
}

impl fmt::Display for Event {
    /// A sentence, the port's name first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Detached { name, error: Some(error), .. } => {
                let reason = netlab::reason(error);
                write!(f, "{name}: detached, its device is gone ({reason})")
            }
            Event::Detached { name, error: None, .. } => {
                write!(f, "{name}: detached, its device is gone")
            }
            Event::Flapping { station, ports: [one, other] } => write!(
                f,
                "{station} is heard behind {one} and {other} in turn: two stations have this \
                 address, or there is a loop"
            ),
            Event::WorkerDied => f.write_str(
                "a worker has died, which is a mistake of ours; please report the message above",
            ),
        }
    }
}
