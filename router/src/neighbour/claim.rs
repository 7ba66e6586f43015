//! The router's own addresses on a link: asked for before use (RFC 4862, section 5.4), announced,
//! and defended (RFC 5227, section 2.4).
//!
//! Addresses of IPv4 are used at once: a router that waits for seven seconds of probes (RFC 5227,
//! section 2.1) is a router that is gone for seven seconds. Who has them too is noticed later.

use std::net::IpAddr;

use super::entry::RETRANS_TICKS;
use crate::prefix::LegAddress;

/// Announcements of each address (RFC 5227, section 1.1, ANNOUNCE_NUM).
const ANNOUNCEMENTS: u8 = 2;
/// Between them: 2 s (ANNOUNCE_INTERVAL).
const ANNOUNCE_TICKS: u64 = 20;
/// Who takes an address is contradicted once in 10 s (DEFEND_INTERVAL).
const DEFEND_TICKS: u64 = 100;

/// Whether an address may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Somebody might have it: it is neither answered for nor spoken from.
    Tentative,
    /// It is used.
    Preferred,
    /// Somebody had it: it is not used.
    Duplicate,
}

/// An address of the router on a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub own: LegAddress,
    pub standing: Standing,
    deadline: Option<u64>,
    asked: bool,
    announcements: u8,
    defended: Option<u64>,
}

/// What is to be said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Who has it?
    Ask,
    /// The router has it.
    Announce,
}

impl Claim {
    pub fn new(own: LegAddress) -> Claim {
        let v6 = own.address.is_ipv6();
        let standing = if v6 { Standing::Tentative } else { Standing::Preferred };
        // With the next tick, whenever that is.
        let (deadline, announcements) = (Some(0), ANNOUNCEMENTS);
        Claim { own, standing, deadline, asked: false, announcements, defended: None }
    }

    /// One of which nobody is told or asked.
    pub fn silent(own: LegAddress) -> Claim {
        Claim { standing: Standing::Preferred, deadline: None, ..Claim::new(own) }
    }

    pub fn address(&self) -> IpAddr {
        self.own.address
    }

    /// When something is to be done about it.
    pub fn next(&self) -> Option<u64> {
        self.deadline
    }

    pub fn is_due(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Its time has come.
    pub fn turn(&mut self, now: u64) -> Option<Say> {
        if self.standing == Standing::Tentative && !self.asked {
            // RFC 4862, section 5.1, DupAddrDetectTransmits: once.
            self.asked = true;
            self.deadline = Some(now + RETRANS_TICKS);
            return Some(Say::Ask);
        }
        if self.standing == Standing::Tentative {
            self.standing = Standing::Preferred;
        }
        self.announcements = self.announcements.saturating_sub(1);
        self.deadline = (self.announcements > 0).then_some(now + ANNOUNCE_TICKS);
        (self.standing == Standing::Preferred).then_some(Say::Announce)
    }

    /// Another station had it first.
    pub fn give_up(&mut self) {
        (self.standing, self.deadline) = (Standing::Duplicate, None);
    }

    /// Another station uses it. RFC 5227, section 2.4 (c): a router keeps its addresses, and says
    /// so, not too often.
    pub fn defend(&mut self, now: u64) -> bool {
        let due = self.defended.is_none_or(|last| now - last >= DEFEND_TICKS);
        if due {
            self.defended = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_ipv6_is_asked_for_then_announced_twice() {
        let mut claim = Claim::new("fd00::1/64".parse().unwrap());
        let mut said = Vec::new();
        for now in 1000..1100 {
            if claim.is_due(now) {
                said.push((now, claim.turn(now), claim.standing));
            }
        }
        use Standing::{Preferred, Tentative};
        assert_eq!(
            said,
            [
                (1000, Some(Say::Ask), Tentative),
                (1010, Some(Say::Announce), Preferred),
                (1030, Some(Say::Announce), Preferred),
            ]
        );
    }

    #[test]
    fn address_of_ipv4_is_used_at_once_and_announced_twice() {
        let mut claim = Claim::new("10.0.0.1/24".parse().unwrap());
        assert_eq!(claim.standing, Standing::Preferred);
        let said = (1000..1100).filter(|now| claim.is_due(*now) && claim.turn(*now).is_some());
        assert_eq!(said.collect::<Vec<_>>(), [1000, 1020]);
    }

    #[test]
    fn who_had_it_first_keeps_it() {
        let mut claim = Claim::new("fd00::1/64".parse().unwrap());
        claim.turn(1000);
        claim.give_up();
        assert!(!(1000..2000).any(|now| claim.is_due(now)));
        assert_eq!(claim.standing, Standing::Duplicate);
    }

    #[test]
    fn it_is_defended_once_in_ten_seconds() {
        let mut claim = Claim::new("10.0.0.1/24".parse().unwrap());
        let defended = (1000..1250).filter(|now| claim.defend(*now));
        assert_eq!(defended.collect::<Vec<_>>(), [1000, 1100, 1200]);
    }
}
