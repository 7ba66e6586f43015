//! TUN devices: a cable whose other end is plugged into the kernel as a network device that
//! carries packets, and no frames.

use crate::frame::Mac;

/// The address of the machine behind a TUN, in the headers of the frames that stand for its
/// packets. It is locally administered (IEEE 802-2014, 8.2.2), and the same on every TUN: each is
/// alone with its leg.
pub const TUN_HOST: Mac = Mac::new([0x02, 0x74, 0x75, 0x6e, 0x00, 0x02]);

/// The address of a leg on a TUN that was given no other.
pub const TUN_LEG: Mac = Mac::new([0x02, 0x74, 0x75, 0x6e, 0x00, 0x01]);
