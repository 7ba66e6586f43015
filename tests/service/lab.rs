//! A switch in a folder of its own, as a service manager would start it.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;
use uswitch_tests::{exchange::PATIENCE, program, running::Running};

/// A folder, and the switch that runs there.
pub struct Lab {
    folder: TempDir,
    running: Option<Running>,
}

impl Lab {
    /// An empty folder.
    pub fn new() -> Lab {
        Lab { folder: tempfile::tempdir().unwrap(), running: None }
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A port for clients at the socket of this name.
    pub fn port(&self, name: &str) -> String {
        format!("--port=stream:{}", self.path(name).display())
    }

    /// The program. What it says goes to a file.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        let log = File::create(self.path("log")).unwrap();
        command.arg("--no-control").args(words).stdin(Stdio::null());
        command.stderr(log.try_clone().unwrap()).stdout(log);
        command
    }

    /// Starts a command of ours.
    pub fn start(&mut self, mut command: Command) {
        self.running = Some(Running(command.spawn().unwrap()));
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub fn said(&self, what: &str) {
        eventually(what, || self.log().contains(what));
    }

    /// Sends the switch a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        self.running.take().unwrap().0.wait().unwrap()
    }
}

/// Waits for a condition.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::yield_now();
    }
}
