//! What a link does for its host: checksums, and segments cut and merged.

use std::{io, os::fd::AsFd};

use crate::{Links, error::sentence, sys};

impl Links {
    /// Switches everything off that a link does for its host, or on what it can: checksums,
    /// segmentation (TSO, GSO), merging (GRO). Without them each frame is whole, sound and no
    /// longer than the MTU. What the device does not let be switched stays as it is.
    ///
    /// # Errors
    ///
    /// There is no such link, or it does not let its checksums be switched, on which the others
    /// depend.
    pub fn set_offloads(&mut self, link: &str, on: bool) -> io::Result<()> {
        // The kernel would cut a name that is too long, and find another link.
        self.expect(link)?;
        let value = u32::from(on);
        sys::set_ethtool_value(self.netlink.as_fd(), link, sys::ETHTOOL_STXCSUM, value).map_err(
            |error| {
                let what = if on { "start" } else { "stop" };
                sentence(format!("link `{link}` did not {what} its offloads"), error)
            },
        )?;
        for command in sys::ETHTOOL_OFFLOADS {
            // Not each device has each of them: a veth always takes checksums on trust.
            let _ = sys::set_ethtool_value(self.netlink.as_fd(), link, command, value);
        }
        Ok(())
    }

    /// Whether a link takes frames whose checksums are not done.
    ///
    /// # Errors
    ///
    /// There is no such link, or what the system said.
    pub fn checksums_are_offloaded(&mut self, link: &str) -> io::Result<bool> {
        self.expect(link)?;
        let value = sys::ethtool_get(self.netlink.as_fd(), link, sys::ETHTOOL_GTXCSUM);
        let value = value.map_err(|error| {
            sentence(format!("the offloads of link `{link}` were not read"), error)
        })?;
        Ok(value != 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::test;

    #[test]
    fn offloads_of_a_veth_go_and_come() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        assert!(links.checksums_are_offloaded("a").unwrap(), "it begins with all");
        for on in [false, true] {
            links.set_offloads("a", on).unwrap();
            assert_eq!(links.checksums_are_offloaded("a").unwrap(), on);
        }
        let error = links.set_offloads("nobody", false).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
    }
}
