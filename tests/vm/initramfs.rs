//! What a guest boots: a busybox that says when it is ready, and then runs what it is told.

use std::{
    env,
    fs::{self, File},
    io::Write,
    os::fd::AsRawFd,
    path::PathBuf,
    process,
    sync::OnceLock,
};

use uswitch_tests::privileged;

/// What a station's shell does with each line on its input: the answer is what the command says,
/// then a line with its exit code behind a mark.
pub const LOOP: &str = "while read -r line; do
    (eval \"$line\") </dev/null 2>&1
    printf '\\n%s%d\\n' '@@' $?
done";

/// The first that a guest says when it is ready.
pub const READY: &str = "the guest is ready";

/// The modules of a guest with a virtio card on PCI, each behind those that it needs.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// The first process of a guest, before its [`LOOP`]. The kernel's parameter `address` has become
/// a variable. If anything fails, the process ends, the kernel panics and QEMU ends.
const INIT: &str = "#!/bin/busybox sh
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
stty -echo
for module in $(cat /modules); do insmod /$module.ko; done
ip link set lo up
ip address add $address dev eth0
ip link set eth0 up
dmesg -n 1
cd /tmp
set +e
";

/// Whether guests can be started: by root, with a kernel for them. If not, says aloud that the test
/// is skipped; with `CI=true` that is a failure, for there everything runs.
///
/// # Panics
///
/// If they cannot, and `CI` is `true`.
pub fn equipped() -> bool {
    if !privileged() {
        return false;
    }
    let there = kernel().exists();
    if !there {
        let missing = "guests need a kernel, which tests/vm/kernel.sh fetches";
        assert!(env::var("CI").as_deref() != Ok("true"), "CI runs all tests: {missing}");
        eprintln!("SKIPPED: {missing}");
    }
    there
}

/// The kernel of all guests.
pub fn kernel() -> PathBuf {
    folder().join("vmlinuz")
}

/// The octets of a module of that kernel.
pub fn module(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.ko"));
    let again = "of an older tests/vm/kernel.sh? Remove the folder and run it again";
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error} ({again})", path.display()))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guest")
}

/// The initial file system of all guests: a path that leads to a file without a name, so that
/// nothing is left behind.
pub fn initramfs() -> String {
    static FILE: OnceLock<File> = OnceLock::new();
    path(FILE.get_or_init(|| build().file()))
}

/// The path of a file without a name, as long as that is open.
pub fn path(file: &File) -> String {
    format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd())
}

fn build() -> Archive {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.add(folder, FOLDER, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &fs::read("/bin/busybox").expect("busybox-static"));
    archive.add("modules", PROGRAM, MODULES.join("\n").as_bytes());
    for module in MODULES {
        archive.add(&format!("{module}.ko"), PROGRAM, &self::module(module));
    }
    let init = format!("{INIT}echo {READY}\n{LOOP}\npoweroff -f\n");
    archive.add("init", PROGRAM, init.as_bytes());
    archive
}

/// A cpio archive of the kind "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
pub struct Archive(Vec<u8>);

/// Modes, as in stat(2): a folder, a file that may be run, one that may not, a link.
pub const FOLDER: u32 = 0o040_755;
pub const PROGRAM: u32 = 0o100_755;
pub const TEXT: u32 = 0o100_644;
pub const LINK: u32 = 0o120_777;

impl Archive {
    /// A file without a name that has it.
    pub fn file(mut self) -> File {
        self.add("TRAILER!!!", 0, &[]);
        let mut file = tempfile::tempfile().expect("a file for the initramfs");
        file.write_all(&self.0).expect("the initramfs is written");
        file
    }

    /// Adds one, behind the folder in which it is. The octets of a link are where it leads.
    pub fn add(&mut self, path: &str, mode: u32, octets: &[u8]) {
        let (links, inode, size, path_size) = (1, 0, octets.len(), path.len() + 1);
        let zero = 0;
        // Inode, mode, uid, gid, links, mtime, size, two device numbers of two parts each, the
        // size of the path with the zero behind it, and a checksum that this kind leaves out.
        let head = format!(
            "070701{inode:08x}{mode:08x}{zero:08x}{zero:08x}{links:08x}{zero:08x}{size:08x}\
             {zero:08x}{zero:08x}{zero:08x}{zero:08x}{path_size:08x}{zero:08x}{path}\0"
        );
        for part in [head.as_bytes(), octets] {
            self.0.extend_from_slice(part);
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
    }
}
