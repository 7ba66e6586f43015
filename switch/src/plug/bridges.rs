//! The numbers of bridges, by their names: a bridge keeps its number as long as the switch runs.

use std::io;

use super::Plugs;
use crate::bridge::{BRIDGES_MAX, BridgeId};

/// The names, each in the place of its number.
#[derive(Default)]
pub(super) struct Bridges(Vec<String>);

impl Bridges {
    /// The number of the bridge with this name. `None`: there were too many names up to now.
    pub(super) fn number(&mut self, name: &str) -> Option<BridgeId> {
        let known = self.0.iter().position(|known| known == name);
        let index = known.unwrap_or(self.0.len());
        if index == BRIDGES_MAX {
            return None;
        }
        if index == self.0.len() {
            self.0.push(name.to_owned());
        }
        Some(BridgeId::new(index))
    }
}

impl Plugs {
    /// The number of the bridge with this name, for ports and for what else is in it.
    ///
    /// # Errors
    ///
    /// There were more names than [`BRIDGES_MAX`] since the start.
    pub fn bridge(&mut self, name: &str) -> io::Result<BridgeId> {
        self.bridges.number(name).ok_or_else(|| {
            let text = format!(
                "there were {BRIDGES_MAX} names of bridges since the start: a restart forgets \
                 those that are no more"
            );
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_there_are_so_many() {
        let mut bridges = Bridges::default();
        for index in 0..BRIDGES_MAX {
            assert_eq!(bridges.number(&format!("b{index}")), Some(BridgeId::new(index)));
        }
        assert_eq!(bridges.number("another"), None);
        assert_eq!(bridges.number("b7"), Some(BridgeId::new(7)));
    }
}
