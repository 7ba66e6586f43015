//! The README's table of what can be plugged in: each of its lines is run, as it stands there, but
//! for its folder and the name of its namespace. Needs root, QEMU and passt.

use std::{
    fs,
    io::Read,
    os::unix::net::UnixStream,
    path::Path,
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netlab::{Namespace, Prefix};
use uswitch_tests::{privileged, program, running::Running};

const README: &str = include_str!("../README.md");
/// The heads of the table's columns.
const HEAD: &str = "| to plug in | `uswitch` | the other side |";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_line_of_the_table_works() {
    if !privileged() {
        return;
    }
    let rows: Vec<_> = rows().collect();
    assert!(rows.len() >= 15, "the table is there: {} lines", rows.len());
    thread::scope(|scope| {
        for (number, [what, port, other]) in rows.iter().enumerate() {
            scope.spawn(move || Row::new(number, what).try_it(port, other));
        }
    });
}

/// The lines of the table: what is plugged in, our words, the other side's.
fn rows() -> impl Iterator<Item = [String; 3]> {
    let table = README.lines().skip_while(|line| *line != HEAD).skip(2);
    table.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let cells = cells.iter().map(|cell| cell.trim().trim_matches('`').to_owned());
        let cells: Vec<_> = cells.collect();
        cells.try_into().unwrap_or_else(|cells| panic!("three cells: {cells:?}"))
    })
}

/// One line, and the machine on which it is tried.
struct Row<'a> {
    what: &'a str,
    machine: Namespace,
    folder: tempfile::TempDir,
    /// What the README calls `red`.
    name: String,
}

impl Row<'_> {
    fn new(number: usize, what: &str) -> Row<'_> {
        let machine = Namespace::new().unwrap();
        let mut links = machine.links().unwrap();
        // passt wants to know where the machine's own way out is.
        links.add_veth("way-out", None, "nowhere").unwrap();
        links.add_address("way-out", "198.51.100.2/24".parse().unwrap()).unwrap();
        links.set_up("nowhere").unwrap();
        links.set_up("way-out").unwrap();
        let router = "198.51.100.1".parse().unwrap();
        links.add_route(Prefix::ALL_V4, Some(router), Some("way-out")).unwrap();
        let name = format!("readme-{}-{number}", process::id());
        Row { what, machine, folder: tempfile::tempdir().unwrap(), name }
    }

    fn try_it(&self, port: &str, other: &str) {
        let (port, other) = (self.here(port), self.here(other));
        if other.starts_with("ip ") {
            self.run(&other);
        }
        let _passt = other.starts_with("passt ").then(|| {
            // As root it would become nobody, who has no right to the folder.
            self.spawn(&format!("{other} --runas 0"), "passt.log")
        });
        let beside = "--port host:beside0 --no-control";
        let uswitch = format!("{} {port} {beside}", program().display());
        let switch = self.spawn(&uswitch, "uswitch.log");
        self.await_word("Ctrl-C ends it");
        let qemu = other.starts_with("-netdev ").then(|| self.qemu(&other));
        let listens = port.contains("stream:") && !port.contains("connect=on");
        if listens || port.contains("vde:") || other.starts_with("passt ") {
            self.await_word(": connected");
        }
        drop(qemu);
        switch.signal("-TERM");
        self.await_word("learned addresses");
    }

    /// Starts QEMU with a machine that stands still, and waits until it has opened everything.
    fn qemu(&self, netdev: &str) -> Running {
        let monitor = self.folder.path().join("monitor");
        let text = format!(
            "qemu-system-x86_64 -accel tcg -machine q35 -nodefaults -display none -S -m 32 \
             -qmp unix:{},server=on,wait=off {netdev} -device virtio-net-pci,netdev=n0,romfile=",
            monitor.display()
        );
        let mut qemu = self.spawn(&text, "qemu.log");
        let begin = Instant::now();
        loop {
            // It greets from its main loop: everything is open by then.
            if let Ok(mut monitor) = UnixStream::connect(&monitor)
                && monitor.read(&mut [0; 1]).is_ok_and(|len| len == 1)
            {
                return qemu;
            }
            let ended = qemu.0.try_wait().unwrap();
            let in_time = begin.elapsed() < PATIENCE;
            assert!(ended.is_none() && in_time, "{}: {}", self.what, self.log("qemu.log"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The text with this row's folder and namespace.
    fn here(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.path().display());
        text.replace("/run/", &folder)
            .replace("size=512M", "size=32M")
            .replace("=red", &format!("={}", self.name))
            .replace("netns add red", &format!("netns add {}", self.name))
    }

    fn run(&self, text: &str) {
        let mut command = command(text);
        let status = self.machine.run(|| command.status()).unwrap().unwrap();
        assert!(status.success(), "{}: `{text}`", self.what);
    }

    fn spawn(&self, text: &str, log: &str) -> Running {
        let log = fs::File::create(self.folder.path().join(log)).unwrap();
        let mut command = command(text);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.machine.run(|| command.spawn()).unwrap();
        Running(child.unwrap_or_else(|error| panic!("{}: `{text}`: {error}", self.what)))
    }

    /// Waits until the switch has said something.
    fn await_word(&self, word: &str) {
        let begin = Instant::now();
        while !self.log("uswitch.log").contains(word) {
            let said = self.log("uswitch.log");
            assert!(begin.elapsed() < PATIENCE, "{}: `{word}` is not in: {said}", self.what);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        if Path::new("/run/netns").join(&self.name).exists() {
            let _ = command(&format!("ip netns del {}", self.name)).status();
        }
    }
}

fn command(text: &str) -> Command {
    let mut words = text.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}
