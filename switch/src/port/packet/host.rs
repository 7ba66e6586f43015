//! What a port takes from the host on its device, and gives back when the last half is dropped:
//! the frames, which the host's own stack would see as well, and a card's merging of what it
//! receives (LRO), by which frames come that nobody sent.

use netlab::{IngressDrop, Links};

/// What was taken.
pub(crate) struct Taken {
    links: Links,
    device: String,
    frames: Option<IngressDrop>,
    merging: bool,
}

impl Taken {
    /// Switches merging off, and makes the host deaf on the device if it is to be. What the kernel
    /// refuses becomes a warning: the port works all the same.
    pub(super) fn take(
        mut links: Links,
        device: &str,
        deaf: bool,
        warnings: &mut Vec<String>,
    ) -> Taken {
        let frames = deaf.then(|| links.drop_ingress(device)).and_then(|dropped| {
            let told = |error| {
                warnings.push(format!(
                    "the host still sees what comes in by it, and answers if it has an address \
                     there ({}); `sudo ip address flush dev {device}` keeps it from that",
                    netlab::explain(&error)
                ));
            };
            dropped.map_err(told).ok()
        });
        let merging = links.large_receive_offload(device).unwrap_or(false);
        if merging && let Err(error) = links.set_large_receive_offload(device, false) {
            warnings.push(format!(
                "it merges what it receives, which cannot be sent on as it came ({}); `sudo \
                 ethtool -K {device} lro off` stops that",
                netlab::explain(&error)
            ));
        }
        Taken { links, device: device.to_string(), frames, merging }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(frames) = self.frames.take() {
            // The device is gone, or the right to change it: there is nothing to give back, or
            // nobody who could.
            let _ = self.links.restore_ingress(frames);
        }
        if self.merging {
            // The same. One that was renamed stays as it is.
            let _ = self.links.set_large_receive_offload(&self.device, true);
        }
    }
}
