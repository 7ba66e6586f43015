//! Programs of revisions: each is checked out into a worktree of its own under `target/ab`, built
//! there, and kept by the name of its commit, so that a second run builds nothing.
//!
//! ```text
//! target/ab/lock            held by whoever builds or measures
//!          /a, /b           Cargo's target folders: dependencies are built once
//!          /tree-a, /tree-b the worktrees, while they are built
//!          /kept/COMMIT-PROFILE/uswitch
//! ```

use std::{
    env, fs,
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use indicatif::ProgressBar;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use uswitch_bench::stop::Stop;

use super::Side;

/// The words that mean the tree as it is, with what was not committed.
const AS_IT_IS: [&str; 2] = [".", "worktree"];

/// The git repository in which this is run.
pub(super) struct Repository {
    root: PathBuf,
    /// `target/ab`.
    folder: PathBuf,
    _lock: File,
}

impl Repository {
    /// Finds it, and keeps others from building in it.
    ///
    /// # Errors
    ///
    /// There is no git, no repository, or somebody else builds.
    pub(super) fn here() -> io::Result<Repository> {
        let root = git(Path::new("."), &["rev-parse", "--show-toplevel"])?;
        let root = PathBuf::from(root);
        let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let folder = root.join(target).join("ab");
        let failed = |error| wrong(&format!("`{}` could not be made", folder.display()), &error);
        fs::create_dir_all(folder.join("kept")).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Repository { root, folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = "another `uswitch-bench ab` of this tree runs: wait until it has ended";
                Err(io::Error::other(text))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The program of a revision, built if it was not. `None`: it was stopped.
    ///
    /// # Errors
    ///
    /// There is no such revision, or it does not build.
    pub(super) fn build(
        &self,
        place: &str,
        revision: &str,
        profile: &str,
        stop: &Stop,
    ) -> io::Result<Option<Side>> {
        let name = revision.to_owned();
        if AS_IT_IS.contains(&revision) {
            let kept = self.folder.join("kept").join(format!("as-it-is-{place}"));
            let built = self.cargo(&self.root, place, &name, profile, stop)?;
            let Some(built) = built else { return Ok(None) };
            return Ok(Some(Side { name, commit: None, program: keep(&built, &kept)? }));
        }
        let asked = format!("{revision}^{{commit}}");
        let commit = git(&self.root, &["rev-parse", "--verify", "--end-of-options", &asked]);
        let commit = commit.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error,
            _ => io::Error::other(format!(
                "there is no revision `{revision}` in `{}`: `git log --oneline` lists them, and \
                 `.` is the tree as it is",
                self.root.display()
            )),
        })?;
        let kept = self.folder.join("kept").join(format!("{commit}-{profile}"));
        let program = kept.join(PROGRAM);
        if program.is_file() {
            return Ok(Some(Side { name, commit: Some(commit), program }));
        }
        self.forget_old()?;
        let tree = Tree::checkout(self, place, &commit)?;
        let shown = format!("{revision} ({commit:.12})");
        let built = self.cargo(&tree.path, place, &shown, profile, stop)?;
        let Some(built) = built else { return Ok(None) };
        Ok(Some(Side { name, commit: Some(commit), program: keep(&built, &kept)? }))
    }

    /// Builds the switch in a tree. `None`: it was stopped.
    fn cargo(
        &self,
        tree: &Path,
        place: &str,
        shown: &str,
        profile: &str,
        stop: &Stop,
    ) -> io::Result<Option<PathBuf>> {
        let (target, log) = (self.folder.join(place), self.folder.join(format!("{place}.log")));
        let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        command.args(["build", "--quiet", "--package", PROGRAM, "--bin", PROGRAM]);
        command.args(["--profile", profile]).current_dir(tree).env("CARGO_TARGET_DIR", &target);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        // Out of reach of the terminal's Ctrl-C: it is ended from here, with all that it runs.
        let child = command.process_group(0).spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::other(
                "there is no `cargo` in PATH: with sudo, `sudo env PATH=$PATH uswitch-bench ...`",
            ),
            _ => wrong("`cargo` did not start", &error),
        })?;
        let bar = ProgressBar::new_spinner().with_message(format!("building {shown}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        let built = end(child, stop)?;
        bar.finish_and_clear();
        match built {
            None => Ok(None),
            Some(true) => {
                let folder = if profile == "dev" { "debug" } else { profile };
                Ok(Some(target.join(folder).join(PROGRAM)))
            }
            Some(false) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let first: Vec<_> = said.lines().take(LINES_TOLD).collect();
                let (first, log) = (first.join("\n"), log.display());
                let text = format!("{shown} does not build; all of it is in `{log}`:\n{first}");
                Err(io::Error::other(text))
            }
        }
    }

    /// Makes room for one more program.
    fn forget_old(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.folder.join("kept"))? {
            let entry = entry?;
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
        kept.sort();
        for (_, path) in kept.iter().rev().skip(KEPT_MAX - 1) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// A commit's files, for as long as they are built.
struct Tree<'a> {
    repository: &'a Repository,
    path: PathBuf,
}

impl<'a> Tree<'a> {
    fn checkout(repository: &'a Repository, place: &str, commit: &str) -> io::Result<Tree<'a>> {
        let tree = Tree { repository, path: repository.folder.join(format!("tree-{place}")) };
        // Of a run that was killed.
        tree.remove();
        let path = tree.path.to_string_lossy();
        git(&repository.root, &["worktree", "add", "--detach", "--force", &path, commit])?;
        Ok(tree)
    }

    fn remove(&self) {
        let path = self.path.to_string_lossy();
        // It is not there: as good.
        let _ = git(&self.repository.root, &["worktree", "remove", "--force", &path]);
        let _ = fs::remove_dir_all(&self.path);
        let _ = git(&self.repository.root, &["worktree", "prune"]);
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits until a build has ended, and says whether well. `None`: it was stopped.
fn end(mut child: Child, stop: &Stop) -> io::Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!stop.is_given()).then_some(status.success()));
        }
        if stop.is_given() {
            // It has ended meanwhile: as good.
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Copies a program to where no other build replaces it.
fn keep(program: &Path, folder: &Path) -> io::Result<PathBuf> {
    let copy = || -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let (part, whole) = (folder.join("part"), folder.join(PROGRAM));
        fs::copy(program, &part)?;
        // In one step: half of a program is never taken for one.
        fs::rename(part, &whole)?;
        Ok(whole)
    };
    copy().map_err(|error| wrong(&format!("`{}` could not be kept", program.display()), &error))
}

/// What git says to these words.
fn git(folder: &Path, words: &[&str]) -> io::Result<String> {
    let mut command = Command::new("git");
    let output = command.arg("-C").arg(folder).args(words).stdin(Stdio::null()).output();
    let output: Output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let text = "revisions take `git`, which is not installed: `ab --binary A B` compares \
                        programs";
            io::Error::new(ErrorKind::NotFound, text)
        }
        _ => wrong("`git` did not start", &error),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("git {}: {}", words[0], said.trim())))
}

fn wrong(what: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("{what}: {}", netlab::reason(error)))
}

/// The package and its program.
const PROGRAM: &str = "uswitch";

/// Programs of commits that are kept, of some megabytes each.
const KEPT_MAX: usize = 16;

/// Lines of a build's errors that are told.
const LINES_TOLD: usize = 20;

/// How often it is looked whether a build has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
