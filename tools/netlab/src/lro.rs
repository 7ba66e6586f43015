//! Received segments merged by the card: large receive offload.
//!
//! LRO forgets where one segment ended and the next began, so what it merged cannot be sent on
//! as it came: whoever bridges or routes switches it off (dev_disable_lro() in net/core/dev.c
//! says the same). Its successor GRO keeps the segment's size, and may stay.

use std::{io, os::fd::AsFd};

use crate::{Links, error::sentence, sys};

impl Links {
    /// Whether a link's card merges what it receives (LRO). `false` as well if it cannot.
    ///
    /// # Errors
    ///
    /// There is no such link.
    pub fn large_receive_offload(&mut self, link: &str) -> io::Result<bool> {
        let flags = self.ethtool_flags(link)?;
        Ok(flags & ETH_FLAG_LRO != 0)
    }

    /// Lets a link's card merge what it receives, or stops it.
    ///
    /// # Errors
    ///
    /// There is no such link, or it cannot (EOPNOTSUPP), or it must not.
    pub fn set_large_receive_offload(&mut self, link: &str, on: bool) -> io::Result<()> {
        let flags = self.ethtool_flags(link)? & !ETH_FLAG_LRO;
        let flags = flags | if on { ETH_FLAG_LRO } else { 0 };
        // A netlink socket, as any other, stands for its namespace.
        sys::set_ethtool_flags(self.netlink.as_fd(), link, flags).map_err(|error| {
            let what = if on { "start" } else { "stop" };
            sentence(format!("link `{link}` did not {what} merging what it receives"), error)
        })
    }

    fn ethtool_flags(&mut self, link: &str) -> io::Result<u32> {
        // The kernel would cut a name that is too long, and find another link.
        self.expect(link)?;
        sys::ethtool_flags(self.netlink.as_fd(), link).map_err(|error| {
            sentence(format!("the features of link `{link}` were not read"), error)
        })
    }
}

/// linux/ethtool.h.
const ETH_FLAG_LRO: u32 = 1 << 15;

#[cfg(test)]
mod tests {
    use crate::{errno, test};

    // No virtual device has LRO to switch: that a card's is switched off, no test here can show.
    #[test]
    fn veth_has_none_and_refuses_it() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        assert!(!links.large_receive_offload("a").unwrap());
        links.set_large_receive_offload("a", false).unwrap();
        let error = links.set_large_receive_offload("a", true).unwrap_err();
        assert_eq!(error.to_string(), "link `a` did not start merging what it receives");
        assert_eq!(errno(&error), Some(libc::EOPNOTSUPP));
        assert!(!links.large_receive_offload("a").unwrap());
        for name in ["nobody", "a-name-that-is-too-long"] {
            assert!(links.large_receive_offload(name).is_err());
            assert!(links.set_large_receive_offload(name, false).is_err());
        }
    }

    #[test]
    fn flags_of_the_namespace_are_asked_and_others_stay() {
        test::root!();
        let (one, _other) = test::pair();
        let mut links = one.links().unwrap();
        let before = links.ethtool_flags("a").unwrap();
        assert_ne!(before, 0, "a veth takes VLAN tags off by hardware, it says");
        links.set_large_receive_offload("a", false).unwrap();
        assert_eq!(links.ethtool_flags("a").unwrap(), before);
    }
}
