//! The character device of a macvtap, from which a program reads and writes its frames.
//!
//! Its node is usually called /dev/tapN, where N is the number of the link. But such numbers
//! repeat in each network namespace, while /dev is one for all: a node of that name may be that
//! of somebody else's macvtap, and is taken only if it has the right device number. That number
//! stands in sysfs, which shows the network namespace of whoever mounted it: so a sysfs of our
//! own is mounted inside the namespace, attached nowhere, and seen by nobody. In the same way the
//! node is made where nobody sees it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::sys::stat::{Mode, SFlag, mknodat};

use crate::{
    Holder, Links, Namespace,
    error::{refused, sentence},
    sys,
    tun::holders_where,
};

/// The character device of one macvtap.
#[derive(Clone, Debug)]
pub struct MacvtapDevice {
    namespace: Namespace,
    link: String,
    index: u32,
    /// Its number: major and minor, as in `st_rdev` of stat(2).
    number: libc::dev_t,
}

impl MacvtapDevice {
    /// The device of the macvtap of this name in this namespace.
    ///
    /// # Errors
    ///
    /// There is no such link, it is no macvtap, or the device number was not found: without
    /// CAP_SYS_ADMIN only the /sys that is mounted can be asked, which may be that of another
    /// namespace.
    pub fn find(namespace: &Namespace, link: &str) -> io::Result<MacvtapDevice> {
        let (index, number) = namespace.run(|| find_here(link))??;
        Ok(MacvtapDevice { namespace: namespace.clone(), link: link.to_string(), index, number })
    }

    /// The processes that have it open, in the order of their numbers. The kernel would let us
    /// open it as well, and give each of us a part of the frames. It sees those that the caller
    /// may look into: all for root.
    ///
    /// # Errors
    ///
    /// /proc is not there.
    pub fn holders(&self) -> io::Result<Vec<Holder>> {
        holders_where(|pid| {
            // Processes and descriptors come and go while we look: what is gone holds nothing.
            let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
            entries.flatten().any(|entry| {
                let descriptor = entry.file_name().to_str().and_then(|name| name.parse().ok());
                is_device(&entry.path(), self.number)
                    && descriptor.is_some_and(|descriptor| is_attached(pid, descriptor))
            })
        })
    }

    /// Opens it for reading and writing, non-blocking. It stays open when the macvtap is renamed
    /// or moved. When the macvtap is deleted, the descriptor does not tell: reads find nothing,
    /// writes succeed.
    ///
    /// # Errors
    ///
    /// Its node may not be opened; or it has none that fits, and none may be made (CAP_MKNOD).
    pub fn open(&self) -> io::Result<OwnedFd> {
        let usual = PathBuf::from(format!("/dev/tap{}", self.index));
        let (path, _mount) = if is_device(&usual, self.number) {
            (usual, None)
        } else {
            let (path, mount) = self.make_node(&usual)?;
            (path, Some(mount))
        };
        // A socket is made with it, in the namespace of the thread.
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path)
        };
        let file = self.namespace.run(open)?.map_err(|error| {
            let (major, minor) = self.major_minor();
            sentence(
                format!(
                    "the character device {major}:{minor} of the macvtap `{}` did not open (root \
                     may, or whoever owns /dev/tap{}; a container has to allow the device)",
                    self.link, self.index
                ),
                error,
            )
        })?;
        Ok(file.into())
    }

    /// A node on a file system that is attached nowhere, which goes with its descriptor.
    fn make_node(&self, usual: &Path) -> io::Result<(PathBuf, OwnedFd)> {
        let make = || -> io::Result<OwnedFd> {
            let mount = sys::detached_mount(c"tmpfs")?;
            mknodat(&mount, NODE, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, self.number)?;
            Ok(mount)
        };
        let mount = make().map_err(|error| {
            let (major, minor) = self.major_minor();
            let usual = usual.display();
            sentence(
                format!(
                    "no node was made for the macvtap `{}`: that takes CAP_MKNOD and \
                     CAP_SYS_ADMIN; `sudo mknod {usual} c {major} {minor}` makes one for all, \
                     and `sudo chown $USER {usual}` gives it to you",
                    self.link
                ),
                error,
            )
        })?;
        Ok((inside(&mount, NODE), mount))
    }

    fn major_minor(&self) -> (u32, u32) {
        (libc::major(self.number), libc::minor(self.number))
    }
}

/// The number of a link in the namespace of the calling thread, and that of its device.
fn find_here(link: &str) -> io::Result<(u32, libc::dev_t)> {
    let found = Links::here()?.expect(link)?;
    if found.kind.as_deref() != Some("macvtap") {
        let kind = found.kind.as_deref().unwrap_or("hardware");
        let text = format!("link `{link}` is there, but as {kind} and not as a macvtap");
        return Err(refused(io::ErrorKind::InvalidInput, text));
    }
    let mounted = sys::detached_mount(c"sysfs");
    let sysfs = match &mounted {
        Ok(mount) => inside(mount, ""),
        Err(_) => PathBuf::from("/sys"),
    };
    let mac = found.mac.map(|octets| octets.map(|octet| format!("{octet:02x}")).join(":"));
    let number = read_number(&sysfs, link, found.index, mac.as_deref());
    let number = number.map_err(|error| {
        let text = format!("the device number of the macvtap `{link}` was not found in sysfs");
        match &mounted {
            Ok(_) => sentence(text, error),
            // The mount was refused: that is the reason.
            Err(refusal) => sentence(
                format!("{text}; to mount one of its own namespace takes CAP_SYS_ADMIN"),
                io::Error::from(refusal.kind()),
            ),
        }
    })?;
    Ok((found.index, number))
}

/// Reads `class/net/LINK/macvtap/tapN/dev`. Number and address have to be those of the link: a
/// sysfs that we did not mount may show another one of the same name.
fn read_number(sysfs: &Path, link: &str, index: u32, mac: Option<&str>) -> io::Result<libc::dev_t> {
    let directory = sysfs.join("class/net").join(link);
    let read = |name: &str| -> io::Result<String> {
        Ok(fs::read_to_string(directory.join(name))?.trim_end().to_string())
    };
    if read("ifindex")?.parse() != Ok(index) || Some(read("address")?.as_str()) != mac {
        return Err(refused(io::ErrorKind::NotFound, "it shows another namespace"));
    }
    let text = read(&format!("macvtap/tap{index}/dev"))?;
    let number = text
        .split_once(':')
        .and_then(|(major, minor)| Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?)));
    number.ok_or_else(|| {
        let text = format!("`{}` is no device number", text.escape_debug());
        refused(io::ErrorKind::InvalidData, text)
    })
}

fn is_device(path: &Path, number: libc::dev_t) -> bool {
    fs::metadata(path).is_ok_and(|data| data.file_type().is_char_device() && data.rdev() == number)
}

/// Whether a descriptor of a process still has its macvtap. The kernel gives the device number of
/// a deleted one again, so a descriptor left over from that has the same.
fn is_attached(pid: u32, descriptor: i32) -> bool {
    // Who may not ask takes it for held.
    sys::descriptor_of(pid, descriptor).map_or(true, |copy| sys::tun_is_attached(copy.as_fd()))
}

/// A path below a descriptor.
fn inside(mount: &OwnedFd, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(mount.as_raw_fd().to_string()).join(name)
}

const NODE: &str = "tap";

#[cfg(test)]
mod tests {
    use std::process;

    use nix::unistd::write;

    use super::*;
    use crate::{
        FrameSocket, MacvlanMode, errno,
        test::{self, PATIENCE},
    };

    /// As `test::pair`, with a macvtap on `a`.
    fn pair() -> (Namespace, Namespace) {
        let (one, other) = test::pair();
        let mut links = one.links().unwrap();
        links.add_macvtap("t", "a", MacvlanMode::Bridge).unwrap();
        links.set_up("t").unwrap();
        assert!(links.wait_running("t", PATIENCE).unwrap());
        (one, other)
    }

    /// A broadcast with this number, of a type for experiments (IEEE 802).
    fn frame(number: u8) -> Vec<u8> {
        let mut frame = vec![0xff; 60];
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, number, 0x88, 0xb5]);
        frame
    }

    #[test]
    fn devices_of_two_namespaces_with_the_same_number_are_told_apart() {
        test::root!();
        let pairs = [pair(), pair()];
        let devices = pairs.each_ref().map(|(one, _)| MacvtapDevice::find(one, "t").unwrap());
        assert_eq!(devices[0].index, devices[1].index, "the numbers collide");
        assert_ne!(devices[0].number, devices[1].number);
        for (number, (device, (_, other))) in devices.iter().zip(&pairs).enumerate() {
            let fd = device.open().unwrap();
            let mut socket = FrameSocket::open(other, "b").unwrap();
            let frame = frame(number as u8);
            // Behind an empty virtio-net header of 10 octets, as is usual unless asked.
            write(&fd, &[&[0; 10][..], &frame].concat()).unwrap();
            assert!(socket.recv_matching(PATIENCE, |got| got == frame).unwrap().is_some());
        }
    }

    #[test]
    fn holder_is_found_while_it_holds_it() {
        test::root!();
        let (one, _other) = pair();
        let device = MacvtapDevice::find(&one, "t").unwrap();
        assert_eq!(device.holders().unwrap(), []);
        let fd = device.open().unwrap();
        let holders: Vec<_> = device.holders().unwrap().iter().map(|holder| holder.pid).collect();
        assert_eq!(holders, [process::id()]);
        drop(fd);
        assert_eq!(device.holders().unwrap(), []);
    }

    #[test]
    fn holder_of_a_deleted_one_does_not_hold_the_next_with_its_number() {
        test::root!();
        let (one, _other) = pair();
        let device = MacvtapDevice::find(&one, "t").unwrap();
        let fd = device.open().unwrap();
        assert!(is_attached(process::id(), fd.as_raw_fd()));
        one.links().unwrap().delete("t").unwrap();
        assert_eq!(device.holders().unwrap(), []);
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        assert!(is_device(Path::new(&path), device.number), "and yet it is open");
    }

    #[test]
    fn node_of_another_device_in_the_usual_place_is_not_taken() {
        test::root!();
        assert!(is_device(Path::new("/dev/null"), libc::makedev(1, 3)));
        assert!(!is_device(Path::new("/dev/null"), libc::makedev(1, 5)));
        assert!(!is_device(Path::new("/dev/nothing"), libc::makedev(1, 3)));
        assert!(!is_device(Path::new("/dev"), 0));
    }

    #[test]
    fn what_is_no_macvtap_or_not_there_is_told() {
        test::root!();
        let (one, _other) = pair();
        let error = MacvtapDevice::find(&one, "a").unwrap_err();
        assert_eq!(error.to_string(), "link `a` is there, but as veth and not as a macvtap");
        assert_eq!(MacvtapDevice::find(&one, "x").unwrap_err().kind(), io::ErrorKind::NotFound);
        // A number that no macvtap has: the one of a macvtap that was deleted may be another's.
        let mut device = MacvtapDevice::find(&one, "t").unwrap();
        device.number = libc::makedev(libc::major(device.number), 0xf_ffff);
        let error = device.open().unwrap_err();
        assert!(error.to_string().contains("of the macvtap `t` did not open"), "{error}");
        assert!(matches!(errno(&error), Some(libc::ENODEV | libc::ENXIO)), "{error}");
    }
}
