//! macvlan and macvtap: a further address on a link, as a link of its own, or as one whose frames
//! a program reads and writes.

use std::{fmt, io, str::FromStr};

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoMacVtap, LinkAttribute, LinkInfo, MacVlanMode,
};

use crate::{
    Links,
    error::{refused, sentence},
};

/// How a macvlan or macvtap shares its lower device with others on it (`enum macvlan_mode` in
/// linux/if_link.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacvlanMode {
    /// They speak with each other directly.
    Bridge,
    /// They speak with each other by way of the switch at the far end of the lower device, which
    /// has to send frames back to where they came from (IEEE 802.1Qbg).
    Vepa,
    /// They do not speak with each other at all.
    Private,
    /// There is only one, which has the lower device's own address and gets all of its frames.
    Passthru,
}

impl MacvlanMode {
    /// All of them.
    pub const ALL: [MacvlanMode; 4] =
        [MacvlanMode::Bridge, MacvlanMode::Vepa, MacvlanMode::Private, MacvlanMode::Passthru];

    fn name(self) -> &'static str {
        match self {
            MacvlanMode::Bridge => "bridge",
            MacvlanMode::Vepa => "vepa",
            MacvlanMode::Private => "private",
            MacvlanMode::Passthru => "passthru",
        }
    }

    /// `None`: a mode of the kernel (source) that nobody here asks for.
    fn parse(mode: MacVlanMode) -> Option<MacvlanMode> {
        MacvlanMode::ALL.into_iter().find(|known| known.emit() == mode)
    }

    fn emit(self) -> MacVlanMode {
        match self {
            MacvlanMode::Bridge => MacVlanMode::Bridge,
            MacvlanMode::Vepa => MacVlanMode::Vepa,
            MacvlanMode::Private => MacVlanMode::Private,
            MacvlanMode::Passthru => MacVlanMode::Passthrough,
        }
    }

    /// The mode in what the kernel tells of a link, if it is one of these.
    pub(crate) fn of(data: &InfoData) -> Option<MacvlanMode> {
        match data {
            InfoData::MacVlan(attributes) => attributes.iter().find_map(|one| match one {
                InfoMacVlan::Mode(mode) => MacvlanMode::parse(*mode),
                _ => None,
            }),
            InfoData::MacVtap(attributes) => attributes.iter().find_map(|one| match one {
                InfoMacVtap::Mode(mode) => MacvlanMode::parse(*mode),
                _ => None,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MacvlanMode {
    type Err = MacvlanModeError;

    fn from_str(text: &str) -> Result<MacvlanMode, MacvlanModeError> {
        let found = MacvlanMode::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| MacvlanModeError(text.escape_debug().to_string()))
    }
}

/// The text is not the name of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacvlanModeError(String);

impl fmt::Display for MacvlanModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no mode of a macvlan: bridge, vepa, private and passthru are", self.0)
    }
}

impl std::error::Error for MacvlanModeError {}

impl Links {
    /// Makes a macvlan on a link that is here. It is down, and has an address of its own.
    ///
    /// # Errors
    ///
    /// The name is taken or cannot be one, there is no such lower link, or the lower link does
    /// not take it: EINVAL if one in mode passthru is in the way, or others where this one would
    /// be; EBUSY if it is a member of a bridge or the like.
    pub fn add_macvlan(&mut self, name: &str, lower: &str, mode: MacvlanMode) -> io::Result<()> {
        let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(mode.emit())]);
        self.add_on(name, lower, InfoKind::MacVlan, data)
    }

    /// Makes a macvtap, a macvlan whose frames are read and written by a program through a
    /// character device ([`crate::MacvtapDevice`]). Otherwise as [`Links::add_macvlan`].
    ///
    /// # Errors
    ///
    /// As [`Links::add_macvlan`].
    pub fn add_macvtap(&mut self, name: &str, lower: &str, mode: MacvlanMode) -> io::Result<()> {
        let data = InfoData::MacVtap(vec![InfoMacVtap::Mode(mode.emit())]);
        self.add_on(name, lower, InfoKind::MacVtap, data)
    }

    fn add_on(
        &mut self,
        name: &str,
        lower: &str,
        kind: InfoKind,
        data: InfoData,
    ) -> io::Result<()> {
        let failed = |error| sentence(format!("the {kind} `{name}` was not made"), error);
        let Some(lower) = self.get(lower)? else {
            let text = format!("there is no link `{lower}` for it to stand on");
            return Err(failed(refused(io::ErrorKind::NotFound, text)));
        };
        let info =
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone()), LinkInfo::Data(data)]);
        self.add(name, vec![LinkAttribute::Link(lower.index), info]).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lower, errno, test};

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in MacvlanMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(MacvlanMode::parse(mode.emit()), Some(mode));
        }
        assert_eq!(MacvlanMode::parse(MacVlanMode::Source), None);
        let error = "Bridge".parse::<MacvlanMode>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`Bridge` is no mode of a macvlan: bridge, vepa, private and passthru are"
        );
    }

    #[test]
    fn each_kind_and_mode_is_made_on_its_lower_device_and_told() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        let a = links.expect("a").unwrap();
        for mode in MacvlanMode::ALL {
            links.add_macvlan("v", "a", mode).unwrap();
            let v = links.expect("v").unwrap();
            assert_eq!((v.kind.as_deref(), v.macvlan), (Some("macvlan"), Some(mode)));
            assert_eq!(v.lower, Some(Lower { index: a.index, namespace: None }));
            links.delete("v").unwrap();
            links.add_macvtap("t", "a", mode).unwrap();
            let t = links.expect("t").unwrap();
            assert_eq!((t.kind.as_deref(), t.macvlan), (Some("macvtap"), Some(mode)));
            assert_eq!(t.lower, v.lower);
            links.delete("t").unwrap();
        }
        assert_eq!((a.macvlan, links.expect("lo").unwrap().lower), (None, None));
    }

    #[test]
    fn refusals_name_the_device() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        let error = links.add_macvtap("t", "nobody", MacvlanMode::Bridge).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = "the macvtap `t` was not made: there is no link `nobody` for it to stand on";
        assert_eq!(crate::explain(&error), text);
        links.add_macvtap("t", "a", MacvlanMode::Passthru).unwrap();
        let error = links.add_macvlan("v", "a", MacvlanMode::Bridge).unwrap_err();
        assert_eq!(error.to_string(), "the macvlan `v` was not made");
        assert_eq!(errno(&error), Some(libc::EINVAL));
        let error = links.add_macvlan("t", "a", MacvlanMode::Passthru).unwrap_err();
        assert_eq!(errno(&error), Some(libc::EEXIST));
    }
}
