//! Programs that run beside a test, and end with it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use serde_json::Value;
use uswitch::stats::Counter;

/// A program that ends with its test.
pub struct Running(pub Child);

impl Running {
    /// Sends it a signal, named as `kill` names it: `-TERM`.
    ///
    /// # Panics
    ///
    /// If that signal cannot be sent.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program `uswitch` while it runs.
pub struct Program {
    running: Running,
    /// Where it speaks.
    said: BufReader<ChildStderr>,
}

impl Program {
    /// The program behind a shell that lays its descriptors: readiness to our pipe, all that it
    /// says to the other.
    pub fn command(executable: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3>&1 1>&2", "sh"]);
        // Tests run side by side, and only one of their switches could have the usual name.
        command.arg(executable).args(["--quiet", "--json", "--no-control", "--ready-fd", "3"]);
        command.args(arguments);
        command
    }

    /// Starts such a command, and returns when frames flow.
    ///
    /// # Panics
    ///
    /// If it ends before, with what it said.
    pub fn start(mut command: Command) -> Program {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let mut ready = [0];
        let read = running.0.stdout.as_mut().unwrap().read(&mut ready).unwrap();
        if read == 0 {
            let mut text = String::new();
            running.0.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
            panic!("the program is not ready: {text}");
        }
        let said = BufReader::new(running.0.stderr.take().unwrap());
        Program { running, said }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.running.0.id()
    }

    /// Sends it a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Asks it what it has counted so far.
    ///
    /// # Panics
    ///
    /// If what it says is no report.
    pub fn report(&mut self) -> Value {
        self.signal("-USR1");
        let mut text = String::new();
        self.said.read_line(&mut text).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Waits for its end: how it ended, and what it said.
    ///
    /// # Panics
    ///
    /// If that is no text.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        (self.running.0.wait().unwrap(), text)
    }

    /// Ends it and checks its accounts.
    ///
    /// # Panics
    ///
    /// If it does not end well, or they are not in order.
    pub fn stop(self) -> Value {
        self.signal("-TERM");
        let (status, text) = self.ended();
        assert_eq!(status.code(), Some(0), "{text}");
        // Before the report stands what happened meanwhile.
        let report = text.lines().last().unwrap_or_default();
        let json: Value = serde_json::from_str(report).unwrap_or_else(|e| panic!("{e}: {text}"));
        check_accounts(&json["total"]);
        json
    }
}

/// Checks the equations in the head comment of stats.rs.
///
/// # Panics
///
/// If they do not hold.
pub fn check_accounts(total: &Value) {
    let count = |counter: Counter| total[counter.name()].as_u64().unwrap();
    let drops = |on_the_way_out: bool| {
        let drops = Counter::ALL.iter().filter(|counter| counter.is_drop());
        drops.filter(|c| c.is_tx_drop() == on_the_way_out).map(|c| count(*c)).sum::<u64>()
    };
    let decided = count(Counter::RxForwarded) + count(Counter::RxFlooded);
    assert_eq!(count(Counter::RxFrames), decided + drops(false), "{total}");
    let due = count(Counter::RxForwarded) + count(Counter::RxCopies);
    assert_eq!(due, count(Counter::TxFrames) + drops(true), "{total}");
}
