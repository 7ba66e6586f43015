//! Two states of the switch in turn: revisions are built, kept and compared, the same program
//! against itself shows no difference, and one that is slowed down is slower.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use uswitch_tests::{privileged, program, running::Running, tester};

use super::{lines, said};

const PATIENCE: Duration = Duration::from_secs(120);

fn ab(words: &str) -> Command {
    let mut command = Command::new(tester());
    command.arg("ab").args(words.split(' ').filter(|word| !word.is_empty()));
    command
}

/// Compares two programs in so many rounds.
fn compare(a: &Path, b: &Path, rounds: &str) -> Output {
    let output =
        ab("--binary --json --trial 0.1 --rounds").arg(rounds).arg(a).arg(b).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

#[test]
fn a_program_against_itself_shows_no_difference() {
    if !privileged() {
        return;
    }
    let begin = Instant::now();
    // Chance sees one in sixty times, as six rounds of seven that agree do: not again and again.
    loop {
        let output = compare(&program(), &program(), "7");
        let found = lines(&output, "ab");
        assert_eq!(lines(&output, "trial").len() >= 14, found.len() == 2, "{found:?}");
        assert_eq!(found[0]["rounds"].as_array().map(Vec::len), Some(7), "{found:?}");
        if found[0]["verdict"] == "no difference seen" {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{found:?}");
    }
}

#[test]
fn a_program_that_is_slowed_down_is_slower() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Every call is stopped twice. As a grandchild the tracer ends with the switch.
    let slow =
        script(folder.path(), &format!("strace -D -f -qq -o /dev/null {}", program().display()));
    let begin = Instant::now();
    // Whoever else loads the machine may turn a round round.
    loop {
        let output = compare(&program(), &slow, "7");
        let found = lines(&output, "ab");
        let verdicts = [0, 1].map(|index| (&found[index]["figure"], &found[index]["verdict"]));
        let wanted = ["rate", "smaller", "cpu_per_frame", "larger"].map(Value::from);
        let [rate, smaller, cpu, larger] = &wanted;
        if verdicts == [(rate, smaller), (cpu, larger)] {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{found:?}");
    }
}

#[test]
fn a_program_that_ends_is_a_result() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // When some system calls were made it is killed.
    let words = "strace -D -f -qq -o /dev/null -e inject=sendto,write,writev:signal=KILL:when=400";
    let ends = script(folder.path(), &format!("{words} {}", program().display()));
    let output = compare(&program(), &ends, "7");
    let found = &lines(&output, "ab")[0];
    let fault = found["fault"].as_str().unwrap_or_else(|| panic!("{found}"));
    assert!(fault.ends_with("switch.sh: its process has ended"), "{fault}");
}

/// A program that becomes another one.
fn script(folder: &Path, becomes: &str) -> PathBuf {
    let path = folder.join("switch.sh");
    fs::write(&path, format!("#!/bin/sh\nexec {becomes} \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A repository with a program of a few lines in place of the switch, which becomes the real one.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Repository {
        let repository = Repository(tempfile::tempdir().unwrap());
        repository.git("init --quiet");
        repository.write("Cargo.toml", "[package]\nname = \"uswitch\"\nedition = \"2024\"\n");
        repository.write(".gitignore", "/target\nCargo.lock\n");
        let words = "env::args_os().skip(1)";
        let main = format!(
            "use std::{{env, os::unix::process::CommandExt, process::Command}};\n\
             fn main() {{ panic!(\"{{}}\", Command::new({:?}).args({words}).exec()) }}\n",
            program()
        );
        repository.write("src/main.rs", &main);
        repository.commit();
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, words: &str) -> String {
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(self.path()).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{words}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn commit(&self) {
        self.git("add .");
        self.git("-c user.name=Somebody -c user.email=somebody@example.org commit --quiet -m some");
    }

    /// The tester in it, with these words.
    fn ab(&self, words: &str) -> Command {
        let mut command = ab(words);
        command.current_dir(self.path()).env_remove("CARGO_TARGET_DIR");
        command
    }

    fn assert_no_worktree(&self) {
        assert_eq!(self.git("worktree list").lines().count(), 1);
        let left = fs::read_dir(self.path().join("target/ab")).unwrap();
        let mut names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.any(|name| name.starts_with("tree")));
    }
}

const BUILT: &str = "--profile dev --json --rounds 1 --trial 0.02";

#[test]
fn revisions_and_the_tree_as_it_is_are_built_and_those_kept_are_not_built_again() {
    if !privileged() {
        return;
    }
    let repository = Repository::new();
    let output = repository.ab(&format!("HEAD . {BUILT}")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = &lines(&output, "ab")[0];
    assert_eq!(found["verdict"], "too few rounds", "{found}");
    let commit = repository.git("rev-parse HEAD");
    assert_eq!(found["a"]["commit"], commit.trim());
    assert_eq!((&found["b"]["name"], &found["b"]["commit"]), (&".".into(), &().into()));
    repository.assert_no_worktree();

    let again = repository.ab(&format!("HEAD HEAD {BUILT}")).env("CARGO", "/nowhere").output();
    let again = again.unwrap();
    assert_eq!(again.status.code(), Some(0), "nothing is built: {}", said(&again));
}

#[test]
fn revisions_that_make_no_sense_are_told() {
    if !privileged() {
        return;
    }
    let refused = |mut command: Command, cure: &str| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(cure), "{}", said(&output));
    };
    let repository = Repository::new();
    refused(repository.ab(&format!("HEAD no-such {BUILT}")), "no revision `no-such`");
    repository.write("src/main.rs", "fn main() { nonsense }\n");
    repository.commit();
    refused(repository.ab(&format!("HEAD . {BUILT}")), "does not build");
    refused(repository.ab(&format!("HEAD~1 . {BUILT}")), "cannot find value `nonsense`");
    repository.assert_no_worktree();
    let mut without = repository.ab("HEAD . --rounds 1");
    without.env("PATH", "/nowhere");
    refused(without, "take `git`, which is not installed");

    let nowhere = tempfile::tempdir().unwrap();
    let mut command = ab("HEAD .");
    command.current_dir(nowhere.path());
    refused(command, "not a git repository");
    refused(ab("--binary /nowhere/a /nowhere/b"), "there is no program `/nowhere/a`");
    refused(ab("a b --uswitch c"), "`ab --binary A B`");
}

#[test]
fn an_interrupt_while_it_builds_leaves_no_worktree() {
    if !privileged() {
        return;
    }
    let repository = Repository::new();
    // It tells that it builds, and does not end by itself.
    let (cargo, builds) = (repository.path().join("cargo.sh"), repository.path().join("builds"));
    fs::write(&cargo, format!("#!/bin/sh\n: > {}\nexec tail -f /dev/null\n", builds.display()))
        .unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = repository.ab("HEAD HEAD");
    command.env("CARGO", &cargo).process_group(0).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let begin = Instant::now();
    while !builds.exists() {
        assert!(begin.elapsed() < PATIENCE, "it builds");
        thread::sleep(Duration::from_millis(10));
    }
    running.signal("-INT");
    assert_eq!(running.0.wait().unwrap().code(), Some(130));
    repository.assert_no_worktree();
}
