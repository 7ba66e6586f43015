//! Who may steer: the mode of the socket, and whom the switch hears.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Stdio},
};

use uswitch_tests::{privileged, program, running::Running};

use crate::lab::{Lab, told};

/// The user and group `nobody`.
const NOBODY: u32 = 65_534;
/// A group that has no members.
const GROUP: u32 = 64_999;

/// A copy of the program where anybody may run it, as this user with these groups.
fn as_user(lab: &Lab, user: u32, groups: &str, words: &str) -> (i32, String, String) {
    let copy = lab.path("copy");
    if !copy.exists() {
        // By another process: what ours has open for writing cannot be run by those that it starts
        // meanwhile.
        let copied = Command::new("cp").arg(program()).arg(&copy).status().unwrap();
        assert!(copied.success());
    }
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--groups", groups]).arg(copy);
    command.args(words.split_whitespace()).env("USWITCH_RUNTIME_DIR", lab.path("run"));
    told(&command.current_dir("/").output().unwrap())
}

fn mode(lab: &Lab, name: &str) -> u32 {
    fs::metadata(lab.socket(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn others_are_refused_by_the_mode_and_by_their_credentials() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let running = lab.start("lab", &["a"], &[]);
    assert_eq!(mode(&lab, "lab"), 0o600);
    let (code, _, err) = as_user(&lab, NOBODY, "65534", "stats");
    assert!(code == 1 && err.contains("`lab` runs, but may be steered only by root"), "{err}");
    // Even where the file would let him.
    fs::set_permissions(lab.socket("lab"), fs::Permissions::from_mode(0o666)).unwrap();
    let (code, out, err) = as_user(&lab, NOBODY, "65534", "port del a");
    assert!(code == 1 && out.is_empty() && err.contains("not by user 65534"), "{err}");
    assert!(lab.done("port show").contains("\na "), "it is there still");
    lab.end("lab", running);
}

#[test]
fn group_of_the_socket_may_steer() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let running = lab.start("lab", &["a"], &["--socket-group", &GROUP.to_string()]);
    assert_eq!(mode(&lab, "lab"), 0o660);
    let groups = format!("65534,{GROUP}");
    let (code, out, err) = as_user(&lab, NOBODY, &groups, "port show");
    assert!(code == 0 && out.contains("\na "), "{err}");
    let (code, _, err) = as_user(&lab, NOBODY, "65534", "port show");
    assert!(code == 1 && err.contains("--socket-group"), "{err}");
    lab.end("lab", running);
}

#[test]
fn user_has_his_own_switches_in_his_own_folder() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let home = lab.path("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let copied = Command::new("cp").arg(program()).arg(lab.path("copy")).status().unwrap();
    assert!(copied.success());
    let command = |words: &[&str], folder: bool| {
        let mut command = Command::new(lab.path("copy"));
        command
            .args(words)
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir(&home)
            .env_remove("XDG_RUNTIME_DIR");
        if folder {
            command.env("XDG_RUNTIME_DIR", &home);
        }
        command
    };
    let mut running = command(&["--name", "his-own-one", "--port", "stream:a"], true);
    let mut running =
        Running(running.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let stderr = std::io::BufReader::new(running.0.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(stderr).map(Result::unwrap);
    assert!(lines.any(|line| line.contains("Ctrl-C ends it")));
    assert!(home.join("uswitch/his-own-one.sock").exists());
    let (code, out, err) =
        told(&command(&["-n", "his-own-one", "port", "show"], true).output().unwrap());
    assert!(code == 0 && out.contains("\na "), "{err}");
    running.signal("-TERM");
    assert!(running.0.wait().unwrap().success());

    let mut homeless = command(&["--port", "stream:b"], false);
    let mut homeless =
        Running(homeless.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let stderr = std::io::BufReader::new(homeless.0.stderr.take().unwrap());
    let lines = std::io::BufRead::lines(stderr).map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.contains("Ctrl-C ends it")).collect();
    assert!(said.iter().any(|line| line.contains("XDG_RUNTIME_DIR is not set")), "{said:?}");
}
