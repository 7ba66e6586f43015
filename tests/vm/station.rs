//! Stations: guests under QEMU and hosts in namespaces, both steered through a shell.
//!
//! A shell reads a command a line and answers with what the command says, and its exit code. A
//! guest's is at the other end of its serial console, a host's at pipes: the test cannot tell
//! them apart. What does not answer in time ends the test, with all that it ever said.

use std::{
    io::{BufRead, BufReader, PipeReader, Write, pipe},
    os::fd::{AsFd, AsRawFd},
    process::{self, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use netlab::Namespace;
use tempfile::TempDir;
use uswitch_tests::running::Running;

use crate::initramfs::{LOOP, READY, initramfs, kernel};

/// Memory of a guest: it boots with half of it.
const MEMORY: &str = "128M";

/// Everything to the serial port, and the end of QEMU if the kernel panics. On a machine with much
/// to do a guest's timer is late, which the kernel takes for a broken one if it looks.
const KERNEL_PARAMETERS: &str = "console=ttyS0 quiet panic=-1 no_timer_check";

/// After so long, what is awaited of a station does not come any more. A guest boots in some
/// seconds; with ten programs at each of its machine's processors, in a minute.
const PATIENCE: Duration = Duration::from_secs(240);

const QEMU: &str = "qemu-system-x86_64";

/// Opens the character device of the macvtap `$1` by a node at `$2`, as descriptor 3 of the
/// program behind them. /dev/tapN is not to be relied on: N is the number of a link, which is
/// another one in each namespace.
const OPEN_MACVTAP: &str = "set -e
    mount -t sysfs none /sys
    device=$(cat /sys/class/net/$1/macvtap/tap*/dev)
    mknod $2 c ${device%:*} ${device#*:}
    exec 3<>$2
    rm $2
    shift 2
    exec \"$@\"";

/// Octets of the file that others fetch from a station: about a second between two guests.
const FILE_OCTETS: u32 = 300_000;

/// A guest or a host.
pub struct Station {
    name: String,
    number: u8,
    running: Running,
    input: ChildStdin,
    lines: Receiver<String>,
    started: Instant,
    /// All that it said.
    console: String,
    /// Of a host: where it is at home.
    _home: Option<TempDir>,
}

impl Station {
    /// Starts a guest whose card is at the other end of this `-netdev`, less its `id`. It is of
    /// use when it has [booted](Station::booted).
    pub fn guest(namespace: &Namespace, number: u8, netdev: &str) -> Station {
        Station::qemu(inside(namespace, QEMU), number, netdev, "")
    }

    /// Starts a guest whose memory the switch shares, by a socket at this path. These are the
    /// README's words; without `vectors=0` QEMU 7.2 crashes under software emulation.
    pub fn guest_on_vhost(namespace: &Namespace, number: u8, path: &str, card: &str) -> Station {
        let mut qemu = inside(namespace, QEMU);
        let memory = format!("memory-backend-memfd,id=mem,size={MEMORY},share=on");
        qemu.args(["-object", &memory, "-machine", "memory-backend=mem"]);
        qemu.args(["-chardev", &format!("socket,id=c0,path={path}")]);
        Station::qemu(qemu, number, "vhost-user,chardev=c0", &format!(",vectors=0{card}"))
    }

    /// Starts a guest whose card is this macvtap. Its character device gets a node at `node`.
    pub fn guest_on_macvtap(namespace: &Namespace, number: u8, name: &str, node: &str) -> Station {
        let mut shell = inside(namespace, "unshare");
        shell.args(["--mount", "sh", "-c", OPEN_MACVTAP, "sh", name, node, QEMU]);
        Station::qemu(shell, number, "tap,fd=3", "")
    }

    /// Starts a guest without a card, with this initial file system and so much memory.
    pub fn alone(initrd: &str, memory: &str, parameters: &str) -> Station {
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", QEMU]);
        boot(&mut qemu, initrd, memory, parameters);
        Station::start("the guest".to_owned(), 1, qemu, None)
    }

    fn qemu(mut qemu: Command, number: u8, netdev: &str, card: &str) -> Station {
        boot(&mut qemu, &initramfs(), MEMORY, &format!("address={}/24", v4(number)));
        // `romfile=`: it boots from no network.
        qemu.args(["-netdev", &format!("{netdev},id=cable")]);
        let card = format!("virtio-net-pci,netdev=cable,romfile=,mac={}{card}", mac(number));
        qemu.args(["-device", &card]);
        Station::start(format!("guest {number}"), number, qemu, None)
    }

    /// A host in a namespace. Its processes end with it.
    pub fn host(namespace: &Namespace, number: u8) -> Station {
        let home = tempfile::tempdir().expect("a folder for a host");
        let mut shell = inside(namespace, "unshare");
        shell.args(["--pid", "--fork", "--kill-child", "/bin/busybox", "sh", "-c"]);
        let install = "mkdir bin && busybox --install -s bin && PATH=$PWD/bin";
        shell.arg(format!("{install}; echo {READY}\n{LOOP}")).current_dir(home.path());
        Station::start(format!("host {number}"), number, shell, Some(home))
    }

    fn start(name: String, number: u8, mut command: Command, home: Option<TempDir>) -> Station {
        let (reader, writer) = pipe().unwrap();
        command.stdin(Stdio::piped()).stderr(writer.try_clone().unwrap()).stdout(writer);
        let mut running = Running(command.spawn().unwrap_or_else(|e| panic!("{name}: {e}")));
        let input = running.0.stdin.take().expect("it is piped");
        let (lines, console) = (lines_of(reader), String::new());
        let started = Instant::now();
        Station { name, number, running, input, lines, started, console, _home: home }
    }

    /// Waits until it can be told what to do.
    pub fn ready(&mut self) {
        self.until(|line| line == READY);
    }

    /// The same. Then it serves its file to those that [fetch](Station::order_fetch) it, and takes
    /// in what is sent to TCP port 7.
    pub fn booted(&mut self) {
        self.ready();
        self.run(&format!("mkdir www && head -c {FILE_OCTETS} /dev/urandom >www/file"));
        self.run("httpd -h www");
        self.run("nc -ll -p 7 -e dd of=/dev/null 2>/dev/null &");
    }

    /// Its address.
    pub fn v4(&self) -> String {
        v4(self.number)
    }

    /// Runs a command to its end, which has to be a good one; what it said.
    pub fn run(&mut self, command: &str) -> String {
        self.order(command);
        self.answer()
    }

    /// Begins to run a command, whose [answer](Station::answer) is to be awaited before the next.
    pub fn order(&mut self, command: &str) {
        assert!(!command.contains('\n'), "a command is one line");
        let elapsed = self.started.elapsed();
        self.console.push_str(&format!("[told after {elapsed:.1?}: {command}]\n"));
        let sent = writeln!(self.input, "{command}");
        if let Err(error) = sent {
            self.fail(&format!("it takes no command: {error}"));
        }
    }

    /// What the command says that was ordered last: it has to end well.
    pub fn answer(&mut self) -> String {
        let begin = self.console.len();
        let last = self.until(|line| line.starts_with(MARK));
        if &last[MARK.len()..] != "0" {
            self.fail(&format!("exit code {}", &last[MARK.len()..]));
        }
        let end = self.console.len() - last.len() - 1;
        self.console[begin..end].trim_end().to_string()
    }

    /// Asks another station three times for an echo: each has to come, and once.
    pub fn order_ping(&mut self, other: &Station) {
        self.order(&format!("ping -c 3 -i 0.2 -W 20 {}", other.v4()));
    }

    /// The answer to [`Station::order_ping`].
    pub fn answer_ping(&mut self) {
        let text = self.answer();
        if !text.contains("3 packets transmitted, 3 packets received, 0% packet loss") {
            self.fail("an echo is missing or came twice");
        }
    }

    /// Waits until another station answers.
    pub fn reach(&mut self, other: &Station) {
        self.run(&format!("until ping -c 1 -W 1 {}; do true; done", other.v4()));
    }

    /// Fetches another station's file, and begins to compute its SHA-256.
    pub fn order_fetch(&mut self, other: &Station) {
        self.order(&format!("wget -q -O got http://{}/file && sha256sum got", other.v4()));
    }

    /// The SHA-256 of the file that [`Station::order_fetch`] began to fetch.
    pub fn answer_fetch(&mut self) -> String {
        digest(&self.answer())
    }

    /// The SHA-256 of its own file.
    pub fn own_digest(&mut self) -> String {
        digest(&self.run("sha256sum www/file"))
    }

    /// Sends its process a signal, named as `kill` names it: `-STOP`.
    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// All that it said, when its process has ended.
    pub fn last_words(mut self) -> String {
        let begin = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            self.console.push_str(&line);
        }
        self.running.0.wait().unwrap();
        std::mem::take(&mut self.console)
    }

    /// The next line of which this is so.
    fn until(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.console.push_str(&line);
                    self.console.push('\n');
                    if is_it(&line) {
                        return line;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.fail("it does not answer in time"),
                Err(mpsc::RecvTimeoutError::Disconnected) => self.fail("it has ended"),
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}: {what}. All that it said:\n{}", self.name, self.console);
    }
}

/// Has QEMU be a machine with nothing but a processor and a serial port.
fn boot(qemu: &mut Command, initrd: &str, memory: &str, parameters: &str) {
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    qemu.args(["-accel", "tcg", "-cpu", "max", "-machine", "q35", "-m", memory]);
    qemu.args(["-serial", "stdio", "-initrd", initrd]).arg("-kernel").arg(kernel());
    qemu.args(["-append", &format!("{KERNEL_PARAMETERS} {parameters}")]);
}

/// Behind it stands the exit code of a command, see [`LOOP`].
const MARK: &str = "@@";

/// The address of a station.
pub fn v4(number: u8) -> String {
    format!("10.0.0.{number}")
}

/// The hardware address of a guest, and of a host on a TAP.
pub fn mac(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// A namespace, as programs are told it.
pub fn spec(namespace: &Namespace) -> String {
    format!("/proc/{}/fd/{}", process::id(), namespace.as_fd().as_raw_fd())
}

/// All stations ping each other and fetch each other's file, at the same time.
pub fn all_pairs(stations: &mut [&mut Station]) {
    let digests: Vec<_> = stations.iter_mut().map(|station| station.own_digest()).collect();
    let count = stations.len();
    for distance in 1..count {
        let other = |index: usize| (index + distance) % count;
        for index in 0..count {
            let [station, other] = stations.get_disjoint_mut([index, other(index)]).unwrap();
            station.order_ping(other);
        }
        stations.iter_mut().for_each(|station| station.answer_ping());
        for index in 0..count {
            let [station, other] = stations.get_disjoint_mut([index, other(index)]).unwrap();
            station.order_fetch(other);
        }
        for index in 0..count {
            let (digest, from) = (stations[index].answer_fetch(), &stations[other(index)].name);
            assert_eq!(digest, digests[other(index)], "{}, from {from}", stations[index].name);
        }
    }
}

/// A program in a namespace that is killed when this thread ends. Both `nsenter` and `setpriv`
/// become the program: its process is the one that is started.
pub fn inside(namespace: &Namespace, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args([
        &format!("--net={}", spec(namespace)),
        "setpriv",
        "--pdeathsig",
        "KILL",
        program,
    ]);
    command
}

fn digest(answer: &str) -> String {
    answer.split_whitespace().next().unwrap_or_default().to_string()
}

/// The lines that come out of a pipe, without what ends them.
fn lines_of(reader: PipeReader) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            // Nobody listens any more when the test is over.
            let _ = sender.send(text.trim_end_matches(['\r', '\n']).to_string());
            line.clear();
        }
    });
    lines
}
