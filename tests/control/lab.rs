//! A switch with its control socket in a folder of its own, and who speaks to it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use serde_json::Value;
use tempfile::TempDir;
use uswitch_tests::{exchange::PATIENCE, program, running::Running};

use crate::station::Station;

/// A folder with sockets.
pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// An empty one.
    pub fn new() -> Lab {
        Lab { folder: tempfile::tempdir().unwrap() }
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The spec of a stream port there.
    pub fn spec(&self, name: &str) -> String {
        format!("stream:{}", self.path(name).display())
    }

    /// The program, which finds its sockets here.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).env("USWITCH_RUNTIME_DIR", self.path("run")).stdin(Stdio::null());
        command
    }

    /// Starts a switch of this name with these stream ports, and waits until it can be steered.
    /// What it says goes to a file.
    pub fn start(&self, name: &str, ports: &[&str], words: &[&str]) -> Running {
        let specs: Vec<_> =
            ports.iter().map(|port| format!("--port={}", self.spec(port))).collect();
        let mut command = self.command(&["--json", "--name", name]);
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        command.args(&specs).args(words).stderr(log.try_clone().unwrap()).stdout(log);
        let running = Running(command.spawn().unwrap());
        // Whoever comes before the ports are there waits for his answer.
        eventually("it can be steered", || {
            let line = self.try_line(name);
            line.is_some_and(|mut line| line.try_ask(r#"{"v":1,"do":"show"}"#).is_some())
        });
        running
    }

    /// What a switch has said.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap()
    }

    /// Ends it: its last report.
    pub fn end(&self, name: &str, mut running: Running) -> Value {
        running.signal("-TERM");
        assert!(running.0.wait().unwrap().success(), "{}", self.log(name));
        let log = self.log(name);
        let report = log.lines().last().unwrap_or_default();
        serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {log}"))
    }

    /// Runs a command: its exit code, what it wrote to standard output and standard error.
    pub fn run(&self, words: &str) -> (i32, String, String) {
        let words: Vec<_> = words.split_whitespace().collect();
        told(&self.command(&words).output().unwrap())
    }

    /// The same, for one that is to succeed.
    #[track_caller]
    pub fn done(&self, words: &str) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!((code, &*err), (0, ""), "{words}: {out}");
        out
    }

    /// The same for one that is to print JSON.
    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        let text = self.done(words);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
    }

    /// Where the control socket of this name is.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.path(&format!("run/{name}.sock"))
    }

    /// A connection to it, if somebody serves it.
    fn try_line(&self, name: &str) -> Option<Line> {
        let socket = UnixStream::connect(self.socket(name)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Line(BufReader::new(socket)))
    }

    /// A connection to the control socket of this name.
    pub fn line(&self, name: &str) -> Line {
        self.try_line(name).expect("somebody serves it")
    }

    /// A station at the stream port of this name.
    pub fn station(&self, port: &str) -> Station {
        Station::new(&self.path(port))
    }
}

/// What a program has told, as text.
pub fn told(output: &Output) -> (i32, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A connection to a control socket.
pub struct Line(pub BufReader<UnixStream>);

impl Line {
    /// Writes octets. That nobody hears them, the next read will tell.
    pub fn put(&mut self, octets: &[u8]) {
        let _ = self.0.get_mut().write_all(octets);
    }

    /// The next line. `None`: it was cut off.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(len) if len > 0 => {
                Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no line in time"),
            _ => None,
        }
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &str) -> Value {
        self.try_ask(request).expect("an answer")
    }

    /// The same of a switch that may end before it answers.
    fn try_ask(&mut self, request: &str) -> Option<Value> {
        self.put(format!("{request}\n").as_bytes());
        self.next()
    }
}

/// Waits for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::yield_now();
    }
}
