//! A switch of which nobody reads what it says goes on being steered, and what it said last is
//! there when somebody reads at last.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::OwnedFd,
};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::json;
use uswitch_tests::running::Running;

use crate::lab::{Lab, eventually};

/// Octets that the pipe holds.
const PIPE: i32 = 4096;
/// Ports that come and go: their lines are more than the pipe and all that waits before it hold.
const PORTS: usize = 1200;

#[test]
fn pipe_that_nobody_reads_keeps_nobody_from_steering() {
    let lab = Lab::new();
    let (read, write) = std::io::pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE)).unwrap();
    let mut command = lab.command(&["--json", "--name", "lab", "--port", &lab.spec("a")]);
    let write = OwnedFd::from(write);
    command.stdout(write.try_clone().unwrap()).stderr(write);
    let mut running = Running(command.spawn().unwrap());
    // It has the pipe's other end; so nobody else may have it.
    drop(command);
    eventually("it can be steered", || lab.socket("lab").exists() && lab.run("stats").0 == 0);
    let mut line = lab.line("lab");
    let out = lab.path(&"y".repeat(200));
    let name = |number: usize| format!("{number}-{}", "x".repeat(55));
    for number in 0..PORTS {
        let spec = format!("pcap:out={},name={}", out.display(), name(number));
        let answer = line.ask(&json!({"v": 1, "do": "port.add", "spec": spec}).to_string());
        assert!(answer["ok"].is_object(), "{answer}");
        let request = json!({"v": 1, "do": "port.del", "port": name(number)});
        assert!(line.ask(&request.to_string())["ok"].is_object());
    }
    lab.done(&format!("port add {}", lab.spec("last")));
    assert!(lab.done("port show").contains("last "));

    // Now somebody reads: what was told, in its order, what is missing, and the last words.
    running.signal("-TERM");
    let lines = BufReader::new(File::from(OwnedFd::from(read))).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.collect();
    let report: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(report["running"], false, "the last words: {report}");
    let missing = |line: &String| {
        let count = line.strip_prefix("uswitch: ").filter(|line| line.contains(" lost here: "))?;
        count.split(' ').next()?.parse::<usize>().ok()
    };
    let lost: usize = lines.iter().filter_map(missing).sum();
    let told = lines.iter().filter_map(|line| line.split_once("-xxx")?.0.parse::<usize>().ok());
    let told: Vec<_> = told.collect();
    assert!(told.is_sorted() && told[..100].iter().enumerate().all(|(i, n)| i / 2 == *n));
    let last = usize::from(!lines.iter().any(|line| line.starts_with("last: ")));
    assert_eq!(told.len() + lost, 2 * PORTS + last, "{lost} lost");
    assert!(lost > PORTS / 10, "{lost}");
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn switch_ends_though_nobody_reads_its_last_words() {
    let lab = Lab::new();
    let (read, write) = std::io::pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE)).unwrap();
    let mut command = lab.command(&["--name", "lab", "--port", &lab.spec("a")]);
    command.stdout(std::process::Stdio::null()).stderr(OwnedFd::from(write));
    let mut running = Running(command.spawn().unwrap());
    drop(command);
    eventually("it can be steered", || lab.socket("lab").exists() && lab.run("stats").0 == 0);
    let mut line = lab.line("lab");
    for number in 0..PIPE / 20 {
        let spec = format!("pcap:out={},name=p{number}", lab.path("out").display());
        assert!(
            line.ask(&json!({"v": 1, "do": "port.add", "spec": spec}).to_string())["ok"]
                .is_object()
        );
        line.ask(&json!({"v": 1, "do": "port.del", "port": format!("p{number}")}).to_string());
    }
    running.signal("-TERM");
    assert!(running.0.wait().unwrap().success());
    drop(read);
}
