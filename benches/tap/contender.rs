//! Those who take part: each stands between two hosts, and is a process of its own if it is not
//! the kernel.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitCode, Stdio},
    time::Duration,
};

use netlab::Namespace;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use uswitch::{
    port::tap::{Tap, TapConfig},
    switch::{self, BusyPoll, PortConfig, SwitchConfig},
};

use crate::bare::{self, Loop, Wait};

/// The environment variable that tells a child which contender it is.
pub const ROLE: &str = "USWITCH_TAP_ROLE";
/// The name of a host's link.
pub const LINK: &str = "eth0";
/// The hosts' addresses.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// How long `--busy-poll 50` spins.
const SPIN: Duration = Duration::from_micros(50);

/// One that takes part.
pub struct Contender {
    /// In tables.
    pub name: &'static str,
    /// The namespaces at its two ends, each with a link [`LINK`].
    pub hosts: [Namespace; 2],
    /// Its processes; the first does the work.
    pub processes: Vec<Child>,
    /// It burns a processor, so it is stopped while others are measured.
    pub polls: bool,
    /// The namespace in which it lives, if not with us.
    pub _between: Option<Namespace>,
    /// Where its sockets are.
    pub _folder: Option<Folder>,
}

impl Contender {
    /// A bare loop.
    pub fn bare(name: &'static str, threads: Loop, wait: Wait) -> io::Result<Option<Contender>> {
        let threads = match threads {
            Loop::Single => 1,
            Loop::Pair => 2,
        };
        Contender::ours(name, "bare", threads, wait)
    }

    /// The switch.
    pub fn switch(name: &'static str, workers: usize, wait: Wait) -> io::Result<Option<Contender>> {
        Contender::ours(name, "switch", workers, wait)
    }

    /// A child of this program, which makes its TAPs in the hosts' namespaces.
    fn ours(
        name: &'static str,
        kind: &str,
        threads: usize,
        wait: Wait,
    ) -> io::Result<Option<Contender>> {
        let hosts = [Namespace::new()?, Namespace::new()?];
        let wait_text = match wait {
            Wait::Sleep => "sleep",
            Wait::Spin => "spin",
            Wait::Always => "always",
        };
        let [a, b] = [0, 1]
            .map(|i: usize| format!("/proc/{}/fd/{}", process::id(), hosts[i].as_fd().as_raw_fd()));
        let mut child = Command::new(env::current_exe()?)
            .env(ROLE, format!("{kind} {threads} {wait_text} {a} {b}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        if line != "ready\n" {
            return Err(io::Error::other(format!("`{name}` did not start")));
        }
        let polls = wait == Wait::Always;
        let processes = vec![child];
        let contender = Contender { name, hosts, processes, polls, _between: None, _folder: None };
        contender.address()?;
        Ok(Some(contender))
    }

    /// The kernel's bridge in a namespace of its own, with veth pairs.
    pub fn kernel_bridge(name: &'static str) -> io::Result<Option<Contender>> {
        let (between, hosts) = (Namespace::new()?, [Namespace::new()?, Namespace::new()?]);
        let mut links = between.links()?;
        links.add_bridge("br")?;
        for (member, host) in ["a", "b"].into_iter().zip(&hosts) {
            links.add_veth(member, Some(host), LINK)?;
            links.set_master(member, Some("br"))?;
            links.set_up(member)?;
        }
        links.set_up("br")?;
        let (processes, between) = (Vec::new(), Some(between));
        let contender =
            Contender { name, hosts, processes, polls: false, _between: between, _folder: None };
        contender.address()?;
        Ok(Some(contender))
    }

    /// Gives the hosts their addresses, and lets each hear the other once.
    pub fn address(&self) -> io::Result<()> {
        for (host, address) in self.hosts.iter().zip(ADDRESSES) {
            let mut links = host.links()?;
            let prefix = format!("{address}/24").parse().map_err(io::Error::other)?;
            links.add_address(LINK, prefix)?;
            links.set_up(LINK)?;
        }
        let other = ADDRESSES[1].parse().expect("an address");
        netlab::ping(&self.hosts[0], other, 1, Duration::from_secs(10))?;
        if self.polls {
            self.signal(Signal::SIGSTOP);
        }
        Ok(())
    }

    /// Stops or continues one that polls.
    pub fn signal(&self, signal: Signal) {
        for child in &self.processes {
            // It has ended: the measurement will show that.
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        for child in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a child does: opens its TAPs and runs until its parent ends.
pub fn play(role: &str) -> ExitCode {
    let words: Vec<_> = role.split(' ').collect();
    let [kind, threads, wait, a, b] = words[..] else { panic!("a role has five words") };
    let threads: usize = threads.parse().expect("threads are a number");
    let taps = [a, b].map(|namespace| {
        let netns = Some(Namespace::open(namespace).expect("the parent holds its namespaces"));
        Tap::open(&TapConfig { netns, ..TapConfig::named(LINK) }).expect("a TAP is made")
    });
    // The parent holds the other end of our standard input: it ends, and so do we.
    std::thread::spawn(|| {
        let _ = io::stdin().read_line(&mut String::new());
        process::exit(0);
    });
    let wait = match wait {
        "sleep" => Wait::Sleep,
        "spin" => Wait::Spin,
        _ => Wait::Always,
    };
    if kind == "bare" {
        println!("ready");
        let threads = if threads == 1 { Loop::Single } else { Loop::Pair };
        bare::run(taps, threads, wait);
    } else {
        let busy_poll = match wait {
            Wait::Sleep => BusyPoll::Off,
            Wait::Spin => BusyPoll::For(SPIN),
            Wait::Always => BusyPoll::Always,
        };
        let config = SwitchConfig { workers: threads, busy_poll, ..SwitchConfig::default() };
        let mut handle = switch::start(&config).expect("a switch starts");
        for (name, tap) in ["a", "b"].into_iter().zip(taps) {
            handle.add(PortConfig::named(name), tap).expect("a port is added");
        }
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    ExitCode::SUCCESS
}

/// A folder for sockets and databases, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Makes one.
    pub fn new(name: &str) -> io::Result<Folder> {
        let folder = Path::new("/tmp").join(format!("uswitch-bench-{name}-{}", process::id()));
        fs::create_dir(&folder)?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
