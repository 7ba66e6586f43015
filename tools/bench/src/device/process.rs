//! A process of a device's, which ends with the tester, however that ends.
//!
//! Beside each stands a shell that waits for the end of its standard input, whose other end the
//! tester holds: when the tester ends, even by SIGKILL, the shell kills the device and whatever
//! that has started. (The signal of prctl(2), PR_SET_PDEATHSIG, comes when the thread ends that
//! started the process, and those that start one in another namespace end at once.)

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// A process, killed when it is dropped.
pub(super) struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    /// Starts one in a group of its own: out of reach of the terminal's Ctrl-C, which is for the
    /// tester.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Process> {
        let mut child = command.process_group(0).spawn()?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "sh", &child.id().to_string()]).process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match guard.spawn() {
            Ok(guard) => Ok(Process { child, guard }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In this order: the guard kills by number, which is somebody else's once it is free.
        end(&mut self.guard);
        end(&mut self.child);
    }
}

/// Ends a process with its group.
fn end(child: &mut Child) {
    // A number that was waited for is not ours any more.
    if matches!(child.try_wait(), Ok(None)) {
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        let _ = child.wait();
    }
}

/// What a guard does with the number of a process.
const GUARD: &str = "read -r _; kill -KILL -- -\"$1\"";
