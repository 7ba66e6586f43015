//! The file system of a machine with systemd: files of this machine, those that they are linked
//! with, and what the package of the switch has.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::Command,
    sync::OnceLock,
};

use uswitch_tests::program;

use crate::initramfs::{Archive, FOLDER, LINK, LOOP, PROGRAM, READY, TEXT, module, path};

/// What is started in there, beside a busybox and the switch.
const PROGRAMS: [&str; 4] = [
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-journald",
    "/usr/bin/systemctl",
    "/usr/bin/journalctl",
];

/// Units of this machine.
const UNITS: [&str; 10] = [
    "sysinit.target",
    "basic.target",
    "multi-user.target",
    "shutdown.target",
    "umount.target",
    "network.target",
    "network-pre.target",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
];

/// What the package has in /usr/lib/systemd/system.
const OURS: [(&str, &str); 2] = [
    ("uswitch.service", include_str!("../../../switch/package/systemd/uswitch.service")),
    ("uswitch@.service", include_str!("../../../switch/package/systemd/uswitch@.service")),
];

/// The modules of the devices that a switch makes, and of a card, each behind those that it needs.
const MODULES: [&str; 6] = ["tun", "veth", "macvlan", "tap", "macvtap", "dummy"];

/// What the test talks to.
const CONSOLE: &str = "[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh /console
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Environment=PATH=/usr/bin SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0 SYSTEMD_PAGER=cat TERM=dumb
";

/// The first process, which then is systemd.
const INIT: &str = "#!/bin/busybox sh
set -e
/bin/busybox --install -s /usr/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in $(cat /modules); do insmod /$module.ko; done
dmesg -n 1
exec /usr/lib/systemd/systemd
";

/// The path of the initial file system, which leads to a file without a name.
pub fn initramfs() -> String {
    static FILE: OnceLock<File> = OnceLock::new();
    path(FILE.get_or_init(|| build().file()))
}

fn build() -> Archive {
    let mut archive = Archive::default();
    folders(&mut archive);
    for (link, to) in [("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib")] {
        archive.add(link, LINK, to.as_bytes());
    }
    archive.add("lib64", LINK, b"usr/lib64");
    let (folder, ours) = stripped();
    for path in PROGRAMS.map(str::to_owned).into_iter().chain(libraries(&ours)) {
        archive.add(&merged(&path), PROGRAM, &octets(&path));
    }
    archive.add("usr/bin/uswitch", PROGRAM, &octets(&ours));
    drop(folder);
    archive.add("usr/bin/busybox", PROGRAM, &octets("/bin/busybox"));
    for name in MODULES {
        archive.add(&format!("{name}.ko"), TEXT, &module(name));
    }
    archive.add("modules", TEXT, MODULES.join("\n").as_bytes());
    units(&mut archive);
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
        ("etc/machine-id", ""),
        ("etc/uswitch/uswitch.toml", include_str!("../../../switch/package/uswitch.toml")),
    ] {
        archive.add(path, TEXT, text.as_bytes());
    }
    let console = format!("stty -echo\necho {READY}\n{LOOP}\npoweroff -f\n");
    archive.add("console", TEXT, console.as_bytes());
    archive.add("init", PROGRAM, INIT.as_bytes());
    archive
}

fn folders(archive: &mut Archive) {
    let here = "dev proc sys run tmp root home var var/lib var/tmp etc etc/uswitch etc/systemd \
                etc/systemd/system usr usr/bin usr/lib64 usr/lib usr/lib/systemd \
                usr/lib/systemd/system usr/lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu/systemd";
    here.split(' ').for_each(|folder| archive.add(folder, FOLDER, &[]));
}

fn units(archive: &mut Archive) {
    let system = "usr/lib/systemd/system";
    for name in UNITS {
        archive.add(&format!("{system}/{name}"), TEXT, &octets(&format!("/{system}/{name}")));
    }
    for (name, text) in OURS.into_iter().chain([("console.service", CONSOLE)]) {
        archive.add(&format!("{system}/{name}"), TEXT, text.as_bytes());
    }
    archive.add(&format!("{system}/default.target"), LINK, b"multi-user.target");
    for (target, unit) in [
        ("sysinit", "systemd-journald.socket"),
        ("sysinit", "systemd-journald.service"),
        ("multi-user", "console.service"),
    ] {
        let wants = format!("{system}/{target}.target.wants");
        archive.add(&wants, FOLDER, &[]);
        archive.add(&format!("{wants}/{unit}"), LINK, format!("../{unit}").as_bytes());
    }
}

/// The switch without what only a debugger reads, and the folder in which it is.
fn stripped() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder for the switch");
    let path = folder.path().join("uswitch").display().to_string();
    let done = Command::new("strip").args(["-o", &path]).arg(program()).status();
    assert!(done.expect("Debian's package binutils has strip").success());
    (folder, path)
}

/// All libraries of these programs and of the switch, and what loads them.
fn libraries(ours: &str) -> BTreeSet<String> {
    let told = Command::new("ldd").args(PROGRAMS).arg(ours).output().expect("ldd");
    let text = String::from_utf8(told.stdout).unwrap();
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)`; a program's own line ends in
    // a colon.
    let words = text.lines().filter(|line| !line.ends_with(':')).flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// Where a file of this machine is in the guest: /lib and its like lead to /usr.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches('/');
    if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") }
}

fn octets(path: &str) -> Vec<u8> {
    fs::read(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
