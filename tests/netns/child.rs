//! Tests that need a process of their own run this very program again, for one test.

use std::{env, process::Command};

/// Set, to what the child has to know, in a child.
const CHILD: &str = "USWITCH_TEST_CHILD";

/// What the parent said, if this is the child.
pub fn told() -> Option<String> {
    env::var(CHILD).ok()
}

/// The program again, to run only the test of this path with what it has to know.
pub fn command(test: &str, word: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a test knows its own path"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, word);
    command
}

/// Whether the calling test is alone in its process. If not, it is run so, and has to succeed.
pub fn alone(test: &str) -> bool {
    if told().is_some() {
        return true;
    }
    let status = command(test, "alone").status().expect("this program runs again");
    assert!(status.success(), "{test} succeeds in a process of its own");
    false
}
