//! What has changed, for a person or a log: a sentence each, the port's name first.

use std::{fmt, io};

use crate::switch::Event;

/// A spec of which nothing could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The port's name.
    pub name: String,
    /// A sentence that says what is wrong, and what helps.
    pub why: String,
}

/// What has changed, for a person or a log.
#[derive(Debug)]
pub enum Change {
    /// A port came: its frames flow.
    Came {
        /// Its name.
        name: String,
        /// What was done to open it.
        done: String,
        /// What did not work, but does not keep it from being used.
        warnings: Vec<String>,
    },
    /// There is no port yet, but there will be.
    Waits {
        /// The plug's name.
        name: String,
        /// For what.
        what: String,
    },
    /// A port has left, and will be back.
    Left {
        /// Its name.
        name: String,
        /// What the system said, if it said something.
        error: Option<io::Error>,
        /// What brings it back.
        back: Back,
    },
    /// News of a port that stays.
    Told {
        /// Its name.
        name: String,
        /// What it is.
        what: String,
    },
    /// What should have become a port did not.
    Failed(Failure),
    /// Something happened in the switch.
    Switch(Event),
}

/// What brings a port back that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// A device with its name.
    Device,
    /// A connection, which is tried again.
    Connection,
    /// It does not come back, but other clients may come.
    Client,
}

impl fmt::Display for Change {
    /// A sentence, the port's name first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Came { name, done: what, .. } | Change::Told { name, what } => {
                write!(f, "{name}: {what}")
            }
            Change::Waits { name, what } => write!(f, "{name}: waits for {what}"),
            Change::Left { name, error, back } => {
                match back {
                    Back::Device => write!(f, "{name}: asleep until its device is back")?,
                    Back::Connection => write!(f, "{name}: connection lost, it is tried again")?,
                    Back::Client => write!(f, "{name}: the client has gone")?,
                }
                // The end of a connection is said already.
                let reason = error.as_ref().filter(|e| e.kind() != io::ErrorKind::UnexpectedEof);
                reason.map_or(Ok(()), |error| write!(f, " ({})", netlab::reason(error)))
            }
            Change::Failed(Failure { name, why }) => write!(f, "{name}: {why}"),
            Change::Switch(event) => event.fmt(f),
        }
    }
}
