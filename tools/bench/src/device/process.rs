//! A process of a device's, which ends with the tester, however that ends.
//!
//! Before each a shell is started that waits for the end of its standard input, whose other end the
//! tester holds: when the tester ends, even by SIGKILL, the shell kills its group, into which the
//! process is born, with whatever that has started. (The signal of prctl(2), PR_SET_PDEATHSIG,
//! comes when the thread ends that started the process, and those that start one in another
//! namespace end at once.)

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
    /// Starts one in a group that is not the tester's: out of reach of the terminal's Ctrl-C, which
    /// is for the tester.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Process> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).process_group(0).stdin(Stdio::piped());
        let mut guard = guard.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        match command.process_group(guard.id() as i32).spawn() {
            Ok(child) => Ok(Process { child, guard }),
            Err(error) => {
                end(&mut guard);
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
        // The group bears the guard's number, which is nobody else's until it is waited for.
        end(&mut self.guard);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends a guard with its group.
fn end(guard: &mut Child) {
    let _ = killpg(Pid::from_raw(guard.id() as i32), Signal::SIGKILL);
    let _ = guard.wait();
}

/// What a guard does.
const GUARD: &str = "read -r _; kill -KILL 0";
