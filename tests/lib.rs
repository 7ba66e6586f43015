//! What the tests share: the program, built before it is run, the check that a test which needs
//! privilege has it, programs that end with the test ([`running`]), numbered frames none of which
//! may be lost ([`mod@stream`]), frames from files
//! ([`captures`]), frames to be cut ([`sample`]), and a switch that the test moves by hand
//! ([`mod@bench`]).

pub mod bench;
pub mod captures;
pub mod exchange;
pub mod running;
#[path = "../switch/src/offload/sample.rs"]
pub mod sample;
pub mod stream;

use std::{env, path::PathBuf, process::Command, sync::OnceLock};

/// The program `uswitch`, built from this tree in the profile of the tests.
///
/// # Panics
///
/// If it cannot be built.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("uswitch")).clone()
}

/// The program `uswitch-bench`, likewise.
///
/// # Panics
///
/// If it cannot be built.
pub fn tester() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("uswitch-bench")).clone()
}

/// Cargo names the program's path to tests of its own package only, so it is built from here;
/// that takes a moment when it is up to date. After `cargo test --workspace` it is: packages of the
/// workspace ask for different features of the same crates, so what is built for one of them alone
/// is built anew, but for who chooses all of them and a target of tests, features are the same.
fn build(name: &str) -> PathBuf {
    // This test is TARGET/PROFILE/deps/NAME, the program TARGET/PROFILE/`name`.
    let test = env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("two folders up");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--test", "unshare_user", "--bin", name])
        .args(["--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the program is built");
    folder.join(name)
}

/// Whether this process is root. If it is not, says aloud that the test is skipped; with
/// `CI=true` that is a failure, for there everything runs.
///
/// # Panics
///
/// If it is not root and `CI` is `true`.
pub fn privileged() -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")));
    if !root {
        assert!(env::var("CI").as_deref() != Ok("true"), "CI runs all tests, and this needs root");
        eprintln!("SKIPPED: needs root");
    }
    root
}
