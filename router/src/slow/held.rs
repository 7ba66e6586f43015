//! A packet while it is held for a neighbour: in one piece with all that goes along with it.
//!
//! ```text
//! | leg by which it came, 2 | octets of the lead, 1 | lead | packet |
//! ```

use crate::route::LegId;

/// Octets that may go along with a packet.
pub const LEAD_MAX: usize = 32;
/// In the place of a leg: the router itself has made it.
const OURS: u16 = u16::MAX;
const HEAD_LEN: usize = 3;

/// Its parts.
pub(super) struct Held<'a> {
    /// By which leg it came. `None`: the router has made it, and nobody is told what becomes of it.
    pub came: Option<LegId>,
    pub lead: &'a [u8],
    pub packet: &'a [u8],
}

impl Held<'_> {
    /// In one piece.
    pub(super) fn emit(&self) -> Box<[u8]> {
        assert!(self.lead.len() <= LEAD_MAX, "what goes along is short");
        let leg = self.came.map_or(OURS, |leg| leg.0).to_be_bytes();
        let head = [leg[0], leg[1], self.lead.len() as u8];
        [&head, self.lead, self.packet].concat().into()
    }

    /// Taken apart again. `None`: that is not one of ours, or it holds no packet.
    pub(super) fn parse(octets: Box<[u8]>) -> Option<Whole> {
        let lead = usize::from(*octets.get(2)?);
        (octets.len() > HEAD_LEN + lead).then_some(Whole { octets, lead })
    }
}

/// Legs have other numbers now, by those that they had. Of what came by a leg that is no more,
/// nobody is told.
pub(super) fn renumber(octets: &mut [u8], moved: &[Option<LegId>]) {
    let Some((leg, _)) = octets.split_first_chunk_mut::<2>() else { return };
    let old = u16::from_be_bytes(*leg);
    let new = moved.get(usize::from(old)).copied().flatten().map_or(OURS, |new| new.0);
    *leg = if old == OURS { old } else { new }.to_be_bytes();
}

/// In one piece, and known to be sound.
pub(super) struct Whole {
    octets: Box<[u8]>,
    lead: usize,
}

impl Whole {
    pub(super) fn came(&self) -> Option<LegId> {
        let leg = u16::from_be_bytes([self.octets[0], self.octets[1]]);
        (leg != OURS).then_some(LegId(leg))
    }

    pub(super) fn lead(&self) -> &[u8] {
        &self.octets[HEAD_LEN..][..self.lead]
    }

    /// At least one octet.
    pub(super) fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.octets[HEAD_LEN + self.lead..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leg_by_which_it_came_is_known_by_its_new_number() {
        let moved = [Some(LegId(1)), None];
        for (came, now) in [(0, Some(LegId(1))), (1, None), (2, None)] {
            let mut held = Held { came: Some(LegId(came)), lead: &[], packet: &[0x45] }.emit();
            renumber(&mut held, &moved);
            assert_eq!(Held::parse(held).unwrap().came(), now);
        }
        let mut held = Held { came: None, lead: &[], packet: &[0x45] }.emit();
        renumber(&mut held, &[]);
        assert_eq!(Held::parse(held).unwrap().came(), None);
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        for (came, lead) in [(Some(LegId(7)), &[1, 2, 3][..]), (None, &[])] {
            let held = Held { came, lead, packet: &[0x45, 9] };
            let mut whole = Held::parse(held.emit()).unwrap();
            assert_eq!((whole.came(), whole.lead()), (came, lead));
            assert_eq!(whole.packet_mut(), [0x45, 9]);
        }
        for octets in [&[][..], &[0, 0], &[0, 0, 0], &[0, 0, 1, 9]] {
            assert!(Held::parse(octets.into()).is_none());
        }
    }
}
